"""What was asked, and the numbers that a reader looks for first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from markupsafe import Markup

from warmstart.ocean import parameters
from warmstart.page.html import (
    ABSENT,
    Chapter,
    Table,
    Text,
    Tile,
    badge,
    bounded,
    code,
    exactly,
    gauge,
    headings,
    moment,
    number,
    span,
)
from warmstart.page.inputs import Inputs, States, control_index, control_state, training_ranges
from warmstart.plot.style import pretty_units
from warmstart.scores.judgement import summary
from warmstart.scores.metrics import METRICS

#: Headline metrics: name on the tile, factor and units in which they are shown.
HEADLINES = {
    "channel_transport": ("Channel transport", 1.0, "Sv"),
    "overturning_north": ("Northern overturning", 1.0, "Sv"),
    "inversions": ("Statically unstable pairs of cells", 100.0, "%"),
    "mask_violations": ("Mask violations", 1.0, ""),
}


def lead(inputs: Inputs) -> list[tuple[str, str]]:
    """Pairs of name and value for the head of the page.

    Examples
    --------
    >>> lead(Inputs())
    []
    """
    states = inputs.generated or inputs.control
    pairs: list[tuple[str, Any]] = []
    grid = states.grid if states else inputs.ensemble.grid if inputs.ensemble else None
    if inputs.generated is not None:
        ds, attrs = inputs.generated.ds, inputs.generated.ds.attrs
        if "generator" in attrs:
            name = f"{attrs['generator_name']}, " if attrs.get("generator_name") else ""
            pairs.append(("Generator", Markup("{}hash <code>{}</code>").format(name, attrs["generator"])))
        seeds = f", seeds {_listed(ds['seed'].values)}" if "seed" in ds.variables else ""
        seeds += ", the state that is expected" if attrs.get("expected") else ""
        pairs.append(("Samples", f"{ds.sizes['sample']}{seeds}"))
    if grid is not None:
        name, engine = grid.ds.attrs.get("configuration", "mesh"), grid.ds.attrs.get("engine")
        name += f", {grid.ds.attrs['resolution']:g}°" if "resolution" in grid.ds.attrs else ""
        size = " \N{MULTIPLICATION SIGN} ".join(f"{n}" for n in grid.shape)
        engine = f", engine {engine}" if engine else ""
        pairs.append(("Ocean", f"{name}, {size} levels, rows and columns{engine}"))
    if states is not None:
        attrs = states.ds.attrs
        pairs += [("Made", moment(attrs["created"]))] if attrs.get("created") else []
        pairs += [("Command", code(attrs["command"]))] if attrs.get("command") else []
    if inputs.generated is not None and inputs.control is not None:
        pairs.append(("Control", _control_words(inputs.control, control_index(inputs))))
    return pairs


def _control_words(control: States, index: int) -> str:
    """Which simulation the control is: ``member 7, year 620, drifting (0.23 K/century below 2000 m)`` as far as it says so."""
    ds = control.ds
    found = {
        name: np.ravel(ds[name].values)[index if ds[name].size > 1 else 0]
        for name in ("member", "year", "verdict", "drift")
        if name in ds.variables
    }
    words = [f"{name} {float(found[name]):g}" for name in ("member", "year") if name in found]
    words = words or [control.path.name]
    drift = float(found.get("drift", math.nan))
    how_far = f" ({number(drift, 2)} K/century below 2000 m)" if math.isfinite(drift) else ""
    return ", ".join(words + ([f"{found['verdict']}{how_far}"] if "verdict" in found else []))


def _listed(values: np.ndarray) -> str:
    numbers = [int(v) for v in np.atleast_1d(values)]
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def asked(inputs: Inputs) -> Chapter:
    """Parameters with units beside the training range.

    Examples
    --------
    >>> asked(Inputs()).parts
    ()
    """
    states = inputs.generated or inputs.control
    carrier = states.ds if states else inputs.verify
    values = {} if carrier is None else parameters.extract(carrier)
    if carrier is None or not values:
        return Chapter("asked", "What was asked")
    source, ranges = training_ranges(inputs)
    known = parameters.carried(carrier)
    order = sorted(values, key=lambda name: name not in ranges)
    rows = [_parameter_row(known[n], np.unique(values[n]), ranges.get(n)) for n in order]
    fixed = frozenset(i for i, name in enumerate(order) if name not in ranges)
    columns = headings("Parameter|tight", "Value|n", "Units|tight", f"{source}|n", "|tight", "Meaning|long")
    parts: list[Any] = [Table(columns, rows, muted=fixed)]
    if states is not None and states.ds.attrs.get("extrapolated"):
        text = f"Extrapolated: {states.ds.attrs['extrapolated']}. Nothing in the training speaks for these values."
        parts.insert(0, Text(text, "note"))
    return Chapter("asked", "What was asked", parts)


def _parameter_row(
    table: parameters.Parameter, given: np.ndarray, trained: tuple[float, float] | None
) -> tuple[Any, ...]:
    low, high = trained or (math.nan, math.nan)
    tolerance = 1e-6 * max(abs(low), abs(high)) if trained else 0.0
    inside = not trained or all(low - tolerance <= v <= high + tolerance for v in given)
    first, last = float(given[0]), float(given[-1])
    return (
        code(table.name),
        span(first, last) if given.size > 1 else exactly(first, trim=True),
        pretty_units(table.units),
        span(low, high) if trained else "held fixed",
        gauge(given.tolist(), low, high, table.scale == "log")
        + ("" if inside else badge("WARN") + " outside"),
        table.description,
    )


def headlines(inputs: Inputs) -> Chapter:
    """Tiles of the numbers that a reader looks for first.

    Examples
    --------
    >>> headlines(Inputs()).tiles
    ()
    """
    tiles: list[Tile] = []
    if inputs.metrics is not None:
        table = summary(inputs.metrics).set_index("metric")
        truth = _control_metrics(inputs)
        count = int(inputs.metrics["sample"].nunique())
        known = [name for name in HEADLINES if name in table.index]
        tiles = [_metric_tile(name, cast(pd.Series, table.loc[name]), truth, count) for name in known]
    if inputs.verify_table is not None:
        tiles += _verify_tiles(inputs.verify_table)
    return Chapter("headline", "Headline numbers", (), tuple(tiles))


def _control_metrics(inputs: Inputs) -> dict[str, float]:
    """The same metrics of the control, by the same functions."""
    state = control_state(inputs)
    if inputs.control is None or inputs.generated is None or state is None:
        return {}
    known = {name: METRICS[name] for name in HEADLINES}
    return {
        name: float(metric.function(state, inputs.control.grid))
        for name, metric in known.items()
        if all(n in state for n in metric.needs)
    }


def _metric_tile(name: str, row: pd.Series, truth: Mapping[str, float], count: int) -> Tile:
    title, factor, units = HEADLINES[name]
    exact = row["mean"] if count > 1 else row["min"]
    value = exactly(float(exact), trim=True, factor=factor)
    notes: list[str] = []
    if row["min"] < row["max"]:
        notes.append(f"{span(row['min'] * factor, row['max'] * factor, 4)} in {count} samples")
    if name in truth:
        notes.append(f"control {number(truth[name] * factor, 4, trim=True)}")
    low, high = row["reference_low"] * factor, row["reference_high"] * factor
    if not (math.isnan(low) and math.isnan(high)):
        notes.append(f"accepted {span(low, high, 4)}")
    return Tile(title, value, units, notes, row["verdict"] if row["verdict"] != "not judged" else "")


def _verify_tiles(table: pd.DataFrame) -> list[Tile]:
    """Drift of the deep temperature and model years saved."""
    generated = table[~table["start"].isin(("control", "rest"))]
    drift = table[table["metric"] == "drift_thetao_deep"].dropna(subset=["value"])
    made, control = drift[~drift["start"].isin(("control", "rest"))], drift[drift["start"] == "control"]
    tiles = []
    if len(made):
        worst = made.iloc[int(made["value"].abs().to_numpy().argmax())]
        largest = f"largest of {len(made)} restarts; " if len(made) > 1 else ""
        notes = [f"{largest}below 0.01 is equilibrium"]
        notes += [f"control {number(float(control['value'].iloc[0]), 2)}"] if len(control) else []
        value = exactly(float(worst["value"]), 2)
        tiles.append(Tile("Drift below 2000 m after restart", value, str(worst["unit"]), notes))
    return [*tiles, *_saved_tile(generated)]


def _saved_tile(generated: pd.DataFrame) -> list[Tile]:
    """Years saved at the nearest distance of which anything is known; else why nothing is."""
    at = {"years_saved": "to the equilibrium's own variability"}
    levels = [m for m in dict.fromkeys(generated["metric"]) if m.startswith("years_saved_at_")]
    at |= {m: f"to a distance of {m.removeprefix('years_saved_at_')}" for m in reversed(levels)}
    for metric, where in at.items():
        rows = generated[generated["metric"] == metric]
        known = rows[rows["bound"] != ""].sort_values("value")
        if len(known):
            least = known.iloc[0]
            notes = [where, *([f"least of {len(known)} of {len(rows)} restarts"] if len(rows) > 1 else [])]
            notes += [str(least["note"])] if least["bound"] != "=" else []
            value = bounded(float(least["value"]), str(least["bound"]), 3)
            return [Tile("Model years saved", value, "years", notes)]
    reasons = generated[generated["metric"] == "years_saved"]["note"].unique()
    return [Tile("Model years saved", ABSENT, "", list(reasons))] if len(reasons) else []
