"""Sections of the page that show a verification: the first 30 days, the years after, the distance to equilibrium."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from warmstart.equilibrium.adjustment import SHOCK_DAYS
from warmstart.equilibrium.verdict import EQUILIBRIUM_DRIFT
from warmstart.page.html import (
    ABSENT,
    Chapter,
    Plot,
    Table,
    Text,
    bounded,
    code,
    headings,
    number,
    span,
    with_units,
)
from warmstart.page.inputs import Inputs
from warmstart.plot.figures import series
from warmstart.plot.style import COLOURS, MUTED, canvas, power, pretty_units, style, svg
from warmstart.scores.verification import remarks

#: Series of the first 30 days and of the years after, in order, where the file has them.
SHOCK = ("kinetic_energy", "channel_transport", "vertical_velocity_rms")
YEARS = ("channel_transport", "overturning_north", "thetao_deep")
_SHORT = {
    "kinetic_energy": "kinetic energy", "channel_transport": "channel transport", "vertical_velocity_rms": "vertical velocity, RMS",
    "overturning_north": "northern overturning", "thetao_deep": "temperature below 2000 m", "thetao_mean": "mean temperature",
}  # fmt: skip


def trial_sections(inputs: Inputs) -> list[Chapter]:
    """Series, distance and table of a verification; nothing if there is none.

    Examples
    --------
    >>> trial_sections(Inputs())
    []
    """
    parts: list[Any] = []
    ds = inputs.verify
    if ds is not None:
        parts += [Text(_who(ds)), *_unsettled(ds), *_shock(ds), *_years(ds), *_distance(ds)]
    if inputs.verify_table is not None:
        parts += _table(inputs.verify_table)
    return [Chapter("restart", "Restarted in the ocean model", parts)] if parts else []


def _names(ds: xr.Dataset) -> list[str]:
    return [str(n) for n in ds["start"].values]


def _generated(ds: xr.Dataset) -> list[str]:
    return [name for name in _names(ds) if _kind(name) == "generated"]


def _kind(start: str) -> str:
    """Which kind of start a name belongs to, for its colour: ``generated 3`` to ``generated``."""
    word = start.split(" ")[0]
    return word if word in COLOURS else "generated"


def _who(ds: xr.Dataset) -> str:
    names, made = _names(ds), _generated(ds)
    others = {"control": "the control (simulated, same parameters)", "rest": "rest"}
    starts = [f"{len(made)} generated state{'s' if len(made) != 1 else ''}"] if made else []
    starts += [others.get(n, n) for n in names if n not in made]
    listed = starts[0] if len(starts) == 1 else f"{', '.join(starts[:-1])} and {starts[-1]}"
    length = f" for {ds.attrs['years']:g} years" if "years" in ds.attrs else ""
    return f"The ocean model ran{length} from {listed}; the first 30 days with equal time steps for momentum and tracers."


def _unsettled(ds: xr.Dataset) -> list[Text]:
    """A warning if the control itself still drifts: what is called equilibrium is not one."""
    if "drift_thetao_deep" not in ds or "control" not in ds["start"].values:
        return []
    drift = float(ds["drift_thetao_deep"].sel(start="control"))
    if not abs(drift) >= EQUILIBRIUM_DRIFT:
        return []
    said = (
        f"The control itself drifts by {number(drift, 2)} K/century below 2000 m over these years, more than the "
        f"{EQUILIBRIUM_DRIFT:g} K/century that count as equilibrium: it is what the simulation had reached, not its end."
    )
    return [Text(said, "note")]


def _line(start: str, many: bool) -> dict[str, Any]:
    kind = _kind(start)
    width = {"control": 1.9, "generated": 1.0 if many else 1.4}.get(kind, 1.4)
    look = {"zorder": 3 if kind == "generated" else 2, "ls": "--" if kind == "rest" else "-"}
    return {"color": COLOURS[kind], "lw": width, **look}


def _draw(
    ax: Axes, ds: xr.Dataset, name: str, time: xr.DataArray, starts: Sequence[str], minus: str | None = None
) -> None:
    """One variable of several starts, or its difference to one of them."""
    rows = ds[name].sel(start=list(starts)) - (ds[name].sel(start=minus) if minus else 0.0)
    factor, words = power(rows.values)
    many = sum(_kind(s) == "generated" for s in starts) > 3
    for start in starts:
        series(rows.sel(start=start) / factor, time, ax, **_line(start, many))
    units = ds[name].attrs.get("units", "")
    ax.set_ylabel(f"[{words}{pretty_units('K' if minus and units == 'degC' else units)}]")
    title = _SHORT.get(name, ds[name].attrs.get("long_name", name))
    ax.set_title(title + (" minus control" if minus else ""))
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlim(0, float(time.max()))


def _figure(ds: xr.Dataset, names: Sequence[str], time: xr.DataArray, name: str) -> str:
    """Variables of all starts, and below them the differences of the generated ones to the control."""
    starts, made = _names(ds), _generated(ds)
    zoom = "control" in starts and bool(made)
    with style():
        figure, axes = canvas(2 if zoom else 1, len(names), 10.0, 4.2 if zoom else 2.6, sharex="col")
        for ax, variable in zip(axes, names, strict=False):
            _draw(ax, ds, variable, time, starts)
            ax.set_xlabel("" if zoom else ax.get_xlabel())
        for ax, variable in zip(axes[len(names) :], names, strict=False):
            _draw(ax, ds, variable, time, made, minus="control")
            ax.axhline(0, color=COLOURS["control"], lw=1.2, zorder=1)
        _legend(figure, starts)
        return svg(figure, name)


def _legend(figure: Figure, starts: Sequence[str], extra: Sequence[Line2D] = ()) -> None:
    """One entry a kind of start."""
    counts = Counter(map(_kind, starts))
    words = {"rest": "start from rest"}
    handles = [
        Line2D(
            [],
            [],
            **_line(kind, counts["generated"] > 3),
            label=words.get(kind, kind) + (f" ({n})" if n > 1 else ""),
        )
        for kind, n in counts.items()
    ]
    handles += extra
    look = {"handlelength": 2.2, "columnspacing": 2.4, "borderaxespad": 0.2}
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), **look)


def _shock(ds: xr.Dataset) -> list[Plot]:
    """The first 30 days."""
    names = [n for n in SHOCK if n in ds and ds[n].dims == ("start", "time")]
    early = ds.isel(time=np.flatnonzero(ds["day"].values <= SHOCK_DAYS)) if names else ds
    if not names or early.sizes["time"] < 2:
        return []
    days = early["day"].assign_attrs(units="1", long_name="days since the start")
    text = _figure(early, names, days, "shock")
    made, said = _generated(ds), []
    for name in names:
        metric = "shock_" + name.removesuffix("_rms")
        found = ds[metric].sel(start=made).values if metric in ds else np.zeros(0)
        if np.isfinite(found).any():
            said.append(f"{_SHORT[name]} {number(100 * float(np.nanmax(found)), 2)} %")
    caption = Markup("Shock: the first 30 days after the restart, one value a day. ")
    if said:
        largest = Markup("<b>Largest deviation of a generated start from the control: {}.</b>")
        caption += largest.format("; ".join(said))
    return [Plot(text, caption)]


def _years(ds: xr.Dataset) -> list[Plot]:
    """The whole run; its first days, a row each, are a figure of their own."""
    names = [n for n in YEARS if n in ds and ds[n].dims == ("start", "time")]
    if not names or ds.sizes["time"] < 2:
        return []
    day = ds["day"].values
    late = ds.isel(time=np.flatnonzero((day == 0) | (day >= SHOCK_DAYS)))
    years = late["year"] if "year" in late.coords else late["day"] / 360.0
    years = years.assign_attrs(units="1", long_name="model years since the start")
    text = _figure(late, names, years, "years")
    said = "; ".join(s for s in (_end(ds, name, _generated(ds)) for name in names) if s)
    caption = Markup(
        "The whole run, instantaneous values; below, each generated start minus the control. <b>At the end: {}.</b>"
    )
    return [Plot(text, caption.format(said))]


def _end(ds: xr.Dataset, name: str, made: Sequence[str]) -> str:
    """Last values of the generated starts, the control and the start from rest."""
    said = []
    for word, starts in (("generated", made), ("control", ["control"]), ("rest", ["rest"])):
        rows = [ds[name].sel(start=s).values for s in starts if s in ds["start"].values]
        ends = [r[np.isfinite(r)][-1] for r in rows if np.isfinite(r).any()]
        if ends:
            shown = span(float(min(ends)), float(max(ends)))
            said.append(f"{word} {with_units(shown, ds[name].attrs.get('units', ''))}")
    return f"{_SHORT.get(name, name)} {', '.join(said)}" if said else ""


def _distance(ds: xr.Dataset) -> list[Plot]:
    """Distance to the equilibrium with its threshold."""
    if "distance" not in ds or "snapshot" not in ds["distance"].dims or ds.sizes["snapshot"] < 2:
        return []
    starts, threshold = _names(ds), float(ds.attrs.get("distance_threshold", np.nan))
    year = ds["snapshot_year"].assign_attrs(units="1", long_name="model years since the start")
    with style():
        figure, (ax,) = canvas(1, 1, 10.0, 3.0)
        for start in starts:
            look = _line(start, len(starts) > 6)
            series(ds["distance"].sel(start=start), year, ax, marker="o", ms=2.6, **look)
        ax.set_ylabel("distance D [ensemble std. dev.]")
        values = ds["distance"].values[np.isfinite(ds["distance"].values)]
        if values.size and values.min() > 0 and values.max() / values.min() > 8:
            ax.set_yscale("log")
        ax.set_xlim(0, float(year.max()))
        extra = []
        if np.isfinite(threshold):
            look = {"color": MUTED, "lw": 1.0, "ls": (0, (4, 2))}
            extra = [ax.axhline(threshold, label=f"threshold {threshold:.3g}", **look)]
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        _legend(figure, starts, extra)
        text = svg(figure, "distance")
    caption = Markup(
        "Distance D(t) to the time-mean equilibrium: volume-weighted RMS difference of temperature and salinity, each level in "
        "units of {}. Dashed: the 95th percentile of the distances of the equilibrium's own snapshots from one another. "
    ).format(ds.attrs.get("distance_unit", "the ensemble's standard deviation"))
    return [Plot(text, caption + _arrivals(ds))]


def _arrivals(ds: xr.Dataset) -> Markup:
    made = _generated(ds)
    if "years_to_equilibrium" not in ds or "years_to_equilibrium_bound" not in ds or not made:
        return Markup("")
    years = ds["years_to_equilibrium"].sel(start=made).values
    arrived = years[ds["years_to_equilibrium_bound"].sel(start=made).values == "="]
    said = f"{arrived.size} of {len(made)} generated starts stay within it before the end"
    if arrived.size:
        said += f", from year {span(float(arrived.min()), float(arrived.max()), 3)} on"
    return Markup("<b>{}.</b>").format(said)


def _table(table: pd.DataFrame) -> list[Any]:
    """One row a metric, one column a start, and the notes below."""
    starts = list(dict.fromkeys(table["start"]))
    records: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    cells = {(r["start"], r["metric"]): r for r in records}
    rows = []
    for metric in (m for m in dict.fromkeys(table["metric"]) if m != "finished"):
        found = [cells.get((start, metric)) for start in starts]
        unit = next((str(r["unit"]) for r in found if r is not None), "")
        texts = [ABSENT if r is None else bounded(float(r["value"]), str(r["bound"]), 3) for r in found]
        rows.append((code(metric), *texts, pretty_units(unit)))
    notes = [
        (
            r["start"],
            code(r["metric"]),
            bounded(r["value"], str(r["bound"])),
            pretty_units(r["unit"]),
            r["note"],
        )
        for r in records
    ]
    columns = [("Metric", "tight"), *((s, "n") for s in starts), ("Units", "tight")]
    every = headings("Start|tight", "Metric|tight", "Value|n", "Units|tight", "Note|long")
    folded = "Every value of the verification with its note"
    reasons = [Text(line, "note") for line in remarks(table)]
    return [Table(columns, rows), *reasons, Table(every, notes, folded=folded)]
