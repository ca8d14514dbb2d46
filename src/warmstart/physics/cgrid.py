"""What every metric needs on a C-grid: neighbours, masked face transports, labels.

U lies on the east face of T, V on the north face, F on the north-east corner. Land is 0 in every sum whatever the
state holds there; a NaN in the sea stays NaN, so that no metric is silently computed from part of the ocean.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import TypeAlias

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import DIAGNOSTICS, VARIABLES, carried, require_units, same_units

#: Lower and upper bound, of latitude, longitude or depth.
Range: TypeAlias = tuple[float, float]

SVERDRUP = 1e6  #: [m3 s-1]
#: Thickness of the cells that a state may hold, at each C-grid point.
THICKNESS = {"T": "thkcello", "U": "thkcelluo", "V": "thkcellvo"}


def take(state: xr.Dataset, grid: Grid, name: str) -> xr.DataArray:
    """Take a variable of a state, or refuse one that a metric would get wrong.

    Parameters
    ----------
    state, grid : with the variable, ``(..., [z,] y, x)``, and its mesh.
    name : in the variables table.

    Returns
    -------
    The variable in double precision, without coordinates along z, y and x, so that fields at different C-grid points
    are never aligned by their positions. The sea level of columns under ice shelves, which NEMO's output leaves out, is 0 there.

    Raises
    ------
    UserError
        If the variable is missing, its units are others than the table's, or its shape is not that of the mesh. Units of
        another variable are let pass: xarray's arithmetic keeps the attributes of whatever a field was made of.

    Examples
    --------
    >>> take(*ws.basin(), "uo").dtype
    dtype('float64')
    """
    require_fit(state, grid, name, strict=False)
    da = state[name]
    along = [c for c in da.coords if set(da[c].dims) & {"z", "y", "x"}]
    da = da.drop_vars(along).astype("float64", copy=False)
    if name == "zos" and (covered := covered_columns(grid)).any():
        da = da.where(da.notnull() | ~covered, 0.0)
    return da


def covered_columns(grid: Grid) -> xr.DataArray:
    """Columns with water, but none at the surface: those under ice shelves; boolean ``(y, x)``.

    Examples
    --------
    >>> bool(covered_columns(ws.basin(nx=6, ny=8, nz=4)[1]).any())
    False
    """
    return grid.mask("T", three_d=False) & ~grid.mask("T").isel(z=0, drop=True)


def volume(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Volume of the T cells by their :func:`thickness`, 0 on land and in cells that repeat others [m3].

    Examples
    --------
    >>> volume(*ws.basin(nx=6, ny=8, nz=4)).dims
    ('z', 'y', 'x')
    """
    if THICKNESS["T"] not in state:
        return grid.volume
    cells = (grid.column_area * thickness(state, grid, "T")).where(grid.mask("T"), 0.0)
    return labelled(cells, "volume", "m3", "volume of the T cell")


def require_fit(state: xr.Dataset, grid: Grid, name: str, strict: bool = True) -> None:
    """Refuse a variable that is missing, of other units than the table's or of another shape than the mesh.

    Parameters
    ----------
    state, grid, name : as in :func:`take`.
    strict : whether units of another variable of the table are refused too.

    Raises
    ------
    UserError
        Saying which of these it is.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> require_fit(state[["uo"]], grid, "vo")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: the state holds no vo (meridional velocity), only uo
    """
    known = VARIABLES | DIAGNOSTICS
    table = known.get(name) or carried(state)[name]
    if name not in state:
        held = ", ".join(str(n) for n in state.data_vars) or "nothing"
        raise UserError(f"the state holds no {name} ({table.long_name}), only {held}")
    da, sizes = state[name], dict(zip("zyx", grid.shape, strict=True))
    expected = {d: sizes[d] for d in table.dims}
    found = {d: da.sizes[d] for d in ("z", "y", "x") if d in da.dims}
    if set(found) != set(expected):
        dims = ", ".join(map(str, da.dims))
        raise UserError(f"{name} has the dimensions {dims}; expected (…, {', '.join(expected)})")
    if found != expected:
        raise UserError(f"{name} has sizes {found} but the mesh {expected}; give states and mesh of one grid")
    units = str(da.attrs.get("units", table.units))
    left_over = not strict and any(same_units(units, other.units) for other in known.values())
    if not left_over:
        require_units(name, units, table.units)


def labelled(da: xr.DataArray, name: str, units: str, long_name: str) -> xr.DataArray:
    """Name a result and give it its only attributes, units and long name."""
    da = da.rename(name)
    da.attrs = {"units": units, "long_name": long_name}
    return da


def turned(grid: Grid, lat: Range) -> str:
    """Why the rows of a mesh are no circles of latitude between two latitudes; empty where they are.

    Examples
    --------
    >>> turned(ws.basin(nx=6, ny=8, nz=4)[1], (-90.0, 90.0))
    ''
    """
    rows = grid.gphiv.transpose("y", "x").where((grid.vmask > 0).any("z").transpose("y", "x"))
    middle = rows.mean("x")
    apart = abs(grid.gphiv.transpose("y", "x").diff("y")).max()
    uneven = (rows.max("x") - rows.min("x")) > apart
    if not bool((uneven & (middle > lat[0]) & (middle < lat[1])).any()):
        return ""
    return f"rows of this mesh between {span(lat)} are no circles of latitude"


def rows_between(grid: Grid, lat: Range) -> xr.DataArray:
    """V rows between two latitudes, both excluded, boolean ``(y,)``."""
    rows = grid.gphiv.mean("x")
    return (rows > lat[0]) & (rows < lat[1])


def unknown(state: xr.Dataset, name: str, units: str, long_name: str, why: str) -> xr.DataArray:
    """NaN for every state, and in the attribute ``comment`` why a metric has no value there.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> unknown(state, "throughflow", "Sv", "transport round the channel", "no open channel").attrs["comment"]
    'no open channel'
    """
    lead = [d for d in state.dims if d not in ("z", "y", "x")]
    nothing = xr.DataArray(np.full([state.sizes[d] for d in lead], np.nan), dims=lead)
    return labelled(nothing, name, units, long_name).assign_attrs(comment=why)


def total(da: xr.DataArray, dims: Collection[Hashable] | str) -> xr.DataArray:
    """Sum that keeps NaN: land must have been set to 0 before."""
    return da.sum(dims, skipna=False)


def total_beyond(da: xr.DataArray, dim: str) -> xr.DataArray:
    """Sum from each place to the end of a dimension, that keeps NaN."""
    backward = {dim: slice(None, None, -1)}
    return da.isel(backward).cumsum(dim, skipna=False).isel(backward)


def mean_over(field: xr.DataArray, weight: xr.DataArray) -> xr.DataArray:
    """Weighted mean over the cells whose weight is not 0, along the dimensions of the weight; NaN without any."""
    whole = weight.sum()
    return total(field.where(weight > 0, 0.0) * weight, weight.dims) / whole.where(whole > 0)


def over_map(field: xr.DataArray, state: xr.Dataset) -> xr.DataArray:
    """A field without depth, its dimensions in the order of the state's temperature."""
    return field.transpose(*(d for d in state.thetao.dims if d != "z"))


def extreme(da: xr.DataArray, where: xr.DataArray, kind: str) -> xr.DataArray:
    """Largest (``kind="max"``) or smallest (``"min"``) value in a region; NaN where it is empty or holds a NaN."""
    dims = [d for d in da.dims if d in ("z", "y", "x")]
    outside = -np.inf if kind == "max" else np.inf
    inside = da.where(where, outside)
    value = inside.max(dims, skipna=False) if kind == "max" else inside.min(dims, skipna=False)
    return value.where(np.isfinite(value)) + 0.0  # no -0


def span(bounds: Range, signs: str = "NS") -> str:
    """Say a range of latitude, or of longitude with ``signs="EW"``, in words.

    Examples
    --------
    >>> span((-60.0, 0.0)), span((10.0, 65.0)), span((-30.0, 15.0), "EW")
    ('60S-0', '10N-65N', '30W-15E')
    """
    return "-".join(f"{abs(v):g}{signs[0] if v > 0 else signs[1] if v < 0 else ''}" for v in bounds)


def at_west(field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Value of the western neighbour; beyond a closed western boundary 0."""
    return field.roll(x=1) if grid.periodic_x else field.shift(x=1, fill_value=0.0)


def at_south(field: xr.DataArray) -> xr.DataArray:
    """Value of the southern neighbour; beyond the southern boundary 0."""
    return field.shift(y=1, fill_value=0.0)


def at_north_face(field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Mean of a T cell and its northern neighbour, across a north fold too; only faces between two wet cells are meaningful."""
    north = field.shift(y=-1)
    if grid.fold is not None:
        row, columns = grid.fold.neighbours(grid.shape[1:])
        beyond = field.isel(y=row, x=columns)
        north = north.where(xr.DataArray(np.arange(grid.shape[1]) < grid.shape[1] - 1, dims="y"), beyond)
    return 0.5 * (field + north)


def thickness(state: xr.Dataset, grid: Grid, point: str) -> xr.DataArray:
    """Thickness of the cells of a C-grid point: the state's own where it holds one, else that of the mesh [m].

    Parameters
    ----------
    state : may hold ``thkcello``, ``thkcelluo`` or ``thkcellvo``, ``(..., z, y, x)``, as output under a free surface does.
    grid : its mesh.
    point : ``"T"``, ``"U"`` or ``"V"``.

    Examples
    --------
    >>> thickness(*ws.basin(), "U").name
    'e3u_0'
    """
    name = THICKNESS[point]
    return take(state, grid, name) if name in state else grid.ds[f"e3{point.lower()}_0"]


def stretching(state: xr.Dataset, grid: Grid, point: str) -> xr.DataArray:
    """Thickness of the faces under the free surface, relative to that of the mesh: 1 + zos / H.

    Parameters
    ----------
    state, grid : ``zos(..., y, x)`` at T points [m], and its mesh.
    point : ``"U"`` or ``"V"``.

    Returns
    -------
    ``(..., y, x)`` [1] at open faces, 1 elsewhere. The sea level of a face is the area mean of its two cells, H the
    depth of the face.

    Raises
    ------
    UserError
        If the state has no sea level.

    Notes
    -----
    z* coordinate, as NEMO's ``key_qco`` (NEMO manual 4.2, section 3.1).

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> float(stretching(state * 0.0, grid, "U").max())
    1.0
    """
    thickness, along = {"U": (grid.e3u_0, "x"), "V": (grid.e3v_0, "y")}[point]
    area = grid.e1t * grid.e2t
    volume = take(state, grid, "zos") * area
    level = (volume + volume.roll({along: -1})) / (area + area.roll({along: -1}))
    depth = thickness.where(grid.mask(point), 0.0).sum("z")
    return (1.0 + level / depth).where(depth > 0, 1.0)


def east_transport(state: xr.Dataset, grid: Grid, free_surface: bool = False) -> xr.DataArray:
    """Volume transport through the east face of each T cell, 0 on closed faces.

    Parameters
    ----------
    state, grid : with ``uo(..., z, y, x)`` at U points [m s-1], and its mesh.
    free_surface : whether the thickness follows ``zos`` (:func:`stretching`) or is that of the mesh, ``e3u_0``, where the state does not hold
        its own (:func:`thickness`).

    Returns
    -------
    ``(..., z, y, x)`` [m3 s-1]. On a folded mesh also at faces that repeat others: a sum takes those of ``grid.unique("U")``.

    Examples
    --------
    >>> east_transport(*ws.basin()).attrs["units"]
    'm3 s-1'
    """
    return _face_transport(state, grid, "U", free_surface)


def north_transport(state: xr.Dataset, grid: Grid, free_surface: bool = False) -> xr.DataArray:
    """Volume transport through the north face of each T cell; as :func:`east_transport`, with ``vo`` at V points.

    Examples
    --------
    >>> float(north_transport(*ws.basin()).isel(y=-1).sum())
    0.0
    """
    return _face_transport(state, grid, "V", free_surface)


def _face_transport(state: xr.Dataset, grid: Grid, point: str, free_surface: bool) -> xr.DataArray:
    name, length, side = {"U": ("uo", grid.e2u, "east"), "V": ("vo", grid.e1v, "north")}[point]
    transport = (take(state, grid, name) * length * thickness(state, grid, point)).where(
        grid.mask(point), 0.0
    )
    if free_surface and THICKNESS[point] not in state:
        transport = (transport * stretching(state, grid, point)).transpose(*state[name].dims)
    return labelled(transport, f"{side}_transport", "m3 s-1", f"volume transport through the {side} face")
