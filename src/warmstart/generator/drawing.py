"""Drawing: from what is asked for to states, one at a time: mean, noise, network, sampler, constraints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from warmstart.data.batches import scaled
from warmstart.errors import UserError
from warmstart.generator import constraints, guides
from warmstart.generator.checkpoint import Generator
from warmstart.generator.config import SamplingConfig
from warmstart.generator.conserve import responses_of
from warmstart.generator.denoiser import Condition, Denoiser, forcing_profiles
from warmstart.generator.examples import scaled_age
from warmstart.generator.mixed_layer import mixed
from warmstart.generator.objective import expected, one_pass
from warmstart.generator.sampler import Source, guided, single_thread, solve, stream
from warmstart.generator.thermal_wind import NEEDED, ageostrophic, balancing
from warmstart.generator.transports import carrying


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


def predicted(
    generator: Generator, asked: Request, seed: int, model: str
) -> tuple[constraints.Constraint, ...]:
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


def balanced(generator: Generator, asked: Request) -> tuple[constraints.Constraint, ...]:
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
    predicted: Sequence[constraints.Constraint] = (),
    currents: Sequence[constraints.Constraint] = (),
) -> tuple[xr.Dataset, dict[str, float]]:
    """State in physical units that satisfies the constraints, among them those given, with their record."""
    state = _physical(generator, field)
    targets = constraints.contents_of(state, generator.grid) | asked.conserve
    responses = responses_of(generator.laws[asked.given].coordinates, generator.normalizer)
    return constraints.apply(
        state, generator.grid, constraints.standard(targets, responses, predicted, currents)
    )


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
