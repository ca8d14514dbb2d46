"""Contents and means: heat, salt, temperature and salinity of the ocean and of parts of it.

Regions are boolean masks in degrees and metres (``grid.box``; water masses are in :mod:`warmstart.physics.census`), never index ranges.
Cells are weighted with their volume ``e1t e2t e3t``, the state's own thickness where it holds one (``thkcello``) and that of the mesh where
not; land has none, and a cell that a folded mesh holds twice counts once.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.cgrid import (
    THICKNESS,
    Range,
    labelled,
    mean_over,
    span,
    take,
    thickness,
    total,
    volume,
)

EVERYWHERE: Range = (-90.0, 90.0)  #: all latitudes [degrees_north]
WHOLE_DEPTH: Range = (0.0, np.inf)  #: all depths [m]
ALL_ROUND: Range = (-180.0, 180.0)  #: all longitudes [degrees_east]
DEEP: Range = (2000.0, np.inf)  #: the deep ocean, whose drift defines equilibrium [m]


def heat_content(
    state: xr.Dataset,
    grid: Grid,
    lat: Range = EVERYWHERE,
    depth: Range = WHOLE_DEPTH,
    lon: Range = ALL_ROUND,
) -> xr.DataArray:
    """Heat content relative to 0 degC, RHO0 CP integral(T dV).

    Parameters
    ----------
    state, grid : ``thetao(..., z, y, x)`` [degC], and its mesh.
    lat, depth, lon : bounds of the cell centres, as in :meth:`warmstart.ocean.grid.Grid.box` [degrees_north, m, degrees_east];
        the contents of neighbouring boxes add up to that of both.

    Returns
    -------
    ``(...)`` [J].

    Notes
    -----
    Boussinesq, with the reference density and heat capacity of :mod:`warmstart.ocean.eos`.

    Examples
    --------
    >>> heat_content(*ws.basin()).attrs["units"]
    'J'
    """
    heat = eos.RHO0 * eos.CP * _integral(state, grid, "thetao", grid.box(lat, depth, lon))
    return labelled(heat, "heat_content", "J", "heat content relative to 0 degC" + _where(lat, depth, lon))


def salt_content(
    state: xr.Dataset,
    grid: Grid,
    lat: Range = EVERYWHERE,
    depth: Range = WHOLE_DEPTH,
    lon: Range = ALL_ROUND,
) -> xr.DataArray:
    """Mass of salt, RHO0 integral(S dV) / 1000.

    Parameters
    ----------
    state, grid : ``so(..., z, y, x)`` [1e-3], and its mesh.
    lat, depth, lon : as in :func:`heat_content`.

    Returns
    -------
    ``(...)`` [kg].

    Examples
    --------
    >>> salt_content(*ws.basin()).attrs["units"]
    'kg'
    """
    salt = 1e-3 * eos.RHO0 * _integral(state, grid, "so", grid.box(lat, depth, lon))
    return labelled(salt, "salt_content", "kg", "mass of salt" + _where(lat, depth, lon))


def sea_volume(
    state: xr.Dataset,
    grid: Grid,
    lat: Range = EVERYWHERE,
    depth: Range = WHOLE_DEPTH,
    lon: Range = ALL_ROUND,
) -> xr.DataArray:
    """Volume of the sea, that above the level of rest included.

    Parameters
    ----------
    state, grid : ``zos(..., y, x)`` [m], and its mesh.
    lat, depth, lon : as in :func:`heat_content`.

    Returns
    -------
    ``(...)`` [m3]: that of its own cells where the state holds their thickness, else the volume of the mesh plus the integral of the sea
    level, which belongs to the uppermost cells.

    Notes
    -----
    Conserved by a Boussinesq ocean without surface freshwater flux.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(sea_volume(state * 0.0, grid) == grid.volume.sum())
    True
    """
    box = grid.box(lat, depth, lon)
    text = "volume of the sea" + _where(lat, depth, lon)
    if THICKNESS["T"] in state:
        own = total(volume(state, grid).where(box, 0.0), ("z", "y", "x"))
        return labelled(own, "sea_volume", "m3", text)
    # the sea level lifts the uppermost water of each column, under an ice shelf too
    uppermost = (grid.mask("T") & ~grid.mask("T").shift(z=1, fill_value=False) & box).any("z")
    area = grid.column_area.where(uppermost, 0.0)
    above = total(take(state, grid, "zos").where(area > 0, 0.0) * area, ("y", "x"))
    return labelled(above + grid.volume.where(box, 0.0).sum(), "sea_volume", "m3", text)


def volume_mean(
    state: xr.Dataset,
    grid: Grid,
    variable: str,
    lat: Range = EVERYWHERE,
    depth: Range = WHOLE_DEPTH,
    lon: Range = ALL_ROUND,
) -> xr.DataArray:
    """Volume mean of a variable at T points, in a range of latitude, depth and longitude.

    Parameters
    ----------
    state, grid : holds `variable`, ``(..., z, y, x)``, and its mesh.
    variable : ``"thetao"`` or ``"so"``.
    lat, depth, lon : as in :func:`heat_content`.

    Returns
    -------
    ``(...)``, units of the variable; NaN where no cell is in the range.

    Raises
    ------
    UserError
        If `variable` has no volume at T points.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(volume_mean(state, grid, "thetao", depth=DEEP) < volume_mean(state, grid, "thetao"))
    True
    """
    return mean_where(state, grid, variable, grid.box(lat, depth, lon), _where(lat, depth, lon))


def surface_temperature(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Area mean of the temperature of the uppermost level.

    Parameters
    ----------
    state, grid : ``thetao(..., z, y, x)`` [degC], and its mesh.

    Returns
    -------
    ``(...)`` [degC].

    Examples
    --------
    >>> bool(surface_temperature(*ws.basin()) > 10)
    True
    """
    mean = mean_over(take(state, grid, "thetao").isel(z=0), grid.area)
    return labelled(mean, "surface_temperature", "degC", "area-mean temperature of the uppermost level")


def at_depth(field: xr.DataArray, grid: Grid, depth: float) -> xr.DataArray:
    """Interpolate a field at T points linearly to a depth.

    Parameters
    ----------
    field, grid : ``(..., z, y, x)``, and its mesh.
    depth : depth, positive down [m].

    Returns
    -------
    ``(..., y, x)``, units of the field; NaN where the depth does not lie between the centres of two wet cells.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> at_depth(grid.gdept_0, grid, 500.0).max().item()
    500.0
    """
    centre, wet = grid.gdept_0, grid.mask("T")
    below = wet & wet.shift(z=1, fill_value=False) & (centre > depth) & (centre.shift(z=1) <= depth)
    weight = (depth - centre.shift(z=1)) / (centre - centre.shift(z=1))
    value = field.astype("float64").shift(z=1) * (1 - weight) + field * weight
    result = total(value.where(below, 0.0), "z").where(below.any("z"))
    return result.transpose(*(d for d in field.dims if d != "z"))


def mean_where(state: xr.Dataset, grid: Grid, variable: str, where: xr.DataArray, text: str) -> xr.DataArray:
    """Volume mean of a variable where the mask ``(z, y, x)`` is true; `text` says where in the long name."""
    table = VARIABLES.get(variable)
    if table is None or table.point != "T" or not table.three_d:
        names = ", ".join(v.name for v in VARIABLES.values() if v.point == "T" and v.three_d)
        raise UserError(f"no volume mean of {variable}: expected a 3-D variable at T points, one of {names}")
    whole = total(volume(state, grid).where(where, 0.0), ("z", "y", "x"))
    mean = _integral(state, grid, variable, where) / whole.where(whole > 0)
    return labelled(mean, variable, table.units, f"volume-mean {table.long_name}" + text)


def _integral(state: xr.Dataset, grid: Grid, variable: str, where: xr.DataArray) -> xr.DataArray:
    """Volume integral over part of the sea, with the state's own thickness where it holds one."""
    own = thickness(state, grid, "T") if THICKNESS["T"] in state else None
    return grid.integrate(take(state, grid, variable), where, own)


def _where(lat: Range, depth: Range, lon: Range = ALL_ROUND) -> str:
    """Say a range in words, nothing for everywhere."""
    text = ""
    if depth != WHOLE_DEPTH:
        text += f", below {depth[0]:g} m" if np.isinf(depth[1]) else f", {depth[0]:g}-{depth[1]:g} m"
    if lat != EVERYWHERE:
        text += f", {span(lat)}"
    if lon[1] - lon[0] < 360.0:
        text += f", {span(lon, 'EW')}"
    return text
