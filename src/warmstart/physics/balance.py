"""What the equations of motion demand of a state: no flow through walls, no divergence, values where the sea is."""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES, carried
from warmstart.physics.cgrid import (
    at_south,
    at_west,
    east_transport,
    extreme,
    labelled,
    north_transport,
    take,
    thickness,
    total,
    volume,
)


def divergence(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Divergence of the depth-integrated flow, the rate at which it would lower the sea level.

    Parameters
    ----------
    state : ``uo`` at U points and ``vo`` at V points, ``(..., z, y, x)`` [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(..., y, x)`` at T points [m s-1], NaN on land: net outflow through the four faces over the area of the cell. A
    rigid lid makes it 0; under a free surface it is minus the tendency of the sea level.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> divergence(state * 0.0, grid).max().item()
    0.0
    """
    east, north = total(east_transport(state, grid), "z"), total(north_transport(state, grid), "z")
    outflow = east - at_west(east, grid) + north - at_south(north)
    area = (grid.e1t * grid.e2t).where(grid.mask("T", three_d=False))
    result = (outflow / area).transpose(*east.dims)
    return labelled(result, "divergence", "m s-1", "divergence of the depth-integrated flow")


def largest_divergence(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest magnitude of the :func:`divergence` of the depth-integrated flow; arguments as there.

    Returns
    -------
    ``(...)`` [m s-1].

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> largest_divergence(state, grid).attrs["units"]
    'm s-1'
    """
    value = extreme(abs(divergence(state, grid)), grid.column_area > 0, "max")
    return labelled(value, "divergence", "m s-1", "largest divergence of the depth-integrated flow")


def continuity_residual(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Volume that each cell gains: convergence of all three components of the flow, over its area.

    Parameters
    ----------
    state : ``uo`` at U points, ``vo`` at V points and ``wo`` at the top face of each cell, positive up,
        ``(..., z, y, x)`` [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(..., z, y, x)`` at T points [m s-1], NaN on land: outflow through the six faces over the area; no flow through the
    sea floor. 0 under a rigid lid; under a free surface what the thickness of the cells loses.

    Notes
    -----
    NEMO manual 4.2, section 5.1 (``sshwzv``).

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> float(largest_continuity_residual(state.assign(wo=vertical_velocity(state, grid)), grid)) < 1e-18
    True
    """
    wet = grid.mask("T")
    w = take(state, grid, "wo").where(wet, 0.0)
    result = (_outflow(state, grid) + w - w.shift(z=-1, fill_value=0.0)).where(wet)
    return labelled(result, "continuity_residual", "m s-1", "volume lost by each cell, over its area")


def largest_continuity_residual(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest magnitude of the :func:`continuity_residual`; arguments as there.

    Returns
    -------
    ``(...)`` [m s-1].

    Notes
    -----
    As :func:`continuity_residual`.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> still = (state * 0.0).assign(wo=state.thetao * 0.0)
    >>> float(largest_continuity_residual(still, grid))
    0.0
    """
    value = extreme(abs(continuity_residual(state, grid)), grid.volume > 0, "max")
    return labelled(value, "continuity_residual", "m s-1", "largest residual of the continuity equation")


def vertical_velocity(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Vertical velocity that continuity demands, integrated from the sea floor up.

    Parameters
    ----------
    state : ``uo`` at U points and ``vo`` at V points, ``(..., z, y, x)`` [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(..., z, y, x)`` at the top face of each cell, positive up [m s-1], NaN on land; at the surface the rate at which
    the flow raises the sea level.

    Notes
    -----
    As :func:`continuity_residual`.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> vertical_velocity(state, grid).dims
    ('z', 'y', 'x')
    """
    reverse = {"z": slice(None, None, -1)}
    gained = _outflow(state, grid).where(grid.mask("T"), 0.0).isel(reverse)
    wo = (-gained.cumsum("z", skipna=False)).isel(reverse).where(grid.mask("T"))
    return labelled(wo, "wo", "m s-1", "vertical velocity from continuity")


def _outflow(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Outflow through the four side faces of each cell over its area, ``(..., z, y, x)`` [m s-1]."""
    east, north = east_transport(state, grid), north_transport(state, grid)
    outflow = east - at_west(east, grid) + north - at_south(north)
    return (outflow / (grid.e1t * grid.e2t)).transpose(*east.dims)


def flow_through_walls(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest speed on closed faces.

    Parameters
    ----------
    state : ``uo`` at U points and ``vo`` at V points, ``(..., z, y, x)`` [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(...)`` [m s-1]; 0 if every closed face holds 0 or NaN.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> float(flow_through_walls(state, grid))
    0.0
    """
    u, v = (
        abs(take(state, grid, name)).where(~grid.mask(point), 0.0).fillna(0.0).max(("z", "y", "x"))
        for name, point in (("uo", "U"), ("vo", "V"))
    )
    speed = xr.where(u > v, u, v).astype("float64")
    return labelled(speed, "flow_through_walls", "m s-1", "largest speed on closed faces")


def kinetic_energy(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Volume mean of the kinetic energy of the horizontal flow, per mass.

    Parameters
    ----------
    state : ``uo`` at U points and ``vo`` at V points, ``(..., z, y, x)`` [m s-1].
    grid : its mesh.

    Returns
    -------
    ``(...)`` [m2 s-2]: ``(sum(u^2 e1u e2u e3u) + sum(v^2 e1v e2v e3v)) / 2`` over the volume of the sea.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(kinetic_energy(state, grid) > 0)
    True
    """
    twice = _twice_energy(state, grid, ("z", "y", "x"))
    return labelled(
        0.5 * twice / volume(state, grid).sum(("z", "y", "x")),
        "kinetic_energy",
        "m2 s-2",
        "volume-mean kinetic energy",
    )


def _twice_energy(state: xr.Dataset, grid: Grid, dims: tuple[str, ...]) -> xr.DataArray:
    """Sum of the squares of both components times the volume around each."""
    east = take(state, grid, "uo") ** 2 * grid.e1u * grid.e2u * thickness(state, grid, "U")
    north = take(state, grid, "vo") ** 2 * grid.e1v * grid.e2v * thickness(state, grid, "V")
    east = east.where(grid.mask("U") & grid.unique("U"), 0.0)
    return total(east, dims) + total(north.where(grid.mask("V") & grid.unique("V"), 0.0), dims)


def missing_values(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of wet points where a variable of the state is not finite, or the salinity is exactly 0.

    Parameters
    ----------
    state : any variables of the variables table or of an engine, each at its own C-grid point.
    grid : its mesh.

    Returns
    -------
    ``(...)`` [1], summed over the variables. Salinity counts as missing where part of the sea has none: NEMO writes 0 on
    land, so that this is the land of another mesh.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> int(missing_values(state, grid))
    0
    """
    count = sum(((~_finite(da) & wet).sum(dims) for da, wet, dims in _at_points(state, grid)), start=_zero())
    if "so" in state:
        count = count + saltless(state, grid)
    return labelled(
        count, "missing_values", "1", "wet points whose value is not finite or whose salinity is 0"
    )


def saltless(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of wet points whose salinity is exactly 0, where that of others is not.

    Parameters
    ----------
    state : ``so(..., z, y, x)`` [1e-3].
    grid : its mesh.

    Returns
    -------
    ``(...)`` [1].

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> int(saltless(state, grid)), int(saltless(state * 0.0, grid))
    (0, 0)
    """
    wet, dims = grid.mask("T"), ("z", "y", "x")
    count = ((take(state, grid, "so") == 0.0) & wet).sum(dims)
    return labelled(count.where(count < wet.sum(), 0), "saltless", "1", "wet points whose salinity is 0")


def values_on_land(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of land points where a variable of the state is neither 0 nor NaN; arguments as :func:`missing_values`.

    Returns
    -------
    ``(...)`` [1], summed over the variables.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(values_on_land(state.fillna(5.0), grid) > 0)
    True
    """
    count = sum(
        ((da.notnull() & (da != 0) & ~wet).sum(dims) for da, wet, dims in _at_points(state, grid)),
        start=_zero(),
    )
    return labelled(count, "values_on_land", "1", "land points whose value is neither 0 nor NaN")


def mask_violations(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of points that contradict the mask: :func:`missing_values` and :func:`values_on_land` together.

    Returns
    -------
    ``(...)`` [1], summed over the variables.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> int(mask_violations(state, grid))
    0
    """
    count = missing_values(state, grid) + values_on_land(state, grid)
    return labelled(count, "mask_violations", "1", "wet points without and land points with a value")


def out_of_bounds(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of wet points outside the bounds of the variables table.

    Parameters
    ----------
    state : any variables of the variables table or of an engine, each at its own C-grid point, in its units.
    grid : its mesh.

    Returns
    -------
    ``(...)`` [1], summed over the variables; values that are not finite are :func:`missing_values`, not counted here.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(out_of_bounds(state.assign(thetao=state.thetao + 273.15), grid) > 0)
    True
    """
    tables = carried(state)
    count = _zero()
    for da, wet, dims in _at_points(state, grid):
        low, high = tables[str(da.name)].bounds
        count = count + (_finite(da) & ((da < low) | (da > high)) & wet).sum(dims)
    return labelled(count, "out_of_bounds", "1", "wet points outside the bounds of their variable")


def _at_points(state: xr.Dataset, grid: Grid) -> list[tuple[xr.DataArray, xr.DataArray, tuple[str, ...]]]:
    """Each variable of the state with the mask of its C-grid point and its spatial dims."""
    tables = carried(state)
    if not tables:
        raise UserError(f"the state holds none of {', '.join(VARIABLES)}; expected at least one of them")
    points = []
    for name, table in tables.items():
        points.append((take(state, grid, name), grid.mask(table.point, table.three_d), table.dims))
    return points


def _finite(da: xr.DataArray) -> xr.DataArray:
    return abs(da) < np.inf


def _zero() -> xr.DataArray:
    return xr.DataArray(0)
