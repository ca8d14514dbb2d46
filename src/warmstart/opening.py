"""The doors for whatever a user has on disk: states and meshes of this package, of NEMO and of CMIP6."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr

from warmstart import files
from warmstart.engine.nemo import kind, mesh, state
from warmstart.errors import UserError
from warmstart.grid import Grid


def open_grid(path: str | Path | Iterable[str | Path]) -> Grid:
    """Open a mesh: the one a states file or store carries, one of NEMO, or the one that lies beside NEMO's states.

    Parameters
    ----------
    path : states file, store, ``mesh_mask.nc`` or ``domain_cfg.nc`` (whole, a per-process piece, or a list of files), a
        NEMO run's folder, or a NEMO restart or output with the mesh in the same folder. A mesh in three files (``mesh_hgr
        mesh_zgr mask``) is found by its folder or by one of them.

    Returns
    -------
    The mesh, in memory.

    Raises
    ------
    UserError
        If there is none, there are several to choose from, or a file is cut off.

    Examples
    --------
    >>> open_grid("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing NetCDF file or zarr store
    """
    if not isinstance(path, str | Path):
        paths = [Path(p) for p in path]
        if len(paths) != 1:
            return mesh.open_grid(paths)
        path = paths[0]
    path = Path(path)
    if path.is_dir() and not is_zarr(path):
        return mesh.open_grid(mesh.find(path))
    if not path.is_file() or kind.recognise(path).name in (kind.OWN, kind.OTHER):
        return files.open_grid(path)
    if (what := kind.recognise(path)).name in (kind.MESH, kind.DOMAIN):
        return mesh.open_grid((what.partial and mesh.split(path.parent)) or path)
    return mesh.open_grid(mesh.find(path.parent, f"{path} carries no mesh"))


def open_state(
    path: str | Path | Iterable[str | Path],
    grid: Grid | str | Path | None = None,
    chunks: Any = None,
    diagnostics: bool = False,
) -> xr.Dataset:
    """Open states: generated, simulated, a store, NEMO's restarts and output of 3.6 to 5.0, CMIP6 files.

    What a file is shows in its content, not in its name. Nothing is read before it is used.

    Parameters
    ----------
    path : a file or store; for NEMO also a per-process piece (the others are found) or the files of one state.
    grid : the mesh, or its file; needed for NEMO and CMIP6 where none lies in the same folder.
    chunks : as :meth:`xarray.Dataset.chunk`, for dask arrays.
    diagnostics : whether to open also the potential density, vertical and bolus velocities that NEMO's files hold.

    Returns
    -------
    ``thetao [degC] so [1e-3] uo vo [m s-1] zos [m]``, dims ``([sample|time,] z, y, x)``, NaN on land, surface first.

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
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    if not paths:
        raise UserError("no file given; give at least one states file")
    first = paths[0]
    what = kind.recognise(first) if first.is_file() else kind.Kind(kind.OWN)
    if what.name in (kind.OWN, kind.OTHER):
        if len(paths) > 1:
            raise UserError(f"{first} is no file of NEMO; states of this package are one file each: give one")
        ds = files.open_dataset(first)
        return ds if chunks is None else ds.chunk(chunks)
    if what.name in (kind.MESH, kind.DOMAIN):
        raise UserError(f"{first} is a mesh ({what}), no state; give a restart or output")
    if grid is None:
        grid = open_grid(mesh.find(first.parent, f"{first} needs its mesh"))
    return state.open_state(paths, grid if isinstance(grid, Grid) else open_grid(grid), chunks, diagnostics)


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store.

    Examples
    --------
    >>> is_zarr(Path("no-such-folder"))
    False
    """
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
