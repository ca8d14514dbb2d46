"""NEMO's restarts and output as states: the package's names and dimensions, NaN on land, nothing read on opening."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines.nemo import namelist, seawater
from warmstart.engines.nemo.dimensions import role
from warmstart.engines.nemo.subdomains import NemoFile, close, on_mesh, open_sources
from warmstart.engines.nemo.times import Times, coordinate, read_times
from warmstart.errors import UserError
from warmstart.io import lazy_arrays
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import DIAGNOSTICS, STATE_VARIABLES, VARIABLES, Variable, same_units

log = logging.getLogger(__name__)

#: Fields that XIOS writes as content, times the thickness of the cell.
CONTENT = {"thetao": ("toce_e3t",), "so": ("soce_e3t",), "uo": ("uoce_e3u",), "vo": ("voce_e3v",)}
#: Thickness of the cells at each point, under the free surface: part of every state that holds it.
THICKNESS = {"T": "thkcello", "U": "thkcelluo", "V": "thkcellvo"}
KELVIN = ("K", "degK", "kelvin", "Kelvin")
#: What programs write where they know no unit.
UNLABELLED = ("", "-", "1")

#: Names of NEMO's files begin with that of the run (``cn_exp``).
_NAMES = (
    re.compile(r"(?P<run>.+?)_\d+(?:ts|s|mi|h|d|mo|m|y)_\d"),
    re.compile(r"(?P<run>.+?)_\d{6,10}_restart"),
)
#: Attributes of CMIP6 that name a simulation.
_CMIP = ("source_id", "experiment_id", "variant_label")
#: Groups of a namelist that make a run another one.
_PHYSICS = ("namusr_def", "nameos", "namzdf", "namtra_ldf", "namtra_eiv", "namdyn_ldf")


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
    name : of the variable in it.
    attrs : of the variable in it.
    conservative : whether it is Conservative Temperature.
    """

    values: xr.Variable
    thickness: xr.Variable | None
    offset: float
    times: Times
    path: Path
    name: str
    attrs: dict[Any, Any]
    conservative: bool = False

    def record(self, index: int | slice, key: lazy_arrays.Key) -> np.ndarray:
        """Read some records of part of the space."""
        values = lazy_arrays.take(self.values, (index, *key))
        if self.thickness is not None:
            thickness = lazy_arrays.take(self.thickness, (index, *key))
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(thickness > 0, values / thickness, values.dtype.type(np.nan))
        return values + values.dtype.type(self.offset) if self.offset else values


def open_state(path: str | Path | Iterable[str | Path], grid: Grid, diagnostics: bool = False) -> xr.Dataset:
    """Open NEMO's restarts or output, or CMIP6 files, as a state.

    Restarts give their *now* fields, whatever the time stepping. Output may be XIOS's (``toce soce uoce voce ssh``),
    IOIPSL's (``votemper …``) or CMIP6's; tracers written as content are divided by the thickness beside them. Conservative
    temperature becomes potential temperature, with the salinity beside it. Rows that the mesh holds and the files do not are
    filled: those beyond a north fold from what they repeat, land with NaN. Where one file is coarser in time, the finer records in each of
    its intervals are averaged, and the log says so.

    Parameters
    ----------
    path : a file, one of its per-process pieces, or the files of one state (``grid_T grid_U grid_V``, several years).
    grid : its mesh.
    diagnostics : whether to open also what the files hold of ``variables.DIAGNOSTICS``.

    Returns
    -------
    ``thetao [degC] so [1e-3] uo vo [m s-1] zos [m]`` as far as the files hold them, dims ``(time, z, y, x)``, NaN where
    their C-grid point is land; ``thkcello thkcelluo thkcellvo`` [m] where the files hold the thickness of their cells, which
    means and contents then use; coordinates ``year`` and, where the files have dates, ``time``. The attribute ``equation_of_state`` is
    ``teos10``, ``eos80`` or ``seos``, where the files or the namelist beside them say it.

    Raises
    ------
    UserError
        If a file is missing, cut off or of another grid, holds no variable of a state, the files are of several runs or
        of other times, or conservative temperature cannot be converted.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> open_state("restart.nc", basin(nx=6, ny=8, nz=4)[1])
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: restart.nc does not exist; give an existing NetCDF file
    """
    sources = open_sources(path)
    equation = seawater.equation_of(sources[0].path.parent)
    wanted = [*STATE_VARIABLES, *(DIAGNOSTICS if diagnostics else THICKNESS.values())]
    tables = {name: (VARIABLES | DIAGNOSTICS)[name] for name in wanted}
    found = {name: series for name in wanted if (series := _find(tables[name], sources, grid, equation))}
    if not any(name in VARIABLES for name in found):
        held = ", ".join(sorted({str(n) for s in sources for n in s.first.data_vars})[:12])
        raise UserError(
            f"{sources[0].path} holds no variable of a state ({held} …); expected for example tn sn un vn sshn, "
            "toce soce uoce voce ssh, or votemper vosaline vozocrtx vomecrty sossheig"
        )
    tracers = {s.path: s.values for name in ("so", "thetao") for s in found.get(name, [])}
    _require_one_run(sources, [tracers.get(source.path) for source in sources])
    records, leader = _align(found)
    ds = coordinate(*_labels(found[leader], records[leader]))
    for name in records:
        ds[name] = _field(tables[name], found, records, grid)
    if "thetao" in found and found["thetao"][0].conservative:
        equation = "teos10"
    ds.attrs = _attrs(sources) | ({"equation_of_state": equation} if equation else {})
    if equation == "teos10" and "so" in ds:
        first = found["so"][0]
        if not seawater.is_practical(first.name, first.attrs):
            ds["so"].attrs["standard_name"] = "sea_water_absolute_salinity"
    ds.set_close(functools.partial(close, sources))
    return ds


def _find(table: Variable, sources: list[NemoFile], grid: Grid, equation: str | None) -> list[Series]:
    """All sources of a variable, in order of time; of potential and conservative temperature the potential one."""
    others = {"thetao": seawater.CONSERVATIVE, "so": seawater.ABSOLUTE}.get(table.name, ())
    names = (*table.nemo, *CONTENT.get(table.name, ()), *others)
    series = []
    for source in sources:
        held = [n for n in names if _is_field(source, n, table)]
        if table.name == "thetao":
            held.sort(key=lambda n: seawater.is_conservative(n, source.first[n].attrs, equation))
        if held:
            series.append(_series(table, source, held[0], grid, equation))
    if not all(s.conservative for s in series):
        series = [s for s in series if not s.conservative]
    return sorted(series, key=lambda s: float(s.times.seconds[0]))


def _is_field(source: NemoFile, name: str, table: Variable) -> bool:
    """Whether the file holds the variable in all its dimensions: CMIP6 has sections and means of the same name."""
    variables = source.first.variables
    return name in variables and variables[name].ndim in (len(table.dims), len(table.dims) + 1)


def _series(table: Variable, source: NemoFile, name: str, grid: Grid, equation: str | None) -> Series:
    values = on_mesh(source, name, table, grid)
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
    own = DIAGNOSTICS[THICKNESS[table.point]] if table.name in VARIABLES and table.three_d else None
    held = next((n for n in own.nemo if _is_field(source, n, own)), None) if own else None
    if held is not None:
        thickness = on_mesh(source, held, table, grid)
        if not written and not _is_content(values, thickness, table, grid):
            thickness = None
    elif own and (written or (table.name in ("thetao", "so") and _too_large(values, table, grid))):
        raise UserError(
            f"{source.path}: {name} is content (times the thickness of the cell), or not in {table.units}, and no thickness "
            f"({', '.join(own.nemo)}) is beside it; write it to the same file"
        )
    attrs = dict(source.first[name].attrs)
    conservative = table.name == "thetao" and seawater.is_conservative(name, attrs, equation)
    return Series(values, thickness, offset, times, source.path, name, attrs, conservative)


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
    return lazy_arrays.take(values, (0, slice(None), int(j), int(i)))[wet[:, j, i]].astype("float64")


Records = list[list[tuple[int, int]]]


def _align(found: dict[str, list[Series]]) -> tuple[dict[str, Records], str]:
    """For each variable the records, as (series, index), that make up each common time; and whose times those are."""
    axes = {name: _axis(name, series) for name, series in found.items()}
    main = {name: axis for name, axis in axes.items() if name in VARIABLES}
    leader = min(main, key=lambda n: len(main[n]))
    records: dict[str, Records] = {name: [[r] for r in axis.values()] for name, axis in main.items()}
    if any(list(axis) != list(main[leader]) for axis in main.values()):
        averaged = _averaged(found, main, leader)
        if averaged is None:
            spans = (f"{s[0].path.name}: {len(axes[n])} records, {_span(s)}" for n, s in found.items())
            raise UserError(
                f"the time axes of the files differ ({'; '.join(dict.fromkeys(spans))}): they are of several runs, or of other years; "
                "give files of one run and the same times"
            )
        counts = ", ".join(f"{name} {len(axis)}" for name, axis in main.items())
        log.warning(
            "time axes differ (%s records): finer ones averaged over the intervals of %s", counts, leader
        )
        records = averaged
    times = list(main[leader])
    for name in axes.keys() - main.keys():
        held, series = axes[name], found[name]
        if list(held) == times:
            records[name] = [[place] for place in held.values()]
        elif len(held) == 1 and series[0].times.dates is None:  # the same at all times
            records[name] = [[(0, 0)] for _ in times]
        elif all(t in held for t in times):
            records[name] = [[held[t]] for t in times]
        else:
            log.warning("%s is left out: %s holds other times", series[0].name, series[0].path.name)
    return {name: records[name] for name in found if name in records}, leader


def _axis(name: str, series: list[Series]) -> dict[int, tuple[int, int]]:
    """Whole seconds of each record -> where it is; refuses a time that two files hold."""
    axis: dict[int, tuple[int, int]] = {}
    for number, one in enumerate(series):
        for index, seconds in enumerate(one.times.seconds):
            time = round(float(seconds))
            if time in axis and axis[time][0] != number:
                other, dates = series[axis[time][0]].path, one.times.dates
                when = "without a date" if dates is None else f"at {dates[index]}"
                raise UserError(
                    f"{other} and {one.path} both hold {name} {when}: they are of several runs; give the files of one run"
                )
            axis[time] = (number, index)
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

    def whole(name: str) -> Any:
        parts = [getattr(s.times, name) for s in series]
        return None if any(part is None for part in parts) else np.concatenate(parts)

    joined = {name: whole(name) for name in ("dates", "years", "bounds", "seconds")}
    times = replace(series[0].times, **joined)
    return times, np.array([starts[number] + index for (number, index), *_ in records])


def _field(
    table: Variable, found: dict[str, list[Series]], records: dict[str, Records], grid: Grid
) -> xr.Variable:
    """The variable as the package has it; read, divided, converted and masked when it is asked for."""
    series, mine = found[table.name], records[table.name]
    # the vertical velocity stands on the top faces of the T cells
    wet = grid.mask("T" if table.point == "W" else table.point, table.three_d).values
    dtype = np.result_type(*(s.values.dtype for s in series), "float32")
    convert = _conversion(found, records, grid) if series[0].conservative else None

    def read(key: lazy_arrays.Key) -> np.ndarray:
        values = _read(series, mine, key, wet.shape, dtype)
        if convert is not None:
            values = convert(values, key)
        return np.where(wet[key[1:]], values, np.nan).astype(dtype)

    attrs: dict[str, Any] = {**table.attrs}
    mean = series[0].times.mean or (bool(mine) and len(mine[0]) > 1)
    if mean or series[0].times.mean is False:
        attrs["cell_methods"] = "time: mean" if mean else "time: point"
    if convert is not None:
        attrs["comment"] = f"converted from conservative temperature ({series[0].name}) by TEOS-10"
    return lazy_arrays.variable(("time", *table.dims), (len(mine), *wet.shape), dtype, read, attrs)


def _read(
    series: list[Series], records: Records, key: lazy_arrays.Key, shape: tuple[int, ...], dtype: Any
) -> np.ndarray:
    """Some records of part of the space, in the units of the table."""
    time, space = key[0], key[1:]

    def one(places: list[tuple[int, int]]) -> np.ndarray:
        parts = [series[number].record(index, space) for number, index in places]
        return parts[0] if len(parts) == 1 else np.mean(parts, axis=0)

    if isinstance(time, int):
        return one(records[time])
    stretch = _stretch(series, records[time], space)
    if stretch is not None:
        return stretch
    stack = [one(places) for places in records[time]]
    return np.stack(stack) if stack else np.empty((0, *np.empty(shape, bool)[space].shape), dtype)


def _conversion(
    found: dict[str, list[Series]], records: dict[str, Records], grid: Grid
) -> Callable[[np.ndarray, lazy_arrays.Key], np.ndarray]:
    """From conservative to potential temperature with the salinity beside it."""
    first = found["thetao"][0]
    if "so" not in found:
        raise UserError(
            f"{first.path}: {first.name} is conservative temperature; to convert it to potential temperature give the file of the "
            "salinity too (so, soce)"
        )
    seawater.potential_temperature(np.zeros(1), np.full(1, 35.0))  # refused here, not at the first value
    salt, places = found["so"], records["so"]
    practical = seawater.is_practical(salt[0].name, salt[0].attrs)

    def convert(values: np.ndarray, key: lazy_arrays.Key) -> np.ndarray:
        so = _read(salt, places, key, grid.shape, "float64").astype("float64")
        if practical:
            where = [
                np.broadcast_to(grid.ds[n].values, grid.shape)[key[1:]] for n in ("gdept_0", "glamt", "gphit")
            ]
            so = seawater.absolute_salinity(so, *where)
        return seawater.potential_temperature(values.astype("float64"), so)

    return convert


def _stretch(series: list[Series], records: Records, space: lazy_arrays.Key) -> np.ndarray | None:
    """Consecutive records of one file, read at once; None if they are not."""
    if not records or any(len(places) != 1 for places in records):
        return None
    numbers, indices = zip(*(places[0] for places in records), strict=True)
    if len(set(numbers)) > 1 or list(indices) != list(range(indices[0], indices[-1] + 1)):
        return None
    return series[numbers[0]].record(slice(indices[0], indices[-1] + 1), space)


def _attrs(sources: list[NemoFile]) -> dict[str, Any]:
    """Where a state comes from."""
    attrs: dict[str, Any] = {"engine": "nemo", "source_files": ", ".join(s.path.name for s in sources)}
    first = sources[0].first
    for name, label in (("kt", "time_step"), ("rdt", "time_step_seconds")):
        if name in first.variables and first[name].ndim == 0 and first[name].dtype.kind in "fiu":
            attrs[label] = float(first[name])
    return attrs


def _run_name(path: Path, attrs: Any) -> str:
    """Name of the run that a file says it is of, by CMIP6's attributes or NEMO's names; empty where it says none."""
    said = [str(attrs[name]) for name in _CMIP if name in attrs]
    if len(said) == len(_CMIP):
        return " ".join(said)
    match = next((m for pattern in _NAMES if (m := pattern.match(path.name))), None)
    return match["run"] if match else ""


def _require_one_run(sources: Sequence[NemoFile], fields: Sequence[xr.Variable | None]) -> None:
    """Refuse files of several runs, by their names, the physics of the namelists beside them, or their seas.

    `fields` are, of each file, a tracer ``(time, z, y, x)`` on the mesh, whose land shows the sea of the run; None where it holds none.
    """
    if len(sources) < 2:
        return
    first = sources[0]
    names = [_run_name(s.path, s.first.attrs) for s in sources]
    for source, name in zip(sources, names, strict=True):
        if name and names[0] and name != names[0] and _alike(source, first):
            _refuse(first, source, f"they are of {names[0]} and of {name}")
    folders = {s.path.parent.resolve(): s for s in sources}
    physics = {folder: _physics(folder) for folder in folders} if len(folders) > 1 else {}
    known = [folder for folder, groups in physics.items() if groups]
    for folder in known[1:]:
        differing = [g for g in _PHYSICS if physics[folder].get(g) != physics[known[0]].get(g)]
        if differing:
            _refuse(
                folders[known[0]], folders[folder], f"the namelists beside them differ in &{differing[0]}"
            )
    held = zip(sources, names, fields, strict=True)
    seas = [(source, name, _land(field)) for source, name, field in held if field is not None]
    for source, name, land in seas[1:]:
        other, its, sea = seas[0]
        if name and name == its and source.path.parent == other.path.parent:
            continue  # the same run by its name: its land need not be read
        if (land & ~sea).any() and (sea & ~land).any():
            _refuse(other, source, "their land lies elsewhere")


def _alike(one: NemoFile, other: NemoFile) -> bool:
    """Whether both say what run they are of in the same way."""
    return all(n in one.first.attrs for n in _CMIP) == all(n in other.first.attrs for n in _CMIP)


def _refuse(one: NemoFile, other: NemoFile, why: str) -> None:
    raise UserError(f"{one.path} and {other.path} are of several runs: {why}; give the files of one run")


def _physics(folder: Path) -> dict[str, Any]:
    """The groups of the namelist in a folder that say what is simulated; empty where there is none."""
    if not (folder / namelist.CFG).is_file():
        return {}
    try:
        groups = namelist.read(folder)
    except UserError:
        return {}
    return {name: groups[name] for name in _PHYSICS if name in groups}


def _land(field: xr.Variable) -> np.ndarray:
    """Where the uppermost level of the first record holds nothing or 0."""
    level = next(i for i, d in enumerate(field.dims) if role(str(d)) == "z")
    key = tuple(0 if i in (0, level) else slice(None) for i in range(field.ndim))
    values = lazy_arrays.take(field, key)
    return ~np.isfinite(values) | (values == 0)
