"""The residual about the mean: the coordinates it is diffused in, and how large it has to be.

With few members the residual is diffused in its own whitened empirical orthogonal functions, all variables jointly: noise
is then a smooth, balanced field instead of grid-scale noise (which makes columns unstable), and every linear
property of the training states - no divergence, no flow through walls - survives. Where the ensemble is large, ``grid``
diffuses the maps themselves, each channel scaled by its own standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warmstart.data.layout import Layout
from warmstart.generator.config import ResidualConfig
from warmstart.generator.mean import eofs

#: Amplitudes that :func:`calibrate` tries.
AMPLITUDES = np.linspace(0.0, 1.5, 61)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Linear map between a residual on wet values and the latent that the network denoises.

    Attributes
    ----------
    layout : the channels.
    basis : modes ``(mode, wet)``, orthonormal in the weights, or ``(0, wet)`` for the coordinates of the grid.
    scale : standard deviation of each mode ``(mode,)`` or, on the grid, of each channel ``(channel,)``.
    """

    layout: Layout
    basis: np.ndarray
    scale: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one latent: ``(mode,)`` or ``(channel, y, x)``."""
        return (len(self.basis),) if len(self.basis) else self.layout.shape

    def encode(self, residual: np.ndarray) -> np.ndarray:
        """Residual ``(..., wet)`` in standardised units to latents of variance about 1."""
        if len(self.basis):
            weighted = self.basis * self.layout.to_wet(self.layout.weights)
            return np.einsum("...w,kw->...k", residual, weighted) / self.scale
        return self.layout.from_wet(residual) / self.scale[:, None, None]

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Latents to the residual ``(..., wet)``; the inverse of :meth:`encode` on its span."""
        if len(self.basis):
            return np.einsum("...k,kw->...w", latent * self.scale, self.basis)
        return self.layout.to_wet(latent * self.scale[:, None, None])

    def variance(self) -> np.ndarray:
        """Variance of a residual decoded from white noise, ``(wet,)``."""
        if len(self.basis):
            return np.einsum("k,kw->w", self.scale**2, self.basis**2)
        return self.layout.to_wet(np.broadcast_to((self.scale**2)[:, None, None], self.layout.shape))


def fit(residuals: np.ndarray, layout: Layout, config: ResidualConfig) -> Coordinates:
    """Choose the coordinates from the cross-fitted residuals of the training members.

    Parameters
    ----------
    residuals : ``(sample, wet)``, standardised units, each divided by its relative predictive spread.
    layout : the channels.
    config : which coordinates, and how many modes.

    Returns
    -------
    The coordinates.
    """
    wet = residuals.shape[-1]
    if config.coordinates == "grid":
        square = layout.from_wet(residuals**2).sum((0, 2, 3)) / np.maximum(
            layout.mask.sum((1, 2)) * len(residuals), 1
        )
        return Coordinates(layout, np.zeros((0, wet)), np.sqrt(np.maximum(square, 1e-8)))
    basis, _, kept = eofs(residuals, layout.to_wet(layout.weights), config.variance)
    keep = min(len(kept), config.modes)
    return Coordinates(layout, basis[:keep], np.sqrt(np.maximum(kept[:keep], 1e-12)))


def calibrate(residuals: np.ndarray, member: np.ndarray, layout: Layout, config: ResidualConfig) -> float:
    """Find the amplitude of the residual that scores best on members it was not fitted to.

    Each member is scored against a Gaussian residual fitted to the others: the continuous ranked probability score of
    the marginals (Gneiting and Raftery 2007, eq. 21), averaged with the volume weights.

    Parameters
    ----------
    residuals : cross-fitted residuals ``(sample, wet)``, standardised units.
    member : member of each sample, ``(sample,)``.
    layout : the channels.
    config : as :func:`fit`.

    Returns
    -------
    Factor on the residual, 0 to 1.5; 1 where there are fewer than three members.
    """
    members = np.unique(member)
    if len(members) < 3:
        return 1.0
    stride = max(1, residuals.shape[-1] // 20_000)
    weights = layout.to_wet(layout.weights)[::stride]
    score = np.zeros(len(AMPLITUDES))
    for left_out in members:
        std = np.sqrt(fit(residuals[member != left_out], layout, config).variance())[::stride]
        error = residuals[member == left_out][:, ::stride].mean(0)
        score += [np.sum(weights * gaussian_crps(error, a * std)) for a in AMPLITUDES]
    return float(AMPLITUDES[score.argmin()])


def gaussian_crps(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of a normal law (Gneiting and Raftery 2007, eq. 21).

    Parameters
    ----------
    error : observation minus mean.
    std : standard deviation of the law, not negative; 0 gives the absolute error.

    Returns
    -------
    Score in the units of `error`.

    Examples
    --------
    >>> import numpy as np
    >>> gaussian_crps(np.array([2.0]), np.array([0.0])).tolist()
    [2.0]
    """
    from scipy.special import ndtr

    positive = std > 0
    safe = np.where(positive, std, 1.0)
    z = error / safe
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    score = safe * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(positive, score, np.abs(error))


def ensemble_crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fair continuous ranked probability score of an ensemble (Ferro 2014).

    Parameters
    ----------
    samples : ``(sample, ...)``.
    truth : ``(...)``.

    Returns
    -------
    Score ``(...)``; the absolute error for a single sample.

    Examples
    --------
    >>> import numpy as np
    >>> ensemble_crps(np.array([[0.0], [2.0]]), np.array([1.0])).tolist()
    [0.0]
    """
    n = len(samples)
    distance = np.abs(samples - truth).mean(0)
    if n < 2:
        return distance
    ordered = np.sort(samples, axis=0)
    rank = (2 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * truth.ndim)
    return distance - (rank * ordered).sum(0) / (n * (n - 1))
