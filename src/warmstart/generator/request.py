"""Asking: what a state is wanted for, completed and checked against what the generator was trained on."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.model import Generator
from warmstart.generator.settings import SamplingConfig
from warmstart.ocean import parameters

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
        return parameters.scaled(self.values, generator.ranges).reshape(len(generator.ranges))


def ask(
    generator: Generator,
    given: Mapping[str, Any] | None,
    initial: xr.Dataset | str | Path | None = None,
    age: float | None = None,
    extrapolate: bool = False,
) -> Request:
    """Complete and check what a state is asked for with; arguments and errors as of :func:`warmstart.verbs.generate.generate`."""
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
    """Complete and check parameters, as of :func:`ask`, against what the generator was trained on.

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

    One phrase a parameter: nothing in the states follows from these `values`, which are complete.
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
    position = float(parameter.over(*limits).coordinate(value))
    return -FARTHEST <= position <= 1 + FARTHEST


def usable(device: str) -> str:
    """Refuse a device that is neither ``cpu`` nor a GPU that torch finds.

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
