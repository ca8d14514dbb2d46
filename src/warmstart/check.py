"""``check``: look at the physics of states. One table of metrics, one tidy table of results.

:mod:`warmstart.metrics` lists the metrics, ``thresholds.yaml`` says what is accepted.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import thresholds as rulebook
from warmstart.engine.verdict import SHORTEST_YEARS, WINDOW_YEARS
from warmstart.errors import UserError, require_path
from warmstart.expectation import Expectation, learn
from warmstart.files import open_dataset, provenance
from warmstart.grid import Grid
from warmstart.metric_files import COLUMNS, VERDICTS, outputs, read_metrics, write_metrics, write_published
from warmstart.metrics import ALL, DENSITY, DRIFTS, METRICS, PUBLISHED, SELDOM, Metric, named
from warmstart.outputs import require_free, writes
from warmstart.physics.density import equation_of_state, own_equation
from warmstart.physics.sharing import sharing
from warmstart.sources import Run, runs_of
from warmstart.subject import KNOWN, Mesh, Source, Subject, name_of, normal, read, warn_holes, warn_turned

__all__ = [
    "ALL",
    "COLUMNS",
    "METRICS",
    "PUBLISHED",
    "Metric",
    "check",
    "conclusion",
    "measure_reference",
    "read_metrics",
    "summary",
    "violations",
]

logger = logging.getLogger(__name__)

#: Memory that one batch of samples may take [bytes].
BATCH = 128 * 2**20

#: Each metric for every sample, ``(sample,)``.
Values: TypeAlias = dict[str, xr.DataArray]


@writes(
    folder=False,
    beside=lambda given: outputs(given["output"], given["published"] and given["reference"] is not None)[1:],
)
def check(
    states: Source,
    grid: Mesh | None = None,
    reference: Source | pd.DataFrame | None = None,
    output: str | Path | None = None,
    thresholds: str | Path | Mapping[str, Any] | rulebook.Thresholds | None = None,
    only: Iterable[str] | None = None,
    overwrite: bool = False,
    published: bool = False,
    sections: Mapping[str, tuple[float, float, float, float]] | None = None,
    boxes: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Look at the physics of states: metrics, and verdicts against a reference.

    Parameters
    ----------
    states : states file, ``states.zarr``, restart or output of NEMO, folder of a run or of runs, several of these, or a Dataset
        ``([sample|time,] z, y, x)``. NaN or 0 on land. Files of several runs, or of other meshes, are rows of their own.
    grid : mesh, its Dataset or a file that carries one; None takes the one in `states`.
    reference : what is normal: ``states.zarr`` or a states file (its training split and its equilibrium snapshots, where
        it says which they are), or the metrics of an earlier call, as table or CSV. None judges only what needs none.
    output : file to write: NetCDF if it ends in ``.nc``, else CSV; None writes none.
    thresholds : rules instead of the package's ``thresholds.yaml``, as file or mapping of the same form.
    only : names of the metrics to compute; None takes all of :data:`METRICS`, and the drift of a run.
    overwrite : whether an existing `output` may be replaced.
    published : compute :data:`PUBLISHED` instead, the definitions of nemo-spinup-evaluation and DINO-Fusion; a CSV then
        has the columns and the format of nemo-spinup-evaluation.
    sections : further metrics, ``section_NAME``: the volume transport across the broken line of faces between two places, as longitude and
        latitude of its start and of its end; see :mod:`warmstart.physics.section`.
    boxes : further metrics, ``box_NAME_thetao`` and ``box_NAME_so``: means over a box, ``lon``, ``lat`` and ``depth``, each a pair.

    Returns
    -------
    Table with the columns :data:`COLUMNS`, one row a run, sample and metric. Where the reference and the states carry parameters,
    ``expected`` and ``standard_deviation`` are what the reference expects for those of the state, else mean and standard
    deviation of the reference; ``departure`` is the difference in standard deviations. ``reference_low`` and ``reference_high`` are
    the limits of PASS, NaN where that side is open. WARN lies outside of them, FAIL beyond the outer ones or outside by a hard
    rule; ``not judged`` has nothing to compare with, or no value, and ``note`` says why. ``table.attrs`` holds provenance,
    ``parameters`` and ``member`` of the states, and ``skipped``, the metrics that cannot be computed and why.

    Raises
    ------
    UserError
        If a file is missing or unreadable, the reference is on another grid, a metric or key is unknown, units are
        others than those of the variables table, or the output exists.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> table = check(state, grid, only=["mask_violations", "inversions"])
    >>> list(table.verdict)
    ['PASS', 'PASS']
    """
    rules = _rules(thresholds, sections, boxes)
    known = ALL | named(rules.sections, rules.boxes)
    chosen = PUBLISHED if published else {n: m for n, m in known.items() if n not in PUBLISHED}
    names = [*chosen, *([] if published else DRIFTS)]
    if only is not None:
        names = list(dict.fromkeys([only] if isinstance(only, str) else only))
    rulebook.require_known(names, [*known, *DRIFTS])
    runs = runs_of(states, grid)
    if published and len(runs) > 1:
        raise UserError(
            f"published metrics are of one run; {name_of(states)} holds {len(runs)}: give one at a time"
        )
    looked = _Looked(rules, known, names, reference, published, strict=only is not None)
    tables, failures = [], {}
    for run in runs:
        try:
            tables.append(looked.at(run))
        except UserError as error:
            if len(runs) == 1:
                raise
            failures[run.name] = str(error)
            logger.warning("%s left out: %s", run.name, error)
    if not tables:
        raise UserError(
            "no run could be looked at: " + "; ".join(f"{n}: {why}" for n, why in failures.items())
        )
    table = pd.concat(tables, ignore_index=True)
    table.attrs |= provenance(config=rules.model_dump(mode="json"))
    table.attrs |= {
        "states": name_of(states)
        if isinstance(states, xr.Dataset) or len(tables) > 1
        else looked.subject.name
    }
    table.attrs |= {"reference": name_of(reference)}
    for name in ("grid", "parameters", "member"):
        if all(name in t.attrs for t in tables) and len(tables) == 1:
            table.attrs[name] = tables[0].attrs[name]
    skipped = {f"{r}: {n}" if r else n: why for t in tables for r, n, why in t.attrs["skipped"]}
    table.attrs["skipped"] = skipped | failures
    if output is None:
        return table
    if published and Path(output).suffix != ".nc":
        subject, accepted, times = looked.subject, looked.reference_table, looked.reference_times
        header, restart = _header(subject, grid)
        write_published(table, Path(output), subject.times, header, accepted, times, restart, overwrite)
    else:
        write_metrics(table, Path(output), overwrite)
    return table


def _rules(
    thresholds: str | Path | Mapping[str, Any] | rulebook.Thresholds | None,
    sections: Mapping[str, tuple[float, float, float, float]] | None,
    boxes: Mapping[str, Mapping[str, Any]] | None,
) -> rulebook.Thresholds:
    """The rules, with the sections and boxes that were handed over."""
    rules = rulebook.load(thresholds, [*ALL, *DRIFTS])
    if not sections and not boxes:
        return rules
    further = rulebook.build(
        rulebook.Thresholds,
        {"sections": dict(sections or {}), "boxes": dict(boxes or {})},
        "sections and boxes",
    )
    return rules.model_copy(
        update={"sections": rules.sections | further.sections, "boxes": rules.boxes | further.boxes}
    )


class _Looked:
    """What is looked at, and what it is compared with; the reference is opened once."""

    def __init__(
        self, rules: rulebook.Thresholds, known: Mapping[str, Metric], names: list[str],
        reference: Source | pd.DataFrame | None, published: bool, strict: bool,
    ) -> None:  # fmt: skip
        self.rules, self.known, self.names, self.strict = rules, known, names, strict
        self.reference, self.published = reference, published
        self.reference_table: pd.DataFrame | None = None
        self.reference_times: list[str] | None = None
        self.against: Against | None = None
        self.grid = ""
        self.subject: Subject

    def at(self, run: Run) -> pd.DataFrame:
        """The rows of one run."""
        with contextlib.ExitStack() as opened:
            subject = opened.enter_context(contextlib.closing(read(run.source, run.grid)))
            given = {n: v for n, v in run.parameters.items() if n not in subject.states}
            subject = subject._replace(states=subject.states.assign(given))
            self.subject = subject
            usable, skipped = _split_by_needs(self.names, subject, self.known)
            warn_turned(subject.grid)
            values, failed = _measure(subject, usable, self.known, strict=self.strict, said=True)
            values |= {
                name: drift for name, of in DRIFTS.items()
                if name in self.names and subject.along_time and (drift := _drift(subject, values, of)) is not None
            }  # fmt: skip
            holes = _holes(subject, values)
            # the reference may be the same file: it is closed before the states are
            self._compare(subject.grid, usable)
        table = _tabulate(run.name, subject, values, self.rules, self.against, self.names, holes)
        table.attrs = {"skipped": [(run.name, n, why) for n, why in (skipped | failed).items()]}
        table.attrs["grid"] = subject.grid.fingerprint
        if subject.parameters:
            table.attrs["parameters"] = {n: v.tolist() for n, v in subject.parameters.items()}
        if "member" in subject.states:
            size = subject.states.sizes["sample"]
            table.attrs["member"] = np.broadcast_to(subject.states["member"].values, size).tolist()
        return table

    def _compare(self, grid: Grid, names: list[str]) -> None:
        """Open the reference for the mesh of a run."""
        if self.reference is None or self.grid == grid.fingerprint:
            return
        other = _reference(self.reference, grid, self.published)
        if isinstance(other, Subject):
            with contextlib.closing(other):
                self.reference_table = _reference_table(other, names, self.known)
                self.reference_times = other.times
        else:
            self.reference_table = other
        self.against = Against.of(self.reference_table, self.published)
        self.grid = grid.fingerprint


class Against:
    """What the reference says of a metric: its members, and what it expects for parameters."""

    def __init__(self, table: pd.DataFrame, expectation: Expectation | None) -> None:
        self.expectation = expectation
        finite = table[np.isfinite(table["value"])]
        groups = finite.groupby("metric")["value"]
        spread = groups.agg(["min", "max", "mean", "std", "size"])
        self.ranges: dict[str, tuple[float, float, float, float, float]] = {}
        for name, row in zip(spread.index, spread.to_numpy(dtype=float), strict=True):
            low, high, mean, std, size = map(float, row)
            self.ranges[str(name)] = (low, high, mean, std, size)

    @classmethod
    def of(cls, table: pd.DataFrame | None, published: bool) -> Against | None:
        """Learn from the table of a reference."""
        if table is None:
            return None
        return cls(table, None if published else learn(table))

    def expected(self, parameters: Mapping[str, float]) -> tuple[dict[str, tuple[float, float]], str]:
        """What the reference expects for the parameters of a state, and a note; nothing where it cannot say."""
        known = self.expectation
        if known is None:
            return {}, "the reference says nothing of parameters: its spread"
        if lacking := known.lacking(parameters):
            named = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            return {}, f"the state does not say its {named}: spread of the reference"
        beyond = known.beyond(parameters)
        return known.at(parameters), f"outside of the reference's {', '.join(beyond)}" if beyond else ""


def measure_reference(store: Source, output: str | Path, overwrite: bool = False) -> pd.DataFrame:
    """Write what is normal of an ensemble: the metrics of its training members at equilibrium, with their parameters.

    Parameters
    ----------
    store : ``states.zarr``, or anything that `reference` of :func:`check` takes as states.
    output : CSV or NetCDF file, for the `reference` of later calls.
    overwrite : whether an existing `output` may be replaced.

    Returns
    -------
    The table.

    Raises
    ------
    UserError
        As :func:`check`, and if no state is of a training member at equilibrium.

    Examples
    --------
    >>> import tempfile
    >>> from warmstart.files import write_dataset
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = write_dataset(folder / "states.nc", state.expand_dims("sample"), grid)
    >>> measure_reference(folder / "states.nc", folder / "reference.csv").shape[0] > 40
    True
    """
    require_free(output, overwrite, [store], folder=False)
    with contextlib.closing(read(store)) as subject:
        states = subject.states.isel(sample=normal(subject))
        return check(states, subject.grid, output=output, overwrite=overwrite)


def violations(table: pd.DataFrame) -> bool:
    """Whether anything in a table of :func:`check` is FAIL.

    Examples
    --------
    >>> violations(pd.DataFrame({"verdict": ["PASS", "WARN", "not judged"]}))
    False
    """
    return bool((table["verdict"] == "FAIL").any())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Reduce a table of :func:`check` to one row a run and metric.

    Parameters
    ----------
    table : from :func:`check` or :func:`read_metrics`.

    Returns
    -------
    Columns ``run metric mean min max unit expected standard_deviation departure reference_low reference_high verdict hard note
    description``, metrics in the order of the table; the verdict is the worst of all samples, and expectation, departure, limits and note are
    those of the sample that departs most.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> list(summary(check(state, grid, only=["inversions"])).verdict)
    ['PASS']
    """
    groups = table.groupby(["run", "metric"], sort=False)
    result = groups["value"].agg(["mean", "min", "max"])
    rank = table["verdict"].map(VERDICTS.index) * 1e12 + table["departure"].abs().fillna(0.0).clip(upper=1e11)
    worst: pd.DataFrame = table.loc[rank.groupby([table["run"], table["metric"]], sort=False).idxmax()]
    worst = worst.set_index(["run", "metric"])
    for name in COLUMNS[COLUMNS.index("unit") :]:
        result[name] = worst[name]
    return result.reset_index()


def conclusion(table: pd.DataFrame) -> str:
    """Sum a table up in one line: verdicts by number, and the largest departure.

    Parameters
    ----------
    table : from :func:`check` or :func:`read_metrics`.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> conclusion(check(*basin(nx=6, ny=8, nz=4), only=["inversions", "heat_content"]))
    '2 metrics: 1 pass, 0 warn, 0 fail, 1 not judged'
    """
    rows = summary(table)
    count = rows["verdict"].value_counts()
    said = ", ".join(f"{int(count.get(v, 0))} {v.lower()}" for v in (*VERDICTS[1:], VERDICTS[0]))
    runs = rows["run"].nunique()
    line = f"{rows['metric'].nunique()} metrics{f' of {runs} runs' if runs > 1 else ''}: {said}"
    judged = rows[rows["verdict"] != VERDICTS[0]].dropna(subset=["departure"])
    if judged.empty:
        return line
    far = judged.iloc[int(judged["departure"].abs().to_numpy().argmax())]
    where = f" of {far['run']}" if runs > 1 else ""
    return (
        f"{line}; the largest departure: {far['metric']}{where}, {far['departure']:+.1f} standard deviations"
    )


def _split_by_needs(
    names: list[str], subject: Subject, known: Mapping[str, Metric]
) -> tuple[list[str], dict[str, str]]:
    """Metrics that the states have the variables for, and what each of the others lacks; refuses to do none."""
    ds = subject.states
    # a drift is of a metric that must be there
    names = list(dict.fromkeys(DRIFTS.get(name, name) for name in names))
    lacks = {name: [n for n in known[name].needs if n not in ds] for name in names}
    skipped = {name: "needs " + ", ".join(missing) for name, missing in lacks.items() if missing}
    said = [name for name in skipped if not set(lacks[name]) <= set(SELDOM)]
    if said:
        logger.warning("skipped: %s", "; ".join(f"{name} ({skipped[name]})" for name in said))
    usable = [name for name in names if name not in skipped]
    if not usable:
        lacking = "; ".join(f"{name} {why}" for name, why in skipped.items()) or "name a metric"
        raise UserError(f"{subject.name} lacks what is asked for: {lacking}")
    return usable, skipped


def _measure(
    subject: Subject, names: list[str], known: Mapping[str, Metric], strict: bool = False, said: bool = False
) -> tuple[Values, dict[str, str]]:
    """Every metric for every sample, a batch of samples in memory at a time; why the others cannot be computed."""
    ds, grid = subject.states, subject.grid
    variables = [name for name in KNOWN if name in ds]
    count = ds.sizes["sample"]
    unknown = _unknown_equation(subject)
    size = max(1, int(BATCH // max(ds[variables].nbytes / max(count, 1), 1)))
    parts: dict[str, list[xr.DataArray]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for start in range(0, count, size):
        batch = ds[variables].isel(sample=slice(start, start + size)).load().astype("float64")
        if said:
            warn_holes(batch, grid, start)
        with sharing():
            for name in (n for n in names if n not in failed):
                try:
                    found = known[name].function(batch, grid)
                    parts[name].append(
                        found.assign_attrs(comment=unknown) if unknown and name in DENSITY else found
                    )
                except UserError as error:
                    if strict:
                        raise
                    failed[name] = str(error)
    for name, why in failed.items():
        logger.warning("skipped: %s (%s)", name, why)
    done = {name: part for name, part in parts.items() if name not in failed}
    return {n: xr.concat(p, "sample", combine_attrs="override") for n, p in done.items()}, failed


def _unknown_equation(subject: Subject) -> str:
    """Why densities of these states mean little; empty where their equation of state is known."""
    own = own_equation(subject.states, subject.grid)
    if own is None:
        return (
            "equation of state unknown (no namelist beside the files says it): the value is by that of DINO"
        )
    try:
        equation_of_state(own)
    except UserError as error:
        return str(error)
    return ""


def _drift(subject: Subject, values: Values, of: str) -> xr.DataArray | None:
    """Trend of a metric along a run per century, of its last state; NaN with the reason where the run is too short."""
    if of not in values or "year" not in subject.states:
        return None
    years = np.asarray(np.broadcast_to(subject.states["year"].values, subject.states.sizes["sample"]), float)
    units = {"degC": "K"}.get(values[of].attrs["units"], values[of].attrs["units"]) + " century-1"
    attrs = {
        "units": units,
        "long_name": f"trend of {values[of].attrs['long_name']} over the last {WINDOW_YEARS:g} years",
    }
    trend = np.nan
    if not np.isfinite(years).all() or np.ptp(years) == 0:
        return None
    late = years > years.max() - WINDOW_YEARS
    whole, series = _yearly(years[late], values[of].values[late])
    if len(whole) < 3 or np.ptp(whole) < SHORTEST_YEARS:
        attrs["comment"] = (
            f"{np.ptp(years):.3g} years: a trend over less than {SHORTEST_YEARS:g} years, or 3 of its years, says nothing of equilibrium"
        )
    elif np.isfinite(series).all():
        trend = float(np.polyfit(whole - whole.mean(), series, 1)[0]) * 100.0
    filled = np.full(len(years), np.nan)
    filled[years.argmax()] = trend
    return xr.DataArray(filled, dims="sample", attrs=attrs)


def _yearly(years: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over years where there are several records in one: a season is no trend."""
    order = np.argsort(years)
    years, values = years[order], values[order]
    if len(years) < 2 or np.median(np.diff(years)) > 0.99:
        return years, values
    number = np.floor(years - years[0] + 1e-6).astype(int)
    full = [n for n in np.unique(number) if (number == n).sum() >= 0.9 * np.bincount(number).max()]
    return (
        np.array([years[number == n].mean() for n in full]), np.array([values[number == n].mean() for n in full])
    )  # fmt: skip


def _tabulate(
    run: str,
    subject: Subject,
    values: Values,
    rules: rulebook.Thresholds,
    against: Against | None,
    names: list[str],
    holes: np.ndarray,
) -> pd.DataFrame:
    """The table of results, one row a sample and metric."""
    count, free = subject.states.sizes["sample"], subject.free_surface
    parameters = [{n: float(v[i]) for n, v in subject.parameters.items()} for i in range(count)]
    expected = [({}, "") if against is None else against.expected(p) for p in parameters]
    rows: list[tuple[Any, ...]] = []
    for name in (n for n in names if n in values):
        found = values[name]
        unit, text, comment = found.attrs["units"], found.attrs["long_name"], found.attrs.get("comment", "")
        rule = rules.rule(name, free)
        for i, value in enumerate(found.values.tolist()):
            if name in DRIFTS and np.isnan(value) and i != int(np.argmax(subject.states["year"].values)):
                continue
            known, note = expected[i]
            mean, spread = known.get(name, (np.nan, np.nan))
            range_ = against.ranges.get(name) if against is not None else None
            if rule.compare == "none":
                judged, note = (
                    rulebook.within(value, *rulebook.accepted(rules, name, None, free), rule.hard),
                    "",
                )
            elif name in known:
                judged = rulebook.expected(rules, name, value, mean, spread)
                if note and judged.verdict == "FAIL":  # beyond its members the reference cannot say so much
                    judged = judged._replace(verdict="WARN")
            elif range_ is not None and range_[4] > 1:
                mean, spread = range_[2:4]
                limits = rulebook.accepted(rules, name, range_[:2], free)
                judged = rulebook.within(value, *limits, rule.hard)
            elif range_ is not None:
                mean, note = range_[2], "the reference is one state: it has no spread"
                judged = rulebook.within(value, *rulebook.accepted(rules, name, None, free), rule.hard)
            else:
                judged = rulebook.within(value, *rulebook.accepted(rules, name, None, free), rule.hard)
                note = (
                    ""
                    if judged.verdict != rulebook.NOT_JUDGED
                    else "no reference"
                    if against is None
                    else "the reference has no value"
                )
            if comment or (np.isnan(value) and not holes[i] and name not in PUBLISHED):
                judged = judged._replace(verdict=rulebook.NOT_JUDGED)
                note = comment or "the mesh has nothing there"
            away = (value - mean) / spread if spread > 0 else np.nan
            rows.append(
                (
                    run,
                    i,
                    name,
                    value,
                    unit,
                    mean,
                    spread,
                    away,
                    judged.low,
                    judged.high,
                    judged.verdict,
                    rule.hard,
                    note,
                    text,
                )
            )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values("sample", kind="stable", ignore_index=True)


def _holes(subject: Subject, values: Values) -> np.ndarray:
    """Whether each state has a hole in the sea: then a value that is not known is the fault of the state, not of the mesh."""
    if "missing_values" in values:
        return np.asarray(values["missing_values"].values > 0)
    if not any(np.isnan(found.values).any() for found in values.values()):
        return np.zeros(subject.states.sizes["sample"], bool)
    return np.asarray(_measure(subject, ["missing_values"], METRICS)[0]["missing_values"].values > 0)


def _reference(
    reference: Source | pd.DataFrame | None, grid: Grid, published: bool
) -> Subject | pd.DataFrame | None:
    """The reference as states (those that say what is normal) or as metrics of an earlier call; refuses another grid."""
    if isinstance(reference, str | Path) and _is_table(require_path(reference)):
        reference = read_metrics(reference)
    if isinstance(reference, pd.DataFrame):
        if reference.attrs.get("grid", grid.fingerprint) != grid.fingerprint:
            raise UserError(
                "the reference metrics belong to another grid; give those of the configuration of the states"
            )
        return reference
    if reference is None:
        return None
    subject = read(reference, grid)
    if not published:
        keep = normal(subject)
        subject = subject._replace(
            states=subject.states.isel(sample=keep), times=[subject.times[i] for i in keep]
        )
    if subject.states.sizes["sample"] == 1:
        logger.warning(
            "the reference %s is one state: it has no spread to judge by; give several", subject.name
        )
    return subject


def _is_table(path: Path) -> bool:
    """Whether a file holds metrics rather than states."""
    if path.suffix == ".csv":
        return True
    if path.suffix != ".nc" or not path.is_file():
        return False
    with open_dataset(path) as ds:
        return "metric" in ds.dims


def _reference_table(reference: Subject, names: list[str], known: Mapping[str, Metric]) -> pd.DataFrame:
    """The metrics of the reference."""
    usable = [name for name in names if all(n in reference.states for n in known[name].needs)]
    values, failed = _measure(reference, usable, known)
    rows = [(i, name, v) for name, found in values.items() for i, v in enumerate(found.values.tolist())]
    table = pd.DataFrame(rows, columns=["sample", "metric", "value"])
    table.attrs["skipped"] = failed | {name: "missing in the reference" for name in set(names) - set(usable)}
    table.attrs["parameters"] = {n: v.tolist() for n, v in reference.parameters.items()}
    if "member" in reference.states:
        table.attrs["member"] = np.broadcast_to(
            reference.states["member"].values, reference.states.sizes["sample"]
        ).tolist()
    return table


def _header(subject: Subject, grid: Mesh | None) -> tuple[dict[str, list[str]], bool]:
    """Header of a published CSV, and whether it is that of a restart."""
    if not subject.files:
        return {"Restart File": [subject.name]}, True
    first = subject.files[0]
    mesh = str(grid) if isinstance(grid, str | Path) else str(first)
    restart = len(subject.files) == 1 and len(subject.times) == 1
    base = {"Base Directory": [str(first.parent)], "Mesh Mask": [mesh]}
    files = [str(path) for path in subject.files]
    return base | {"Restart File" if restart else "Output Files": files}, restart
