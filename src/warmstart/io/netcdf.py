"""NetCDF files of other programs as they are: compressed or not, cut off or not, and their headers."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from warmstart.errors import UserError, reading, require_path
from warmstart.io import hdf5, lazy_arrays

if TYPE_CHECKING:
    import netCDF4

GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Header:
    """What a file says before its values.

    Attributes
    ----------
    dims : name to size.
    variables : name to type, dimensions and attributes.
    attrs : those of the file.
    groups : names.
    intervals : axes of time that have bounds, and whether their first record is an interval.
    """

    dims: Mapping[str, int]
    variables: Mapping[str, tuple[str, tuple[str, ...], Mapping[str, Any]]]
    attrs: Mapping[str, Any]
    groups: Collection[str]
    intervals: Mapping[str, bool]


def opened(path: Path) -> netCDF4.Dataset:
    """Open a file with the library itself; one that gzip has packed is unpacked in memory, where no place on disk is needed.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    UserError
        If it is damaged in a way that the library would never come out of; other damage is the library's own error.

    Examples
    --------
    >>> import netCDF4, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.nc"
    >>> netCDF4.Dataset(path, "w").close()
    >>> list(opened(path).variables)
    []
    """
    import netCDF4

    if is_packed(path):
        return netCDF4.Dataset(path.name, memory=gzip.decompress(path.read_bytes()))
    hdf5.require_sound(path)
    return netCDF4.Dataset(path)


def is_packed(path: Path) -> bool:
    """Whether gzip has packed a file."""
    with path.open("rb") as stream:
        return stream.read(len(GZIP)) == GZIP


def open_file(path: str | Path) -> xr.Dataset:
    """Open one NetCDF file as it is, lazily; times stay numbers, gzip is unpacked in memory.

    The two-dimensional longitude and latitude that NEMO 4.2.0 calls ``x(y, x)`` and ``y(y, x)`` are left out: they have
    the names of dimensions, and the mesh has them better.

    Parameters
    ----------
    path : the file, compressed by gzip or not.

    Returns
    -------
    The Dataset as it is in the file.

    Raises
    ------
    UserError
        If it does not exist, is cut off or is no NetCDF file.

    Examples
    --------
    >>> open_file("mesh_mask.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: mesh_mask.nc does not exist; give an existing NetCDF file
    """
    path = require_path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give an existing NetCDF file")
    options: dict[str, Any] = dict.fromkeys(("decode_times", "decode_coords", "decode_timedelta"), False)
    options["drop_variables"] = ["x", "y"]
    with reading(path, "the file is cut off or no NetCDF file: copy it again"):
        if is_packed(path):
            ds = xr.open_dataset(xr.backends.NetCDF4DataStore(opened(path)), **options)
        else:
            _refuse_short(path)
            with opened(path) as file:
                require_plausible(file, path)
            ds = xr.open_dataset(path, engine="netcdf4", **options)
        return lazy_arrays.guard(ds, path)


def _refuse_short(path: Path) -> None:
    """Refuse a classic NetCDF file whose variables cannot all be mapped onto it: the library would read zeros."""
    from scipy.io import netcdf_file

    with path.open("rb") as stream:
        if stream.read(4) not in (b"CDF\x01", b"CDF\x02"):  # scipy does not know CDF-5
            return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what cannot be closed because it was not opened
        try:
            netcdf_file(str(path), mmap=True).close()
        except (ValueError, TypeError, IndexError, OSError) as error:
            raise UserError(
                f"cannot read {path}: it ends before its header says; the file is cut off or no NetCDF file: copy it again"
            ) from error


def require_plausible(file: Any, path: Path) -> None:
    """Refuse a NetCDF file whose axes are longer than it can hold: they are read when it is opened.

    Parameters
    ----------
    file : opened by the netCDF library.
    path : its path.

    Raises
    ------
    UserError
        As :func:`warmstart.io.lazy_arrays.require_held`.
    """
    for name, dim in file.dimensions.items():
        if name in file.variables:
            lazy_arrays.require_held(path, name, 8 * len(dim))


def read_header(path: str | Path) -> Header:
    """Read the header of a NetCDF or HDF5 file, packed or not.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    UserError
        If it cannot be read.

    Examples
    --------
    >>> read_header("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing NetCDF file
    """
    path = require_path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give an existing NetCDF file")
    with reading(path, "the file is cut off or no NetCDF file: copy it again"), opened(path) as nc:
        variables = {
            n: (v.dtype.str if hasattr(v.dtype, "str") else "O", v.dimensions, v.__dict__)
            for n, v in nc.variables.items()
        }
        dims = {n: len(d) for n, d in nc.dimensions.items()}
        return Header(dims, variables, nc.__dict__, tuple(nc.groups), _intervals(nc))


def _intervals(nc: netCDF4.Dataset) -> dict[str, bool]:
    """Axes of time by whether the bounds of their first record lie apart."""
    found = {}
    for name, axis in nc.variables.items():
        bounds = nc.variables.get(str(axis.__dict__.get("bounds", "")))
        timed = name.startswith("time") or "since" in str(axis.__dict__.get("units", ""))
        if timed and bounds is not None and bounds.ndim and bounds.size and bounds.shape[-1] == 2:
            first = bounds[(0,) * (bounds.ndim - 1)]
            found[name] = bool(first[1] > first[0])
    return found
