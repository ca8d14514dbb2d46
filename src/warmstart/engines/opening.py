"""What a user opens: states of any origin, with positions as coordinates."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr

from warmstart.engines import recognition
from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.places import locate


def open_state(
    path: str | Path | Iterable[str | Path],
    grid: Grid | str | Path | None = None,
    chunks: Any = None,
    diagnostics: bool = False,
) -> xr.Dataset:
    """Open states: generated, simulated, a store, NEMO's restarts and output of 3.6 to 5.0, CMIP6 files, Veros's snapshots and averages.

    What a file is shows in its content, not in its name. Nothing is read before it is used.

    Parameters
    ----------
    path : a file or store; for NEMO also a per-process piece (the others are found) or the files of one state.
    grid : the mesh, or its file; needed for NEMO and CMIP6 where none lies in the same folder.
    chunks : as :meth:`xarray.Dataset.chunk`, for dask arrays.
    diagnostics : whether to open also the potential density, vertical and bolus velocities that NEMO's files hold.

    Returns
    -------
    ``thetao [degC] so [1e-3] uo vo [m s-1] zos [m]``, dims ``([sample|time,] z, y, x)``, NaN on land, surface first. Coordinates:
    ``lat lon`` [degrees] and ``depth`` [m] of the T points, which select (``sel(lat=30, method="nearest")``); ``latitude longitude``
    ``(y, x)`` where the mesh is not rectilinear; ``time`` [years]; the parameters.

    Raises
    ------
    UserError
        If a file is missing, cut off, of another grid or no state, or there is no mesh for it.

    Examples
    --------
    >>> open_state("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing NetCDF file or zarr store
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    mesh = _mesh(paths) if grid is None else grid if isinstance(grid, Grid) else recognition.open_grid(grid)
    ds = recognition.open_state(path if isinstance(path, str | Path) else paths, mesh, chunks, diagnostics)
    return ds if mesh is None else locate(ds, mesh)


def _mesh(paths: list[str | Path]) -> Grid | None:
    """The mesh that a file carries or that lies beside it; None where there is none, which is for the states to say."""
    try:
        return recognition.open_grid(paths[0]) if paths else None
    except UserError:
        return None
