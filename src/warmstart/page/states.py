"""Sections of the page that show states: generated beside the control, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.page.html import Chapter, Plot, Text, number, with_units
from warmstart.page.inputs import Inputs, control_index, control_state, differing_parameters
from warmstart.physics import column, transport
from warmstart.physics.cgrid import labelled
from warmstart.plot.figures import (  # fmt: skip
    horizontal_mean,
    map_xy,
    overturning,
    profile,
    section,
    streamfunction_map,
    zonal_mean,
)
from warmstart.plot.panels import PanelKind, compared, difference
from warmstart.plot.style import COLOURS, canvas, style, svg

#: Most generated states that are drawn as lines.
LINES = 32


def state_sections(inputs: Inputs) -> list[Chapter]:
    """Sections, surface maps, streamfunctions and profiles of the first generated state beside the control, or of one alone.

    Examples
    --------
    >>> state_sections(Inputs())
    []
    """
    shown = _shown_states(inputs)
    if not shown:
        return []
    grid = (inputs.generated or inputs.control).grid  # type: ignore[union-attr]
    notes: list[Text] = []
    if differing := differing_parameters(inputs):
        said = f"The control ran with other values of {', '.join(differing)}"
        notes = [Text(f"{said}: differences below are not errors.", "note")]
    return [
        Chapter("sections", "Temperature and salinity", [*notes, *_sections(shown, grid)]),
        Chapter("surface", "Surface and depth-integrated flow", _maps(shown, grid)),
        Chapter("overturning", "Overturning", _overturning(shown, grid)),
        Chapter("profiles", "Profiles", profiles(inputs, shown, grid)),
    ]


def _shown_states(inputs: Inputs) -> list[tuple[str, xr.Dataset]]:
    """Title and state of what the panels show: the first sample, the control."""
    shown = []
    if inputs.generated is not None:
        count = inputs.generated.ds.sizes["sample"]
        shown.append(("generated" + (", sample 0" if count > 1 else ""), inputs.generated.one(0)))
    control = control_state(inputs)
    if control is not None and inputs.control is not None:
        ds, title = inputs.control.ds, "control" if inputs.generated is not None else "state"
        if "year" in ds.variables and ds["year"].ndim:
            title += f", year {float(ds['year'].values[control_index(inputs)]):g}"
        shown.append((title, control))
    return shown


def _sections(shown: Sequence[tuple[str, xr.Dataset]], grid: Grid) -> list[Plot]:
    """Zonal means of temperature and salinity."""
    names = [n for n in ("thetao", "so") if all(n in state for _, state in shown)]
    if not names:
        return []
    kinds = []
    for name in names:
        fields = [(title, zonal_mean(state[name], grid)) for title, state in shown]
        title = VARIABLES[name].long_name.capitalize() + ", zonal mean"
        kinds.append(PanelKind(title, section, fields, VARIABLES[name].cmap))
    with style():
        text = svg(compared(kinds, grid, *((1, 1.75) if len(shown) > 1 else (2, 2.3))), "sections")
    caption = Markup(
        "Zonal means over the sea of potential temperature [°C] and salinity [g kg⁻¹] against latitude and depth; the "
        "upper 1000 m take as much height as all below. Lines follow every second colour boundary; grey is land. "
    ) + _misfits(shown, grid, names)
    return [Plot(text, caption)]


def _misfits(shown: Sequence[tuple[str, xr.Dataset]], grid: Grid, names: Sequence[str]) -> Markup:
    """Volume-weighted differences of the first two states over the whole sea."""
    if len(shown) < 2:
        return Markup("")
    parts = []
    for name in names:
        change = difference(shown[0][1][name], shown[1][1][name])
        units, rms, bias = change.attrs["units"], float(grid.mean(change**2)) ** 0.5, float(grid.mean(change))
        apart, offset = with_units(number(rms, 3), units), with_units(number(bias, 2), units)
        parts.append(f"{VARIABLES[name].long_name} {apart} (mean difference {offset})")
    said = Markup(
        "Difference is generated minus control. <b>Volume-weighted RMS difference of the full fields: {}.</b>"
    )
    return said.format("; ".join(parts))


def _maps(shown: Sequence[tuple[str, xr.Dataset]], grid: Grid) -> list[Plot]:
    """Surface temperature, salinity and height, and the barotropic streamfunction."""
    kinds, said = [], []
    brief = [(title.partition(",")[0], state) for title, state in shown]
    titles = {"thetao": "Surface temperature", "so": "Surface salinity", "zos": "Sea surface height"}
    for name in (n for n in titles if all(n in state for _, state in shown)):
        fields = [
            (t, state[name].isel(z=0) if "z" in state[name].dims else state[name]) for t, state in brief
        ]
        cmap = VARIABLES[name].cmap if name != "zos" else "balance"
        kinds.append(PanelKind(titles[name], map_xy, fields, cmap, name == "zos"))
        said += _area_misfit(titles[name].lower(), fields, grid)
    if all("uo" in state for _, state in shown):
        psis = [(t, transport.barotropic_streamfunction(state, grid)) for t, state in brief]
        kinds.append(PanelKind("Barotropic streamfunction", streamfunction_map, psis, "balance", True))
        said += _largest("barotropic streamfunction", psis)
    if not kinds:
        return []
    wide = float(np.ptp(grid.glamt.values)) > float(np.ptp(grid.gphit.values))
    per_row = (1 if wide else 2) if len(shown) > 1 else (2 if wide else 4)
    with style():
        figure = compared(kinds, grid, per_row, _map_height(grid, per_row * (3 if len(shown) > 1 else 1)))
        text = svg(figure, "surface")
    caption = Markup(
        "Uppermost level of temperature [°C] and salinity [g kg⁻¹], sea surface height [m], and streamfunction of the "
        "depth-integrated flow [Sv], clockwise positive, against longitude and latitude. "
    )
    return [Plot(text, caption + _bold(said))]


def _map_height(grid: Grid, columns: int) -> float:
    """Height of a map so that a degree is about as long to the north as to the east [inches]."""
    ratio = float(np.ptp(grid.gphit.values)) / max(float(np.ptp(grid.glamt.values)), 1.0)
    return float(np.clip(0.75 * 10.0 / (columns + 1) * ratio, 1.2, 2.9))


def _overturning(shown: Sequence[tuple[str, xr.Dataset]], grid: Grid) -> list[Plot]:
    if not all("vo" in state for _, state in shown):
        return []
    fields = [(t, transport.overturning(state, grid)) for t, state in shown]
    kind = PanelKind("Meridional overturning of the resolved flow", overturning, fields, "balance", True)
    with style():
        text = svg(compared([kind], grid, 1, 1.95 if len(shown) > 1 else 2.6), "overturning")
    deep = [(t, psi.where(grid.gdepw_1d > 500)) for t, psi in fields]
    ends = "; ".join(f"{t} {number(float(p.min()), 3)} to {number(float(p.max()), 3)} Sv" for t, p in deep)
    caption = Markup(
        "Eulerian overturning streamfunction [Sv] against latitude and depth, positive where water moves north above and "
        "south below; negative contours dashed. The eddy-induced part is not in it. <b>Below 500 m: {}.</b> "
    ).format(ends)
    return [Plot(text, caption + _bold(_largest("overturning", fields)))]


def _area_misfit(name: str, fields: Sequence[tuple[str, xr.DataArray]], grid: Grid) -> list[str]:
    """Area-weighted difference at the surface."""
    if len(fields) < 2:
        return []
    change = difference(fields[0][1], fields[1][1])
    rms = float((change.fillna(0.0) ** 2 * grid.area).sum() / grid.area.sum()) ** 0.5
    return [f"{name} {with_units(number(rms, 3), change.attrs['units'])} (RMS)"]


def _largest(name: str, fields: Sequence[tuple[str, xr.DataArray]]) -> list[str]:
    if len(fields) < 2:
        return []
    change = difference(fields[0][1], fields[1][1])
    return [f"{name} {with_units(number(float(np.abs(change).max()), 3), change.attrs['units'])} (largest)"]


def _bold(said: Sequence[str]) -> Markup:
    return Markup("<b>Difference: {}.</b>").format("; ".join(said)) if said else Markup("")


def profiles(inputs: Inputs, shown: Sequence[tuple[str, xr.Dataset]], grid: Grid) -> list[Plot]:
    """Horizontal means of temperature, salinity and stratification, and the distance from the control.

    Parameters
    ----------
    inputs : of the report.
    shown : title and state of each of at most two, the control last.
    grid : the mesh.

    Returns
    -------
    One figure; none without temperature and salinity.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> len(profiles(Inputs(), [("control", state)], grid))
    1
    """
    if not all(n in state for n in ("thetao", "so") for _, state in shown):
        return []
    drawn = _drawn(inputs, shown, grid)
    control = _means(shown[-1][1], grid) if inputs.control is not None or inputs.generated is None else None
    band = _band(inputs, grid)
    with style():
        text = svg(_profile_figure(drawn, control, band, grid), "profiles")
    who = []
    if drawn:
        who.append(f"blue: {'the generated state' if len(drawn) == 1 else f'{len(drawn)} generated states'}")
    who += ["black: the control"] if control is not None and drawn else []
    who += [f"grey: range of the {band[0]} training members"] if band else []
    caption = Markup(
        "Horizontal means over the sea of temperature [°C], salinity [g kg⁻¹] and squared buoyancy frequency [10⁻⁵ s⁻²] against depth [m]{}. "
    )
    caption = caption.format(f" ({'; '.join(who)})" if who else "")
    return [Plot(text, caption + _profile_misfit(drawn, control, grid))]


_PROFILES = ("thetao", "so", "n2")


def _means(state: xr.Dataset, grid: Grid) -> dict[str, xr.DataArray]:
    """Horizontal means of one state, by name."""
    scaled = labelled(column.n2(state, grid) * 1e5, "n2", "10⁻⁵ s⁻²", "N²")
    return {
        n: horizontal_mean(field, grid)
        for n, field in (("thetao", state.thetao), ("so", state.so), ("n2", scaled))
    }


def _drawn(
    inputs: Inputs, shown: Sequence[tuple[str, xr.Dataset]], grid: Grid
) -> list[dict[str, xr.DataArray]]:
    if inputs.generated is None:
        return []
    count = min(inputs.generated.ds.sizes["sample"], LINES)
    return [_means(shown[0][1] if i == 0 else inputs.generated.one(i), grid) for i in range(count)]


def _band(inputs: Inputs, grid: Grid) -> tuple[int, dict[str, tuple[np.ndarray, np.ndarray]]] | None:
    """Range of the profiles of the training members, where an ensemble on the same mesh is given."""
    found = inputs.ensemble
    if found is None or found.grid is None or found.grid.fingerprint != grid.fingerprint:
        return None
    means = [_means(m.state, grid) for m in found.members if m.split == "train" and m.state is not None]
    if len(means) < 2:
        return None
    stacks = {n: np.stack([m[n].values for m in means]) for n in _PROFILES}
    return len(means), {n: (s.min(0), s.max(0)) for n, s in stacks.items()}


def _profile_figure(
    drawn: Sequence[dict[str, xr.DataArray]],
    control: dict[str, xr.DataArray] | None,
    band: tuple[int, dict[str, tuple[np.ndarray, np.ndarray]]] | None,
    grid: Grid,
) -> Figure:
    """Profiles, and beside them the differences to the control where both are there."""
    both = control is not None and bool(drawn)
    figure, axes = canvas(1, 5 if both else 3, 10.0, 3.5)
    line: dict[str, Any] = {"color": COLOURS["generated"], "lw": 0.9 if len(drawn) > 1 else 1.4, "alpha": 0.8}
    for ax, name in zip(axes, _PROFILES, strict=False):
        at = "W" if name == "n2" else "T"
        depth = (grid.gdepw_1d if at == "W" else grid.gdept_1d).values
        if band is not None:
            ax.fill_betweenx(depth, *band[1][name], color="#e3e6ea", lw=0, zorder=0)
        if control is not None:
            profile(control[name], grid, ax, at, color=COLOURS["control"], lw=2.2 if drawn else 1.4)
        for means in drawn:
            profile(means[name], grid, ax, at, **line)
    names = (("thetao", "temperature minus control [K]"), ("so", "salinity minus control [g kg⁻¹]"))
    for ax, (name, words) in zip(axes[3:], names, strict=False):
        changes = [difference(means[name], control[name]) for means in drawn] if control is not None else []
        for change in changes:
            profile(change, grid, ax, **line)
        limit = 1.15 * max((float(np.abs(c).max()) for c in changes), default=1.0) or 1.0
        ax.set_xlim(-limit, limit)
        ax.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
        ax.axvline(0, color=COLOURS["control"], lw=1.0, zorder=1)
        ax.set_xlabel(words)
    for ax in axes[1:]:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    return figure


def _profile_misfit(
    drawn: Sequence[dict[str, xr.DataArray]], control: dict[str, xr.DataArray] | None, grid: Grid
) -> Markup:
    if control is None or not drawn:
        return Markup("")
    depth, said = grid.gdept_1d.values, []
    for name in ("thetao", "so"):
        gaps = np.stack([np.abs(difference(m[name], control[name]).values) for m in drawn])
        level = int(np.nanargmax(np.nanmax(gaps, axis=0)))
        largest = with_units(number(float(np.nanmax(gaps)), 3), "K" if name == "thetao" else "1e-3")
        said.append(f"{largest} at {depth[level]:.0f} m ({VARIABLES[name].long_name})")
    text = Markup("<b>Largest difference of a level's mean from the control, over all samples: {}.</b>")
    return text.format("; ".join(said))
