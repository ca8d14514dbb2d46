"""The door for whatever a user has on disk: what a file is shows in its content; each engine is asked, and the one that knows it opens it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from warmstart import engines
from warmstart.engines.base import Kind, only
from warmstart.errors import UserError, require_path
from warmstart.io import files
from warmstart.io.netcdf import read_header
from warmstart.ocean.grid import Grid
from warmstart.ocean.places import locate
from warmstart.ocean.variables import DIAGNOSTICS, VARIABLES

if TYPE_CHECKING:
    from warmstart.engines.base import Engine

#: What this package writes, and what nobody knows.
OWN, OTHER = Kind("warmstart", ("states",)), Kind("other")


class Found(NamedTuple):
    """What a path is, and the engine that opens it; None for files of this package and of nobody."""

    engine: Engine | None
    kind: Kind


def recognise(path: str | Path) -> Found:
    """Tell what a file or folder is, by its content.

    Parameters
    ----------
    path : anything; of a file only the header is read, once for all engines.

    Returns
    -------
    The engine and the kind. A file that one engine alone leaves goes before one that an engine can open too (CMIP6).

    Raises
    ------
    UserError
        If it is a file that no engine knows and that cannot be read.

    Examples
    --------
    >>> str(recognise("no-such-folder").kind)
    'other'
    """
    path = require_path(path)
    if is_zarr(path):
        return Found(None, OWN)
    header, unread = None, None
    if path.is_file():
        try:
            header = read_header(path)
        except UserError as error:
            unread = error
    if header is not None and files.is_own(header):
        return Found(None, OWN)
    answers = ((engine, engine.recognise(path, header)) for engine in engines.installed())
    known = [Found(engine, kind) for engine, kind in answers if kind is not None]
    if not known and unread is not None:
        raise unread
    return min(known, key=lambda found: not found.kind.maker, default=Found(None, OTHER))


def open_grid(path: str | Path | Iterable[str | Path]) -> Grid:
    """Open a mesh: the one that a states file or store carries, one of NEMO, or the one that lies beside the files of an engine.

    Parameters
    ----------
    path : states file, store, ``mesh_mask.nc`` or ``domain_cfg.nc`` (whole, a per-process piece, or a list of files), the folder of
        a run, or a restart or output with the mesh in the same folder. A mesh in three files (``mesh_hgr mesh_zgr mask``) is
        found by its folder or by one of them.

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
    paths = _paths(path)
    engine, kind = recognise(paths[0])
    return files.open_grid(paths[0]) if engine is None else engine.open_grid(paths, kind)


def open_state(
    path: str | Path | Iterable[str | Path],
    grid: Grid | str | Path | None = None,
    chunks: Any = None,
    diagnostics: bool = False,
) -> xr.Dataset:
    """Open states: generated, simulated, a store, NEMO's restarts and output of 3.6 to 5.0, CMIP6 files, Veros's snapshots and averages.

    What a file is shows in its content, not in its name. Nothing is read before it is used. The files of other engines
    (:mod:`warmstart.engines`) open as well.

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
    paths = _paths(path)
    ds, mesh = _opened(paths, grid, diagnostics)
    ds = ds if chunks is None else ds.chunk(chunks)
    if mesh is None:  # a file of this package may do without one
        with contextlib.suppress(UserError):
            mesh = files.open_grid(paths[0])
    return ds if mesh is None else locate(ds, mesh)


def open_bare(
    path: str | Path | Iterable[str | Path], grid: Grid | None = None, diagnostics: bool = False
) -> xr.Dataset:
    """As :func:`open_state`, without positions: what is calculated with.

    Examples
    --------
    >>> open_bare([])
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no file given; give at least one states file
    """
    return _opened(_paths(path), grid, diagnostics)[0]


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store.

    Examples
    --------
    >>> is_zarr(Path("no-such-folder"))
    False
    """
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def _paths(path: str | Path | Iterable[str | Path]) -> list[Path]:
    paths = [require_path(p) for p in ([path] if isinstance(path, str | Path) else path)]
    if not paths:
        raise UserError("no file given; give at least one states file")
    return paths


def _opened(
    paths: list[Path], grid: Grid | str | Path | None, diagnostics: bool
) -> tuple[xr.Dataset, Grid | None]:
    """States, and their mesh where it was given or needed."""
    first, (engine, kind) = paths[0], recognise(paths[0])
    mesh = grid if grid is None or isinstance(grid, Grid) else open_grid(grid)
    if engine is None:
        ds = files.open_dataset(only(paths, "this package"))
        if kind is OTHER and not any(name in ds for name in VARIABLES | DIAGNOSTICS):
            held = ", ".join(str(n) for n in list(ds.data_vars)[:8]) or "nothing at its root"
            ds.close()
            raise UserError(
                f"{first} holds no state ({held}); expected variables among {', '.join(VARIABLES)}, or a file of NEMO, CMIP6 or Veros"
            )
        return ds, mesh
    if kind.holds == ("mesh",):
        raise UserError(f"{first} is a mesh ({kind}), no state; give a restart or output")
    if mesh is None:
        mesh = engine.open_grid(paths, kind)
    return engine.open_state(paths, kind, mesh, diagnostics), mesh
