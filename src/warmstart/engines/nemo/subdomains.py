"""NEMO files as they lie on disk: compressed, truncated, in one piece or one a process; and their fields on the mesh."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines.nemo.dimensions import arrange
from warmstart.errors import UserError, reading, require_path
from warmstart.io import lazy_arrays
from warmstart.io.netcdf import open_file
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import Variable

MOST = 1_000_000  #: pieces of one file
_PIECE = re.compile(r"^(?P<stem>.*?)_?(?P<number>\d{4,6})(?P<end>\.nc\d?(\.gz)?)$")

#: Names of the latitude of the points in files.
LATITUDES = ("nav_lat", "latitude", "lat", "nav_lat_grid_T", "gphit")


@dataclass(frozen=True)
class Extent:
    """Where one piece lies in the whole, rows and columns from 0, its halo cells told apart."""

    rows: slice
    columns: slice
    halo: tuple[int, int, int, int]  # south, north, west, east


@dataclass(frozen=True, eq=False)
class NemoFile:
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
    boxes: tuple[Extent, ...]
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
        first = variables[0]
        if len(variables) == 1 or self.size is None or first.dims[-2:] != ("y", "x"):
            return first
        size, dtype, fill = self.size, first.dtype, np.nan if first.dtype.kind == "f" else 0

        def read(key: lazy_arrays.Key) -> np.ndarray:
            values = [lazy_arrays.take(v, (*key[:-2], slice(None), slice(None))) for v in variables]
            whole = np.full((*values[0].shape[:-2], *size), fill, dtype=dtype)
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
            return whole[(..., *key[-2:])]

        shape = (*first.shape[:-2], *size)
        return lazy_arrays.variable(tuple(map(str, first.dims)), shape, dtype, read, first.attrs)

    def close(self) -> None:
        """Close the files."""
        for part in self.parts:
            part.close()


def open_sources(paths: str | Path | Iterable[str | Path]) -> list[NemoFile]:
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
    """
    given = [require_path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if not given:
        raise UserError("no file given; give at least one NetCDF file of NEMO")
    groups: dict[str, dict[Path, xr.Dataset]] = defaultdict(dict)
    for path in given:
        ds = open_file(path)
        match = _PIECE.match(path.name)
        # a whole file is alone; the names of pieces have all but a number in common
        pieces = total(ds)
        group = groups[str(path if pieces < 2 else path.parent / match["stem"] if match else path.parent)]
        group[path] = ds
        if pieces > 1 and match is not None:
            begin, end, digits = *match.span("number"), len(match["number"])
            names = (f"{path.name[:begin]}{number:0{digits}d}{path.name[end:]}" for number in range(pieces))
            sisters = (path.parent / name for name in names)
            group |= {s: open_file(s) for s in sisters if s not in group and s not in given and s.exists()}
    return [_source(group) for group in groups.values()]


def close(sources: Iterable[NemoFile]) -> None:
    """Close files that :func:`open_sources` opened."""
    for source in sources:
        source.close()


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
    """An attribute that says how many or which, `default` where there is none; refused if it is no number.

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


def _source(group: dict[Path, xr.Dataset]) -> NemoFile:
    """Check that the pieces are complete and fit together."""
    pieces = sorted(group.items(), key=lambda item: whole_number(item[1].attrs, "DOMAIN_number", 0, item[0]))
    path, first = pieces[0]
    wanted = total(first)
    if wanted == 1:
        return NemoFile(path, (first,), (), None)
    match = _PIECE.match(path.name)
    all_ = path.with_name(path.name.replace(match["number"], "*")) if match else path
    numbers = [whole_number(ds.attrs, "DOMAIN_number", -1, path) for _, ds in pieces]
    if missing := sorted(set(range(wanted)) - set(numbers)):
        listed = ", ".join(f"{n:04d}" for n in missing[:8]) + (" …" if len(missing) > 8 else "")
        raise UserError(f"{all_}: of {wanted} pieces {len(missing)} are missing ({listed}); give all of them")
    if len(numbers) != len(set(numbers)):
        raise UserError(f"{all_}: a piece is there twice; give each of the {wanted} pieces once")
    with reading(f"the DOMAIN_* attributes of {all_}", "give pieces that NEMO wrote"):
        sizes = {tuple(map(int, ds.attrs["DOMAIN_size_global"])) for _, ds in pieces}
        if len(sizes) > 1:
            raise UserError(f"{all_}: the pieces belong to grids of sizes {sorted(sizes)}")
        nx, ny = sizes.pop()
        boxes = tuple(_box(ds) for _, ds in pieces)
    covered = sum((b.rows.stop - b.rows.start) * (b.columns.stop - b.columns.start) for b in boxes)
    if not 0 < ny * nx <= 100 * covered:
        raise UserError(
            f"{all_}: DOMAIN_size_global is {nx} x {ny}, but the pieces hold {covered} columns; give pieces that NEMO wrote"
        )
    return NemoFile(path, tuple(ds for _, ds in pieces), boxes, (ny, nx))


def _box(ds: xr.Dataset) -> Extent:
    """Place of a piece from its DOMAIN_* attributes: columns first, counted from 1."""
    (x0, y0), (x1, y1) = (tuple(map(int, ds.attrs[f"DOMAIN_position_{end}"])) for end in ("first", "last"))
    (west, south), (east, north) = (
        tuple(map(int, ds.attrs.get(f"DOMAIN_halo_size_{end}", (0, 0)))) for end in ("start", "end")
    )
    return Extent(slice(y0 - 1, y1), slice(x0 - 1, x1), (south, north, west, east))


def on_mesh(source: NemoFile, name: str, table: Variable, grid: Grid) -> xr.Variable:
    """A variable of a file as ``(time, [z,] y, x)`` on the mesh.

    Parameters
    ----------
    source : the file, or its pieces.
    name : of the variable in it.
    table : what it is.
    grid : the mesh.

    Returns
    -------
    Not read yet; NaN in rows and columns of land that the file leaves out. A row beyond a north fold that it leaves out has the values that
    it repeats.

    Raises
    ------
    UserError
        If the sizes are those of another mesh.
    """
    sizes = dict(zip("zyx", grid.shape, strict=True))
    whole = source.merged([arrange(p.variables[name], table.dims, name, sizes) for p in source.parts])
    if whole.sizes["x"] == sizes["x"] + 2 and grid.periodic_x:
        whole = whole[..., 1:-1]
    if whole.sizes["y"] == sizes["y"] + 1 and grid.fold is not None and not grid.fold.beyond:
        whole = whole[..., :-1, :]
    levels_fit = not table.three_d or whole.sizes["z"] == grid.shape[0]
    if levels_fit and whole.shape[-2:] != grid.shape[1:]:
        whole = _completed(whole, source, table, grid)
    found = {d: whole.sizes[d] for d in table.dims}
    if found != {d: sizes[d] for d in table.dims}:
        raise UserError(
            f"{source.path}: {name} has sizes {found} but the mesh {sizes}; give the mesh_mask of the same run"
        )
    return whole


def _completed(whole: xr.Variable, source: NemoFile, table: Variable, grid: Grid) -> xr.Variable:
    """With the rows and columns at the edges that the file leaves out; as it is where these are not known to be land or repeated."""
    wet = grid.mask("T", three_d=False).values
    ny, nx = grid.shape[1:]
    rows, columns = ny - whole.sizes["y"], nx - whole.sizes["x"]
    east = west = 0
    if columns == 2 and not grid.periodic_x and not wet[:, [0, -1]].any():
        east = west = 1
    elif columns:
        return whole
    folded = rows == 1 and grid.fold is not None and grid.fold.beyond
    south, north = _edges(rows, wet, source, grid) if not folded else (0, 1)
    if south + north != rows:
        return whole
    pad = ((south, north), (west, east))
    shape = (*whole.shape[:-2], ny, nx)

    def read(key: lazy_arrays.Key) -> np.ndarray:
        part = lazy_arrays.take(whole, (*key[:-2], slice(None), slice(None)))
        values = np.pad(part, (*((0, 0),) * (part.ndim - 2), *pad), constant_values=np.nan)
        if folded and grid.fold is not None:
            values = grid.fold.restored(values, table.point)
        return values[(..., *key[-2:])]

    dtype = np.result_type(whole.dtype, "float32")
    return lazy_arrays.variable(tuple(map(str, whole.dims)), shape, dtype, read, whole.attrs)


def _edges(rows: int, wet: np.ndarray, source: NemoFile, grid: Grid) -> tuple[int, int]:
    """How many rows of land are missing in the south and in the north."""
    land = (not wet[0].any(), not wet[-1].any())
    if rows == 2 and all(land):
        return 1, 1
    if rows != 1 or not any(land):
        return 0, 0
    if all(land):  # only its latitudes tell
        latitude = next((source.first[n] for n in LATITUDES if n in source.first.variables), None)
        if latitude is None or source.size is not None:
            return 0, 0
        first = float(np.atleast_1d(latitude.values).reshape(latitude.shape[0], -1)[0].mean())
        mesh = grid.gphit.values.mean(axis=1)
        return (1, 0) if abs(first - mesh[1]) < abs(first - mesh[0]) else (0, 1)
    return int(land[0]), int(land[1])
