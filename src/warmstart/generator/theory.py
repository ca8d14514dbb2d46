"""What theory makes of the parameters, as further inputs of the mean model.

A regression on a few dozen members can not find out by itself how wind, mixing, eddies and the contrast in density act together;
the balance of the pycnocline (:mod:`warmstart.physics.theory`) says it in closed form, and the regression learns what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from warmstart import parameters
from warmstart.errors import UserError
from warmstart.generator.config import ParameterRange
from warmstart.physics.theory import NEEDED, pycnocline

FEATURES = ("depth", "southern", "mixing", "sinking")
POINTS, SEED = 256, 0  #: of the sample of the box that the features are scaled by


@dataclass(frozen=True, eq=False)
class Theory:
    """A map from scaled parameters to scaled parameters and features of theory.

    Attributes
    ----------
    ranges : lowest and highest value of the parameters, in the order of the inputs.
    fixed : the other parameters that theory needs.
    centre, spread : of the features over the box, ``(feature,)``.
    """

    ranges: dict[str, tuple[float, float]]
    fixed: dict[str, float]
    centre: np.ndarray
    spread: np.ndarray

    def extend(self, inputs: np.ndarray) -> np.ndarray:
        """Append the features: ``(..., parameter)`` to ``(..., parameter + feature)``."""
        values = {
            name: span.value(inputs[..., i] + 0.5)
            for i, (name, span) in enumerate(_spans(self.ranges).items())
        }
        return np.concatenate([inputs, (_features(self.fixed | values) - self.centre) / self.spread], -1)


def theory_of(seen: Mapping[str, ParameterRange]) -> Theory:
    """Build the map for the parameters that training saw.

    Parameters
    ----------
    seen : what training saw of each parameter.

    Returns
    -------
    The map; over the box its features have a mean of 0 and the spread of a parameter.

    Raises
    ------
    UserError
        If a parameter that theory needs is unknown, or none of them varies.

    Examples
    --------
    >>> seen = {n: ParameterRange(low=p, high=2 * p, units="1", varies=True) for n, p in parameters.defaults().items()}
    >>> theory_of(seen).extend(np.zeros(len(seen))).shape == (len(seen) + 4,)
    True
    """
    missing = [name for name in NEEDED if name not in seen]
    if missing:
        raise UserError(
            f"mean.theory needs {', '.join(missing)}, which the training data do not hold; set mean.theory: false"
        )
    if not any(seen[name].varies for name in NEEDED):
        raise UserError(
            f"mean.theory: none of {', '.join(NEEDED)} varies in the training data; set mean.theory: false"
        )
    ranges = {name: (p.low, p.high) for name, p in seen.items() if p.varies}
    fixed = {name: seen[name].low for name in NEEDED if not seen[name].varies}
    box = parameters.sobol(ranges, POINTS, SEED)
    sample = _features(fixed | {name: np.array([member[name] for member in box]) for name in ranges})
    # a uniform parameter of width 1 has this standard deviation
    spread = np.maximum(sample.std(0), 1e-12) * np.sqrt(12.0)
    return Theory(ranges, fixed, sample.mean(0), spread)


def _spans(ranges: Mapping[str, tuple[float, float]]) -> dict[str, parameters.Parameter]:
    return {name: parameters.ranged(name, *bounds) for name, bounds in ranges.items()}


def _features(values: Mapping[str, np.ndarray | float]) -> np.ndarray:
    """Logarithm of the depth, and the transports in Sverdrups, ``(..., feature)``."""
    found = pycnocline(values)
    southern = found["ekman"] - found["eddies"]
    return np.stack(
        [np.log(found["depth"]), southern / 1e6, found["mixing"] / 1e6, found["sinking"] / 1e6], -1
    )
