"""Verdicts on metrics: what a reference says of them, and the table of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from warmstart.scores import thresholds as rulebook
from warmstart.scores.expectation import Expectation, learn
from warmstart.scores.measurement import Subject, Values
from warmstart.scores.metric_table import COLUMNS, VERDICTS
from warmstart.scores.metrics import DRIFTS, PUBLISHED


class Spread(NamedTuple):
    """What a reference holds of a metric."""

    low: float
    high: float
    mean: float
    std: float
    size: float


class Against:
    """What the reference says of a metric: its members, and what it expects for parameters."""

    def __init__(self, table: pd.DataFrame, expectation: Expectation | None) -> None:
        self.expectation = expectation
        finite = table[np.isfinite(table["value"].astype(float))]  # an empty table has no type
        spread = finite.groupby("metric")["value"].agg(["min", "max", "mean", "std", "size"])
        self.ranges = {str(name): Spread(*map(float, row)) for name, *row in spread.itertuples()}

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

    Returns
    -------
    Columns ``run metric mean min max unit expected standard_deviation departure reference_low reference_high verdict hard note
    description``, metrics in the order of the table; the verdict is the worst of all samples, and expectation, departure, limits and note are
    those of the sample that departs most.

    Examples
    --------
    >>> from warmstart.verbs.check import check
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
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
    """Sum a table of :func:`check` up in one line: verdicts by number, and the largest departure.

    Examples
    --------
    >>> from warmstart.verbs.check import check
    >>> conclusion(check(*ws.basin(nx=6, ny=8, nz=4), only=["inversions", "heat_content"]))
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
    what = f"{far['metric']} of {far['run']}" if runs > 1 else str(far["metric"])
    return f"{line}; the largest departure: {what}, {far['departure']:+.1f} standard deviations"


def tabulate(
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
        found, hard = values[name], rules.rule(name, free).hard
        unit, text, comment = found.attrs["units"], found.attrs["long_name"], found.attrs.get("comment", "")
        for i, value in enumerate(found.values.tolist()):
            if name in DRIFTS and np.isnan(value) and i != int(np.argmax(subject.states["year"].values)):
                continue
            judged, mean, spread, note = _judged(name, value, rules, against, free, *expected[i])
            verdict = judged.verdict
            if comment or (np.isnan(value) and not holes[i] and name not in PUBLISHED):
                verdict, note = rulebook.NOT_JUDGED, comment or "the mesh has nothing there"
            away = (value - mean) / spread if spread > 0 else np.nan
            known = (mean, spread, away, judged.low, judged.high, verdict)
            rows.append((run, i, name, value, unit, *known, hard, note, text))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values("sample", kind="stable", ignore_index=True)


def _judged(
    name: str,
    value: float,
    rules: rulebook.Thresholds,
    against: Against | None,
    free: bool,
    known: Mapping[str, tuple[float, float]],
    note: str,
) -> tuple[rulebook.Judgement, float, float, str]:
    """A value judged, what is expected of it, and what that rests on: its parameters, else the reference's range, else the rule."""
    rule, held = rules.rule(name, free), against.ranges.get(name) if against is not None else None
    mean, spread = known.get(name, (np.nan, np.nan))
    limits = rulebook.accepted(rules, name, None, free)
    if rule.compare == "none":
        note = ""
    elif name in known:
        judged = rulebook.expected(rules, name, value, mean, spread)
        if note and judged.verdict == "FAIL":  # beyond its members the reference cannot say so much
            judged = judged._replace(verdict="WARN")
        return judged, mean, spread, note
    elif held is None:
        nothing = "no reference" if against is None else "the reference has no value"
        note = nothing if np.isnan(limits).all() else ""
    elif held.size > 1:
        mean, spread = held.mean, held.std
        limits = rulebook.accepted(rules, name, (held.low, held.high), free)
    else:
        mean, note = held.mean, "the reference is one state: it has no spread"
    return rulebook.within(value, *limits, rule.hard), mean, spread, note
