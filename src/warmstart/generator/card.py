"""Scores on held-out members, and the model card that states them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from warmstart.generator.draw import Expected, constrained, expect
from warmstart.generator.model import Generator
from warmstart.generator.network.sampler import single_thread
from warmstart.generator.noise import Stream
from warmstart.generator.request import Request
from warmstart.physics.convection import inversions
from warmstart.regression.layout import Layout
from warmstart.scores.crps import fair_crps

if TYPE_CHECKING:
    from warmstart.generator.fit import Prepared

#: Samples an ensemble is scored with.
SAMPLES = 16
#: The card scores the initial state whose age is nearest to this [years].
YOUNG = 50.0
#: What the tables call a residual model.
OWN = {
    "none": "mean", "gaussian": "gaussian", "diffusion": "diffusion", "one-pass": "one-pass network",
    "deterministic": "deterministic network",
}  # fmt: skip


def evaluate(generator: Generator, prepared: Prepared) -> dict[str, Any]:
    """Score a complete generator and the baselines on the validation members, and the mean on left-out training members.

    Returns
    -------
    ``rmse`` and ``crps`` by forecast and variable, units of the variables table; CRPS of a single state is its mean
    absolute error. ``members`` says which members they are over.
    """
    scores: dict[str, Any] = {"cross_validation": _cross_validation(generator, prepared)}
    if len(prepared.validation):
        with single_thread():
            scores["validation"] = _validation(generator, prepared)
    return scores


def _cross_validation(generator: Generator, prepared: Prepared) -> dict[str, Any]:
    """Root mean square errors on training members that the forecast has not seen."""
    training, states = prepared.training, prepared.examples.states
    truth = np.stack([states[training.member == m].mean(0) for m in training.members])
    count, inputs = len(truth), prepared.examples.inputs
    climatology = (truth.sum(0) - truth) / (count - 1)
    distance = ((inputs[:, None] - inputs[None]) ** 2).sum(-1) + np.diag(np.full(count, np.inf))
    means = prepared.examples.means
    forecasts = {
        "climatology": climatology,
        "nearest": truth[distance.argmin(1)],
        "mean": means["parameters"][0],
    }
    for given, phrase in (("state", "mean, state of year {} alone"), ("both", "mean, state of year {} too")):
        ages = zip(prepared.examples.ages, means.get(given, ()), strict=False)
        forecasts |= {phrase.format(f"{age:g}"): forecast for age, forecast in ages}
    return {
        "members": training.members.tolist(),
        "rmse": {name: _rmse(forecast - truth, generator) for name, forecast in forecasts.items()},
    }


def _validation(generator: Generator, prepared: Prepared) -> dict[str, Any]:
    """Scores on the validation members."""
    snapshots, held_out = prepared.validation, prepared.held_out
    rmse: dict[str, list[Any]] = {}
    crps: dict[str, list[Any]] = {}
    counts: list[tuple[float, float, float]] = []
    own = OWN[generator.config.config.residual.model]
    for position, member in enumerate(snapshots.members):
        chosen = snapshots.member == member
        truth = held_out.states[chosen]
        values = {n: float(v[chosen][0]) for n, v in snapshots.values.items()}
        forecasts = _forecasts(generator, prepared, values, position)
        for name, ensemble in forecasts.items():
            rmse.setdefault(name, []).append(_rmse(ensemble.mean(0) - truth, generator))
            score = np.mean([fair_crps(ensemble, t) for t in truth], 0)
            crps.setdefault(name, []).append(_means(score, generator))
        if not {"thetao", "so"} <= set(generator.layout.variables):
            continue  # no density, no inversion
        drawn = forecasts[own]
        adjusted = _adjusted(expect(generator, Request(values), "none"), drawn)
        counts.append((_unstable(generator, truth), _unstable(generator, drawn), adjusted))
    names = ("true", "generated", "after_adjustment")
    unstable = {"inversions": dict(zip(names, np.mean(counts, 0).tolist(), strict=True))} if counts else {}
    return {
        "members": snapshots.members.tolist(),
        "samples": SAMPLES,
        "rmse": {name: _average(values) for name, values in rmse.items()},
        "crps": {name: _average(values) for name, values in crps.items()},
        **unstable,
    }


def _forecasts(
    generator: Generator, prepared: Prepared, values: dict[str, float], position: int
) -> dict[str, np.ndarray]:
    """Ensembles ``(sample, wet)`` of every forecast of one validation member."""
    training, states = prepared.training, prepared.examples.states
    asked = Request(values)
    inputs = asked.inputs(generator)
    nearest = training.members[((prepared.examples.inputs - inputs) ** 2).sum(-1).argmin()]
    model = generator.config.config.residual.model
    forecasts = {
        "climatology": np.stack([states[training.member == m][0] for m in training.members]),
        "nearest": states[training.member == nearest].mean(0)[None],
    }
    for each in dict.fromkeys(("none", "gaussian", model)):
        forecasts[OWN[each]] = _ensemble(generator, asked, each, position)
    ages = prepared.held_out.ages
    if "both" in prepared.held_out.means:
        index = int(np.abs(np.log(ages / YOUNG)).argmin())
        start = (prepared.held_out.initial[index, position], float(ages[index]))
        name = f"state of year {ages[index]:g}"
        forecasts[f"{OWN[model]}, {name} alone"] = _ensemble(generator, Request(None, start), model, position)
        forecasts[f"{OWN[model]}, {name} too"] = _ensemble(generator, Request(values, start), model, position)
    return forecasts


def _ensemble(generator: Generator, asked: Request, model: str, position: int) -> np.ndarray:
    """Samples ``(sample, wet)``, one where they would all be the same; with seeds of its own for each member.

    With the same seeds a mean over members would keep the error of so few draws.
    """
    count, first = (1 if model in ("none", "deterministic") else SAMPLES), SAMPLES * position
    known = expect(generator, asked, model)
    return np.stack([known.field(Stream(seed)) for seed in range(first, first + count)])


def _unstable(generator: Generator, fields: np.ndarray) -> float:
    """Mean number of static inversions in standardised fields ``(sample, wet)``."""
    physical = generator.normalizer.restore(generator.layout.from_wet(fields))
    slices, grid = generator.layout.slices, generator.grid
    top, wet = grid.gdepw_0.values, grid.tmask.values > 0
    return float(np.mean([inversions(f[slices["thetao"]], f[slices["so"]], top, wet) for f in physical]))


def _adjusted(known: Expected, fields: np.ndarray) -> float:
    """The same after the constraints."""
    grid = known.generator.grid
    top, wet = grid.gdepw_0.values, grid.tmask.values > 0
    states = [constrained(known, field, [])[0] for field in fields]
    return float(np.mean([inversions(s["thetao"].values, s["so"].values, top, wet) for s in states]))


def _means(values: np.ndarray, generator: Generator, power: int = 1) -> dict[str, float]:
    """Volume-weighted means by variable of standardised values ``(wet,)``, in physical units to `power`."""
    layout: Layout = generator.layout
    maps = layout.from_wet(values) * layout.weights * generator.normalizer.std[:, None, None] ** power
    return {n: float(maps[c].sum() / layout.weights[c].sum()) for n, c in layout.slices.items()}


def _rmse(errors: np.ndarray, generator: Generator) -> dict[str, float]:
    """Root of the mean square of errors ``(sample, wet)`` by variable."""
    return {n: float(np.sqrt(v)) for n, v in _means((errors**2).mean(0), generator, 2).items()}


def _average(values: list[dict[str, float]]) -> dict[str, float]:
    """Mean over members, to four digits."""
    return {n: float(f"{np.mean([v[n] for v in values]):.4g}") for n in values[0]}


def model_card(generator: Generator, name: str) -> str:
    """Write the model card, Markdown, of a generator with its scores; `name` is that of its folder."""
    config = generator.config.config
    tags = f"[ocean, spin-up, {config.residual.model}]"
    head = f"---\nlicense: {config.licence.lower()}\nlibrary_name: warmstart\ntags: {tags}\n---"
    sections = [f"{head}\n\n# {name}\n\n{config.description}"]
    sections += [part(generator) for part in (_origin, _parameters, _scores, _limits)]
    return "\n\n".join([*sections, _use(generator, name)]) + "\n"


def _origin(generator: Generator) -> str:
    """What it was trained on, and what it is."""
    saved, store, config = generator.config, generator.config.store, generator.config.config
    drift = store.get("drift_K_per_century")
    years = store.get("years")
    net = sum(p.numel() for p in generator.denoiser.parameters()) if generator.denoiser is not None else 0
    lines = [
        f"- engine {store['engine']}, configuration {store['configuration']} at {store['resolution']:g} degrees, "
        f"mesh {' x '.join(map(str, generator.grid.shape))} (z, y, x), fingerprint `{saved.grid_fingerprint}`: no other mesh is served",
        f"- {len(saved.training_members)} training members ({', '.join(map(str, saved.training_members))})"
        + (f", equilibrium snapshots of model years {years[0]:g} to {years[1]:g}" if years else ""),
        f"- variables: {', '.join(f'{n} [{generator.layout.tables[n].units}]' for n in saved.variables)}",
        f"- mean: {len(generator.mean.basis)} modes, {config.mean.model}{_mean_details(generator)}; residual: {config.residual.model}, "
        f"{len(generator.coordinates.basis) or 'no'} joint modes, amplitude "
        + ", ".join(f"{a:.3g} ({given})" for given, a in saved.amplitude.items())
        + "; "
        f"network: {net} parameters, evaluations a sample: {config.evaluations}",
    ]
    if imposed := _quantities(generator):
        lines.append(f"- with a regression of their own, imposed on every state: {imposed}")
    if saved.ages:
        lines.append(f"- initial states: of {', '.join(f'{a:g}' for a in saved.ages)} years of spin-up")
    if drift:
        each = ", ".join(f"{m}: {d:+.3f}" for m, d in zip(saved.training_members, drift, strict=True))
        lines.insert(2, f"- drift of the deep ocean at the end of each training run [K per century]: {each}")
    return "## What it is\n\n" + "\n".join(lines)


def _parameters(generator: Generator) -> str:
    """Ranges of the parameters."""
    seen = generator.config.parameters
    rows = [
        f"| `{n}` | {p.low:.6g} | {p.high:.6g} | {p.units} | {p.parameter(n).description} |"
        for n, p in seen.items()
        if p.varies
    ]
    fixed = ", ".join(f"`{n}` = {p.low:.6g} {p.units}" for n, p in seen.items() if not p.varies)
    head = "## Parameters\n\n| parameter | from | to | units | |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows) + (f"\n\nThe same in all members: {fixed}." if fixed else "")


def _mean_details(generator: Generator) -> str:
    """What the mean has beside its modes."""
    settings = generator.config.config.mean
    gaussian = settings.model == "gaussian-process"
    details = {
        ", with theory": settings.theory,
        ", inputs by relevance": gaussian and settings.relevance,
        f", in {len(generator.mean.relevance)} parts": len(generator.mean.relevance) > 1,
    }
    return "".join(text for text, present in details.items() if present)


def _quantities(generator: Generator) -> str:
    """What states are moved to, and how far."""
    shares = generator.config.config.quantities
    return ", ".join(
        model.quantity.title + (f" ({shares[name]:g} of the way)" if shares[name] < 1 else "")
        for name, model in generator.quantities.items()
    )


def _scores(generator: Generator) -> str:
    """Tables of scores and the verdict on the residual models."""
    scores = generator.config.scores
    cross = scores["cross_validation"]
    text = [
        "## Scores",
        f"Each of the {len(cross['members'])} training members predicted by a model that has not seen it "
        "(root mean square error against the member's mean state, volume-weighted):",
        _table(cross["rmse"], generator),
    ]
    if "validation" in scores:
        held = scores["validation"]
        counts = held.get("inversions")
        text += [
            f"Validation members {', '.join(map(str, held['members']))}, root mean square error of the forecast's mean:",
            _table(held["rmse"], generator),
            f"Continuous ranked probability score, {held['samples']} samples (absolute error where the forecast is one state):",
            _table(held["crps"], generator),
            f"Static inversions a state: {counts['true']:.0f} in true snapshots of these members, {counts['generated']:.0f} generated, "
            f"{counts['after_adjustment']:.0f} after convective adjustment."
            if counts
            else "Static inversions: not judged, the states have no temperature and salinity.",
            verdict(held["crps"]),
        ]
    fitted = scores.get("network", {})
    if fitted.get("gaussian") is not None:
        text.append(
            f"Loss on the validation members: {fitted['network']:.4f} with the network of step {fitted['best_step']:.0f} "
            f"(of {fitted['steps']:.0f}), {fitted['gaussian']:.4f} with a network that answers nothing."
        )
    return "\n\n".join(text)


def verdict(crps: dict[str, dict[str, float]]) -> str:
    """Say which forecast scores best, relative to climatology and averaged over the variables.

    Examples
    --------
    >>> verdict({"climatology": {"thetao": 2.0}, "mean": {"thetao": 1.0}, "gaussian": {"thetao": 0.8}})
    'Score relative to climatology, mean over the variables: climatology 1.000, mean 0.500, gaussian 0.400. Best: gaussian.'
    """
    base = crps["climatology"]
    relative = {
        name: float(np.mean([v / base[n] for n, v in by.items() if base[n] > 0])) for name, by in crps.items()
    }
    listed = ", ".join(f"{name} {value:.3f}" for name, value in relative.items())
    return f"Score relative to climatology, mean over the variables: {listed}. Best: {min(relative, key=relative.__getitem__)}."


def _table(scores: dict[str, dict[str, float]], generator: Generator) -> str:
    """Markdown table, a row a forecast."""
    names = generator.config.variables
    head = "| forecast | " + " | ".join(f"{n} [{generator.layout.tables[n].units}]" for n in names) + " |"
    rows = [f"| {name} | " + " | ".join(f"{by[n]:.4g}" for n in names) + " |" for name, by in scores.items()]
    return "\n".join([head, "|---" * (len(names) + 1) + "|", *rows])


def _limits(generator: Generator) -> str:
    """Known limits."""
    saved, drift = generator.config, generator.config.store.get("drift_K_per_century")
    lines = [
        f"- {len(saved.training_members)} members can not say more about {len(saved.inputs)} parameters than the scores above; "
        "the spread of the samples is the uncertainty of the mean, more than the variability of the ocean.",
        "- Values outside the ranges are refused unless asked for; nothing was tested there.",
        "- States are of the same date of the year as the training snapshots.",
        "- Samples carry no more inversions than convective adjustment leaves (none); it changes mixed layers slightly, "
        "the file says by how much.",
    ]
    if drift and max(map(abs, drift)) > 0.01:
        lines.append("- Some training runs still drift (see above): the states inherit it.")
    return "## Limits\n\n" + "\n".join(lines)


def _use(generator: Generator, name: str) -> str:
    """Three lines of use."""
    varied = next((n for n, p in generator.config.parameters.items() if p.varies), None)
    chosen = ""
    if varied is not None:
        p = generator.config.parameters[varied]
        chosen = f'"{varied}": "{float(f"{0.5 * (p.low + p.high):.3g}")!r} {p.units}"'
    origin = yaml.safe_dump(
        {"created": generator.config.created, "warmstart": generator.config.warmstart_version}
    )
    return (
        "## Use\n\n```python\nimport warmstart as ws\n\n"
        f'states = ws.generate("{name}", {{{chosen}}}, n=4, output="states.nc")\nws.check("states.nc")\n```\n\n'
        f"Licence of the weights: {generator.config.config.licence}.\n\n```yaml\n{origin}```"
    )
