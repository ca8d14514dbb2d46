"""Water masses: how much water of each temperature and salinity there is, and the means of deep and bottom water."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.physics.budgets import area_mean, at_depth, mean_where
from warmstart.physics.cgrid import labelled, take

#: Edges of the classes of the census.
THETAO_EDGES = np.arange(-2.0, 32.01, 0.5)  #: [degC]
SO_EDGES = np.arange(33.0, 39.01, 0.05)  #: [1e-3]
TROPICS = 30.0  #: latitude that bounds the boxes of nemo-spinup-evaluation [degrees]


def census(
    state: xr.Dataset, grid: Grid, thetao_edges: Any = THETAO_EDGES, so_edges: Any = SO_EDGES
) -> xr.DataArray:
    """Volume of the water in classes of temperature and salinity.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    thetao_edges, so_edges : increasing edges of the classes [degC, 1e-3]; water beyond the outermost is counted in the
        nearest class, so that the sum is the volume of the sea.

    Returns
    -------
    ``(..., thetao_class, so_class)`` [m3], coordinates at the middle of each class; NaN for a state with a hole.

    Raises
    ------
    UserError
        If edges do not increase.

    Notes
    -----
    Volumetric T-S census of Montgomery (1958, doi:10.1016/0146-6313(58)90004-2).

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(np.isclose(census(state, grid).sum(), grid.volume.sum()))
    True
    """
    edges = [np.asarray(thetao_edges, float), np.asarray(so_edges, float)]
    for e in edges:
        if e.size < 2 or not (np.diff(e) > 0).all():
            raise UserError("edges of a census must increase; expected at least two")
    volume = grid.volume
    fields = [take(state, grid, name).where(volume > 0, 0.0) for name in ("thetao", "so")]
    if any(f.chunks is not None for f in fields):
        fields = [f.chunk({"z": -1, "y": -1, "x": -1}) for f in fields]
    sizes = {"thetao_class": edges[0].size - 1, "so_class": edges[1].size - 1}
    result = xr.apply_ufunc(
        _histogram, *fields, volume, kwargs={"edges": edges}, input_core_dims=[["z", "y", "x"]] * 3,
        output_core_dims=[list(sizes)], vectorize=True, dask="parallelized", output_dtypes=["float64"],
        dask_gufunc_kwargs={"output_sizes": sizes},
    )  # fmt: skip
    middles = {
        name: xr.DataArray(0.5 * (e[1:] + e[:-1]), dims=name, attrs={"units": units})
        for (name, e), units in zip(zip(sizes, edges, strict=True), ("degC", "1e-3"), strict=True)
    }
    return labelled(result.assign_coords(middles), "census", "m3", "volume of water in T-S classes")


def temperature_500m(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Area mean of the temperature at 500 m between 30S and 30N.

    Parameters
    ----------
    state : ``thetao(..., z, y, x)`` [degC].
    grid : its mesh.

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
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(temperature_500m(state, grid) < state.thetao.max())
    True
    """
    inside = (abs(grid.gphit) < TROPICS) & at_depth(grid.gdept_0, grid, 500.0).notnull()
    mean = area_mean(at_depth(take(state, grid, "thetao"), grid, 500.0), grid.column_area.where(inside, 0.0))
    return labelled(mean, "temperature_500m_30NS", "degC", "area-mean temperature at 500 m, 30S-30N")


def deep_water(grid: Grid) -> xr.DataArray:
    """Deep-water box: 500 to 3000 m, 30S to 30N.

    Parameters
    ----------
    grid : the mesh.

    Returns
    -------
    Boolean ``(z, y, x)``, bounds excluded.

    Notes
    -----
    The box of ``temperature_DWbox`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool((deep_water(grid) & bottom_water(grid)).any())
    False
    """
    box = (abs(grid.gdept_0 - 1750.0) < 1250.0) & (abs(grid.gphit) < TROPICS)
    return box.transpose("z", "y", "x")


def bottom_water(grid: Grid) -> xr.DataArray:
    """Bottom-water box: everything but the water above 3000 m between 30S and 30N.

    Parameters
    ----------
    grid : the mesh.

    Returns
    -------
    Boolean ``(z, y, x)``.

    Notes
    -----
    The box of ``temperature_BWbox`` of nemo-spinup-evaluation 0.3.0: the water that fills the abyss, with the high
    latitudes where it forms, at all depths.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(bottom_water(grid).isel(y=1).all())
    True
    """
    box = ~((grid.gdept_0 < 3000.0) & (abs(grid.gphit) < TROPICS))
    return box.transpose("z", "y", "x")


def deep_water_mean(state: xr.Dataset, grid: Grid, variable: str) -> xr.DataArray:
    """Volume mean of a variable in the :func:`deep_water` box; arguments as :func:`warmstart.physics.budgets.volume_mean`.

    Returns
    -------
    ``(...)``, units of the variable.

    Notes
    -----
    As :func:`deep_water`.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> deep_water_mean(state, grid, "so").attrs["units"]
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
    As :func:`bottom_water`.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bottom_water_mean(state, grid, "so").attrs["units"]
    '1e-3'
    """
    return mean_where(
        state, grid, variable, bottom_water(grid), " of bottom water, all but < 3000 m in 30S-30N"
    )


def _histogram(thetao: np.ndarray, so: np.ndarray, volume: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    wet = volume > 0
    shape = tuple(e.size - 1 for e in edges)
    if np.isnan(thetao[wet]).any() or np.isnan(so[wet]).any():
        return np.full(shape, np.nan)
    index = [
        np.clip(np.searchsorted(e, f[wet], side="right") - 1, 0, e.size - 2)
        for e, f in zip(edges, (thetao, so), strict=True)
    ]
    return np.bincount(index[0] * shape[1] + index[1], volume[wet], shape[0] * shape[1]).reshape(shape)
