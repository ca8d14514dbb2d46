"""From finished runs of several starts to one Dataset and one table: what a verification found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from warmstart.equilibrium import adjustment, arrival, distance
from warmstart.io import files
from warmstart.ocean.constants import YEAR

if TYPE_CHECKING:
    import pandas as pd

    from warmstart.ocean.grid import Grid

#: Names of the two starts that the others are compared with.
CONTROL, REST = "control", "rest"
#: Metric of each series that shows a shock.
SHOCKS = {
    "shock_kinetic_energy": "kinetic_energy",
    "shock_channel_transport": "channel_transport",
    "shock_vertical_velocity": "vertical_velocity_rms",
}
#: Metric of each series whose trend at the end of a run is its drift.
DRIFTS = {
    "drift_thetao_deep": "thetao_deep",
    "drift_thetao_mean": "thetao_mean",
    "drift_channel_transport": "channel_transport",
    "drift_throughflow": "throughflow",
}
#: Distances at which starts are compared, beside the equilibrium's own variability.
LEVELS = (0.5, 0.3, 0.2, 0.1, 0.05)
#: Days after the start in which a state is of another season than those at the end of a year, and no sign of arrival.
EARLY_DAYS = 31.0
#: Years of the control's own run, after its first, that are the equilibrium: fixed, so that no result depends on how long
#: starts are run.
CONTROL_YEARS = 20
#: States of the equilibrium that its own variability needs at least.
LEAST_SNAPSHOTS = 5
#: Columns of the table.
COLUMNS = ("start", "metric", "value", "bound", "unit", "note")


@dataclass(frozen=True)
class Target:
    """The equilibrium that starts are compared with.

    Attributes
    ----------
    mean : time mean of its snapshots, ``thetao`` and ``so``, dims ``(z, y, x)``.
    spread : what a distance is measured in, dims ``(z,)``.
    unit : where `spread` comes from, for readers.
    own : distances of its snapshots from one another [1]; empty where they are fewer than five.
    spinup : years and distances of the snapshots on the way there; empty arrays if there are none.
    averaged_days : over how long each of its snapshots is a mean; 0 for instants [days].
    """

    mean: xr.Dataset
    spread: xr.Dataset
    unit: str
    own: np.ndarray
    spinup: tuple[np.ndarray, np.ndarray]
    averaged_days: float = 0.0


def settled(states: xr.Dataset) -> np.ndarray:
    """Which states of the control's run are the equilibrium: those of its first 20 years, without what comes before year 1.

    The control's snapshots may come from other time steps; the states of its run have those of the starts.

    Parameters
    ----------
    states : of the run, coordinate ``year`` since its start, dims ``(time, ...)``.

    Returns
    -------
    Indices along ``time``; the last state of a run that is shorter than a year.

    Examples
    --------
    >>> settled(xr.Dataset(coords={"year": ("time", [0.0, 0.5, 1.0, 20.0, 21.0])}))
    array([2, 3])
    """
    year = states["year"].values
    return np.flatnonzero((year >= min(1.0, float(year.max())) - 1e-6) & (year <= CONTROL_YEARS + 1e-6))


def target_of(
    snapshots: xr.Dataset,
    spinup: xr.Dataset | None,
    spread: tuple[xr.Dataset, str] | None,
    grid: Grid,
    averaged_days: float = 0.0,
) -> Target:
    """Make the equilibrium that starts are compared with.

    Parameters
    ----------
    snapshots : ``thetao`` and ``so`` of the equilibrium, dims ``(time, z, y, x)``.
    spinup : the same on the way there, with ``year``; None without any.
    spread, grid : what a distance is measured in, and where that is from; None takes the variation along each level, and the mesh.
    averaged_days : as in :class:`Target`.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> target_of(xr.concat([state + i for i in range(5)], "time"), None, None, grid).own.size
    10
    """
    snapshots = snapshots[list(distance.compared(snapshots))].astype("float64")
    mean = snapshots.mean("time", skipna=False, keep_attrs=True)
    if spread is None:
        spread = distance.horizontal_spread(mean, grid), "control's own variation along each level"
    measure, unit = spread
    way = (np.zeros(0), np.zeros(0))
    if spinup is not None and spinup.sizes["time"] and "year" in spinup:
        way = (spinup["year"].values, distance.distance(spinup, mean, measure, grid)["distance"].values)
    enough = snapshots.sizes["time"] >= LEAST_SNAPSHOTS
    own = distance.own_distances(snapshots, measure, grid) if enough else np.zeros(0)
    return Target(mean, measure, unit + distance.say_spread(measure), own, way, averaged_days)


def compare(
    names: Sequence[str],
    folders: Sequence[Path],
    statuses: Sequence[Mapping[str, Any]],
    target: Target | None,
    grid: Grid,
) -> xr.Dataset:
    """Gather the runs of several starts.

    Parameters
    ----------
    names : name of each start; ``control`` and ``rest`` are what the others are compared with.
    folders : folder of each run, with ``series.nc`` and ``states.nc`` unless it blew up.
    statuses : of each run: ``state``, and of one that did not finish ``blow_ups`` or a ``reason``.
    target, grid : the equilibrium; None leaves distances out, and the mesh.

    Returns
    -------
    Dims ``start`` and ``time`` (series, coordinates ``day`` and ``year``), ``snapshot`` (distances, coordinate
    ``snapshot_year``), ``depth`` (distances in K and 1e-3) and ``level`` (distances to arrive at); per start: shocks, drifts,
    years to equilibrium, years saved, whether it finished, and if not why. What may be a bound has ``_bound`` beside it
    (``=``, ``>``, ``<``, or empty where nothing is known), and a ``_note``.

    Examples
    --------
    >>> found = compare(["rest"], [Path("nowhere")], [{"reason": "killed"}], None, ws.basin()[1])
    >>> found.end_reason.item(), summarise(found).note[0]
    ('killed', 'killed')
    """
    start = ("start", np.array(names, dtype=object), {"long_name": "how the run started"})
    ds = _with_series(xr.Dataset(coords={"start": start}), folders)
    written = np.zeros((0, 0), bool)
    if target is not None:
        ds, written = _with_distances(ds, folders, target, grid)
    blown = [_blow_up_day(status) for status in statuses]
    wall = [float(status.get("wall_seconds", np.nan)) for status in statuses]
    ended = [_why_ended(status) for status in statuses]
    finished = np.array([not why for why in ended], "int8")
    ds = ds.assign(
        finished=("start", finished, {"units": "1", "long_name": "whether the run reached its end"}),
        end_reason=("start", np.array(ended, dtype=object), {"long_name": "why it did not"}),
        blow_up_day=("start", blown, {"units": "d", "long_name": "day at which the run blew up for good"}),
        wall_seconds=("start", wall, {"units": "s", "long_name": "wall time of the run"}),
    )
    if target is not None:
        ds = _with_spinup(_with_arrivals(ds, written, target), target)
    return _with_drifts(_with_shocks(ds))


def _why_ended(status: Mapping[str, Any]) -> str:
    """Why a run did not reach its end; nothing if it did."""
    if status.get("state") == "finished":
        return ""
    reason = str(status.get("reason") or "")
    if not status.get("blow_ups"):
        return reason or str(status.get("message") or "the run did not reach its end and left no word why")
    if not reason:
        return f"blew up by day {_blow_up_day(status):g}, also with smaller time steps"
    return f"blew up by day {_blow_up_day(status):g}: {reason}"


def _blow_up_day(status: Mapping[str, Any]) -> float:
    """Day of the last blow-up of a run that failed; NaN for one that recovered."""
    blow_ups = status.get("blow_ups") or []
    failed = status.get("state") != "finished" and blow_ups
    return float(blow_ups[-1]["year"]) * YEAR if failed else float("nan")


def _with_series(ds: xr.Dataset, folders: Sequence[Path]) -> xr.Dataset:
    """Add the series of all runs on the union of their days."""
    parts = [_read(folder / "series.nc") for folder in folders]
    day, columns = _union(parts)
    coords = {
        "day": ("time", day, {"units": "d", "long_name": "days since the start"}),
        "year": ("time", day / YEAR, {"units": "1", "long_name": "model years of 360 days since the start"}),
    }
    return ds.assign_coords(coords).assign(
        {name: (("start", "time", *dims), values, attrs) for name, (dims, values, attrs) in columns.items()}
    )


def _with_distances(
    ds: xr.Dataset, folders: Sequence[Path], target: Target, grid: Grid
) -> tuple[xr.Dataset, np.ndarray]:
    """Add the distance of every snapshot to the equilibrium; say too which of them each start wrote."""

    def measure(states: xr.Dataset) -> xr.Dataset:
        found = distance.distance(states, target.mean, target.spread, grid)
        found = found.assign(distance.differences(states, target.mean, grid).data_vars)
        about = {"units": "d", "long_name": "length of the mean that the state is; 0 for an instant"}
        averaged = states["averaged_days"].values if "averaged_days" in states.coords else 0.0
        found = found.drop_vars("averaged_days", errors="ignore")
        found["averaged_days"] = ("time", np.broadcast_to(averaged, states.sizes["time"]), about)
        return found.assign_coords(year=("time", states["year"].values))

    parts = [_read(folder / "states.nc", measure) for folder in folders]
    day, columns = _union(parts)
    attrs = {"units": "1", "long_name": "model years of 360 days since the start"}
    about = {"long_name": "range of depth"}
    ds = ds.assign_coords(
        snapshot_year=("snapshot", day / YEAR, attrs),
        depth=("depth", np.array(list(distance.DEPTHS), dtype=object), about),
    )
    ds = ds.assign({name: (("start", "snapshot", *dims), v, a) for name, (dims, v, a) in columns.items()})
    written = np.array([np.isin(day, part["day"].values if part is not None else []) for part in parts])
    return ds.assign_attrs(
        distance_unit=target.unit,
        distance_averaged_days=target.averaged_days,
        distance_threshold=distance.threshold(target.own),
        distance_threshold_pairs=int(target.own.size),
    ), written


def _read(path: Path, reduce: Callable[[xr.Dataset], xr.Dataset] | None = None) -> xr.Dataset | None:
    """Variables along time of one run, with the coordinate ``day``; None if the run wrote nothing."""
    if not path.exists():
        return None
    with files.open_dataset(path) as ds:
        part = (reduce(ds) if reduce else ds).load()
        keep = [name for name in part.data_vars if part[name].dims in (("time",), ("time", "depth"))]
        return part[keep].assign_coords(day=("time", np.round((part["year"] * YEAR).values, 6)))


Column = tuple[tuple[str, ...], np.ndarray, dict[str, Any]]


def _union(parts: Sequence[xr.Dataset | None]) -> tuple[np.ndarray, dict[str, Column]]:
    """All days, and each variable on them with further dims and attributes: ``(part, day, ...)``, NaN where a part has none."""
    present = [part for part in parts if part is not None]
    days = np.unique(np.concatenate([part["day"].values for part in present])) if present else np.zeros(0)
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(str(name) for part in present for name in part.data_vars):
        like = next(part[name] for part in present if name in part)
        values = np.full((len(parts), days.size, *like.shape[1:]), np.nan)
        for row, part in zip(values, parts, strict=True):
            if part is not None and name in part:
                row[np.searchsorted(days, part["day"].values)] = part[name].values
        columns[name] = tuple(str(d) for d in like.dims[1:]), values, dict(like.attrs)
    return days, columns


def _with_arrivals(ds: xr.Dataset, written: np.ndarray, target: Target) -> xr.Dataset:
    """Add years to the equilibrium and to several distances, and years saved, of each start by the snapshots that it wrote."""
    threshold = float(ds.attrs["distance_threshold"])
    ds = ds.assign_coords(level=("level", list(LEVELS), {"units": "1", "long_name": "distance to arrive at"}))
    needed = {level: _years_needed(ds, written, level) for level in (threshold, *LEVELS)}
    saved = {level: _saved(ds, needed[level], level, target) for level in needed}
    to = "years after which the distance to the equilibrium stays within"
    of = "years saved against a start from rest"
    ds = _assign(ds, "years_to_equilibrium", needed[threshold], f"{to} the equilibrium's own")
    ds = _assign(ds, "years_saved", saved[threshold], of)
    for name, tables, label in (
        ("years_to_distance", needed, f"{to} a level"),
        ("years_saved_at_distance", saved, f"{of}, to a distance"),
    ):
        flat = [tables[level][i] for i in range(ds.sizes["start"]) for level in LEVELS]
        ds = _assign(ds, name, flat, label, ("start", "level"))
    return ds


def _assign(
    ds: xr.Dataset, name: str, years: Sequence[arrival.Years], label: str, dims: tuple[str, ...] = ("start",)
) -> xr.Dataset:
    """Add a number of years with its bound and its note."""
    shape = tuple(ds.sizes[d] for d in dims)
    values = np.reshape([y.value for y in years], shape)
    ds = ds.assign({name: (dims, values, {"units": "1", "long_name": label})})
    for part, about in (("bound", "how the value bounds the truth"), ("note", "how to read the value")):
        words = np.array([getattr(y, part) for y in years], dtype=object).reshape(shape)
        ds[f"{name}_{part}"] = (dims, words, {"long_name": f"{about} of {name}"})
    return ds


def _years_needed(ds: xr.Dataset, written: np.ndarray, level: float) -> list[arrival.Years]:
    """When each start arrives at a distance; a run that did not finish did not stay anywhere."""
    year = ds["snapshot_year"].values
    comparable = (year == 0) | (year > EARLY_DAYS / YEAR)
    out = []
    for distances, own, why in zip(ds["distance"].values, written, ds["end_reason"].values, strict=True):
        mine = own & comparable
        if why:
            out.append(arrival.Years(note=f"not judged: {why}"))
        elif not np.isfinite(level):
            few = f"fewer than {LEAST_SNAPSHOTS} states of the equilibrium do not show its own variability"
            out.append(arrival.Years(note=f"not judged: {few}"))
        else:
            out.append(arrival.years_until(year[mine], distances[mine], level))
    return out


def _saved(
    ds: xr.Dataset, needed: Sequence[arrival.Years], level: float, target: Target
) -> list[arrival.Years]:
    """Years saved by each start; those that are compared with have no such number."""
    names = [str(name) for name in ds["start"].values]
    rest = needed[names.index(REST)] if REST in names else None
    bounds = arrival.years_from_rest(level, rest, target.spinup)
    out = []
    unjudged = {
        CONTROL: "the control is the equilibrium that the others head for",
        REST: "the start from rest is what the others are compared with",
    }
    for name, years in zip(names, needed, strict=True):
        why = unjudged.get(name)
        out.append(arrival.Years(note=f"not judged: {why}") if why else arrival.years_saved(years, *bounds))
    return out


def _with_spinup(ds: xr.Dataset, target: Target) -> xr.Dataset:
    """Add how many years of the control's own spin-up each start was worth at its end."""
    passed = []
    for name, row, why in zip(*(ds[n].values for n in ("start", "distance", "end_reason")), strict=True):
        known = row[np.isfinite(row)]
        unjudged = "the spin-up is the control's own" if name == CONTROL else why
        if unjudged:
            passed.append(arrival.Years(note=f"not judged: {unjudged}"))
        else:
            passed.append(arrival.spinup_passed(float(known[-1]) if known.size else np.nan, target.spinup))
    label = "last year at which the control's own spin-up was farther from the equilibrium than this start at its end"
    return _assign(ds, "spinup_years_passed", passed, label)


def _with_shocks(ds: xr.Dataset) -> xr.Dataset:
    """Add the largest deviations from the control in the first 30 days."""
    if CONTROL not in ds["start"].values:
        return ds
    for metric, name in SHOCKS.items():
        if name in ds:
            control = ds[name].sel(start=CONTROL).values
            values = [adjustment.shock(ds["day"].values, row, control) for row in ds[name].values]
            label = f"largest deviation of {name} from the control in 30 days, relative to the control"
            ds[metric] = ("start", values, {"units": "1", "long_name": label})
    return ds


def _with_drifts(ds: xr.Dataset) -> xr.Dataset:
    """Add the trends of the last ten years, without the first of a run, their standard errors and notes."""
    for metric, name in DRIFTS.items():
        if name not in ds:
            continue
        fits = [
            adjustment.Drift(np.nan, np.nan, 0.0, f"not judged: {why}")
            if why
            else adjustment.drift(ds["year"].values, row)
            for row, why in zip(ds[name].values, ds["end_reason"].values, strict=True)
        ]
        given = ds[name].attrs.get("units", "")
        units = f"{'K' if given == 'degC' else given}/century"
        label = f"trend of {name} over the last {adjustment.DRIFT_YEARS:g} years, the first year left out"
        notes = np.array([fit.note for fit in fits], dtype=object)
        for add, values, about in (
            ("", [fit.slope for fit in fits], {"units": units, "long_name": label}),
            (
                "_error",
                [fit.error for fit in fits],
                {"units": units, "long_name": f"standard error of the {label}"},
            ),
            ("_note", notes, {"long_name": f"how to read the value of {metric}"}),
        ):
            ds[metric + add] = ("start", values, about)
    return ds


def summarise(ds: xr.Dataset) -> pd.DataFrame:
    """Tabulate what :func:`compare` found.

    Returns
    -------
    Columns start, metric, value, bound, unit, note; one row a start and metric. ``bound`` is ``=`` where the value is the
    number itself, ``>`` or ``<`` where it bounds it, and empty where there is none: the value is then NaN and its note says
    why.
    """
    import pandas as pd

    names = [str(name) for name in ds["start"].values]
    rows = [{"start": name, **row} for name in names for row in _rows(ds.sel(start=name), ds)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """Lay the table of :func:`summarise` out to be read: a row a metric, a column a start, bounds before their numbers.

    Returns
    -------
    Columns metric, one a start, and unit; a value that does not exist is an empty text.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame([("rest", "years_to_0.5", 20.0, ">", "years", "")], columns=list(COLUMNS))
    >>> overview(table).values.tolist()
    [['years_to_0.5', '> 20', 'years']]
    """
    texts = table.assign(text=[said(v, b) for v, b in zip(table["value"], table["bound"], strict=True)])
    wide = texts.pivot(index="metric", columns="start", values="text")
    order, starts = table["metric"].unique(), table["start"].unique()
    unit = table.drop_duplicates("metric").set_index("metric")["unit"]
    return wide.loc[order, starts].fillna("").assign(unit=unit).reset_index().rename_axis(columns=None)


def remarks(table: pd.DataFrame) -> list[str]:
    """Say why values of the table of :func:`summarise` do not exist, and which runs did not finish: a line for each reason.

    Examples
    --------
    >>> import pandas as pd
    >>> row = ("rest", "drift_thetao_deep", float("nan"), "", "K/century", "not judged: the record is too short")
    >>> remarks(pd.DataFrame([row], columns=list(COLUMNS)))
    ['drift_thetao_deep of rest: not judged: the record is too short']
    """
    cut = (table["metric"] == "finished") & (table["value"] == 0)
    told = table[(table["bound"] == "") | cut]
    return [
        f"{', '.join(group['metric'].unique())} of {', '.join(group['start'].unique())}: {note!s}"
        for note, group in told.groupby("note", sort=False)
        if note
    ]


def said(value: float, bound: str) -> str:
    """Write a value in four digits, after ``>`` or ``<`` where that is its bound; nothing for what is no number.

    Examples
    --------
    >>> said(20.0, ">"), said(1.5, "="), said(float("nan"), "")
    ('> 20', '1.5', '')
    """
    if not np.isfinite(value):
        return ""
    return f"{bound} {value:.4g}" if bound in (">", "<") else f"{value:.4g}"


NO_CONTROL = "not judged: no control was given"


def _rows(one: xr.Dataset, ds: xr.Dataset) -> list[dict[str, Any]]:
    """The metrics of one start."""
    why = str(one["end_reason"].item())
    rows = [_row("finished", float(one["finished"]), "1", why)]
    controlled = CONTROL in ds["start"].values
    rows += [_shock_row(one, metric, controlled, why) for metric in SHOCKS]
    for metric, series in DRIFTS.items():
        if metric in one:
            error, note = float(one[f"{metric}_error"]), str(one[f"{metric}_note"].item())
            note = f"± {error:.2g}, {note}" if np.isfinite(error) else note
            rows.append(_row(metric, float(one[metric]), one[metric].attrs["units"], note))
        else:
            rows.append(_row(metric, float("nan"), "1", f"not judged: the runs hold no {series}"))
    if "distance" in one:
        rows += [*_distance_rows(one, ds, why), *_years_rows(one)]
    else:
        rows += [_row(m, float("nan"), unit, NO_CONTROL) for m, unit in _DISTANCES]
    wall = float(one["wall_seconds"])
    unknown = "" if np.isfinite(wall) else "not known: the run was finished before"
    return [*rows, _row("wall_time", wall, "s", unknown)]


_DISTANCES = (
    ("distance_initial", "1"),
    ("distance_final", "1"),
    *((f"distance_thetao_final, {depth}", "K") for depth in distance.DEPTHS),
    *((f"distance_so_final, {depth}", "1e-3") for depth in distance.DEPTHS),
    ("years_to_equilibrium", "years"),
    ("years_saved", "years"),
    *((f"years_to_{level:g}", "years") for level in LEVELS),
    *((f"years_saved_at_{level:g}", "years") for level in LEVELS),
    ("spinup_years_passed", "years"),
)


def _shock_row(one: xr.Dataset, metric: str, controlled: bool, why: str) -> dict[str, Any]:
    value = float(one[metric]) if metric in one else float("nan")
    note = "largest relative deviation from the control in 30 days"
    if not controlled:
        note = NO_CONTROL
    elif metric not in one:
        note = f"not judged: the runs hold no {SHOCKS[metric]}"
    elif str(one["start"].item()) == CONTROL:
        note = "the control itself"
    elif not np.isfinite(value):
        note = "not judged: no record of both this start and the control in the first 30 days"
        note += f"; {why}" if why else ""
    return _row(metric, value, "1", note)


def _distance_rows(one: xr.Dataset, ds: xr.Dataset, why: str) -> list[dict[str, Any]]:
    """The first and the last distance, labelled with their own years; the last in physical units by depth too."""
    known = one.isel(snapshot=np.flatnonzero(np.isfinite(one["distance"].values)))
    if not known.sizes["snapshot"]:
        note = f"not judged: {why or 'no state of this run has a distance'}"
        distances = [(m, unit) for m, unit in _DISTANCES if m.startswith("distance")]
        return [_row(m, float("nan"), unit, note) for m, unit in distances]
    rows = []
    for metric, index in (("distance_initial", 0), ("distance_final", -1)):
        at = f"{_when(known, index, ds)}; in units of the {ds.attrs['distance_unit']}"
        rows.append(_row(metric, float(known["distance"][index]), "1", at))
    at = f"{_when(known, -1, ds)}; root-mean-square difference to the equilibrium"
    for variable, label, unit in _in_units(one):
        if variable not in known:
            gone = f"not judged: the state has no {label.split('_')[1]}"
            rows += [_row(f"{label}, {depth}", float("nan"), unit, gone) for depth in distance.DEPTHS]
            continue
        for depth in known["depth"].values:
            value = known[variable].sel(depth=depth)[-1]
            note = at if np.isfinite(value) else "not judged: the mesh has no water there"
            rows.append(_row(f"{label}, {depth}", float(value), value.attrs["units"], note))
    return rows


def _in_units(one: xr.Dataset) -> list[tuple[str, str, str]]:
    """Variable, label and unit of each difference in physical units: of temperature, salinity, and what else is compared."""
    usual = [(name, f"distance_{n}_final", unit) for n, (name, unit) in distance.IN_UNITS.items()]
    ours = {"distance"} | {name for name, _, _ in usual}
    others = [
        (str(n), f"{n}_final", str(da.attrs["units"]))
        for n, da in one.data_vars.items()
        if "depth" in da.dims and str(n).startswith("distance_") and n not in ours
    ]
    return usual + others


def _when(known: xr.Dataset, index: int, ds: xr.Dataset) -> str:
    """The year of a state; that it is a mean, and that the equilibrium is of another kind, where it is so."""
    days, other = float(known["averaged_days"][index]), float(ds.attrs["distance_averaged_days"])
    text = f"year {float(known['snapshot_year'][index]):.4g}" + (f", mean over {days:g} days" if days else "")
    if abs(days - other) > 1.0:
        text += f", the equilibrium is of {f'means over {other:g} days' if other else 'instants'}"
    return text


def _years_rows(one: xr.Dataset) -> list[dict[str, Any]]:
    """Years needed and saved, with their bounds."""
    rows = [_years(one, "years_to_equilibrium"), _years(one, "years_saved")]
    for name, label in (("years_to_distance", "years_to"), ("years_saved_at_distance", "years_saved_at")):
        for level in LEVELS:
            rows.append(_years(one.sel(level=level), name) | {"metric": f"{label}_{level:g}"})
    return [*rows, _years(one, "spinup_years_passed")]


def _years(one: xr.Dataset, name: str) -> dict[str, Any]:
    bound, note = (str(one[f"{name}_{part}"].item()) for part in ("bound", "note"))
    return _row(name, float(one[name]), "years", note) | {"bound": bound}


def _row(metric: str, value: float, unit: str, note: str) -> dict[str, Any]:
    bound = "=" if np.isfinite(value) else ""
    return {"metric": metric, "value": value, "bound": bound, "unit": unit, "note": note}
