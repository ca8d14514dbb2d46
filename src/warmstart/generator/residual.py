"""The residual about the mean: how large it is, by what members say that a model has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warmstart.generator.settings import ResidualConfig
from warmstart.generator.space import Coordinates, fit
from warmstart.regression.layout import Layout
from warmstart.regression.mean import folds
from warmstart.scores.crps import gaussian_crps

#: Amplitudes that :func:`calibrate` tries.
AMPLITUDES = np.linspace(0.0, 1.5, 61)


@dataclass(frozen=True, eq=False)
class Law:
    """How the residual is drawn where one thing or the other is given.

    Attributes
    ----------
    coordinates : of the residual at its plain size.
    reference_spread : predictive spread of the mean at which it has this size, standardised units.
    amplitude : factor on it, calibrated in training.
    """

    coordinates: Coordinates
    reference_spread: float
    amplitude: float

    def relative(self, spread: float) -> float:
        """Size of the residual where the mean has this predictive spread: larger where it is less certain."""
        return max(spread / self.reference_spread, 1e-6) if self.reference_spread > 0 else 1.0

    def factor(self, spread: float) -> float:
        """Factor on a residual decoded from a latent."""
        return self.amplitude * self.relative(spread)


def calibrate(residuals: np.ndarray, layout: Layout, config: ResidualConfig) -> float:
    """Find the amplitude of the residual that scores best on members it was not fitted to.

    Each group of members is scored against a Gaussian residual fitted to the others: the continuous ranked probability
    score of the marginals (Gneiting and Raftery 2007, eq. 21), averaged with the volume weights.

    Parameters
    ----------
    residuals : cross-fitted residual of each member ``(member, wet)``, standardised units.
    layout : the channels.
    config : as :func:`fit`.

    Returns
    -------
    Factor on the residual, 0 to 1.5; 1 where there are fewer than three members.
    """
    members = len(residuals)
    if members < 3:
        return 1.0
    stride = max(1, residuals.shape[-1] // 20_000)
    weights = layout.to_wet(layout.weights)[::stride]
    score = np.zeros(len(AMPLITUDES))
    for fold in folds(members):
        rest = np.setdiff1d(np.arange(members), fold)
        std = np.sqrt(fit({"rest": residuals[rest]}, layout, config)["rest"].variance())[::stride]
        for error in residuals[fold][:, ::stride]:
            score += [np.sum(weights * gaussian_crps(error, a * std)) for a in AMPLITUDES]
    return float(AMPLITUDES[score.argmin()])
