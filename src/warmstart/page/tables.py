"""Tables: metrics with their verdicts, what the constraints moved, where everything came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup

from warmstart.generator.constraints.chain import records, standard
from warmstart.generator.quantities import QUANTITIES
from warmstart.page.html import (
    ABSENT,
    Chapter,
    Table,
    Text,
    badge,
    code,
    exactly,
    gauge,
    headings,
    moment,
    number,
    span,
    with_units,
)
from warmstart.page.inputs import Inputs
from warmstart.plot.style import pretty_units
from warmstart.scores.judgement import summary as summarise


def metrics(inputs: Inputs) -> Chapter:
    """The metrics table: a summary, violations of hard rules first, and every value as it is in the CSV.

    Examples
    --------
    >>> metrics(Inputs()).parts
    ()
    """
    if inputs.metrics is None:
        return Chapter("metrics", "Metrics")
    table = inputs.metrics
    summary = summarise(table)
    rank = summary["verdict"].map({"FAIL": 0, "WARN": 1}).fillna(2)
    summary = summary.iloc[np.argsort(rank.to_numpy(), kind="stable")]
    values = {str(name): group["value"].tolist() for name, group in table.groupby("metric", sort=False)}
    count = int(table["sample"].nunique())
    several = count > 1
    rows = [_metric_row(row, values[row["metric"]], several) for _, row in summary.iterrows()]
    value = "Mean, range" if several else "Value"
    columns = headings(
        "Metric|tight", f"{value}|n", "Units|tight", "Accepted|n", "|tight", "Verdict|tight", "Meaning|long"
    )
    counts = summary["verdict"].value_counts()
    said = ", ".join(f"{counts[v]} {v}" for v in ("FAIL", "WARN", "PASS") if v in counts)
    intro = (
        f"{len(summary)} metrics of {count} state{'s' if count > 1 else ''}; the worst verdict of all samples counts: {said}. FAIL breaks a "
        f"hard rule, WARN lies outside what the reference shows. Reference: {table.attrs.get('reference', 'not recorded')}."
    )
    parts: list[Any] = [Text(intro), Table(columns, rows), _every_value(table)]
    return Chapter("metrics", "Metrics", parts)


def _metric_row(row: pd.Series, values: list[float], several: bool) -> tuple[Any, ...]:
    low, high = float(row["reference_low"]), float(row["reference_high"])
    value = exactly(float(row["mean"]), trim=True)
    ends = [number(float(row[end]), trim=True) for end in ("min", "max")]
    if several and ends[0] != ends[1]:
        value += Markup("<small>{}</small>").format(" … ".join(ends))
    return (
        code(row["metric"]),
        value,
        pretty_units(row["unit"]),
        span(low, high),
        gauge(values, low, high),
        badge(row["verdict"]),
        row["description"],
    )


def _every_value(table: pd.DataFrame) -> Table:
    """Every value with all its digits, one column a sample."""
    wide = table.pivot(index="metric", columns="sample", values="value").loc[table["metric"].unique()]
    units = table.drop_duplicates("metric").set_index("metric")["unit"]
    columns = headings("Metric|tight", "Units|tight", *(f"sample {i}|n small" for i in wide.columns))
    rows = []
    for name, row in zip(wide.index, wide.to_numpy(), strict=True):
        values = (repr(float(v)) if np.isfinite(v) else ABSENT for v in row)
        rows.append((code(name), pretty_units(units[name]), *values))
    return Table(columns, rows, folded="Every value, all digits, as in metrics.csv")


def constraints(inputs: Inputs) -> Chapter:
    """What each constraint moved in each generated state.

    Examples
    --------
    >>> constraints(Inputs()).parts
    ()
    """
    ds = xr.Dataset() if inputs.generated is None else inputs.generated.ds
    # files of earlier versions hold them as variables
    moved = {str(n): v for n, v in {**ds.attrs, **ds.data_vars}.items() if str(n).startswith("constraint_")}
    if not moved:
        return Chapter("constraints", "What the constraints moved")
    said, rows = records((*standard({}), *QUANTITIES.values())), []
    for name, held in moved.items():
        values, (units, meaning) = np.ravel(held).astype(float), said.get(name, ("", name))
        numbers = (exactly(float(values.mean()), 3), span(float(values.min()), float(values.max()), 3))
        rows.append((meaning, *numbers, pretty_units(units)))
    columns = headings("Correction|long", "Mean of the samples|n", "Smallest … largest|n", "Units|tight")
    text = "After sampling, each state is corrected to satisfy these constraints exactly; this is how far it had to be moved."
    spread = [
        with_units(f"{word} {number(float(ds.attrs[f'predicted_spread_{name}']), 3)}", unit)
        for word, name, unit in (("temperature", "thetao", "degC"), ("salinity", "so", "1e-3"))
        if f"predicted_spread_{name}" in ds.attrs
    ]
    if spread:
        compared = f"the spread that the generator predicts between samples: {', '.join(spread)}"
        text += f" For comparison, {compared}."
    return Chapter("constraints", "What the constraints moved", (Text(text), Table(columns, rows)))


def provenance(inputs: Inputs, attrs: Mapping[str, Any]) -> Chapter:
    """Where every input came from.

    Parameters
    ----------
    inputs : of the report.
    attrs : provenance of the report itself.

    Examples
    --------
    >>> provenance(Inputs(), {"command": "warmstart report"}).parts[0].rows[0][0]
    'this report'
    """
    known = [(str(path), _attrs_of(inputs, kind)) for kind, path in inputs.paths.items()]
    rows = []
    for name, found in [("this report", attrs), *known]:
        command = code(found["command"]) if found.get("command") else ABSENT
        made, version = moment(found.get("created", ABSENT)), found.get("warmstart_version", ABSENT)
        hashed = (k for k in ("config_hash", "generator", "grid", "grid_fingerprint") if found.get(k))
        hashes = Markup("<br>").join(f"{k.removesuffix('_hash')} {found[k]}" for k in hashed)
        rows.append((name, command, made, version, hashes))
    columns = headings("File|long", "Command|", "Made|tight", "Version|tight", "Hashes|small tight")
    return Chapter("provenance", "Provenance", (Table(columns, rows),))


def _attrs_of(inputs: Inputs, kind: str) -> Mapping[str, Any]:
    """Attributes of the file behind an input."""
    content = getattr(inputs, kind)
    if kind in ("generated", "control"):
        return dict(content.ds.attrs)
    if kind == "card":
        return dict(content[1])
    return dict(getattr(content, "attrs", {}) or {})
