"""The page of metrics, from the table of `check` and the docstrings of its functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from warmstart.ocean.variables import STATE_VARIABLES
from warmstart.physics import density
from warmstart.scores import thresholds

#: The run of DINO in Veros that the pictures show.
MEMBER = Path(__file__).parents[1] / "data" / "dino-4deg" / "member_000.nc"
FAMILIES = {
    "balance": "Rules and balance",
    "column": "Water column",
    "budgets": "Budgets and means",
    "transport": "Transports",
    "overturning": "Overturning in density space, residual circulation",
    "geostrophy": "Balance of flow and density",
    "spectra": "Spectra",
    "census": "Water masses",
    "density": "Density",
    "literature": "Published definitions",
}
#: Functions that the table of `check` does not call but that belong to the reference, family by family.
FURTHER = {
    "column": ["density_step", "n2", "convective_energy", "mixed_layer_depth"],
    "budgets": ["at_depth"],
    "transport": [
        "section_transport",
        "barotropic_streamfunction",
        "overturning",
        "heat_transport",
        "salt_transport",
    ],
    "overturning": ["overturning_density", "residual_flow"],
    "balance": ["divergence", "continuity_residual", "vertical_velocity"],
    "geostrophy": ["pressure", "geostrophic_flow", "steric_height"],
    "spectra": ["power_spectrum", "kinetic_energy_spectrum"],
    "density": ["potential_density", "in_situ_density", "teos10_anomaly", "polynomial_density"],
}
#: What the picture of a family shows: the last state of member 000 of the shipped runs, unless said.
CAPTIONS = {
    "column": "share of inverted pairs against the threshold",
    "budgets": "heat content by depth",
    "transport": "northward heat transport of the resolved flow",
    "overturning": "overturning in sigma-2 classes",
    "balance": "kinetic energy by level",
    "geostrophy": "zonal flow against the geostrophic one",
    "spectra": "meridional spectrum of the sea level",
    "census": "volume of water in classes of temperature and salinity",
    "density": "zonal mean of sigma-2",
    "literature": "published metrics against corrected ones",
}
_SECTIONS = ("Parameters", "Returns", "Raises", "Notes", "Examples", "See Also", "Attributes", "Yields")


def sections(function: Callable[..., Any]) -> dict[str, str]:
    """Split a numpydoc docstring; what stands before the first section is under ``summary``."""
    found, name = {"summary": ""}, "summary"
    lines = inspect.getdoc(function) or ""
    lines = lines.splitlines()
    for i, line in enumerate(lines):
        if line in _SECTIONS and i + 1 < len(lines) and set(lines[i + 1]) == {"-"}:
            name = line
            found[name] = ""
        elif not (i and lines[i - 1] in _SECTIONS and set(line) == {"-"}):
            found[name] += line + "\n"
    return {key: text.strip() for key, text in found.items()}


def underlying(metric: Any) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """The function of a line of the table and the arguments that the line gives it."""
    function = metric.function
    return getattr(function, "func", function), getattr(function, "keywords", {})


def entry(function: Callable[..., Any]) -> str:
    """One function: formula and meaning, unit, source."""
    parts = sections(function)
    summary, _, rest = parts["summary"].partition("\n\n")
    lines = [f"### `{function.__module__.rpartition('.')[2]}.{function.__name__}`", "", _flat(summary), ""]
    if rest.strip():
        lines += [_flat(rest), ""]
    if parts.get("Returns"):
        lines += [f"**Gives** {_flat(parts['Returns'])}", ""]
    if parts.get("Notes"):
        lines += [f"**Source** {_flat(parts['Notes'])}", ""]
    return "\n".join(lines)


def pictures(folder: Path) -> dict[str, str]:
    """Draw one picture a family, of the shipped runs of DINO in Veros; nothing where Matplotlib is not installed."""
    try:
        from warmstart.plot import figures
    except ModuleNotFoundError:
        return {}
    import metric_figures

    import warmstart as ws
    from warmstart.physics import overturning, spectra, transport

    grid = ws.open_grid(MEMBER)
    state = ws.open_state(MEMBER)[[*STATE_VARIABLES]].isel(time=-1, drop=True).load()
    names = [*metric_figures.CORRECTED, *metric_figures.CORRECTED.values()]
    numbers = ws.check(state, grid, only=names).set_index("metric").value
    shown = {
        "column": metric_figures.inversions(state, grid),
        "budgets": metric_figures.heat_by_depth(state, grid),
        "transport": metric_figures.transport_by_latitude(transport.heat_transport(state, grid), grid),
        "overturning": metric_figures.overturning_in_density(
            overturning.overturning_density(state, grid), grid
        ),
        "balance": metric_figures.energy_by_level(state, grid),
        "geostrophy": metric_figures.balance_scatter(state, grid),
        "spectra": metric_figures.spectrum(spectra.power_spectrum(state.zos, grid, "meridional")),
        "census": metric_figures.water_masses(metric_figures.census(state, grid)),
        "density": figures.section(
            figures.zonal_mean(density.potential_density(state, grid, 2000.0), grid), grid, cmap="dense"
        ),
        "literature": metric_figures.deviations(numbers.to_dict()),
    }
    folder.mkdir(exist_ok=True)
    for family, ax in shown.items():
        ax.figure.savefig(folder / f"{family}.svg", facecolor="white", metadata={"Date": None})
    return {family: f"{folder.name}/{family}.svg" for family in shown}


def units_of(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The unit of each metric, as its result says it."""
    from warmstart.ocean.basin import basin
    from warmstart.physics import balance

    state, grid = basin(nx=10, ny=24, nz=5)
    rhop = density.polynomial_density(state.thetao, state.so)
    state = state.assign(wo=balance.vertical_velocity(state, grid), vo_bolus=-0.2 * state.vo, rhop=rhop)
    return {name: metric.function(state, grid).attrs["units"] for name, metric in metrics.items()}


def rule(name: str, rules: thresholds.Thresholds) -> str:
    """How the shipped rules judge a metric."""
    one = rules.metrics.get(name, thresholds.Rule())
    said = {
        "none": "" if one.high is None else f"at most {one.high:g}",
        "above": "at most the reference's" + ("" if one.high is None else f", {one.high:g} without"),
        "below": "at least the reference's",
        "range": "within the reference's range",
    }[one.compare]
    return f"{'**hard**' if one.hard else 'soft'}: {said}" if said else "-"


def module_of(family: str) -> ModuleType:
    """The module of a family."""
    return import_module(f"warmstart.physics.{family}")


def page(drawn: Mapping[str, str] | None = None) -> str:
    """The whole page, in Markdown; `drawn` are the pictures of the families."""
    from warmstart.scores import metrics as table

    units, rules = units_of(table.ALL), thresholds.load(None, [*table.ALL, *table.DRIFTS])
    lines = [
        "# Metrics", "",
        "Every metric is a function `(state, grid) -> DataArray` with units; `warmstart check` computes those of the table below.",
        "This page is made from their docstrings. Where no source is named, the definition is of this package, or of the function that is referred to. How the definitions of others differ is on [a page of its own](published.md).", "",
        "```python", "import warmstart as ws", "",
        'grid = ws.open_grid("mesh_mask.nc")', 'state = ws.open_state("DINO_00576000_restart.nc", grid)',
        "ws.physics.column.inversions(state, grid, threshold=0.01)", "```", "",
        "| metric | unit | function | needs | rule |", "|---|---|---|---|---|",
    ]  # fmt: skip
    chosen: dict[str, list[Callable[..., Any]]] = {family: [] for family in FAMILIES}
    for name, metric in table.ALL.items():
        function, arguments = underlying(metric)
        given = ", ".join(f"{key}={_value(value)}" for key, value in arguments.items())
        family = function.__module__.rpartition(".")[2]
        if function not in chosen[family]:
            chosen[family].append(function)
        needs = ", ".join(f"`{n}`" for n in metric.needs) or "any"
        lines.append(
            f"| `{name}` | {units[name]} | `{family}.{function.__name__}({given})` | {needs} | {rule(name, rules)} |"
        )
    for family, title in FAMILIES.items():
        module = module_of(family)
        functions = chosen[family] + [
            f for name in FURTHER.get(family, ()) if (f := getattr(module, name)) not in chosen[family]
        ]
        lines += ["", f"## {title}", "", _flat((module.__doc__ or "").partition("\n\n")[0]), ""]
        if drawn and family in drawn:
            lines += [f"![{title}: {CAPTIONS[family]}]({drawn[family]})", ""]
        lines += [entry(f) for f in functions]
    return "\n".join(lines) + "\n"


def _flat(text: str) -> str:
    """Docstring markup as Markdown, one line a paragraph."""
    text = re.sub(r":(?:func|data|mod|class|meth):`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
