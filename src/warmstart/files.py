"""Files: nothing half-written, nothing overwritten unasked, everything says where it came from."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xarray as xr

from warmstart import conventions, hdf5, lazy
from warmstart.errors import UserError, reading, require_path
from warmstart.grid import HORIZONTAL, MASKS, THREE_D, VERTICAL, Grid
from warmstart.parameters import PARAMETERS
from warmstart.variables import DIAGNOSTICS, VARIABLES

FULL = (errno.ENOSPC, errno.EDQUOT)  #: no space left on the device, quota exceeded
MARGIN = 2**18  #: left for logs and messages [bytes]
#: Variables that hold numbers, whoever wrote the file.
NUMBERS = frozenset(
    (
        *VARIABLES,
        *DIAGNOSTICS,
        *PARAMETERS,
        *HORIZONTAL,
        *THREE_D,
        *MASKS,
        *VERTICAL,
        "year",
        "member",
        "seed",
        "drift",
        "day",
    )
)
TEXTS = (
    "units",
    "long_name",
    "standard_name",
    "calendar",
    "cell_methods",
    "role",
)  #: attributes that are text


@contextlib.contextmanager
def replacing(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it when the block succeeds.

    Parameters
    ----------
    path : the file or folder to make.
    overwrite : whether an existing `path` may be replaced.

    Yields
    ------
    A path that does not exist yet; write a file or a folder there.

    Raises
    ------
    UserError
        If `path` exists and `overwrite` is false, its folder does not exist, or the disk is full.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("whole or not at all")
    >>> target.read_text()
    'whole or not at all'
    """
    path = Path(path)
    require_free(path, overwrite)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)) / path.name
    try:
        yield temporary
        _put(temporary, path)
    except (OSError, RuntimeError) as error:
        if getattr(error, "errno", None) in FULL:
            raise UserError(_is_full(path.parent)) from error
        require_room(path.parent)  # libraries of NetCDF and HDF5 do not say what failed
        raise
    finally:
        shutil.rmtree(temporary.parent, ignore_errors=True)


def _put(temporary: Path, path: Path) -> None:
    """Rename what was written to its name; a folder that is there goes out of the way, and comes back if that fails."""
    if not path.is_dir() or path.is_symlink():
        os.replace(temporary, path)
        return
    retired = temporary.parent / "retired"
    path.rename(retired)
    try:
        os.replace(temporary, path)
    except BaseException:
        retired.rename(path)
        raise


def require_room(folder: str | Path, size: int = 0) -> None:
    """Refuse to begin what does not fit on the disk: some libraries crash where it is full.

    Parameters
    ----------
    folder : where it will be written.
    size : of what will be written [bytes].

    Raises
    ------
    UserError
        If less than `size` and a quarter of a mebibyte for messages is left.

    Examples
    --------
    >>> require_room(".", size=2**70)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: the disk of . is full: ... MiB are left; free some space, then give the same command again
    """
    if Path(folder).is_dir() and shutil.disk_usage(folder).free < size + MARGIN:
        raise UserError(_is_full(Path(folder)))


def _is_full(folder: Path) -> str:
    left = shutil.disk_usage(folder).free / 2**20
    return f"the disk of {folder} is full: {left:.1f} MiB are left; free some space, then give the same command again"


def require_free(path: str | Path, overwrite: bool = False) -> None:
    """Refuse an output that cannot be written: before the work, not after it.

    Parameters
    ----------
    path : the file or folder to make.
    overwrite : whether an existing `path` may be replaced.

    Raises
    ------
    UserError
        If `path` exists and `overwrite` is false, or its folder does not exist.

    Examples
    --------
    >>> require_free("no-such-folder/a.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: cannot write no-such-folder/a.nc: the folder no-such-folder does not exist; make it first
    """
    refuse_existing(path, overwrite)
    folder = Path(path).parent
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: the folder {folder} does not exist; make it first")


def refuse_existing(path: str | Path, overwrite: bool = False) -> None:
    """Refuse an output that exists.

    Raises
    ------
    UserError
        If `path` exists and `overwrite` is false.

    Examples
    --------
    >>> refuse_existing("no-such-file.nc")
    """
    if require_path(path).exists() and not overwrite:
        raise UserError(
            f"{path} exists; choose another output or allow replacing it with --overwrite (overwrite=True)"
        )


def provenance(seed: int | None = None, config: Any = None, command: str | None = None) -> dict[str, Any]:
    """Say what made a file: version, command, time, configuration hash and seed.

    Parameters
    ----------
    seed : seed of whatever was random.
    config : anything that JSON can hold; its hash is stored.
    command : the command line; None takes the running one.

    Returns
    -------
    Global attributes for a file.

    Examples
    --------
    >>> provenance(seed=1)["seed"]
    1
    """
    attrs: dict[str, Any] = {
        "warmstart_version": version(),
        "command": command or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "Conventions": "CF-1.11",
    }
    if config is not None:
        attrs["config_hash"] = config_hash(config)
    if seed is not None:
        attrs["seed"] = int(seed)
    return attrs


def config_hash(config: Any) -> str:
    """Hash a configuration: equal for equal content, whatever the order of keys.

    Examples
    --------
    >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16]


def version() -> str:
    """Version of the installed package."""
    try:
        return importlib.metadata.version("warmstart")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def write_dataset(
    path: str | Path, ds: xr.Dataset, grid: Grid | None = None, overwrite: bool = False
) -> Path:
    """Write a Dataset to NetCDF-4, with its mesh in the group ``grid``.

    Parameters
    ----------
    path : the NetCDF file to write.
    ds : the Dataset; floating-point variables are compressed without loss.
    grid : the mesh to store beside it; None stores none.
    overwrite : whether an existing file may be replaced.

    Returns
    -------
    `path`.

    Raises
    ------
    UserError
        As :func:`replacing`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> path = write_dataset(pathlib.Path(tempfile.mkdtemp()) / "state.nc", state, grid)
    >>> open_grid(path).shape
    (4, 8, 6)
    """
    path = Path(path)
    with replacing(path, overwrite) as temporary:
        dressed = conventions.dress(ds, grid, provenance())
        dressed.to_netcdf(temporary, engine="netcdf4", encoding=_encoding(dressed))
        if grid is not None:
            grid.ds.to_netcdf(
                temporary, engine="netcdf4", mode="a", group="grid", encoding=_encoding(grid.ds)
            )
    return path


def _encoding(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    packed = {
        str(name): {"zlib": True, "complevel": 4, "shuffle": True}
        # CF allows no missing values in coordinates
        | ({"_FillValue": None if name in ds.dims else float("nan")} if v.dtype.kind == "f" else {})
        for name, v in ds.variables.items()
        if v.ndim > 0 and v.dtype.kind in "fi"
    }
    # text as characters: HDF5 keeps variable-length strings tied to a closed file and crashes on a later one
    return packed | {str(name): {"dtype": "S1"} for name, v in ds.variables.items() if v.dtype.kind in "OU"}


def open_dataset(path: str | Path, group: str | None = None) -> xr.Dataset:
    """Open a NetCDF file or a zarr store, lazily.

    Parameters
    ----------
    path : the file or store.
    group : the group to open; None opens the root.

    Returns
    -------
    The Dataset, not loaded.

    Raises
    ------
    UserError
        If the path does not exist, or holds no readable NetCDF or zarr (a truncated file, say).

    Examples
    --------
    >>> open_dataset("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing NetCDF file or zarr store
    """
    path = require_path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give an existing NetCDF file or zarr store")
    if path.is_dir() and not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        raise UserError(
            f"{path} is a folder but no zarr store; give a states file, a store or the files of one run"
        )
    where = f"group '{group}' of {path}" if group else str(path)
    with reading(
        where,
        "expected a whole NetCDF file or zarr store; the file may be truncated, of another kind, or made by another program",
    ):
        if path.is_dir():
            ds = xr.open_zarr(path, group=group, consolidated=False, chunks=None)
        elif _holds_text(path):
            ds = xr.open_dataset(_in_memory(path, group), decode_timedelta=False)
        else:
            ds = _decoded(path, group)
        _require_numbers(ds, path)
        lazy.guard(ds, path)
        return ds if path.is_dir() else conventions.undress(ds)


def _require_numbers(ds: xr.Dataset, path: Path) -> None:
    """Refuse text or dates where the package goes by numbers; and make texts of attributes that have to be."""
    for name, var in ds.variables.items():
        for key in TEXTS:
            if key in var.attrs:
                var.attrs[key] = str(var.attrs[key])
        if name in NUMBERS and var.dtype.kind not in "fiub":
            raise UserError(f"{path}: {name} holds {_kind_of(var.dtype)}; expected numbers: write it again")


def _kind_of(dtype: Any) -> str:
    return {"M": "dates", "m": "lengths of time", "c": "complex numbers"}.get(dtype.kind, "text")


def _decoded(path: Path, group: str | None) -> xr.Dataset:
    """A file with its times as dates, or as numbers where xarray does not know their calendar or units."""
    try:
        return xr.open_dataset(path, group=group, engine="netcdf4", decode_timedelta=False)
    except (ValueError, OverflowError) as error:
        if "decode" not in str(error):
            raise
        return xr.open_dataset(
            path, group=group, engine="netcdf4", decode_timedelta=False, decode_times=False
        )


def _holds_text(path: Path) -> bool:
    """Whether a file holds text of variable length, as xarray writes it by itself and this package does not."""
    import netCDF4

    hdf5.require_sound(path)
    with netCDF4.Dataset(path) as file:
        require_plausible(file, path)
        return any(variable.dtype is str for variable in file.variables.values())


def require_plausible(file: Any, path: Path) -> None:
    """Refuse a NetCDF file whose axes are longer than it can hold: they are read when it is opened.

    Parameters
    ----------
    file : opened by the netCDF library.
    path : its path.

    Raises
    ------
    UserError
        As :func:`warmstart.lazy.require_held`.

    Examples
    --------
    >>> require_plausible(netCDF4.Dataset("states.nc"), Path("states.nc"))  # doctest: +SKIP
    """
    for name, dim in file.dimensions.items():
        if name in file.variables:
            lazy.require_held(path, name, 8 * len(dim))


def _in_memory(path: Path, group: str | None) -> Any:
    """A file read into memory: on disk, HDF5 ties the type of text to one handle and crashes on the next one."""
    import netCDF4

    file = netCDF4.Dataset(path.name, memory=path.read_bytes())
    return xr.backends.NetCDF4DataStore(file[group] if group else file)


def open_grid(path: str | Path) -> Grid:
    """Open the mesh that a states file, a zarr store or a mesh file carries.

    Parameters
    ----------
    path : a file with the mesh variables at its root or in the group ``grid``.

    Returns
    -------
    The mesh, in memory.

    Raises
    ------
    UserError
        If there is none.

    Examples
    --------
    >>> open_grid("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing NetCDF file or zarr store
    """
    root = open_dataset(path)
    if "tmask" in root and "e1t" in root:
        return _whole(root, path)
    root.close()
    try:
        mesh = open_dataset(path, group="grid")
    except UserError as error:
        raise UserError(
            f"{path} carries no mesh: neither NEMO's mesh variables nor a group 'grid' of them; give its mesh_mask.nc "
            "as well (grid, --grid)"
        ) from error
    with mesh:
        return _whole(mesh, path)


def _whole(ds: xr.Dataset, path: str | Path) -> Grid:
    """The mesh that a Dataset holds, in memory, if it is one."""
    try:
        grid = Grid(ds.load())
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    grid.require_finite(str(path))
    return grid
