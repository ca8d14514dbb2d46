"""From finished runs of several starts to one Dataset and one table: what a verification found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from warmstart import equilibrium, files
from warmstart.engine.base import YEAR

if TYPE_CHECKING:
    import pandas as pd

    from warmstart.grid import Grid

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
}


@dataclass(frozen=True)
class Target:
    """The equilibrium that starts are compared with.

    Attributes
    ----------
    mean : time mean of its snapshots, ``thetao`` and ``so``, dims ``(z, y, x)``.
    spread : what a distance is measured in, dims ``(z,)``.
    unit : where `spread` comes from, for readers.
    own : distances of its snapshots, each from the mean of the others [1].
    spinup : years and distances of the snapshots on the way there; empty arrays if there are none.
    of_run : whether its snapshots are those of the run called ``control`` itself.
    """

    mean: xr.Dataset
    spread: xr.Dataset
    unit: str
    own: np.ndarray
    spinup: tuple[np.ndarray, np.ndarray]
    of_run: bool = False


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
    statuses : content of each ``status.yaml``.
    target : the equilibrium; None leaves distances out.
    grid : the mesh.

    Returns
    -------
    Dims ``start`` and ``time`` (series, coordinates ``day`` and ``year``), ``snapshot`` (distances, coordinate
    ``snapshot_year``); per start: shocks, drifts, years to equilibrium, years saved, whether and when it blew up.

    Examples
    --------
    >>> compare(["rest"], [Path("runs/rest")], [{"state": "finished"}], None, grid)  # doctest: +SKIP
    """
    ds = xr.Dataset(
        coords={"start": ("start", np.array(names, dtype=object), {"long_name": "how the run started"})}
    )
    ds = _with_series(ds, folders)
    if target is not None:
        ds, written = _with_distances(ds, folders, target, grid)
    blown = [_blow_up_day(status) for status in statuses]
    wall = [float(status.get("wall_seconds", np.nan)) for status in statuses]
    finished = [status.get("state") == "finished" for status in statuses]
    ds = ds.assign(
        finished=(
            "start",
            np.array(finished, "int8"),
            {"units": "1", "long_name": "whether the run reached its end"},
        ),
        blow_up_day=("start", blown, {"units": "d", "long_name": "day at which the run blew up for good"}),
        wall_seconds=("start", wall, {"units": "s", "long_name": "wall time of the run"}),
    )
    if target is not None:
        ds = _with_spinup(_with_arrivals(ds, written), target)
    return _with_drifts(_with_shocks(ds))


def _blow_up_day(status: Mapping[str, Any]) -> float:
    """Day of the last blow-up of a run that failed; NaN for one that recovered."""
    blow_ups = status.get("blow_ups") or []
    failed = status.get("state") != "finished" and blow_ups
    return float(blow_ups[-1]["year"]) * YEAR if failed else float("nan")


def _with_series(ds: xr.Dataset, folders: Sequence[Path]) -> xr.Dataset:
    """Add the series of all runs on the union of their days."""
    parts = [_read(folder / "series.nc", lambda part: part["year"] * YEAR) for folder in folders]
    day, columns = _union(parts)
    coords = {
        "day": ("time", day, {"units": "d", "long_name": "days since the start"}),
        "year": ("time", day / YEAR, {"units": "1", "long_name": "model years of 360 days since the start"}),
    }
    return ds.assign_coords(coords).assign(
        {name: (("start", "time"), *rest) for name, rest in columns.items()}
    )


def _with_distances(
    ds: xr.Dataset, folders: Sequence[Path], target: Target, grid: Grid
) -> tuple[xr.Dataset, np.ndarray]:
    """Add the distance of every snapshot to the equilibrium; say too which of them each start wrote."""

    def measure(states: xr.Dataset) -> xr.Dataset:
        return equilibrium.distance(states, target.mean, target.spread, grid).assign_coords(
            year=states["year"]
        )

    parts = [_read(folder / "states.nc", lambda part: part["year"] * YEAR, measure) for folder in folders]
    day, columns = _union(parts)
    attrs = {"units": "1", "long_name": "model years of 360 days since the start"}
    ds = ds.assign_coords(snapshot_year=("snapshot", day / YEAR, attrs))
    ds = ds.assign({name: (("start", "snapshot"), *rest) for name, rest in columns.items()})
    written = np.array([np.isin(day, part["day"].values if part is not None else []) for part in parts])
    return ds.assign_attrs(distance_unit=target.unit, **_threshold(ds, target)), written


def _read(
    path: Path,
    day: Callable[[xr.Dataset], xr.DataArray],
    reduce: Callable[[xr.Dataset], xr.Dataset] | None = None,
) -> xr.Dataset | None:
    """Variables along time of one run, with the coordinate ``day``; None if the run wrote nothing."""
    if not path.exists():
        return None
    with files.open_dataset(path) as ds:
        part = (reduce(ds) if reduce else ds).load()
        keep = [name for name in part.data_vars if part[name].dims == ("time",)]
        return part[keep].assign_coords(day=("time", np.round(day(part).values, 6)))


def _union(
    parts: Sequence[xr.Dataset | None],
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, dict[str, Any]]]]:
    """All days, and each variable with its attributes on them, dims ``(part, day)``, NaN where a part has none."""
    present = [part for part in parts if part is not None]
    days = np.unique(np.concatenate([part["day"].values for part in present])) if present else np.zeros(0)
    columns: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    for name in dict.fromkeys(str(name) for part in present for name in part.data_vars):
        values = np.full((len(parts), days.size), np.nan)
        for row, part in zip(values, parts, strict=True):
            if part is not None and name in part:
                row[np.searchsorted(days, part["day"].values)] = part[name].values
        columns[name] = values, next(dict(part[name].attrs) for part in present if name in part)
    return days, columns


def _threshold(ds: xr.Dataset, target: Target) -> dict[str, Any]:
    """Distance within which a state counts as equilibrium, and from how many snapshots it was taken."""
    own = target.own
    if CONTROL in ds["start"].values and not target.of_run:
        run = ds["distance"].sel(start=CONTROL).where(ds["snapshot_year"] >= 1.0, drop=True).values
        own = np.concatenate([own, run[np.isfinite(run)]])
    return {"distance_threshold": equilibrium.threshold(own), "distance_threshold_snapshots": int(own.size)}


def _with_arrivals(ds: xr.Dataset, written: np.ndarray) -> xr.Dataset:
    """Add years to equilibrium and years saved; of each start only the snapshots that it wrote count."""
    year, threshold = ds["snapshot_year"].values, float(ds.attrs["distance_threshold"])
    arrival = {
        # a start that blew up did not stay anywhere
        str(name): equilibrium.years_to_equilibrium(year[own], distances[own], threshold)
        if finished
        else float("nan")
        for name, distances, own, finished in zip(
            ds["start"].values, ds["distance"].values, written, ds["finished"].values, strict=True
        )
    }
    # a start from rest that blew up bounds nothing
    comparable = REST in arrival and bool(ds["finished"].sel(start=REST))
    length = _length(ds.sel(start=REST)) if comparable else float("nan")
    saved = {
        name: equilibrium.years_saved(value, arrival[REST], length)
        if comparable and name != REST
        else (float("nan"), False)
        for name, value in arrival.items()
    }
    bound = np.array([flag for _, flag in saved.values()], "int8")
    label = "years after which the distance to the equilibrium stays within the threshold"
    return ds.assign(
        years_to_equilibrium=("start", list(arrival.values()), {"units": "1", "long_name": label}),
        years_saved=(
            "start",
            [v for v, _ in saved.values()],
            {"units": "1", "long_name": "years saved against rest"},
        ),
        years_saved_is_lower_bound=(
            "start",
            bound,
            {"units": "1", "long_name": "rest had not arrived at the end"},
        ),
    )


def _length(one: xr.Dataset) -> float:
    """Year of the last distance of a start; 0 without one."""
    known = one["snapshot_year"].values[np.isfinite(one["distance"].values)]
    return float(known[-1]) if known.size else 0.0


def _with_spinup(ds: xr.Dataset, target: Target) -> xr.Dataset:
    """Add how many years of the control's own spin-up each start was worth at its end."""
    last = [row[np.isfinite(row)][-1] if np.isfinite(row).any() else np.nan for row in ds["distance"].values]
    passed = [equilibrium.spinup_passed(float(final), target.spinup) for final in last]
    label = "last year at which the control's own spin-up was farther from the equilibrium than this start at its end"
    return ds.assign(spinup_years_passed=("start", passed, {"units": "1", "long_name": label}))


def _with_shocks(ds: xr.Dataset) -> xr.Dataset:
    """Add the largest deviations from the control in the first 30 days."""
    if CONTROL not in ds["start"].values:
        return ds
    for metric, name in SHOCKS.items():
        if name in ds:
            control = ds[name].sel(start=CONTROL).values
            values = [equilibrium.shock(ds["day"].values, row, control) for row in ds[name].values]
            label = f"largest deviation of {name} from the control in 30 days, relative to the control"
            ds[metric] = ("start", values, {"units": "1", "long_name": label})
    return ds


def _with_drifts(ds: xr.Dataset) -> xr.Dataset:
    """Add the trends of the last ten years, without the first of a run, and their standard errors."""
    for metric, name in DRIFTS.items():
        if name in ds:
            fits = np.array([equilibrium.drift(ds["year"].values, row) for row in ds[name].values])
            units = {"degC": "K/century"}.get(
                ds[name].attrs.get("units", ""), f"{ds[name].attrs.get('units', '')}/century"
            )
            label = f"trend of {name} over the last {np.nanmax(fits[:, 2], initial=0.0):g} years"
            ds[metric] = ("start", fits[:, 0], {"units": units, "long_name": label})
            ds[f"{metric}_error"] = (
                "start",
                fits[:, 1],
                {"units": units, "long_name": f"standard error of the {label}"},
            )
    return ds


def summarise(ds: xr.Dataset) -> pd.DataFrame:
    """Tabulate what a verification found.

    Parameters
    ----------
    ds : from :func:`compare`.

    Returns
    -------
    Columns start, metric, value, unit, note; one row a start and metric. A value that does not exist is NaN and its
    note says why; a bound says that it is one.

    Examples
    --------
    >>> summarise(compare(names, folders, statuses, target, grid))  # doctest: +SKIP
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name in (str(n) for n in ds["start"].values):
        one = ds.sel(start=name)
        rows += [{"start": name, **row} for row in _rows(one, ds, name)]
    return pd.DataFrame(rows, columns=["start", "metric", "value", "unit", "note"])


def _rows(one: xr.Dataset, ds: xr.Dataset, name: str) -> list[dict[str, Any]]:
    """The metrics of one start."""
    day = float(one["blow_up_day"])
    ended = "" if int(one["finished"]) else f"blew up by day {day:g}, also with smaller time steps"
    rows = [_row("finished", float(one["finished"]), "1", ended)]
    for metric in (*SHOCKS, *DRIFTS):
        if metric in one:
            note = ended or (
                "the control itself" if name == CONTROL and metric in SHOCKS else _error(one, metric)
            )
            rows.append(_row(metric, float(one[metric]), one[metric].attrs["units"], note))
        else:
            rows.append(_row(metric, float("nan"), "1", "not computed: no control was given"))
    if "distance" not in one:
        missing = "not computed: no control was given"
        return [*rows, *(_row(m, float("nan"), u, missing) for m, u in _DISTANCES), _wall(one)]
    known = one["distance"].dropna("snapshot")
    for metric, index in (("distance_initial", 0), ("distance_final", -1)):
        if known.size:
            at = f"year {float(known['snapshot_year'][index]):g}; in units of the {ds.attrs['distance_unit']}"
            rows.append(_row(metric, float(known[index]), "1", at))
        else:
            rows.append(_row(metric, float("nan"), "1", ended))
    return [*rows, *_arrival_rows(one, ds, name, ended), _spinup_row(one), _wall(one)]


_DISTANCES = (
    ("distance_initial", "1"),
    ("distance_final", "1"),
    ("years_to_equilibrium", "years"),
    ("years_saved", "years"),
    ("spinup_years_passed", "years"),
)


def _arrival_rows(one: xr.Dataset, ds: xr.Dataset, name: str, ended: str) -> list[dict[str, Any]]:
    """Years to equilibrium and years saved, with the words that a missing or bounding number needs."""
    threshold = float(ds.attrs["distance_threshold"])
    arrival, saved = float(one["years_to_equilibrium"]), float(one["years_saved"])
    within = f"distance within {threshold:.3g}"
    if not np.isfinite(threshold):
        said = saved_said = "not computed: one snapshot of the equilibrium gives no threshold"
    else:
        said = (
            f"{within} from then on"
            if np.isfinite(arrival)
            else ended or f"> {_length(one):g}: the {within} was not kept"
        )
        saved_said = _saved_note(one, ds, name, arrival, saved)
    return [
        _row("years_to_equilibrium", arrival, "years", said),
        _row("years_saved", saved, "years", saved_said),
    ]


def _saved_note(one: xr.Dataset, ds: xr.Dataset, name: str, arrival: float, saved: float) -> str:
    if name == REST:
        return "the start from rest itself"
    if REST not in ds["start"].values:
        return "not computed: there was no start from rest"
    if not int(ds["finished"].sel(start=REST)):
        return "not computed: the start from rest blew up"
    if not np.isfinite(arrival):
        return "not computed: this start did not arrive itself"
    if not int(one["years_saved_is_lower_bound"]):
        return "against the start from rest"
    length = _length(ds.sel(start=REST))
    return f"> {saved:g}: a lower bound, the start from rest had not arrived after {length:g} years"


def _spinup_row(one: xr.Dataset) -> dict[str, Any]:
    """Years of spin-up passed; a lower bound because nobody kept the states between the snapshots."""
    passed = float(one["spinup_years_passed"])
    note = f">= {passed:g}: the control's own spin-up was still farther from the equilibrium in that year"
    if not np.isfinite(passed):
        note = "not computed: no distance, or the control holds no snapshots of its spin-up"
    elif passed == 0:
        note = "no snapshot of the control's own spin-up was farther from the equilibrium"
    return _row("spinup_years_passed", passed, "years", note)


def _error(one: xr.Dataset, metric: str) -> str:
    """Standard error and span of a drift; nothing for other metrics."""
    if f"{metric}_error" not in one:
        if not np.isfinite(float(one[metric])):
            return "not computed: no record of both this start and the control in the first 30 days"
        return "largest relative deviation from the control in 30 days"
    if not np.isfinite(float(one[metric])):
        return "not computed: fewer than three rows in the last ten years, the first year of the run left out"
    return f"± {float(one[f'{metric}_error']):.2g}, {one[metric].attrs['long_name']}"


def _wall(one: xr.Dataset) -> dict[str, Any]:
    return _row("wall_time", float(one["wall_seconds"]), "s", "")


def _row(metric: str, value: float, unit: str, note: str) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "note": note}
