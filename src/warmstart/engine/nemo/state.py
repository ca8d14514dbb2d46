"""NEMO's restarts and output as states: the package's names and dimensions, NaN on land, nothing read on opening."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engine.nemo import lazy
from warmstart.engine.nemo.names import arrange
from warmstart.engine.nemo.pieces import Source, open_sources
from warmstart.engine.nemo.times import Times, coordinate, read_times
from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.variables import DIAGNOSTICS, STATE_VARIABLES, VARIABLES, Variable, same_units

log = logging.getLogger(__name__)

#: Fields that XIOS writes as content, times the thickness of the cell.
CONTENT = {"thetao": ("toce_e3t",), "so": ("soce_e3t",), "uo": ("uoce_e3u",), "vo": ("voce_e3v",)}
#: Thickness of the cells at each point, as output of the same file.
THICKNESS = {"T": ("vovvle3t", "e3t", "thkcello"), "U": ("e3u",), "V": ("e3v",), "W": ()}
KELVIN = ("K", "degK", "kelvin", "Kelvin")
#: What programs write where they know no unit.
UNLABELLED = ("", "-", "1")


@dataclass(frozen=True, eq=False)
class Series:
    """One variable of one source, all its records.

    Attributes
    ----------
    values : dims ``(time, [z,] y, x)``, columns that NEMO repeats taken off; as in the file.
    thickness : of the cells [m], where the values are content, same dims; else None.
    offset : to add after that.
    times : of the records.
    path : the file.
    """

    values: xr.Variable
    thickness: xr.Variable | None
    offset: float
    times: Times
    path: Path

    def record(self, index: int | slice, key: lazy.Key) -> np.ndarray:
        """Read some records of part of the space."""
        values = lazy.take(self.values, (index, *key))
        if self.thickness is not None:
            thickness = lazy.take(self.thickness, (index, *key))
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(thickness > 0, values / thickness, values.dtype.type(np.nan))
        return values + values.dtype.type(self.offset) if self.offset else values


def open_state(
    path: str | Path | Iterable[str | Path], grid: Grid, chunks: Any = None, diagnostics: bool = False
) -> xr.Dataset:
    """Open NEMO's restarts or output, or CMIP6 files, as a state.

    Restarts give their *now* fields, whatever the time stepping. Output may be XIOS's (``toce soce uoce voce ssh``),
    IOIPSL's (``votemper …``) or CMIP6's; tracers written as content are divided by the thickness beside them. Where
    the files of a state have different time axes, the common records are kept; where one is coarser, the finer records in
    each of its intervals are averaged. Either is said in the log.

    Parameters
    ----------
    path : a file, one of its per-process pieces, or the files of one state (``grid_T grid_U grid_V``, several years).
    grid : its mesh.
    chunks : as :meth:`xarray.Dataset.chunk`, for dask arrays; None leaves the variables lazy without dask.
    diagnostics : whether to open also what the files hold of ``variables.DIAGNOSTICS``.

    Returns
    -------
    ``thetao [degC] so [1e-3] uo vo [m s-1] zos [m]`` as far as the files hold them, dims ``(time, z, y, x)``, NaN where
    their C-grid point is land; coordinates ``year`` and, where the files have dates, ``time``.

    Raises
    ------
    UserError
        If a file is missing, cut off or of another grid, holds no variable of a state, or times have nothing in common.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> open_state("restart.nc", basin(nx=6, ny=8, nz=4)[1])
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: restart.nc does not exist; give an existing NetCDF file of NEMO
    """
    sources = open_sources(path)
    tables = {name: VARIABLES[name] for name in STATE_VARIABLES} | (DIAGNOSTICS if diagnostics else {})
    found = {name: series for name, table in tables.items() if (series := _find(table, sources, grid))}
    if not found:
        held = ", ".join(sorted({str(n) for s in sources for n in s.first.data_vars})[:12])
        raise UserError(
            f"{sources[0].path} holds no variable of a state ({held} …); expected for example tn sn un vn sshn, "
            "toce soce uoce voce ssh, or votemper vosaline vozocrtx vomecrty sossheig"
        )
    records, leader = _align(found)
    ds = coordinate(*_labels(found[leader], records[leader]))
    for name, series in found.items():
        ds[name] = _field(tables[name], series, records[name], grid)
    ds.attrs = _attrs(sources)

    def close() -> None:
        for source in sources:
            source.close()

    ds.set_close(close)
    return ds if chunks is None else ds.chunk(chunks)


def _find(table: Variable, sources: list[Source], grid: Grid) -> list[Series]:
    """All sources of a variable, in order of time."""
    series = []
    for source in sources:
        names = (*table.nemo, *CONTENT.get(table.name, ()))
        name = next((n for n in names if _is_field(source, n, table)), None)
        if name is not None:
            series.append(_series(table, source, name, grid))
    return sorted(series, key=lambda s: float(s.times.seconds[0]))


def _is_field(source: Source, name: str, table: Variable) -> bool:
    """Whether the file holds the variable in all its dimensions: CMIP6 has sections and means of the same name."""
    variables = source.first.variables
    return name in variables and variables[name].ndim in (len(table.dims), len(table.dims) + 1)


def _series(table: Variable, source: Source, name: str, grid: Grid) -> Series:
    values = _placed(source, name, table, grid)
    times = read_times(source.first, values.shape[0])
    if len(times.seconds) != values.shape[0]:
        raise UserError(
            f"{source.path}: {name} has {values.shape[0]} records but the time axis {len(times.seconds)}; the file is damaged"
        )
    units = str(source.first[name].attrs.get("units", ""))
    offset = -273.15 if table.units == "degC" and units in KELVIN else 0.0
    thickness = None
    written = name in CONTENT.get(table.name, ())
    if units not in UNLABELLED and not (offset or written or same_units(units, table.units)):
        raise UserError(
            f"{source.path}: {name} is in {units}; expected {table.units}: convert it, or correct its units attribute"
        )
    held = next((n for n in THICKNESS[table.point] if n in source.first.variables), None)
    if table.three_d and held is not None and not source.first[held].ndim < 3:
        thickness = _placed(source, held, table, grid)
        if not written and not _is_content(values, thickness, table, grid):
            thickness = None
    elif written or (table.name in ("thetao", "so") and _too_large(values, table, grid)):
        raise UserError(
            f"{source.path}: {name} is content (times the thickness of the cell), or not in {table.units}, and no thickness "
            f"({', '.join(THICKNESS[table.point])}) is beside it; write it to the same file"
        )
    return Series(values, thickness, offset, times, source.path)


def _placed(source: Source, name: str, table: Variable, grid: Grid) -> xr.Variable:
    """A variable as ``(time, [z,] y, x)`` on the grid: pieces merged, repeated columns taken off."""
    sizes = dict(zip("zyx", grid.shape, strict=True))
    whole = source.merged([arrange(p.variables[name], table.dims, name, sizes) for p in source.parts])
    if whole.sizes["x"] == sizes["x"] + 2 and grid.periodic_x:
        whole = whole[..., 1:-1]
    found = {d: whole.sizes[d] for d in table.dims}
    if found != {d: sizes[d] for d in table.dims}:
        raise UserError(
            f"{source.path}: {name} has sizes {found} but the mesh {sizes}; give the mesh_mask of the same run"
        )
    return whole


def _is_content(values: xr.Variable, thickness: xr.Variable, table: Variable, grid: Grid) -> bool:
    """Whether a tracer is content: out of its bounds in the deepest column, and inside them per metre."""
    if table.name not in ("thetao", "so"):
        return False
    low, high = table.bounds
    column, metres = (_column(v, grid) for v in (values, thickness))
    good = np.isfinite(column) & (metres > 0)
    if not good.any() or ((column[good] >= low) & (column[good] <= high)).all():
        return False
    ratio = column[good] / metres[good]
    return bool(((ratio >= low) & (ratio <= high)).all())


def _too_large(values: xr.Variable, table: Variable, grid: Grid) -> bool:
    """Whether the deepest column holds values that only content can have, or Kelvin."""
    column = _column(values, grid)
    return bool((column[np.isfinite(column)] > 10 * table.bounds[1]).any())


def _column(values: xr.Variable, grid: Grid) -> np.ndarray:
    """The wet cells of the deepest column in the first record: a few numbers, read at once."""
    wet = grid.ds.tmask.values > 0
    j, i = np.unravel_index(np.argmax(wet.sum(axis=0)), wet.shape[1:])
    return lazy.take(values, (0, slice(None), int(j), int(i)))[wet[:, j, i]].astype("float64")


Records = list[list[tuple[int, int]]]


def _align(found: dict[str, list[Series]]) -> tuple[dict[str, Records], str]:
    """For each variable the records, as (series, index), that make up each common time; and whose times those are."""
    axes = {name: _axis(series) for name, series in found.items()}
    leader = min(axes, key=lambda n: len(axes[n]))
    if all(list(axis) == list(axes[leader]) for axis in axes.values()):
        return {name: [[r] for r in axis.values()] for name, axis in axes.items()}, leader
    counts = ", ".join(f"{name} {len(axis)}" for name, axis in axes.items())
    common = [t for t in axes[leader] if all(t in axis for axis in axes.values())]
    if common:
        log.warning("time axes differ (%s records): the %d common ones are kept", counts, len(common))
        return {name: [[axis[t]] for t in common] for name, axis in axes.items()}, leader
    averaged = _averaged(found, axes, leader)
    if averaged is None:
        spans = "; ".join(dict.fromkeys(f"{s[0].path.name}: {_span(s)}" for s in found.values()))
        raise UserError(
            f"the files have no time in common ({spans}); give files of the same years and the same kind"
        )
    log.warning("time axes differ (%s records): finer ones averaged over the intervals of %s", counts, leader)
    return averaged, leader


def _axis(series: list[Series]) -> dict[int, tuple[int, int]]:
    """Whole seconds of each record -> where it is; a time that two files hold is taken from the first."""
    axis: dict[int, tuple[int, int]] = {}
    for number, one in enumerate(series):
        for index, seconds in enumerate(one.times.seconds):
            axis.setdefault(round(float(seconds)), (number, index))
    return dict(sorted(axis.items()))


def _averaged(
    found: dict[str, list[Series]], axes: dict[str, dict[int, tuple[int, int]]], leader: str
) -> dict[str, Records] | None:
    """Records of each variable inside the intervals of the coarsest; None if they do not fill them alike."""
    intervals = []
    for number, index in axes[leader].values():
        bounds = found[leader][number].times.bounds
        if bounds is None:
            return None
        intervals.append((bounds[index, 0], bounds[index, 1]))
    result: dict[str, Records] = {}
    for name, axis in axes.items():
        inside = [[place for t, place in axis.items() if low < t <= high] for low, high in intervals]
        if len({len(places) for places in inside}) != 1 or not inside[0]:
            return None
        result[name] = inside
    return result


def _span(series: list[Series]) -> str:
    times = [s.times for s in series]
    if times[0].dates is None or times[-1].dates is None:
        return "no dates"
    return f"{times[0].dates[0]} to {times[-1].dates[-1]}"


def _labels(series: list[Series], records: Records) -> tuple[Times, np.ndarray]:
    """Times of all series in one, and which of them the records are."""
    starts = np.cumsum([0, *(len(s.times.seconds) for s in series)])
    dates = [s.times.dates for s in series]
    whole = Times(
        None if any(d is None for d in dates) else np.concatenate([d for d in dates if d is not None]),
        np.concatenate([s.times.years for s in series]),
        None,
        np.concatenate([s.times.seconds for s in series]),
        series[0].times.mean,
    )
    return whole, np.array([starts[number] + index for (number, index), *_ in records])


def _field(table: Variable, series: list[Series], records: Records, grid: Grid) -> xr.Variable:
    """The variable as the package has it; read, divided and masked when it is asked for."""
    wet = grid.ds[table.mask].values > 0
    if not table.three_d:
        wet = wet[0]
    dtype = np.result_type(*(s.values.dtype for s in series), "float32")

    def one(places: list[tuple[int, int]], space: lazy.Key) -> np.ndarray:
        parts = [series[number].record(index, space) for number, index in places]
        return parts[0] if len(parts) == 1 else np.mean(parts, axis=0)

    def read(key: lazy.Key) -> np.ndarray:
        time, space = key[0], key[1:]
        if isinstance(time, int):
            values = one(records[time], space)
        else:
            stretch = _stretch(series, records[time], space)
            if stretch is None:
                stack = [one(places, space) for places in records[time]]
                stretch = np.stack(stack) if stack else np.empty((0, *wet[space].shape), dtype)
            values = stretch
        return np.where(wet[space], values, np.nan).astype(dtype)

    attrs: dict[str, Any] = {**table.attrs}
    mean = series[0].times.mean or len(records[0]) > 1
    if mean or series[0].times.mean is False:
        attrs["cell_methods"] = "time: mean" if mean else "time: point"
    return lazy.variable(("time", *table.dims), (len(records), *wet.shape), dtype, read, attrs)


def _stretch(series: list[Series], records: Records, space: lazy.Key) -> np.ndarray | None:
    """Consecutive records of one file, read at once; None if they are not."""
    if not records or any(len(places) != 1 for places in records):
        return None
    numbers, indices = zip(*(places[0] for places in records), strict=True)
    if len(set(numbers)) > 1 or list(indices) != list(range(indices[0], indices[-1] + 1)):
        return None
    return series[numbers[0]].record(slice(indices[0], indices[-1] + 1), space)


def _attrs(sources: list[Source]) -> dict[str, Any]:
    """Where a state comes from."""
    attrs: dict[str, Any] = {"engine": "nemo", "source_files": ", ".join(s.path.name for s in sources)}
    first = sources[0].first
    for name, label in (("kt", "time_step"), ("rdt", "time_step_seconds")):
        if name in first.variables and first[name].ndim == 0:
            attrs[label] = float(first[name])
    return attrs
