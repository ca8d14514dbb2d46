"""What the equations of motion demand of a state: no flow through walls, no divergence, values where the sea is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES, Variable, carried
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
    total_beyond,
    volume,
)


def divergence(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Divergence of the depth-integrated flow, the rate at which it would lower the sea level.

    Parameters
    ----------
    state, grid : ``uo`` at U points and ``vo`` at V points, ``(..., z, y, x)`` [m s-1], and its mesh.

    Returns
    -------
    ``(..., y, x)`` at T points [m s-1], NaN on land: net outflow through the four faces over the area of the cell. A
    rigid lid makes it 0; under a free surface it is minus the tendency of the sea level.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> divergence(state * 0.0, grid).max().item()
    0.0
    """
    east, north = total(east_transport(state, grid), "z"), total(north_transport(state, grid), "z")
    area = (grid.e1t * grid.e2t).where(grid.mask("T", three_d=False))
    result = _through_sides(east, north, grid, area)
    return labelled(result, "divergence", "m s-1", "divergence of the depth-integrated flow")


def largest_divergence(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest magnitude of the :func:`divergence` of the depth-integrated flow; arguments as there.

    Returns
    -------
    ``(...)`` [m s-1].

    Examples
    --------
    >>> largest_divergence(*ws.basin()).attrs["units"]
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

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> still = (state * 0.0).assign(wo=state.thetao * 0.0)
    >>> float(largest_continuity_residual(still, grid))
    0.0
    """
    value = extreme(abs(continuity_residual(state, grid)), grid.volume > 0, "max")
    return labelled(value, "continuity_residual", "m s-1", "largest residual of the continuity equation")


def vertical_velocity(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Vertical velocity that continuity demands, integrated from the sea floor up; arguments as :func:`divergence`.

    Returns
    -------
    ``(..., z, y, x)`` at the top face of each cell, positive up [m s-1], NaN on land; at the surface the rate at which
    the flow raises the sea level.

    Examples
    --------
    >>> vertical_velocity(*ws.basin()).dims
    ('z', 'y', 'x')
    """
    lost = _outflow(state, grid).where(grid.mask("T"), 0.0)
    wo = (-total_beyond(lost, "z")).where(grid.mask("T"))
    return labelled(wo, "wo", "m s-1", "vertical velocity from continuity")


def _outflow(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Outflow through the four side faces of each cell over its area, ``(..., z, y, x)`` [m s-1]."""
    return _through_sides(
        east_transport(state, grid), north_transport(state, grid), grid, grid.e1t * grid.e2t
    )


def _through_sides(east: xr.DataArray, north: xr.DataArray, grid: Grid, area: xr.DataArray) -> xr.DataArray:
    outflow = east - at_west(east, grid) + north - at_south(north)
    return (outflow / area).transpose(*east.dims)


def flow_through_walls(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest speed on closed faces; arguments as :func:`divergence`.

    Returns
    -------
    ``(...)`` [m s-1]; 0 if every closed face holds 0 or NaN.

    Examples
    --------
    >>> float(flow_through_walls(*ws.basin()))
    0.0
    """
    u, v = (
        abs(take(state, grid, name)).where(~grid.mask(point), 0.0).fillna(0.0).max(("z", "y", "x"))
        for name, point in (("uo", "U"), ("vo", "V"))
    )
    speed = xr.where(u > v, u, v).astype("float64")
    return labelled(speed, "flow_through_walls", "m s-1", "largest speed on closed faces")


def kinetic_energy(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Volume mean of the kinetic energy of the horizontal flow, per mass; arguments as :func:`divergence`.

    Returns
    -------
    ``(...)`` [m2 s-2]: ``(sum(u^2 e1u e2u e3u) + sum(v^2 e1v e2v e3v)) / 2`` over the volume of the sea.

    Examples
    --------
    >>> bool(kinetic_energy(*ws.basin()) > 0)
    True
    """
    dims = ("z", "y", "x")
    east = take(state, grid, "uo") ** 2 * grid.e1u * grid.e2u * thickness(state, grid, "U")
    north = take(state, grid, "vo") ** 2 * grid.e1v * grid.e2v * thickness(state, grid, "V")
    squares = [
        total(square.where(grid.mask(point) & grid.unique(point), 0.0), dims)
        for square, point in ((east, "U"), (north, "V"))
    ]
    mean = 0.5 * (squares[0] + squares[1]) / volume(state, grid).sum(dims)
    return labelled(mean, "kinetic_energy", "m2 s-2", "volume-mean kinetic energy")


def missing_values(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of wet points where a variable of the state is not finite, or the salinity is exactly 0.

    Parameters
    ----------
    state, grid : any variables of the variables table or of an engine, each at its own C-grid point, and its mesh.

    Returns
    -------
    ``(...)`` [1], summed over the variables. Salinity counts as missing where part of the sea has none: NEMO writes 0 on
    land, so that this is the land of another mesh.

    Examples
    --------
    >>> int(missing_values(*ws.basin()))
    0
    """
    count = _count(state, grid, lambda da, wet, _: ~_finite(da) & wet)
    if "so" in state:
        count = count + saltless(state, grid)
    text = "wet points whose value is not finite or whose salinity is 0"
    return labelled(count, "missing_values", "1", text)


def saltless(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of wet points whose salinity is exactly 0, where that of others is not.

    Parameters
    ----------
    state, grid : ``so(..., z, y, x)`` [1e-3], and its mesh.

    Returns
    -------
    ``(...)`` [1].

    Examples
    --------
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
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(values_on_land(state.fillna(5.0), grid) > 0)
    True
    """
    count = _count(state, grid, lambda da, wet, _: da.notnull() & (da != 0) & ~wet)
    return labelled(count, "values_on_land", "1", "land points whose value is neither 0 nor NaN")


def mask_violations(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of points that contradict the mask: :func:`missing_values` and :func:`values_on_land` together.

    Returns
    -------
    ``(...)`` [1], summed over the variables.

    Examples
    --------
    >>> int(mask_violations(*ws.basin()))
    0
    """
    count = missing_values(state, grid) + values_on_land(state, grid)
    return labelled(count, "mask_violations", "1", "wet points without and land points with a value")


def out_of_bounds(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Number of wet points outside the bounds of the variables table; arguments as :func:`missing_values`.

    Returns
    -------
    ``(...)`` [1], summed over the variables; values that are not finite are :func:`missing_values`, not counted here.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(out_of_bounds(state.assign(thetao=state.thetao + 273.15), grid) > 0)
    True
    """

    def outside(da: xr.DataArray, wet: xr.DataArray, table: Variable) -> xr.DataArray:
        low, high = table.bounds
        return _finite(da) & ((da < low) | (da > high)) & wet

    count = _count(state, grid, outside)
    return labelled(count, "out_of_bounds", "1", "wet points outside the bounds of their variable")


def _count(
    state: xr.Dataset, grid: Grid, wrong: Callable[[xr.DataArray, xr.DataArray, Variable], xr.DataArray]
) -> xr.DataArray:
    """Points of all variables of the state that are `wrong`, given values, mask of the C-grid point and the table's entry."""
    tables = carried(state)
    if not tables:
        raise UserError(f"the state holds none of {', '.join(VARIABLES)}; expected at least one of them")
    count = xr.DataArray(0)
    for name, table in tables.items():
        found = wrong(take(state, grid, name), grid.mask(table.point, table.three_d), table)
        count = count + found.sum(table.dims)
    return count


def _finite(da: xr.DataArray) -> xr.DataArray:
    return abs(da) < np.inf
