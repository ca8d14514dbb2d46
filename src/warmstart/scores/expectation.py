"""What an ensemble expects of each metric for given parameters, and how far its own members lie from that when they are left out.

The metrics of the members are regressed on their parameters by the Gaussian process of :mod:`warmstart.regression.mean`. The spread is
the root mean square, over all states of all members, of the difference from what the other members predict: it holds the error of
the regression and the variability between states of one member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from warmstart.regression import mean
from warmstart.regression.mean import MeanModel

#: Fewer members than this teach no regression.
FEWEST = 8
#: Smallest spread, as a share of the value: rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Expectation:
    """Metrics as a function of the parameters.

    Attributes
    ----------
    metrics : names.
    ranges : smallest and largest value of each parameter that varies, as the members have it.
    constants : value of each parameter that does not.
    model : of the metrics, each in units of `scale` about `centre`.
    centre, scale : mean and standard deviation over members, ``(metric,)``.
    spread : standard deviation of a state from what the other members predict, ``(metric,)``, in the units of the metrics.
    """

    metrics: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    constants: dict[str, float]
    model: MeanModel
    centre: np.ndarray
    scale: np.ndarray
    spread: np.ndarray

    def at(self, parameters: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Expected value and standard deviation of each metric for a set of parameters.

        Parameters
        ----------
        parameters : values of at least those that vary, in the units of the parameters table.
        """
        ranges = self.ranges.items()
        inputs = np.array([(parameters[n] - low) / (high - low) - 0.5 for n, (low, high) in ranges])
        value = self.model.predict(inputs) * self.scale + self.centre
        # beyond the members the process knows less than it does between them
        typical = np.sqrt((self.model.left_out() ** 2).mean())
        wider = max(1.0, self.model.spread(inputs) / max(float(typical), 1e-300))
        spread = np.maximum(self.spread * wider, ROUNDING * np.abs(value))
        return {n: (float(v), float(s)) for n, v, s in zip(self.metrics, value, spread, strict=True)}

    def lacking(self, parameters: Mapping[str, float]) -> list[str]:
        """Names of the parameters that vary in the ensemble and have no finite value here."""
        return [n for n in self.ranges if not np.isfinite(parameters.get(n, np.nan))]

    def beyond(self, parameters: Mapping[str, float]) -> list[str]:
        """Names of the parameters that lie outside of what the ensemble holds."""
        known = self.ranges | {n: (v, v) for n, v in self.constants.items()}
        margin = {n: 1e-6 * max(map(abs, ends)) for n, ends in known.items()}
        inside = {
            n: low - margin[n] <= parameters.get(n, low) <= high + margin[n]
            for n, (low, high) in known.items()
        }
        return [n for n in known if not inside[n]]


def learn(table: pd.DataFrame) -> Expectation | None:
    """Regress the metrics of a reference on its parameters.

    Parameters
    ----------
    table : of :func:`warmstart.verbs.check.check`; ``table.attrs`` holds ``parameters``, a list of values a name, and ``member``, both a value
        a sample.

    Returns
    -------
    The regression; None where the table has no parameters, none of them varies, or it holds fewer than :data:`FEWEST` members.

    Examples
    --------
    >>> learn(pd.DataFrame({"sample": [0], "metric": ["heat_content"], "value": [1.0]})) is None
    True
    """
    given = {str(n): np.asarray(v, float) for n, v in dict(table.attrs.get("parameters") or {}).items()}
    wide = table.pivot(index="sample", columns="metric", values="value").sort_index()
    if not given or any(v.shape != (len(wide),) or not np.isfinite(v).all() for v in given.values()):
        return None
    number = np.unique(_members(table, given, len(wide)), return_inverse=True)[1]
    count = int(number.max()) + 1
    values = {n: np.array([v[number == m].mean() for m in range(count)]) for n, v in given.items()}
    varied = {n: v for n, v in values.items() if np.ptp(v) > 1e-9 * np.abs(v).max()}
    wide = wide[[n for n in wide if np.isfinite(wide[n]).all()]]
    if count < FEWEST or not varied or wide.empty:
        return None
    states = wide.to_numpy()
    means = np.stack([states[number == m].mean(0) for m in range(count)])
    centre, scale = means.mean(0), means.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    ranges = {n: (float(v.min()), float(v.max())) for n, v in varied.items()}
    inputs = np.stack([(varied[n] - low) / (high - low) - 0.5 for n, (low, high) in ranges.items()], axis=1)
    weights = np.full(wide.shape[1], 1 / wide.shape[1])
    model = mean.fit((means - centre) / scale, inputs, weights, variance=1.0, few=True)
    apart = (states - means[number]) + (model.left_out() * scale)[number]
    constants = {n: float(v[0]) for n, v in values.items() if n not in varied}
    spread = np.sqrt((apart**2).mean(0))
    return Expectation(tuple(map(str, wide)), ranges, constants, model, centre, scale, spread)


def _members(table: pd.DataFrame, given: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Which member each state is of: as the table says, else states of the same parameters are of one."""
    said = table.attrs.get("member")
    if said is not None and len(said) == count:
        return np.asarray(said)
    rows = np.stack(list(given.values()), axis=1)
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1]).ravel()
