"""The space in which the residual is drawn: whitened joint modes, vertical modes, or the maps themselves.

With few members the residual is drawn in its own whitened empirical orthogonal functions, all variables jointly: noise
is then a smooth, balanced field instead of grid-scale noise (which makes columns unstable), and every linear
property of the training states - no divergence, no flow through walls - survives. Where the ensemble is large, ``grid``
draws the maps themselves, each channel scaled by its own standard deviation, and ``vertical`` the maps of vertical modes:
a rotation of the levels (temperature and salinity jointly), after which each channel varies by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from warmstart.generator.settings import ResidualConfig
from warmstart.regression.layout import Layout
from warmstart.regression.mean import eofs

#: A vertical mode's standard deviation counts as at least this share of its variables' largest.
SMALLEST_MODE = 1e-3


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Linear map between a residual on wet values and the latent that the network denoises.

    Attributes
    ----------
    layout : the channels.
    basis : modes ``(mode, wet)``, orthonormal in the weights; ``(0, wet)`` where the latent is a map.
    scale : standard deviation of each mode ``(mode,)`` or of each channel of the map ``(channel,)``.
    rotation : vertical modes ``(channel, channel)``, orthogonal; None where the channels are the levels themselves.
    """

    layout: Layout
    basis: np.ndarray
    scale: np.ndarray
    rotation: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one latent: ``(mode,)`` or ``(channel, y, x)``."""
        return (len(self.basis),) if len(self.basis) else self.layout.shape

    @property
    def mask(self) -> np.ndarray:
        """Where the channels of a map are defined, ``(channel, y, x)``: for vertical modes where there is water."""
        if self.rotation is None:
            return self.layout.mask
        return self.layout.mask[_groups(self.layout)]

    def encode(self, residual: np.ndarray) -> np.ndarray:
        """Residual ``(..., wet)`` in standardised units to latents of variance about 1."""
        if len(self.basis):
            weighted = self.basis * self.layout.to_wet(self.layout.weights)
            return np.einsum("...w,kw->...k", residual, weighted) / self.scale
        maps = self.layout.from_wet(residual)
        if self.rotation is not None:
            maps = np.einsum("kc,...cyx->...kyx", self.rotation, maps)
        return maps / self.scale[:, None, None]

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Latents to the residual ``(..., wet)``; the inverse of :meth:`encode` on its span."""
        if len(self.basis):
            return np.einsum("...k,kw->...w", latent * self.scale, self.basis)
        maps = latent * self.scale[:, None, None]
        if self.rotation is not None:
            maps = np.einsum("kc,...kyx->...cyx", self.rotation, maps)
        return self.layout.to_wet(maps)

    def variance(self) -> np.ndarray:
        """Variance of a residual decoded from white noise, ``(wet,)``."""
        if len(self.basis):
            return np.einsum("k,kw->w", self.scale**2, self.basis**2)
        square = self.scale**2 if self.rotation is None else self.scale**2 @ self.rotation**2
        return self.layout.to_wet(np.broadcast_to(square[:, None, None], self.layout.shape))

    def rescaled(self, residuals: np.ndarray) -> Coordinates:
        """The same modes with the standard deviations of these residuals ``(sample, wet)``."""
        latents = replace(self, scale=np.ones_like(self.scale)).encode(residuals)
        if len(self.basis):
            return replace(self, scale=np.sqrt(np.maximum((latents**2).mean(0), 1e-12)))
        count = np.maximum(self.mask.sum((1, 2)) * len(residuals), 1)
        std = np.sqrt((latents**2).sum((0, 2, 3)) / count)
        if self.rotation is None:
            return replace(self, scale=np.maximum(std, 1e-4))
        group = _groups(self.layout)
        largest = np.array([std[group == g].max() for g in group])
        return replace(self, scale=np.maximum(std, np.maximum(SMALLEST_MODE * largest, 1e-4)))


def fit(
    residuals: Mapping[str, np.ndarray], layout: Layout, config: ResidualConfig
) -> dict[str, Coordinates]:
    """Choose the coordinates from the cross-fitted residuals of the training members.

    Parameters
    ----------
    residuals : for each of what may be given, ``(sample, wet)``, standardised units, each divided by its relative
        predictive spread.
    layout : the channels.
    config : which coordinates, and how many modes.

    Returns
    -------
    The coordinates for each: the same modes, each with its own standard deviations.
    """
    # every case has the same say in the modes, however large its residuals are
    pooled = np.concatenate([r / max(float(np.sqrt((r**2).mean())), 1e-12) for r in residuals.values()])
    nothing = np.zeros((0, pooled.shape[-1]))
    if config.coordinates == "eof":
        basis = eofs(pooled, layout.to_wet(layout.weights), config.variance)[0][: config.modes]
        some = Coordinates(layout, basis, np.ones(len(basis)))
    else:
        rotation = _vertical_modes(pooled, layout) if config.coordinates == "vertical" else None
        some = Coordinates(layout, nothing, np.ones(layout.shape[0]), rotation)
    return {given: some.rescaled(r) for given, r in residuals.items()}


def _groups(layout: Layout) -> np.ndarray:
    """First channel of the variables that share their vertical modes, for each channel: ``(channel,)``."""
    group = np.zeros(layout.shape[0], int)
    first: dict[tuple[str, bool], int] = {}
    for name, channels in layout.slices.items():
        kind = (layout.tables[name].point, layout.tables[name].three_d)
        group[channels] = first.setdefault(kind, channels.start)
    return group


def _vertical_modes(residuals: np.ndarray, layout: Layout) -> np.ndarray:
    """Principal axes of the levels of all columns; below the bottom a residual is 0, its mean."""
    maps = layout.from_wet(residuals)
    rotation, group = np.zeros((layout.shape[0],) * 2), _groups(layout)
    for start in np.unique(group):
        chosen = np.flatnonzero(group == start)
        columns = maps[:, chosen].transpose(1, 0, 2, 3).reshape(len(chosen), -1)
        vectors = np.linalg.eigh(columns @ columns.T)[1][:, ::-1]
        # the sign of an axis is arbitrary: fix it, so that equal data give equal files
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(chosen))])
        rotation[np.ix_(chosen, chosen)] = vectors.T
    return rotation
