"""Water masses: how much water of each temperature and salinity there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.physics.cgrid import labelled, take

#: Edges of the classes of the census.
THETAO_EDGES = np.arange(-2.0, 32.01, 0.5)  #: [degC]
SO_EDGES = np.arange(33.0, 39.01, 0.05)  #: [1e-3]


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
    >>> from warmstart.testing import basin
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
