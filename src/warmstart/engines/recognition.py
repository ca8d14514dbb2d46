"""The doors for whatever a user has on disk: states and meshes of this package, of NEMO and of CMIP6."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr

from warmstart.engines.nemo import header, mesh, state
from warmstart.engines.veros import averages as veros
from warmstart.errors import UserError, require_path
from warmstart.io import files
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import DIAGNOSTICS, VARIABLES


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
    path = require_path(path)
    if path.is_dir() and not is_zarr(path):
        return mesh.open_grid(mesh.find(path))
    if not path.is_file() or (what := header.recognise(path)).name in (header.OWN, header.OTHER):
        return files.open_grid(path)
    if what.name == header.VEROS:
        return veros.open_grid(path)
    if what.name == header.VEROS_RESTART:
        raise UserError(_BARE.format(path))
    if what.name in (header.MESH, header.DOMAIN):
        return mesh.open_grid((what.partial and mesh.split(path.parent)) or path)
    return mesh.open_grid(mesh.find(path.parent, f"{path} carries no mesh"))


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
    paths = [require_path(p) for p in ([path] if isinstance(path, str | Path) else path)]
    if not paths:
        raise UserError("no file given; give at least one states file")
    first = paths[0]
    what = header.recognise(first) if first.is_file() else header.FileKind(header.OWN)
    if what.name == header.VEROS_RESTART:
        raise UserError(_BARE.format(first))
    if what.name in (header.OWN, header.OTHER, header.VEROS):
        if len(paths) > 1:
            raise UserError(
                f"{first} is no file of NEMO; states of this package and of Veros are one file each: give one"
            )
        if what.name == header.VEROS:
            own = None if grid is None else grid if isinstance(grid, Grid) else open_grid(grid)
            ds = veros.open_state(first, own)
        else:
            ds = files.open_dataset(first)
        if what.name == header.OTHER:
            _require_known(ds, first)
        return ds if chunks is None else ds.chunk(chunks)
    if what.name in (header.MESH, header.DOMAIN):
        raise UserError(f"{first} is a mesh ({what}), no state; give a restart or output")
    if grid is None:
        grid = open_grid(mesh.find(first.parent, f"{first} needs its mesh"))
    return state.open_state(paths, grid if isinstance(grid, Grid) else open_grid(grid), chunks, diagnostics)


#: What is said of a restart of Veros.
_BARE = "{} is a restart of Veros: it holds arrays without positions, depths or units; give the snapshot or the averages of the run (.nc)"


def _require_known(ds: xr.Dataset, path: Path) -> None:
    """Refuse a file of unknown origin that holds no variable of a state under its name."""
    if not any(name in ds for name in VARIABLES | DIAGNOSTICS):
        held = ", ".join(str(n) for n in list(ds.data_vars)[:8]) or "nothing at its root"
        ds.close()
        raise UserError(
            f"{path} holds no state ({held}); expected variables among {', '.join(VARIABLES)}, or a file of NEMO, CMIP6 or Veros"
        )


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store.

    Examples
    --------
    >>> is_zarr(Path("no-such-folder"))
    False
    """
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
