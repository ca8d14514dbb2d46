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
    exactly,
    gauge,
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
        pairs.append(("Samples", f"{ds.sizes['sample']}{seeds}"))
    if grid is not None:
        name, engine = grid.ds.attrs.get("configuration", "mesh"), grid.ds.attrs.get("engine")
        size = " \N{MULTIPLICATION SIGN} ".join(f"{n}" for n in grid.shape)
        resolution = f", {grid.ds.attrs['resolution']:g}°" if "resolution" in grid.ds.attrs else ""
        pairs.append(
            (
                "Ocean",
                f"{name}{resolution}, {size} levels, rows and columns{f', engine {engine}' if engine else ''}",
            )
        )
    if states is not None:
        attrs = {**states.ds.attrs}
        attrs |= {"created": moment(attrs["created"])} if "created" in attrs else {}
        pairs += [(n, attrs[k]) for n, k in (("Made", "created"), ("Command", "command")) if attrs.get(k)]
        pairs = [(n, Markup("<code>{}</code>").format(v) if n == "Command" else v) for n, v in pairs]
    if inputs.generated is not None and inputs.control is not None:
        pairs.append(("Control", control_words(inputs.control, control_index(inputs))))
    return pairs


def control_words(control: States, index: int) -> str:
    """Say which simulation the control is, and how far it is from equilibrium as far as it says so.

    Parameters
    ----------
    control : states of the control.
    index : of the state compared with.

    Returns
    -------
    Such as ``"member 7, year 620, drifting (0.23 K/century below 2000 m)"``.

    Examples
    --------
    >>> import warmstart as ws
    >>> import pathlib
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> ds = state.expand_dims(sample=1).assign_coords(member=("sample", [7]), year=("sample", [620.0]))
    >>> control_words(States(pathlib.Path("control.nc"), ds, grid), 0)
    'member 7, year 620'
    """
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
    rows, fixed = [], []
    order = sorted(values, key=lambda name: name not in ranges)
    for i, name in enumerate(order):
        table, given = known[name], np.unique(values[name])
        low, high = ranges.get(name, (math.nan, math.nan))
        shown = (
            span(float(given[0]), float(given[-1])) if given.size > 1 else exactly(float(given[0]), trim=True)
        )
        inside = all(_within(v, low, high) for v in given)
        place = span(low, high) if name in ranges else "held fixed"
        flag = "" if inside else badge("WARN") + " outside"
        gauged = gauge(given.tolist(), low, high, table.scale == "log")
        rows.append(
            (
                Markup("<code>{}</code>").format(name),
                shown,
                pretty_units(table.units),
                place,
                gauged + flag,
                table.description,
            )
        )
        fixed += [] if name in ranges else [i]
    columns = (
        ("Parameter", "tight"),
        ("Value", "n"),
        ("Units", "tight"),
        (source, "n"),
        ("", "tight"),
        ("Meaning", "long"),
    )
    parts: list[Any] = [Table(columns, rows, muted=frozenset(fixed))]
    if states is not None and states.ds.attrs.get("extrapolated"):
        text = f"Extrapolated: {states.ds.attrs['extrapolated']}. Nothing in the training speaks for these values."
        parts.insert(0, Text(text, "note"))
    return Chapter("asked", "What was asked", parts)


def _within(value: float, low: float, high: float) -> bool:
    tolerance = 1e-6 * max(abs(low), abs(high)) if math.isfinite(low) else 0.0
    return math.isnan(low) or low - tolerance <= value <= high + tolerance


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
        tiles = [
            _metric_tile(name, cast(pd.Series, table.loc[name]), truth, count)
            for name in HEADLINES
            if name in table.index
        ]
    if inputs.verify_table is not None:
        tiles += _verify_tiles(inputs.verify_table)
    return Chapter("headline", "Headline numbers", (), tuple(tiles))


def _control_metrics(inputs: Inputs) -> dict[str, float]:
    """The same metrics of the control, by the same functions."""
    if inputs.control is None or inputs.generated is None:
        return {}
    state = control_state(inputs)
    values = {}
    for name in HEADLINES:
        metric = METRICS.get(name)
        if metric is not None and state is not None and all(n in state for n in metric.needs):
            values[name] = float(metric.function(state, inputs.control.grid))
    return values


def _metric_tile(name: str, row: pd.Series, truth: Mapping[str, float], count: int) -> Tile:
    title, factor, units = HEADLINES[name]
    exact = row["mean"] if count > 1 else row["min"]
    value = Markup('<data value="{0}" title="{0}">{1}</data>').format(
        repr(float(exact)), number(exact * factor, 4, trim=True)
    )
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
    tiles = []
    drift = generated[generated["metric"] == "drift_thetao_deep"]
    values = drift["value"].dropna()
    if values.size:
        worst = values.iloc[int(values.abs().argmax())]
        other = table[(table["start"] == "control") & (table["metric"] == "drift_thetao_deep")][
            "value"
        ].dropna()
        notes = (
            [f"largest of {values.size} restarts; below 0.01 is equilibrium"]
            if values.size > 1
            else ["below 0.01 is equilibrium"]
        )
        notes += [f"control {number(float(other.iloc[0]), 2)}"] if other.size else []
        tiles.append(
            Tile(
                "Drift below 2000 m after restart",
                exactly(float(worst), 2),
                str(drift["unit"].iloc[0]),
                notes,
            )
        )
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
            return [
                Tile(
                    "Model years saved",
                    bounded(float(least["value"]), str(least["bound"]), 3),
                    "years",
                    notes,
                )
            ]
    reasons = generated[generated["metric"] == "years_saved"]["note"].unique()
    return [Tile("Model years saved", ABSENT, "", list(reasons))] if len(reasons) else []
