"""Drawing: what is asked of a generator, and states one at a time: mean, noise, network, sampler, constraints."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints import chain, contents
from warmstart.generator.constraints.contents import responses_of
from warmstart.generator.examples import scaled_age
from warmstart.generator.model import Generator
from warmstart.generator.network import guides
from warmstart.generator.network.denoiser import Condition, Denoiser, forcing_profiles
from warmstart.generator.network.objective import expected, one_pass
from warmstart.generator.network.sampler import Source, guided, single_thread, solve, stream
from warmstart.generator.quantities.ageostrophy import NEEDED, ageostrophic, balancing
from warmstart.generator.quantities.mixed_layer import mixed
from warmstart.generator.quantities.transports import carrying
from warmstart.generator.settings import SamplingConfig
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.season import ATTRIBUTE, season
from warmstart.ocean.variables import VARIABLES
from warmstart.store.reader import scaled

log = logging.getLogger(__name__)


#: Relative difference up to which a parameter that did not vary counts as the training value.
SAME = 1e-6
#: Share of the range that plans may sample by which such a parameter may differ from training: no more than a remark.
MILD = 0.25
#: Widths of the training range beyond it, in the scale of the parameter, up to which there is something to extrapolate.
FARTHEST = 10.0


@dataclass(frozen=True, eq=False)
class Request:
    """What a state is asked for with.

    Attributes
    ----------
    values : one number for each parameter of the training data, units of the table; None where none are given.
    initial : initial state ``(wet,)`` in standardised units and its years of spin-up; None where it is not given.
    outside : what lies out of the range of training, one phrase each.
    notes : attributes for the file.
    sampling : of the sampler; None takes the generator's own.
    conserve : means that stand for contents, by variable.
    device : where the network runs.
    """

    values: dict[str, float] | None
    initial: tuple[np.ndarray, float] | None = None
    outside: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    sampling: SamplingConfig | None = None
    conserve: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def given(self) -> str:
        """``parameters``, ``state`` or ``both``."""
        return "parameters" if self.initial is None else "state" if self.values is None else "both"

    def inputs(self, generator: Generator) -> np.ndarray | None:
        """Scaled parameters, ``(parameter,)``."""
        if self.values is None:
            return None
        return scaled(self.values, generator.ranges).reshape(len(generator.ranges))


def sample(
    generator: Generator, asked: Request, seeds: range, model: str, progress: bool = False
) -> list[tuple[xr.Dataset, dict[str, float]]]:
    """Draw states one at a time, on one thread, and apply the constraints.

    Parameters
    ----------
    generator : the generator.
    asked : what with.
    seeds : one a sample.
    model : as ``residual.model`` of the configuration.
    progress : whether to show a progress bar.

    Returns
    -------
    State ``(z, y, x)`` and record of the constraints, for each seed.
    """
    states, currents = [], balanced(generator, asked)
    with single_thread():
        drawn = _tracked(wet_fields(generator, asked, seeds, model), len(seeds), progress)
        for seed, field in zip(seeds, drawn, strict=True):
            states.append(
                constrained(generator, field, asked, predicted(generator, asked, seed, model), currents)
            )
    return states


def predicted(generator: Generator, asked: Request, seed: int, model: str) -> tuple[chain.Constraint, ...]:
    """Constraints that the parameters imply by regressions of their own: mixed layers, then transports.

    Where the residual is no noise (``none``, ``deterministic``) the transports are the expected ones.
    """
    inputs = asked.inputs(generator)
    if inputs is None:
        return ()
    known, found = generator.known(inputs), []
    if generator.mixed_layer is not None:
        found.append(mixed(generator.mixed_layer.depth(known)))
    if generator.transports is not None:
        certain = model in ("none", "deterministic")
        own = generator.transports
        found.append(carrying(own.expected(known) if certain else own.draw(known, seed)))
    return tuple(found)


def balanced(generator: Generator, asked: Request) -> tuple[chain.Constraint, ...]:
    """Constraint that the currents depart less from thermal wind, where the configuration asks for it."""
    share, inputs = generator.config.config.residual.balance, asked.inputs(generator)
    if not share or not set(NEEDED) <= set(generator.layout.variables):
        return ()
    if generator.currents is not None and inputs is not None:
        return (balancing(generator.currents.flow(generator.known(inputs)), share),)
    expected = _physical(generator, generator.predict(inputs, asked.initial)[0])
    return (balancing(ageostrophic(expected, generator.grid), share),)


def wet_fields(generator: Generator, asked: Request, seeds: range, model: str) -> Iterator[np.ndarray]:
    """Draw standardised states on wet values before any constraint, ``(wet,)`` each; call it on one thread."""
    mean, spread = generator.predict(asked.inputs(generator), asked.initial)
    law = generator.laws[asked.given]
    # the expected residual has no amplitude to calibrate: it is no noise
    factor = law.relative(spread) if model == "deterministic" else law.factor(spread)
    for seed in seeds:
        if model == "none":
            yield mean
            continue
        source = stream(seed, law.coordinates.shape)
        latent = source()
        if model == "diffusion":
            latent = _diffused(generator, latent, source, asked, mean, factor)
        elif model != "gaussian":
            latent = _answered(generator, latent, asked, model)
        yield mean + factor * law.coordinates.decode(latent[0].numpy())


def condition(generator: Generator, asked: Request) -> Condition:
    """What the network is told, as a batch of one."""
    inputs, layout = asked.inputs(generator), generator.layout
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


def usable(device: str) -> str:
    """Refuse a device that is not there.

    Raises
    ------
    UserError
        If it is neither ``cpu`` nor a GPU that torch finds.

    Examples
    --------
    >>> usable("cpu")
    'cpu'
    """
    if device != "cpu" and device.partition(":")[0] != "cuda":
        raise UserError(f"device is {device!r}; expected cpu or cuda")
    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device is {device!r}, but torch finds no GPU here; use cpu")
    return device


def _told(generator: Generator, asked: Request) -> tuple[Denoiser, Condition]:
    """The network and what it is told, on the device that is asked for."""
    if generator.denoiser is None:
        raise UserError("this generator has no network: it was trained with another residual")
    known, denoiser = condition(generator, asked), generator.denoiser.to(asked.device)
    half = asked.device != "cpu" and generator.config.config.training.precision == "bfloat16"
    denoiser.net.accelerate(bfloat16=half)
    moved = {f.name: getattr(known, f.name) for f in fields(known)}
    return denoiser, replace(known, **{n: t.to(asked.device) for n, t in moved.items() if t is not None})


@torch.no_grad()
def _answered(generator: Generator, noise: torch.Tensor, asked: Request, model: str) -> torch.Tensor:
    """One latent from one draw of noise in one evaluation."""
    denoiser, known = _told(generator, asked)
    if model == "one-pass":
        return one_pass(denoiser, noise.to(asked.device), known).cpu()
    return expected(denoiser, tuple(noise.shape), known).double().cpu()


@torch.no_grad()
def _diffused(
    generator: Generator, noise: torch.Tensor, source: Source, asked: Request, mean: np.ndarray, factor: float
) -> torch.Tensor:
    """One latent from one draw of noise by the sampler."""
    denoiser, known = _told(generator, asked)
    free, law = known.dropped(), generator.laws[asked.given]
    sampling = asked.sampling or generator.config.config.sampling
    denoise = guided(
        lambda z, sigma: denoiser(z, sigma, known),
        lambda z, sigma: denoiser(z, sigma, free),
        sampling.guidance,
    )
    if sampling.guide == "stratification":
        denoise = guides.stratification(denoise, law.coordinates, generator.normalizer, mean, factor)
    after = guides.zero_mean(law.coordinates) if sampling.guide == "zero-mean" else None
    return solve(denoise, noise.to(asked.device), sampling, source, after).cpu()


def constrained(
    generator: Generator,
    field: np.ndarray,
    asked: Request,
    predicted: Sequence[chain.Constraint] = (),
    currents: Sequence[chain.Constraint] = (),
) -> tuple[xr.Dataset, dict[str, float]]:
    """State in physical units that satisfies the constraints, among them those given, with their record."""
    state = _physical(generator, field)
    targets = contents.contents_of(state, generator.grid) | asked.conserve
    responses = responses_of(generator.laws[asked.given].coordinates, generator.normalizer)
    return chain.apply(state, generator.grid, chain.standard(targets, responses, predicted, currents))


def _physical(generator: Generator, field: np.ndarray) -> xr.Dataset:
    """State ``(z, y, x)`` in physical units from standardised wet values."""
    physical = generator.normalizer.restore(generator.layout.from_wet(field))
    return generator.layout.unpack(physical[None]).isel(sample=0)


def _tracked(fields: Iterator[np.ndarray], total: int, progress: bool) -> Iterator[np.ndarray]:
    """The same, with a progress bar."""
    if not progress:
        yield from fields
        return
    from rich.progress import track

    yield from track(fields, "generating", total=total)


def ask(
    generator: Generator,
    given: Mapping[str, Any] | None,
    initial: xr.Dataset | str | Path | None = None,
    age: float | None = None,
    extrapolate: bool = False,
) -> Request:
    """Complete and check what a state is asked for with.

    Parameters
    ----------
    generator : the generator.
    given, initial, age, extrapolate : as in :func:`generate`.

    Raises
    ------
    UserError
        As in :func:`generate`.
    """
    if initial is None:
        if age is not None:
            raise UserError("an age was given without the state that has it; give both, or neither")
        complete, beyond = request(generator, given or {}, extrapolate)
        return Request(complete, None, tuple(beyond))
    from warmstart.generator.initial_state import read, trained_age

    state, years, notes, outside = read(generator, initial, age)
    if outside and not extrapolate:
        # at an age that training did not have, the distance from the states of training says nothing of the configuration
        question = " Is it a state of the same configuration?" if trained_age(generator, years) else ""
        raise UserError(
            f"{'; '.join(outside)}.{question} Accept an extrapolation with --extrapolate (extrapolate=True)"
        )
    for phrase in outside:
        log.warning("extrapolating: %s", phrase)
    values = None
    if given is not None:
        values, more = request(generator, given, extrapolate)
        outside = [*outside, *more]
    return Request(values, (state, years), tuple(outside), notes)


def request(
    generator: Generator, given: Mapping[str, Any], extrapolate: bool
) -> tuple[dict[str, float], list[str]]:
    """Complete and check parameters against what the generator was trained on.

    Parameters
    ----------
    generator : the generator.
    given : as in :func:`generate`.
    extrapolate : whether values out of range are accepted.

    Returns
    -------
    values : one for each parameter of the training data, units of the table.
    outside : what lies out of range, one phrase each.

    Raises
    ------
    UserError
        If something lies out of range and `extrapolate` is false, or so far out that no state follows.
    """
    seen = generator.config.parameters
    known = {name: span.parameter(name) for name, span in seen.items()}
    wanted = {name: parameters.parse(value, known.get(name, name)) for name, value in given.items()}
    unseen = [n for n in wanted if n not in seen]
    if unseen:
        raise UserError(
            f"the generator knows nothing of {', '.join(unseen)}: its training data do not carry it"
        )
    open_ = [
        n for n, span in seen.items() if span.varies and n not in wanted and math.isnan(known[n].default)
    ]
    if open_:
        first = seen[open_[0]]
        raise UserError(
            f"{', '.join(open_)} not given: a parameter of your own ensemble has no default; give it, for example "
            f"--set '{open_[0]}={0.5 * (first.low + first.high):.3g} {first.units}'"
        )
    values, outside = {}, []
    for name, span in seen.items():
        values[name] = wanted.get(name, known[name].default if span.varies else span.low)
        if not span.varies and _mild(known[name], values[name], span.low):
            continue
        tolerance = SAME * max(abs(span.low), abs(span.high))
        if not span.low - tolerance <= values[name] <= span.high + tolerance:
            source = "" if name in wanted else " (the default)"
            limits = f"{span.low:g} to {span.high:g}" if span.varies else f"{span.low:g} only"
            outside.append(f"{name} = {values[name]:g} {span.units}{source}; trained on {limits}")
            if span.varies and not _near(known[name], values[name], (span.low, span.high)):
                raise UserError(
                    f"{outside[-1]}: more than {FARTHEST:g} times that range away, so far that no state follows"
                )
    if outside and not extrapolate:
        raise UserError(
            f"out of the training range: {'; '.join(outside)}. Choose values inside, "
            "or accept an extrapolation with --extrapolate (extrapolate=True)"
        )
    for phrase in outside:
        log.warning("extrapolating: %s", phrase)
    for phrase in differing(generator, values):
        log.warning("%s", phrase)
    return values, outside


def differing(generator: Generator, values: Mapping[str, float]) -> list[str]:
    """Name the parameters that all members of training had in common, and that are asked for with another value.

    Parameters
    ----------
    generator : the generator.
    values : what is asked for, complete.

    Returns
    -------
    One phrase a parameter: nothing in the states follows from these values.
    """
    found = []
    for name, span in generator.config.parameters.items():
        if span.varies or name not in values or abs(values[name] - span.low) <= SAME * abs(span.low):
            continue
        found.append(
            f"{name} = {values[name]:g} {span.units}: all training members had {span.low:g}; the states are those of {span.low:g}"
        )
    return found


def _mild(parameter: parameters.Parameter, value: float, trained: float) -> bool:
    """Whether a value of a parameter that did not vary is near enough to the one of training."""
    if math.isnan(parameter.low):
        return abs(value - trained) <= MILD * abs(trained)
    return abs(float(parameter.coordinate(value)) - float(parameter.coordinate(trained))) <= MILD


def _near(parameter: parameters.Parameter, value: float, limits: tuple[float, float]) -> bool:
    """Whether a value is near enough to the training range to extrapolate to."""
    position = float(parameters.ranged(parameter.name, *limits, parameter).coordinate(value))
    return -FARTHEST <= position <= 1 + FARTHEST


def finish(
    states: list[tuple[xr.Dataset, dict[str, float]]],
    generator: Generator,
    asked: Request,
    seed: int,
) -> xr.Dataset:
    """Join samples into a states Dataset with parameters, records and provenance.

    Parameters
    ----------
    states : from :func:`sample`.
    generator : that drew them.
    asked : what with.
    seed : of the first sample.

    Returns
    -------
    Dims ``(sample, z, y, x)``.
    """
    ds = xr.concat([state for state, _ in states], "sample", combine_attrs="override")
    ds = ds.assign_coords(
        seed=("sample", np.arange(seed, seed + len(states)), {"long_name": "seed of the sample"})
    )
    values = asked.values or {}
    described = {name: span.parameter(name) for name, span in generator.config.parameters.items()}
    ds = parameters.attach(
        ds, {name: np.full(len(states), v) for name, v in values.items()}, "sample", described
    )
    for name in states[0][1]:
        units, meaning = chain.RECORDS[name]
        moved = np.array([record[name] for _, record in states])
        ds[name] = ("sample", moved, {"units": units, "long_name": meaning})
    config = generator.config
    attrs = files.provenance(seed=seed, config=config.config.model_dump(mode="json"))
    attrs |= {
        "generator": generator.hash,
        "generator_name": generator.name,
        "grid_fingerprint": config.grid_fingerprint,
    }
    attrs |= {f"predicted_spread_{name}": s for name, s in spread(generator, asked).items()}
    attrs |= {"given": asked.given} | asked.notes
    attrs |= {f"conserved_{name}": target for name, target in asked.conserve.items()}
    if config.config.residual.model == "diffusion":
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


def spread(generator: Generator, asked: Request) -> dict[str, float]:
    """Standard deviation that the generator gives each variable.

    Parameters
    ----------
    generator : the generator.
    asked : what with.

    Returns
    -------
    Root of the volume-weighted mean variance by variable, units of the variables table.
    """
    layout = generator.layout
    law = generator.laws[asked.given]
    factor = law.factor(generator.predict(asked.inputs(generator), asked.initial)[1])
    variance = (
        layout.from_wet(law.coordinates.variance()) * (factor * generator.normalizer.std[:, None, None]) ** 2
    )
    means = {
        n: (variance * layout.weights)[c].sum() / layout.weights[c].sum() for n, c in layout.slices.items()
    }
    return {name: float(f"{np.sqrt(value):.4g}") for name, value in means.items() if name in VARIABLES}
