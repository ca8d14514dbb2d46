"""Sections of the page that show an ensemble of simulations: its members side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.lines import Line2D

from warmstart.page.html import ABSENT, Chapter, Plot, Table, Text, exactly, headings, number
from warmstart.page.inputs import Ensemble, Inputs, Simulation
from warmstart.physics import transport
from warmstart.plot.figures import overturning, section, series, zonal_mean
from warmstart.plot.panels import sheet
from warmstart.plot.style import canvas, pretty_units, style, svg

#: Most members on a contact sheet.
PANELS = 24
#: Colour and line of each split.
SPLITS = {"train": ("#8a949e", 0.9), "validation": ("#e69f00", 1.5), "test": ("#0072b2", 1.5)}


def ensemble_sections(inputs: Inputs) -> list[Chapter]:
    """Members as a table, as series and as contact sheets; nothing if there is no ensemble.

    Examples
    --------
    >>> ensemble_sections(Inputs())
    []
    """
    ensemble = inputs.ensemble
    if ensemble is None:
        return []
    parts: list[Any] = [Text(_summary(ensemble)), _members(ensemble), *_series(ensemble), *_sheets(ensemble)]
    return [Chapter("ensemble", "Ensemble of simulations", parts)]


def _summary(ensemble: Ensemble) -> str:
    counts = {s: sum(m.split == s for m in ensemble.members) for s in SPLITS}
    verdicts = [str(m.facts["verdict"]) for m in ensemble.members if m.facts.get("verdict")]
    settled = f", {verdicts.count('equilibrium')} at equilibrium" if verdicts else ""
    split = ", ".join(f"{n} {s}" for s, n in counts.items())
    return f"{len(ensemble.members)} members ({split}){settled}. Splits are by member, never by snapshot."


def _members(ensemble: Ensemble) -> Table:
    """One row a member: split, years, drift, verdict, and the parameters that vary."""
    varied = [n for n in ensemble.ranges if n in ensemble.known] or [
        n
        for n in ensemble.known
        if len({round(m.values[n], 12) for m in ensemble.members if n in m.values}) > 1
    ]
    columns = headings("Member|n", "Split|tight", "Years|n", "Drift [K/century]|n", "Verdict|tight")
    columns += [
        (Markup("{}<br>[{}]").format(n.replace("_", " "), pretty_units(ensemble.known[n].units) or "1"), "n")
        for n in varied
    ]
    rows = [
        (
            m.index, m.split, _value(m.facts.get("year", m.facts.get("years"))), _value(m.facts.get("drift"), 2),
            m.facts.get("verdict") or m.facts.get("state") or ABSENT, *(_value(m.values.get(n), 3) for n in varied),
        )
        for m in ensemble.members
    ]  # fmt: skip
    return Table(columns, rows)


def _value(value: Any, digits: int = 4) -> Any:
    return ABSENT if value is None else exactly(float(value), digits, trim=True)


def _series(ensemble: Ensemble) -> list[Plot]:
    """Deep temperature and channel transport of all members."""
    members = [m for m in ensemble.members if m.series is not None]
    named = {"thetao_deep": "temperature below 2000 m [°C]", "channel_transport": "channel transport [Sv]"}
    names = [n for n in named if any(n in (m.series or ()) for m in members)]
    if not names:
        return []
    with style():
        figure, axes = canvas(1, len(names), 10.0, 3.0)
        for ax, name in zip(axes, names, strict=True):
            for member in members:
                _member_line(ax, member, name)
            ax.set_ylabel(named[name])
            ax.set_xlabel("model years")
            ax.set_xlim(left=0)
        present = [s for s in SPLITS if any(m.split == s for m in members)]
        handles = [Line2D([], [], color=SPLITS[s][0], lw=SPLITS[s][1] + 0.4, label=s) for s in present]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), borderaxespad=0.2)
        text = svg(figure, "series")
    caption = Markup(
        "Series of {} members since the start of each run: temperature below 2000 m [°C] and transport through the channel [Sv]."
    ).format(len(members))
    return [Plot(text, caption + _largest_drift(ensemble))]


def _member_line(ax: Any, member: Simulation, name: str) -> None:
    if member.series is not None and name in member.series:
        colour, width = SPLITS[member.split]
        above = 2 + (member.split != "train")
        series(member.series[name], member.series["year"], ax, color=colour, lw=width, zorder=above)


def _largest_drift(ensemble: Ensemble) -> Markup:
    drifts = [float(m.facts["drift"]) for m in ensemble.members if m.facts.get("drift") is not None]
    known = [abs(drift) for drift in drifts if math.isfinite(drift)]
    if not known:
        return Markup("")
    return Markup(" <b>Median drift below 2000 m {} K/century, largest {} K/century.</b>").format(
        number(float(np.median(known)), 2), number(max(known), 2)
    )


def _sheets(ensemble: Ensemble) -> list[Plot]:
    """Temperature sections and overturning of the last state of each member."""
    members = [(_title(m), m.state) for m in ensemble.members if m.state is not None]
    if not members or ensemble.grid is None:
        return []
    places = np.unique(np.linspace(0, len(members) - 1, min(len(members), PANELS)).round().astype(int))
    chosen = [members[i] for i in places]
    hidden = len(members) - len(chosen)
    left_out = f" {hidden} other members are not shown." if hidden else ""
    grid, plots = ensemble.grid, []
    with style():
        if all("thetao" in state for _, state in chosen):
            fields = [(title, zonal_mean(state.thetao, grid)) for title, state in chosen]
            text = svg(sheet(fields, grid, section, "thermal"), "sheet-thetao", dpi=150)
            said = "Zonal-mean potential temperature [°C] of the last state of each member, against latitude and depth."
            plots.append(Plot(text, said + left_out))
        if all("vo" in state for _, state in chosen):
            fields = [(title, transport.overturning(state, grid)) for title, state in chosen]
            drawn = sheet(fields, grid, overturning, "balance", symmetric=True)
            said = "Eulerian overturning streamfunction [Sv] of the same states; negative contours dashed."
            plots.append(Plot(svg(drawn, "sheet-overturning", dpi=150), said + left_out))
    return plots


def _title(member: Simulation) -> str:
    year = f", year {float(member.facts['year']):g}" if "year" in member.facts else ""
    return f"{member.index:03d} {member.split}{year}"
