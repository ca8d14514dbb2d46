"""Water masses: the means of deep and bottom water."""

from __future__ import annotations

import xarray as xr

from warmstart.ocean.grid import Grid
from warmstart.physics.budgets import at_depth, mean_where
from warmstart.physics.cgrid import labelled, mean_over, take

TROPICS = 30.0  #: latitude that bounds the boxes of nemo-spinup-evaluation [degrees]


def temperature_500m(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Area mean of the temperature at 500 m between 30S and 30N.

    Parameters
    ----------
    state, grid : ``thetao(..., z, y, x)`` [degC], and its mesh.

    Returns
    -------
    ``(...)`` [degC].

    Notes
    -----
    After ``temperature_500m_30NS`` of nemo-spinup-evaluation 0.3.0, with two corrections: interpolated to 500 m instead
    of the nearest level, so that grids compare, and weighted with the cells' area, not with their area times the
    thickness of the whole column.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(temperature_500m(state, grid) < state.thetao.max())
    True
    """
    inside = (abs(grid.gphit) < TROPICS) & at_depth(grid.gdept_0, grid, 500.0).notnull()
    mean = mean_over(at_depth(take(state, grid, "thetao"), grid, 500.0), grid.column_area.where(inside, 0.0))
    return labelled(mean, "temperature_500m_30NS", "degC", "area-mean temperature at 500 m, 30S-30N")


def deep_water(grid: Grid) -> xr.DataArray:
    """Deep-water box, boolean ``(z, y, x)``: 500 to 3000 m, 30S to 30N, bounds excluded."""
    box = (abs(grid.gdept_0 - 1750.0) < 1250.0) & (abs(grid.gphit) < TROPICS)
    return box.transpose("z", "y", "x")


def bottom_water(grid: Grid) -> xr.DataArray:
    """Bottom-water box, boolean ``(z, y, x)``: everything but the water above 3000 m between 30S and 30N."""
    box = ~((grid.gdept_0 < 3000.0) & (abs(grid.gphit) < TROPICS))
    return box.transpose("z", "y", "x")


def deep_water_mean(state: xr.Dataset, grid: Grid, variable: str) -> xr.DataArray:
    """Volume mean of a variable in the :func:`deep_water` box; arguments as :func:`warmstart.physics.budgets.volume_mean`.

    Returns
    -------
    ``(...)``, units of the variable.

    Notes
    -----
    The box of ``temperature_DWbox`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> deep_water_mean(*ws.basin(), "so").attrs["units"]
    '1e-3'
    """
    return mean_where(state, grid, variable, deep_water(grid), " of deep water, 500-3000 m, 30S-30N")


def bottom_water_mean(state: xr.Dataset, grid: Grid, variable: str) -> xr.DataArray:
    """Volume mean of a variable in the :func:`bottom_water` box; arguments as :func:`warmstart.physics.budgets.volume_mean`.

    Returns
    -------
    ``(...)``, units of the variable.

    Notes
    -----
    The box of ``temperature_BWbox`` of nemo-spinup-evaluation 0.3.0: the water that fills the abyss, with the high
    latitudes where it forms, at all depths.

    Examples
    --------
    >>> bottom_water_mean(*ws.basin(), "so").attrs["units"]
    '1e-3'
    """
    where = " of bottom water, all but < 3000 m in 30S-30N"
    return mean_where(state, grid, variable, bottom_water(grid), where)
