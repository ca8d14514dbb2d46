"""Parts of a state that depend on parameters in ways of their own: barotropic flow, surface water, the rest."""

from __future__ import annotations

import numpy as np

from warmstart.data.normalize import Normalizer
from warmstart.regression.mean import Split
from warmstart.variables import VARIABLES

TRACERS = ("thetao", "so")
VELOCITIES = ("uo", "vo")
SURFACE = 130.0  #: depth above which restoring says what the water is [m]


def parts(normalizer: Normalizer) -> Split:
    """Make the function that splits standardised anomalies into their parts.

    Parameters
    ----------
    normalizer : of the states, with their layout.

    Returns
    -------
    Function of anomalies ``(sample, wet)``, standardised units: depth mean of the velocities; temperature and salinity above
    130 m; the water below with the flow about its depth mean and sea level. Each has the shape of the anomalies, they sum to them, and where the flow has no
    divergence none of them has; a part without variables is left out.

    Examples
    --------
    >>> from warmstart.data import normalize
    >>> from warmstart.data.layout import Layout
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=8)
    >>> layout = Layout(grid)
    >>> normalizer = normalize.fit(layout.pack(state), layout)
    >>> anomalies = layout.to_wet(normalizer.standardise(layout.pack(state)))
    >>> split = parts(normalizer)(anomalies)
    >>> len(split), bool(np.allclose(sum(split), anomalies))
    (3, True)
    """
    layout = normalizer.layout
    near = layout.grid.gdept_1d.values < SURFACE
    surface = np.array([name in TRACERS and bool(near[level]) for name, level in layout.channels])
    above = layout.to_wet(np.broadcast_to(surface[:, None, None], layout.shape)) > 0

    def split(anomalies: np.ndarray) -> list[np.ndarray]:
        water = np.where(above, anomalies, 0.0)
        flow = _depth_mean(anomalies, normalizer)
        return [part for part in (flow, water, anomalies - flow - water) if part.any()] or [anomalies]

    return split


def _depth_mean(anomalies: np.ndarray, normalizer: Normalizer) -> np.ndarray:
    """The depth mean of the velocities, at every level, in standardised units; zero elsewhere."""
    layout = normalizer.layout
    maps = layout.from_wet(anomalies)
    found = np.zeros_like(maps)
    for name in (n for n in VELOCITIES if n in layout.slices):
        channels = layout.slices[name]
        mask, std = layout.mask[channels], normalizer.std[channels, None, None]
        thickness = layout.grid.ds[f"e3{VARIABLES[name].point.lower()}_0"].values * mask
        transport = np.einsum("szyx,zyx->syx", maps[:, channels] * std, thickness)
        mean = transport / np.maximum(thickness.sum(0), np.finfo(float).tiny)
        found[:, channels] = np.where(mask, mean[:, None] / std, 0.0)
    return layout.to_wet(found)
