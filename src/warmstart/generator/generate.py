"""generate: equilibrium states for given parameters, with their constraints and their provenance."""

from __future__ import annotations

import logging
import math
import reprlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart import files, outputs, parameters
from warmstart.errors import UserError, shortened
from warmstart.generator import constraints
from warmstart.generator.checkpoint import Generator, load
from warmstart.generator.config import SamplingConfig, resampled
from warmstart.generator.conserve import check_targets
from warmstart.generator.drawing import Request, sample, usable
from warmstart.season import ATTRIBUTE, season
from warmstart.variables import VARIABLES

log = logging.getLogger(__name__)

#: Relative difference up to which a parameter that did not vary counts as the training value.
SAME = 1e-6
#: Share of the range that plans may sample by which such a parameter may differ from training: no more than a remark.
MILD = 0.25
#: Widths of the training range beyond it, in the scale of the parameter, up to which there is something to extrapolate.
FARTHEST = 10.0


@outputs.writes(folder=False)
def generate(
    generator: Generator | str | Path,
    parameters: Mapping[str, Any] | None = None,
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    initial: xr.Dataset | str | Path | None = None,
    age: float | None = None,
    sampling: Mapping[str, Any] | None = None,
    conserve: Mapping[str, float] | None = None,
    device: str = "cpu",
) -> xr.Dataset:
    """Generate equilibrium states for one set of parameters, from a state on the way to equilibrium, or from both.

    Parameters
    ----------
    generator : folder, name of a shipped one, or a loaded generator.
    parameters : name to number in the units of the parameters table, or text with a unit; what is not given keeps the
        default of the table, or the training value where the ensemble did not vary it. One that the ensemble did not vary may
        differ by a quarter of the range of the table: a warning says so, and the attribute ``differs_from_training``. None gives no parameters: the
        initial state alone decides (without one, None means the defaults).
    n : number of samples.
    seed : sample i has seed `seed + i`, and depends on nothing else.
    output : states file (NetCDF) to write; None writes none.
    extrapolate : accept parameters outside the training range, with a warning.
    overwrite : whether an existing `output` may be replaced.
    progress : whether to show a progress bar.
    initial : a state after some years of spin-up, ``(z, y, x)``, on the mesh of the generator: a Dataset or a states file.
    age : years of spin-up of the initial state; where the file holds several it picks the one of this year. None takes the
        ``year`` that the file states, or else the age that the state looks like.
    sampling : changes of the sampler, keys of :class:`warmstart.generator.config.SamplingConfig`: ``{"method": "heun"}``
        takes the settings that this method was published with.
    conserve : means that every state has to have, which stand for its contents: of ``thetao`` [degC] (heat), ``so`` [1e-3]
        (salt) and ``zos`` [m] (volume). What is not named keeps the content that was drawn; volume has mean sea level 0.
    device : where the network runs, ``cpu`` or ``cuda``; the noise of a sample is the same on both.

    Returns
    -------
    States ``thetao so uo vo zos``, dims ``(sample, z, y, x)``, NaN on land, with ``seed``, the parameters (if given), and
    what each constraint moved; attributes say what was given, and the ``season`` that the states are of.

    Raises
    ------
    UserError
        If a parameter is unknown, of the wrong unit or out of range, the initial state is of another mesh, not finite at
        sea or unlike any of training, the sampler is unknown or cannot be, no ocean has such contents, there is no such device,
        or the output exists.

    Examples
    --------
    >>> generate("no-such-generator", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    if parameters is not None and not isinstance(parameters, Mapping):
        raise UserError(
            f"parameters is {shortened(reprlib.repr(parameters), 80)}; expected names with values, for example "
            '{"wind_stress_south": 0.3}'
        )
    if n < 1 or seed < 0:
        raise UserError(f"n is {n} and seed {seed}; expected at least 1 sample and no negative seed")
    loaded = generator if isinstance(generator, Generator) else load(generator)
    asked = replace(
        ask(loaded, parameters, initial, age, extrapolate),
        sampling=_sampling(loaded, sampling),
        conserve=check_targets(conserve or {}),
        device=usable(device),
    )
    states = sample(loaded, asked, range(seed, seed + n), loaded.config.config.residual.model, progress)
    ds = finish(states, loaded, asked, seed)
    if output is not None:
        files.write_dataset(output, ds, loaded.grid, overwrite)
    return ds


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
    from warmstart.generator.initial import read, trained_age

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


def _sampling(generator: Generator, changes: Mapping[str, Any] | None) -> SamplingConfig | None:
    """The sampler with what is asked for changed."""
    if not changes:
        return None
    if generator.config.config.residual.model != "diffusion":
        raise UserError(
            f"this generator has no sampler to change: its residual is {generator.config.config.residual.model}; "
            "take one that diffuses, such as the shipped dino-4deg-diffusion"
        )
    return resampled(generator.config.config.sampling, changes)


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
        units, meaning = constraints.RECORDS[name]
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
