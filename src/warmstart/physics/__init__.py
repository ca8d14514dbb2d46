"""Physical metrics: pure functions of a state and its grid, ``(Dataset, Grid) -> DataArray`` with units.

``density`` (equations of state) · ``column`` (stability, mixed layer) · ``census`` (deep and bottom water) · ``budgets`` (heat, salt,
volume) · ``transport`` and ``overturning`` (channel, gyres, overturning in depth and density, heat, salt) · ``balance``
(divergence, walls, masks, bounds) · ``geostrophy`` (thermal wind, steric height) · ``spectra`` · ``literature`` (the
definitions of others). Every function works on one state, a time axis or an ensemble, in memory or lazily; variables stay at
their own C-grid points. Verdicts are in :mod:`warmstart.scores`.
"""

from warmstart.physics import (
    balance,
    budgets,
    census,
    column,
    density,
    geostrophy,
    literature,
    overturning,
    spectra,
    transport,
)

__all__ = [
    "balance",
    "budgets",
    "census",
    "column",
    "density",
    "geostrophy",
    "literature",
    "overturning",
    "spectra",
    "transport",
]
