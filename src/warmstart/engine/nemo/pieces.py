"""NEMO files as they lie on disk: compressed, truncated, in one piece or one a process."""

from __future__ import annotations

import gzip
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart import hdf5, lazy
from warmstart.errors import UserError, reading, require_path
from warmstart.files import require_plausible

GZIP = b"\x1f\x8b"
MOST = 1_000_000  #: pieces of one file
_PIECE = re.compile(r"^(?P<stem>.*?)_?(?P<number>\d{4,6})(?P<end>\.nc\d?(\.gz)?)$")


@dataclass(frozen=True)
class Box:
    """Where one piece lies in the whole, rows and columns from 0, its halo cells told apart."""

    rows: slice
    columns: slice
    halo: tuple[int, int, int, int]  # south, north, west, east


@dataclass(frozen=True, eq=False)
class Source:
    """One NEMO file, or all the pieces of one.

    Attributes
    ----------
    path : the file, or its first piece.
    parts : the opened pieces.
    boxes : where each lies.
    size : rows and columns of the whole; None where the file does not say.
    """

    path: Path
    parts: tuple[xr.Dataset, ...]
    boxes: tuple[Box, ...]
    size: tuple[int, int] | None

    @property
    def first(self) -> xr.Dataset:
        """The first piece: what does not depend on place is the same in all."""
        return self.parts[0]

    def merged(self, variables: list[xr.Variable]) -> xr.Variable:
        """Put one variable of all pieces together, without reading it.

        Parameters
        ----------
        variables : of each piece, dims ending in ``(y, x)``.

        Returns
        -------
        The whole, same dims; cells that no piece covers (a process without sea) are NaN, or 0 in integers.
        """
        if len(variables) == 1 or self.size is None or variables[0].dims[-2:] != ("y", "x"):
            return variables[0]
        shape = (*variables[0].shape[:-2], *self.size)
        dtype = variables[0].dtype
        fill = np.nan if dtype.kind == "f" else 0

        def read(key: lazy.Key) -> np.ndarray:
            lead = key[:-2]
            kept = tuple(
                len(range(*k.indices(n))) for k, n in zip(lead, shape, strict=False) if isinstance(k, slice)
            )
            whole = np.full((*kept, *self.size), fill, dtype=dtype)  # type: ignore[misc]
            values = [lazy.take(v, (*lead, slice(None), slice(None))) for v in variables]
            # halos first: at the edge of the domain they may be all there is; the inner cells win
            for box, part in zip(self.boxes, values, strict=True):
                if whole[..., box.rows, box.columns].shape != part.shape:
                    raise UserError(
                        f"{self.path}: a piece has sizes {part.shape[-2:]}, its DOMAIN_position_* say otherwise; give pieces that NEMO wrote"
                    )
                whole[..., box.rows, box.columns] = part
            for box, part in zip(self.boxes, values, strict=True):
                south, north, west, east = box.halo
                ny, nx = part.shape[-2:]
                rows = slice(box.rows.start + south, box.rows.stop - north)
                columns = slice(box.columns.start + west, box.columns.stop - east)
                whole[..., rows, columns] = part[..., south : ny - north, west : nx - east]
            return whole[(*(slice(None) for _ in kept), *key[-2:])]

        return lazy.variable(tuple(map(str, variables[0].dims)), shape, dtype, read, variables[0].attrs)

    def close(self) -> None:
        """Close the files."""
        for part in self.parts:
            part.close()


def open_file(path: str | Path) -> xr.Dataset:
    """Open one NetCDF file of NEMO, lazily; times stay numbers, gzip is unpacked in memory.

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
    warmstart.errors.UserError: mesh_mask.nc does not exist; give an existing NetCDF file of NEMO
    """
    path = require_path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give an existing NetCDF file of NEMO")
    options: dict[str, Any] = {
        "decode_times": False, "decode_coords": False, "decode_timedelta": False, "drop_variables": ["x", "y"],
    }  # fmt: skip
    with reading(path, "the file is cut off or no NetCDF file: copy it again"):
        with path.open("rb") as stream:
            head = stream.read(4)
        if head[:2] == GZIP:
            ds = xr.open_dataset(_in_memory(path), **options)
        else:
            _refuse_short(path, head)
            ds = xr.open_dataset(_on_disk(path), engine="netcdf4", **options)
        return lazy.guard(ds, path)


def _on_disk(path: Path) -> Any:
    """A file whose axes are as long as it can hold."""
    import netCDF4

    hdf5.require_sound(path)
    with netCDF4.Dataset(path) as file:
        require_plausible(file, path)
    return path


def _in_memory(path: Path) -> Any:
    """Unpack a gzip file into memory: there is no place on disk that is ours to fill."""
    import netCDF4

    return xr.backends.NetCDF4DataStore(
        netCDF4.Dataset(path.name, mode="r", memory=gzip.decompress(path.read_bytes()))
    )


def _refuse_short(path: Path, head: bytes) -> None:
    """Refuse a classic NetCDF file that ends before its header says: the library would read zeros."""
    if head[:3] != b"CDF" or head[3] not in (1, 2):  # scipy does not know CDF-5
        return
    if not _is_whole(path):
        raise UserError(
            f"cannot read {path}: it ends before its header says; the file is cut off or no NetCDF file: copy it again"
        )


def _is_whole(path: Path) -> bool:
    """Whether every variable of a classic file can be mapped onto it."""
    from scipy.io import netcdf_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what cannot be closed because it was not opened
        try:
            netcdf_file(str(path), mmap=True).close()
        except (ValueError, TypeError, IndexError, OSError):
            return False
    return True


def open_sources(paths: str | Path | Iterable[str | Path]) -> list[Source]:
    """Open files; the pieces of one file become one source.

    Parameters
    ----------
    paths : a file, a piece of one (its sisters are found beside it), or several.

    Returns
    -------
    One source a file, in the order given.

    Raises
    ------
    UserError
        If a file is missing or cut off, pieces are missing, or pieces belong to different grids.

    Examples
    --------
    >>> open_sources("mesh_mask.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: mesh_mask.nc does not exist; give an existing NetCDF file of NEMO
    """
    given = [require_path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if not given:
        raise UserError("no file given; give at least one NetCDF file of NEMO")
    groups: dict[str, dict[Path, xr.Dataset]] = defaultdict(dict)
    for path in given:
        ds = open_file(path)
        if total(ds) < 2:
            groups[str(path)][path] = ds
            continue
        stem = _stem(path, ds)
        groups[stem][path] = ds
        for sister in _sisters(path, ds):
            if sister not in groups[stem] and sister not in given:
                groups[stem][sister] = open_file(sister)
    return [_source(group) for group in groups.values()]


def total(ds: xr.Dataset) -> int:
    """Number of pieces that the file is one of; 1 for a whole file.

    Examples
    --------
    >>> total(xr.Dataset(attrs={"DOMAIN_number_total": 4}))
    4
    """
    where = ds.encoding.get("source", "the file")
    pieces = whole_number(ds.attrs, "DOMAIN_number_total", 1, where)
    if pieces > MOST:
        raise UserError(
            f"{where}: DOMAIN_number_total is {pieces}; expected at most {MOST}: copy the file again"
        )
    return pieces


def whole_number(attrs: Mapping[str, Any], name: str, default: int, where: object) -> int:
    """An attribute that says how many or which.

    Parameters
    ----------
    attrs : of a file.
    name : of the attribute.
    default : where there is none.
    where : the file, for messages.

    Returns
    -------
    The number.

    Raises
    ------
    UserError
        If it is no number.

    Examples
    --------
    >>> whole_number({"DOMAIN_number": 3}, "DOMAIN_number", 0, "a.nc")
    3
    """
    value = attrs.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: {name} is {value!r}; expected a number: copy the file again") from error


def _stem(path: Path, ds: xr.Dataset) -> str:
    """What the names of all pieces of a file have in common."""
    match = _PIECE.match(path.name)
    return str(path.parent / match["stem"]) if match else str(path.parent)


def _sisters(path: Path, ds: xr.Dataset) -> list[Path]:
    """The other pieces that lie beside this one."""
    match = _PIECE.match(path.name)
    if match is None:
        return []
    digits, start = len(match["number"]), match.start("number")
    names = [
        f"{path.name[:start]}{number:0{digits}d}{path.name[match.end('number') :]}"
        for number in range(total(ds))
    ]
    return [path.parent / n for n in names if n != path.name and (path.parent / n).exists()]


def _source(group: dict[Path, xr.Dataset]) -> Source:
    """Check that the pieces are complete and fit together."""
    pieces = sorted(group.items(), key=lambda item: whole_number(item[1].attrs, "DOMAIN_number", 0, item[0]))
    path, first = pieces[0]
    wanted = total(first)
    if wanted == 1:
        return Source(path, (first,), (), None)
    numbers = [whole_number(ds.attrs, "DOMAIN_number", -1, path) for _, ds in pieces]
    missing = sorted(set(range(wanted)) - set(numbers))
    if missing or len(numbers) != len(set(numbers)):
        listed = ", ".join(f"{n:04d}" for n in missing[:8]) + (" …" if len(missing) > 8 else "")
        raise UserError(
            f"{path.parent / _pattern(path)}: of {wanted} pieces {len(missing)} are missing ({listed}); give all of them"
            if missing
            else f"{path.parent / _pattern(path)}: a piece is there twice; give each of the {wanted} pieces once"
        )
    with reading(f"the DOMAIN_* attributes of {path.parent / _pattern(path)}", "give pieces that NEMO wrote"):
        return _placed(path, pieces)


def _placed(path: Path, pieces: list[tuple[Path, xr.Dataset]]) -> Source:
    """The source that pieces make, each at its place."""
    sizes = {tuple(map(int, ds.attrs["DOMAIN_size_global"])) for _, ds in pieces}
    if len(sizes) > 1:
        raise UserError(
            f"{path.parent / _pattern(path)}: the pieces belong to grids of sizes {sorted(sizes)}"
        )
    nx, ny = sizes.pop()
    boxes = tuple(_box(ds) for _, ds in pieces)
    covered = sum((b.rows.stop - b.rows.start) * (b.columns.stop - b.columns.start) for b in boxes)
    if not 0 < ny * nx <= 100 * covered:
        raise UserError(
            f"{path.parent / _pattern(path)}: DOMAIN_size_global is {nx} x {ny}, but the pieces hold {covered} columns; "
            "give pieces that NEMO wrote"
        )
    return Source(path, tuple(ds for _, ds in pieces), boxes, (ny, nx))


def _pattern(path: Path) -> str:
    match = _PIECE.match(path.name)
    return path.name.replace(match["number"], "*") if match else path.name


def _box(ds: xr.Dataset) -> Box:
    """Place of a piece from its DOMAIN_* attributes: columns first, counted from 1."""
    (x0, y0), (x1, y1) = (tuple(map(int, ds.attrs[f"DOMAIN_position_{end}"])) for end in ("first", "last"))
    (west, south), (east, north) = (
        tuple(map(int, ds.attrs.get(f"DOMAIN_halo_size_{end}", (0, 0)))) for end in ("start", "end")
    )
    return Box(slice(y0 - 1, y1), slice(x0 - 1, x1), (south, north, west, east))
