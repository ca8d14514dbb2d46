"""Files of states: written whole, read lazily, and they say where they came from."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from warmstart.errors import UserError, reading, require_path
from warmstart.io import cf, hdf5, lazy_arrays
from warmstart.io.netcdf import Header, require_plausible
from warmstart.io.outputs import ATTRIBUTE, mark, replacing, version
from warmstart.ocean.grid import DIMS, Grid
from warmstart.ocean.parameters import PARAMETERS
from warmstart.ocean.variables import DIAGNOSTICS, VARIABLES

#: Variables that hold numbers, whoever wrote the file.
NUMBERS = {*VARIABLES, *DIAGNOSTICS, *PARAMETERS, *DIMS, "year", "member", "seed", "drift", "day"}


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
        ATTRIBUTE: version(),
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

    Raises
    ------
    UserError
        As :func:`warmstart.io.outputs.replacing`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> path = write_dataset(pathlib.Path(tempfile.mkdtemp()) / "state.nc", state, grid)
    >>> open_grid(path).shape
    (4, 8, 6)
    """
    path = Path(path)
    with replacing(path, overwrite, folder=False) as temporary:
        dressed = cf.dress(ds, grid, provenance())
        dressed.to_netcdf(temporary, engine="netcdf4", encoding=_encoding(dressed))
        if grid is not None:
            grid.ds.to_netcdf(
                temporary, engine="netcdf4", mode="a", group="grid", encoding=_encoding(grid.ds)
            )
    return path


def write_csv(path: str | Path, table: pd.DataFrame, overwrite: bool = False) -> Path:
    """Write a table as CSV, without its index; its first line is a comment, the mark of the product.

    Parameters
    ----------
    path : the file to write.
    table : columns and rows.
    overwrite : whether an existing file may be replaced.

    Raises
    ------
    UserError
        As :func:`warmstart.io.outputs.replacing`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = write_csv(pathlib.Path(tempfile.mkdtemp()) / "a.csv", pd.DataFrame({"a": [1]}))
    >>> pd.read_csv(path, comment="#").a.item()
    1
    """
    with (
        replacing(path, overwrite, folder=False) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        file.write(f"{mark()}\n")
        table.to_csv(file, index=False, lineterminator="\n")
    return Path(path)


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
        lazy_arrays.guard(ds, path)
        return ds if path.is_dir() else cf.undress(ds)


def is_own(header: Header) -> bool:
    """Whether a file holds states or a mesh as this package writes them: the group of its mesh, its dimensions, its bathymetry."""
    variables = header.variables
    name = "tmask" if {"e1t", "tmask", "bathymetry"} <= set(variables) else "thetao"
    dims = variables[name][1] if name in variables else ()
    return "grid" in header.groups or (dims if name == "tmask" else dims[-3:]) == ("z", "y", "x")


def _require_numbers(ds: xr.Dataset, path: Path) -> None:
    """Refuse text or dates where the package goes by numbers, and dimensions without a name."""
    for name, var in ds.variables.items():
        if not all(isinstance(dim, str) for dim in var.dims):
            raise UserError(f"{path}: a dimension of {name} has no name; expected one: write it again")
        if name in NUMBERS and (kind := var.dtype.kind) not in "fiub":
            held = {"M": "dates", "m": "lengths of time", "c": "complex numbers"}.get(kind, "text")
            raise UserError(f"{path}: {name} holds {held}; expected numbers: write it again")


def _decoded(path: Path, group: str | None) -> xr.Dataset:
    """A file with its times as dates, or as numbers where xarray does not know their calendar or units."""
    how: dict[str, Any] = {"group": group, "engine": "netcdf4", "decode_timedelta": False}
    try:
        return xr.open_dataset(path, **how)
    except (ValueError, OverflowError) as error:
        if "decode" not in str(error):
            raise
        return xr.open_dataset(path, decode_times=False, **how)


def _holds_text(path: Path) -> bool:
    """Whether a file holds text of variable length, as xarray writes it by itself and this package does not."""
    import netCDF4

    hdf5.require_sound(path)
    with netCDF4.Dataset(path) as file:
        require_plausible(file, path)
        return any(variable.dtype is str for variable in file.variables.values())


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
