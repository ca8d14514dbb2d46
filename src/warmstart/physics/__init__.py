"""Physical metrics: pure functions of a state and its grid, ``(Dataset, Grid) -> DataArray`` with units.

``column`` (stability, mixed layer) · ``budgets`` (heat, salt, means of boxes) · ``transport`` (channel, gyres,
overturning, heat) · ``balance`` (divergence, walls, masks, bounds). Every function works on one state, a time axis or an
ensemble, in memory or lazily; variables stay at their own C-grid points.
"""

from warmstart.physics import (
    balance,
    budgets,
    census,
    column,
    density,
    geostrophy,
    overturning,
    published,
    transport,
)

__all__ = [
    "balance",
    "budgets",
    "census",
    "column",
    "density",
    "geostrophy",
    "overturning",
    "published",
    "transport",
]
