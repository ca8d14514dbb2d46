"""Drawing: states one at a time, from the mean, the residual, the quantities and the constraints.

What follows from what is asked alone is computed once (:class:`Expected`); what is left is done for each sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints import chain, contents
from warmstart.generator.constraints.constraint import Constraint, Moved
from warmstart.generator.constraints.contents import responses_of
from warmstart.generator.examples import scaled_age
from warmstart.generator.model import Generator
from warmstart.generator.network import guides
from warmstart.generator.network.denoiser import Condition, Denoiser, forcing_profiles
from warmstart.generator.network.objective import expected, one_pass
from warmstart.generator.network.sampler import guided, single_thread, solve
from warmstart.generator.noise import Stream
from warmstart.generator.quantities import QUANTITIES
from warmstart.generator.request import Request, differing
from warmstart.generator.residual import Law
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.season import ATTRIBUTE, season
from warmstart.ocean.variables import VARIABLES

#: Residuals that are no noise: with them quantities are those that are expected.
CERTAIN = ("none", "deterministic")


@dataclass(frozen=True, eq=False)
class Expected:
    """What follows from what is asked before anything is drawn.

    Attributes
    ----------
    generator : that draws.
    asked : what with.
    model : of the residual, as ``residual.model`` of the configuration.
    mean : expected state ``(wet,)``, standardised units.
    law : of the residual.
    factor : on a residual decoded from a latent.
    spread : predictive standard deviation of the mean, standardised units.
    predicted : what regressions predict of the quantities of which a residual is drawn, by name.
    fixed : targets of the other quantities, the same for all samples, by name.
    responses : how a state changes with each of its contents (:func:`warmstart.generator.constraints.contents.responses_of`).
    network : the network and what it is told, on the device that is asked for; None where the residual needs none.
    """

    generator: Generator
    asked: Request
    model: str
    mean: np.ndarray
    law: Law
    factor: float
    spread: float
    predicted: Mapping[str, np.ndarray]
    fixed: Mapping[str, np.ndarray]
    responses: Mapping[str, xr.Dataset]
    network: tuple[Denoiser, Condition] | None

    def field(self, noise: Stream) -> np.ndarray:
        """Draw a standardised state on wet values before any constraint, ``(wet,)``."""
        if self.model == "none":
            return self.mean
        latent = LATENTS[self.model](self, noise)
        return self.mean + self.factor * self.law.coordinates.decode(latent[0].numpy())

    def targets(self, noise: Stream) -> dict[str, np.ndarray]:
        """Draw what a state is moved to, by quantity, in the order in which they are imposed."""
        models, found = self.generator.quantities, dict(self.fixed)
        for name, values in self.predicted.items():
            found[name] = models[name].target(values, noise)
        return {name: found[name] for name in QUANTITIES if name in found}


def expect(generator: Generator, asked: Request, model: str | None = None) -> Expected:
    """Compute what follows from what is asked alone, on one thread.

    Parameters
    ----------
    generator : the generator.
    asked : what with.
    model : of the residual; None takes the generator's own.
    """
    model = model or generator.config.config.residual.model
    inputs = asked.inputs(generator)
    law = generator.laws[asked.given]
    with single_thread():
        mean, spread = generator.predict(inputs, asked.initial)
        # the expected residual has no amplitude to calibrate: it is no noise
        factor = law.relative(spread) if model == "deterministic" else law.factor(spread)
        shares = {n: share for n, share in generator.config.config.quantities.items() if share}
        predicted, fixed = {}, {}
        for name, quantity in ((n, q) for n, q in QUANTITIES.items() if n in shares):
            fitted = generator.quantities.get(name)
            if fitted is not None and inputs is not None:
                values = fitted.predict(generator.known(inputs))
                if fitted.residuals is None or model in CERTAIN:
                    fixed[name] = fitted.target(values)
                else:
                    predicted[name] = values
            elif quantity.from_state and set(quantity.needs) <= set(generator.layout.variables):
                fixed[name] = quantity.measure(_physical(generator, mean), generator.grid)
        responses = responses_of(law.coordinates, generator.normalizer)
        network = None if model in ("none", "gaussian") else _told(generator, asked, inputs)
    return Expected(generator, asked, model, mean, law, factor, spread, predicted, fixed, responses, network)


def sample(known: Expected, seeds: range, progress: bool = False) -> list[Moved]:
    """Draw states one at a time, on one thread, and apply the constraints.

    Parameters
    ----------
    known : of what is asked.
    seeds : one a sample.
    progress : whether to show a progress bar.

    Returns
    -------
    State ``(z, y, x)`` and record of the constraints, for each seed.
    """
    states = []
    with single_thread():
        for seed in _tracked(seeds, progress):
            noise = Stream(seed)
            field = known.field(noise)
            states.append(constrained(known, field, imposed(known, noise)))
    return states


def imposed(known: Expected, noise: Stream) -> list[Constraint]:
    """Constraints that move a state to what is drawn of its quantities."""
    shares = known.generator.config.config.quantities
    return [QUANTITIES[n].impose(target, shares[n]) for n, target in known.targets(noise).items()]


def constrained(known: Expected, field: np.ndarray, quantities: list[Constraint]) -> Moved:
    """State in physical units that satisfies the constraints, among them those given, with their record."""
    generator, asked = known.generator, known.asked
    state = _physical(generator, field)
    targets = contents.contents_of(state, generator.grid) | asked.conserve
    constraints = chain.serving(chain.standard(targets, known.responses, quantities), state)
    return chain.apply(state, generator.grid, constraints)


def condition(generator: Generator, asked: Request, inputs: np.ndarray | None) -> Condition:
    """What the network is told, as a batch of one."""
    layout = generator.layout
    known = np.zeros(len(generator.ranges)) if inputs is None else inputs
    by_parameters, by_state = float(inputs is not None), float(asked.initial is not None)
    told = [by_parameters, by_parameters, by_state, by_state]
    state = age = None
    if generator.spinup is not None:
        ages = generator.spinup.ages
        drawn, years = asked.initial or (np.zeros(int(layout.mask.sum())), float(ages[0]))
        state = torch.as_tensor(layout.from_wet(drawn)[None], dtype=torch.float32)
        near = np.clip(years, ages[0], ages[-1])
        age = torch.as_tensor(scaled_age(np.array([near]), ages), dtype=torch.float32)
    return Condition(
        torch.as_tensor(known[None], dtype=torch.float32),
        torch.as_tensor(forcing_profiles(known, generator.forcing)[None], dtype=torch.float32),
        torch.tensor([told]), torch.tensor([[by_parameters, by_state]]), state, age,
    )  # fmt: skip


def _told(generator: Generator, asked: Request, inputs: np.ndarray | None) -> tuple[Denoiser, Condition]:
    """The network and what it is told, on the device that is asked for."""
    if generator.denoiser is None:
        raise UserError("this generator has no network: it was trained with another residual")
    known, denoiser = condition(generator, asked, inputs), generator.denoiser.to(asked.device)
    half = asked.device != "cpu" and generator.config.config.training.precision == "bfloat16"
    denoiser.net.accelerate(bfloat16=half)
    moved = {f.name: getattr(known, f.name) for f in fields(known)}
    return denoiser, replace(known, **{n: t.to(asked.device) for n, t in moved.items() if t is not None})


def _asked_network(known: Expected) -> tuple[Denoiser, Condition]:
    """The network that a residual needs."""
    if known.network is None:
        raise UserError("this generator has no network: it was trained with another residual")
    return known.network


def _gaussian(known: Expected, noise: Stream) -> torch.Tensor:
    """A latent of the normal law."""
    return noise.normal(known.law.coordinates.shape)


@torch.no_grad()
def _one_pass(known: Expected, noise: Stream) -> torch.Tensor:
    """One latent from one draw of noise in one evaluation."""
    denoiser, told = _asked_network(known)
    return one_pass(denoiser, noise.normal(known.law.coordinates.shape).to(known.asked.device), told).cpu()


@torch.no_grad()
def _deterministic(known: Expected, noise: Stream) -> torch.Tensor:
    """The expected latent, from no noise."""
    denoiser, told = _asked_network(known)
    return expected(denoiser, (1, *known.law.coordinates.shape), told).double().cpu()


@torch.no_grad()
def _diffused(known: Expected, noise: Stream) -> torch.Tensor:
    """One latent from one draw of noise by the sampler."""
    denoiser, told = _asked_network(known)
    coordinates, free = known.law.coordinates, told.dropped()
    sampling = known.asked.sampling or known.generator.config.config.sampling
    denoise = guided(
        lambda z, sigma: denoiser(z, sigma, told),
        lambda z, sigma: denoiser(z, sigma, free),
        sampling.guidance,
    )
    if sampling.guide == "stratification":
        normalizer = known.generator.normalizer
        denoise = guides.stratification(denoise, coordinates, normalizer, known.mean, known.factor)
    after = guides.zero_mean(coordinates) if sampling.guide == "zero-mean" else None

    def source() -> torch.Tensor:
        return noise.normal(coordinates.shape)

    return solve(denoise, source().to(known.asked.device), sampling, source, after).cpu()


#: How each model of the residual draws a latent ``(1, *shape)``.
LATENTS: dict[str, Callable[[Expected, Stream], torch.Tensor]] = {
    "gaussian": _gaussian,
    "one-pass": _one_pass,
    "deterministic": _deterministic,
    "diffusion": _diffused,
}


def _physical(generator: Generator, field: np.ndarray) -> xr.Dataset:
    """State ``(z, y, x)`` in physical units from standardised wet values."""
    physical = generator.normalizer.restore(generator.layout.from_wet(field))
    return generator.layout.unpack(physical[None]).isel(sample=0)


def _tracked(seeds: range, progress: bool) -> Iterator[int]:
    """The same, with a progress bar."""
    if not progress:
        yield from seeds
        return
    from rich.progress import track

    yield from track(seeds, "generating", total=len(seeds))


def finish(
    states: list[Moved],
    known: Expected,
    seed: int | None,
) -> xr.Dataset:
    """Join samples of :func:`sample`, the first of this seed, into a Dataset ``(sample, z, y, x)`` with parameters, records and provenance.

    Without a seed nothing was drawn: the spread by level is there instead.
    """
    generator, asked = known.generator, known.asked
    ds = xr.concat([state for state, _ in states], "sample", combine_attrs="override")
    if seed is None:
        ds = ds.assign(spread_by_level(known))
    else:
        ds = ds.assign_coords(
            seed=("sample", np.arange(seed, seed + len(states)), {"long_name": "seed of the sample"})
        )
    values = asked.values or {}
    described = {name: span.parameter(name) for name, span in generator.config.parameters.items()}
    ds = parameters.attach(
        ds, {name: np.full(len(states), v) for name, v in values.items()}, "sample", described
    )
    config = generator.config
    attrs = files.provenance(seed=seed, config=config.config.model_dump(mode="json"))
    attrs |= {"expected": "yes"} if seed is None else {}
    attrs |= {
        "generator": generator.hash,
        "generator_name": generator.name,
        "grid_fingerprint": config.grid_fingerprint,
    }
    attrs |= {f"predicted_spread_{name}": s for name, s in spread(known).items()}
    attrs |= {"given": asked.given} | asked.notes
    attrs |= {f"conserved_{name}": target for name, target in asked.conserve.items()}
    attrs |= {name: np.array([record[name] for _, record in states]) for name in states[0][1]}
    if known.model == "diffusion":
        sampling = asked.sampling or config.config.sampling
        attrs |= {"sampler": sampling.method, "network_evaluations": sampling.evaluations}
    attrs[ATTRIBUTE] = _season(config.store)
    attrs |= {n: v for n, v in config.store.items() if n.startswith("equation_of_state") and v}
    if differs := differing(generator, values):
        attrs["differs_from_training"] = "; ".join(differs)
    if asked.outside:
        attrs["extrapolated"] = "; ".join(asked.outside)
    return ds.assign_attrs(attrs)


def _season(store: Mapping[str, Any]) -> str:
    """Season of the training states: as the generator says, else by the years that it names."""
    return str(store.get(ATTRIBUTE) or season(store.get("years") or ()))


def spread(known: Expected) -> dict[str, float]:
    """Standard deviation that the generator gives each variable, units of the variables table: root of the volume-weighted mean variance."""
    found = {}
    for name, (variance, weights) in _variances(known).items():
        value = np.sqrt((variance * weights).sum() / weights.sum())
        found[name] = float(f"{value:.4g}")
    return found


def spread_by_level(known: Expected) -> dict[str, xr.DataArray]:
    """``spread_NAME`` of each variable with levels, dims ``(z,)``, its units: the same by level; NaN where a level has no water."""
    found = {}
    for name, (variance, weights) in _variances(known).items():
        table = VARIABLES[name]
        if not table.three_d:
            continue
        water = weights.sum((1, 2))
        mean = np.divide(
            (variance * weights).sum((1, 2)), water, out=np.full(len(water), np.nan), where=water > 0
        )
        attrs = {"units": table.units, "long_name": f"standard deviation expected of {table.long_name}"}
        found[f"spread_{name}"] = xr.DataArray(np.sqrt(mean), dims="z", attrs=attrs)
    return found


def _variances(known: Expected) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Variance that the generator gives each cell, units of the variable squared, and its volume weight, ``(level, y, x)``."""
    generator, law = known.generator, known.law
    layout, factor = generator.layout, law.factor(known.spread)
    variance = (
        layout.from_wet(law.coordinates.variance()) * (factor * generator.normalizer.std[:, None, None]) ** 2
    )
    return {n: (variance[c], layout.weights[c]) for n, c in layout.slices.items() if n in VARIABLES}
