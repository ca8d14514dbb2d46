"""generate: equilibrium states for given parameters, with their constraints and their provenance."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from warmstart import files, parameters
from warmstart.data.batches import scaled
from warmstart.errors import UserError
from warmstart.generator import constraints
from warmstart.generator.checkpoint import Generator, load
from warmstart.generator.denoiser import Condition, forcing_profiles
from warmstart.generator.sampler import draw, single_thread, solve
from warmstart.variables import VARIABLES

log = logging.getLogger(__name__)

#: Relative difference up to which a parameter that did not vary counts as the training value.
SAME = 1e-6


def generate(
    generator: Generator | str | Path,
    parameters: Mapping[str, Any],
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> xr.Dataset:
    """Generate equilibrium states for one set of parameters.

    Parameters
    ----------
    generator : folder, name of a shipped one, or a loaded generator.
    parameters : name to number in the units of the parameters table, or text with a unit; what is not given keeps the
        default of the table, or the training value where the ensemble did not vary it.
    n : number of samples.
    seed : sample i has seed `seed + i`, and depends on nothing else.
    output : states file (NetCDF) to write; None writes none.
    extrapolate : accept parameters outside the training range, with a warning.
    overwrite : whether an existing `output` may be replaced.
    progress : whether to show a progress bar.

    Returns
    -------
    States ``thetao so uo vo zos``, dims ``(sample, z, y, x)``, NaN on land, with ``seed``, the parameters, and what each
    constraint moved.

    Raises
    ------
    UserError
        If a parameter is unknown, of the wrong unit or out of range, or the output exists.

    Examples
    --------
    >>> generate("no-such-generator", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    if n < 1 or seed < 0:
        raise UserError(f"n is {n} and seed {seed}; expected at least 1 sample and no negative seed")
    if output is not None:
        files.refuse_existing(output, overwrite)
    loaded = generator if isinstance(generator, Generator) else load(generator)
    values, outside = request(loaded, parameters, extrapolate)
    states = sample(loaded, values, range(seed, seed + n), loaded.config.config.residual.model, progress)
    ds = finish(states, loaded, values, seed, outside)
    if output is not None:
        files.write_dataset(output, ds, loaded.grid, overwrite)
    return ds


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
        If something lies out of range and `extrapolate` is false.
    """
    seen = generator.config.parameters
    wanted = {name: parameters.parse(value, name) for name, value in given.items()}
    unseen = [n for n in wanted if n not in seen]
    if unseen:
        raise UserError(
            f"the generator knows nothing of {', '.join(unseen)}: its training data do not carry it"
        )
    values, outside = {}, []
    for name, span in seen.items():
        values[name] = wanted.get(name, parameters.get(name).default if span.varies else span.low)
        tolerance = SAME * max(abs(span.low), abs(span.high))
        if not span.low - tolerance <= values[name] <= span.high + tolerance:
            source = "" if name in wanted else " (the default)"
            limits = f"{span.low:g} to {span.high:g}" if span.varies else f"{span.low:g} only"
            outside.append(f"{name} = {values[name]:g} {span.units}{source}; trained on {limits}")
    if outside and not extrapolate:
        raise UserError(
            f"out of the training range: {'; '.join(outside)}. Choose values inside, "
            "or accept an extrapolation with --extrapolate (extrapolate=True)"
        )
    for phrase in outside:
        log.warning("extrapolating: %s", phrase)
    return values, outside


def sample(
    generator: Generator, values: Mapping[str, float], seeds: range, model: str, progress: bool = False
) -> list[tuple[xr.Dataset, dict[str, float]]]:
    """Draw states one at a time, on one thread, and apply the constraints.

    Parameters
    ----------
    generator : the generator.
    values : its parameters.
    seeds : one a sample.
    model : ``diffusion``, ``gaussian`` or ``none``.
    progress : whether to show a progress bar.

    Returns
    -------
    State ``(z, y, x)`` and record of the constraints, for each seed.
    """
    states = []
    with single_thread():
        for field in _tracked(wet_fields(generator, values, seeds, model), len(seeds), progress):
            states.append(constrained(generator, field))
    return states


def wet_fields(
    generator: Generator, values: Mapping[str, float], seeds: range, model: str
) -> Iterator[np.ndarray]:
    """Draw standardised states on wet values before any constraint, ``(wet,)`` each; call it on one thread."""
    inputs = scaled(values, generator.ranges)
    mean, factor = generator.mean.predict(inputs), amplitude(generator, inputs)
    condition = _condition(generator, inputs)
    for seed in seeds:
        if model == "none":
            yield mean
            continue
        latent = draw(seed, generator.coordinates.shape)
        if model == "diffusion":
            latent = _denoised(generator, latent, condition)
        yield mean + factor * generator.coordinates.decode(latent.numpy())


def amplitude(generator: Generator, inputs: np.ndarray) -> float:
    """Factor on the residual: calibrated in training, larger where the mean is less certain than it was there."""
    relative = (
        generator.mean.spread(inputs) / generator.reference_spread if generator.reference_spread > 0 else 1.0
    )
    return generator.config.amplitude * relative


def _condition(generator: Generator, inputs: np.ndarray) -> Condition:
    """What the denoiser is told, as a batch of one."""
    profiles = forcing_profiles(inputs, generator.forcing)
    return Condition(
        torch.as_tensor(inputs[None], dtype=torch.float32),
        torch.as_tensor(profiles[None], dtype=torch.float32),
        torch.ones(1),
    )


def _denoised(generator: Generator, noise: torch.Tensor, condition: Condition) -> torch.Tensor:
    """One latent from one draw of noise."""
    denoiser, sampling = generator.denoiser, generator.config.config.sampling
    if denoiser is None:
        raise UserError("this generator has no diffusion model: it was trained with another residual")

    def denoise(z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        clean = denoiser(z, sigma, condition)
        if sampling.guidance == 1:
            return clean
        free = denoiser(z, sigma, condition.dropped())
        return free + sampling.guidance * (clean - free)

    return solve(denoise, noise[None], sampling)[0]


def constrained(generator: Generator, field: np.ndarray) -> tuple[xr.Dataset, dict[str, float]]:
    """State in physical units that satisfies the constraints, with their record."""
    physical = generator.normalizer.restore(generator.layout.from_wet(field))
    return constraints.apply(generator.layout.unpack(physical[None]).isel(sample=0), generator.grid)


def finish(
    states: list[tuple[xr.Dataset, dict[str, float]]],
    generator: Generator,
    values: Mapping[str, float],
    seed: int,
    outside: list[str],
) -> xr.Dataset:
    """Join samples into a states Dataset with parameters, records and provenance.

    Parameters
    ----------
    states : from :func:`sample`.
    generator : that drew them.
    values : its parameters.
    seed : of the first sample.
    outside : parameters out of range.

    Returns
    -------
    Dims ``(sample, z, y, x)``.
    """
    ds = xr.concat([state for state, _ in states], "sample", combine_attrs="override")
    ds = ds.assign_coords(
        seed=("sample", np.arange(seed, seed + len(states)), {"long_name": "seed of the sample"})
    )
    ds = parameters.attach(ds, {name: np.full(len(states), v) for name, v in values.items()}, "sample")
    for name, (units, meaning) in constraints.RECORDS.items():
        moved = np.array([record[name] for _, record in states])
        ds[name] = ("sample", moved, {"units": units, "long_name": meaning})
    config = generator.config
    attrs = files.provenance(seed=seed, config=config.config.model_dump(mode="json"))
    attrs |= {
        "generator": generator.hash,
        "generator_name": generator.name,
        "grid_fingerprint": config.grid_fingerprint,
    }
    attrs |= {f"predicted_spread_{name}": s for name, s in spread(generator, values).items()}
    if outside:
        attrs["extrapolated"] = "; ".join(outside)
    return ds.assign_attrs(attrs)


def spread(generator: Generator, values: Mapping[str, float]) -> dict[str, float]:
    """Standard deviation that the generator gives each variable for these parameters.

    Parameters
    ----------
    generator : the generator.
    values : its parameters.

    Returns
    -------
    Root of the volume-weighted mean variance by variable, units of the variables table.
    """
    layout = generator.layout
    factor = amplitude(generator, scaled(values, generator.ranges))
    variance = (
        layout.from_wet(generator.coordinates.variance())
        * (factor * generator.normalizer.std[:, None, None]) ** 2
    )
    means = {
        n: (variance * layout.weights)[c].sum() / layout.weights[c].sum() for n, c in layout.slices.items()
    }
    return {name: float(f"{np.sqrt(value):.4g}") for name, value in means.items() if name in VARIABLES}


def _tracked(fields: Iterator[np.ndarray], total: int, progress: bool) -> Iterator[np.ndarray]:
    """The same, with a progress bar."""
    if not progress:
        yield from fields
        return
    from rich.progress import track

    yield from track(fields, "generating", total=total)
