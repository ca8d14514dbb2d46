"""Standardising: each variable and level to mean 0 and standard deviation 1 over its wet cells; land becomes 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warmstart.regression.layout import Layout

#: A level's standard deviation counts as at least this share of the largest of its variable: where the deep ocean
#: hardly varies, noise must not be blown up to signal.
SMALLEST_STD = 1e-2


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Mean and standard deviation of each channel.

    Attributes
    ----------
    layout : the channels.
    mean, std : shape ``(channel,)``, units of each channel's variable.
    """

    layout: Layout
    mean: np.ndarray
    std: np.ndarray

    def standardise(self, fields: np.ndarray) -> np.ndarray:
        """Standardise fields in physical units.

        Parameters
        ----------
        fields : ``(..., channel, y, x)``; land is ignored whatever it holds.

        Returns
        -------
        Same shape, dimensionless, exactly 0 on land.
        """
        scaled = (fields - self.mean[:, None, None]) / self.std[:, None, None]
        return np.where(self.layout.mask, scaled, 0.0)

    def restore(self, fields: np.ndarray) -> np.ndarray:
        """Undo :meth:`standardise`; NaN on land."""
        scaled = fields * self.std[:, None, None] + self.mean[:, None, None]
        return np.where(self.layout.mask, scaled, np.nan)


def fit(fields: np.ndarray, layout: Layout) -> Normalizer:
    """Measure mean and standard deviation of each channel over training snapshots and wet cells.

    Parameters
    ----------
    fields : packed training snapshots ``(sample, channel, y, x)``, units of the variables table.
    layout : their channels.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> layout = Layout(grid)
    >>> fields = layout.pack(state)
    >>> z = fit(fields, layout).standardise(fields)
    >>> round(float(z[:, 0][:, layout.mask[0]].std()), 12)
    1.0
    """
    mean, std = np.zeros(layout.shape[0]), np.zeros(layout.shape[0])
    for channel, wet in enumerate(layout.mask):
        if wet.any():
            values = fields[:, channel][:, wet]
            mean[channel], std[channel] = values.mean(), values.std()
    for channels in layout.slices.values():
        largest = std[channels].max()
        std[channels] = np.maximum(std[channels], SMALLEST_STD * largest) if largest > 0 else 1.0
    return Normalizer(layout, mean, std)
