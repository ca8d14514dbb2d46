"""The season of a state: the day of the year that it belongs to, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

#: Length of a model year [days]; the fraction of a year counts, whatever the calendar.
DAYS = 360
#: A mean over more than this share of a year is of no season.
LONGEST_MEAN = 0.4
#: Attribute of states and stores.
ATTRIBUTE = "season"
NONE = "none: "


def season(years: Iterable[float], mean_years: float = 0.0) -> str:
    """Say which season states are of.

    Parameters
    ----------
    years : model years since a 1 January, of each state.
    mean_years : length of the interval that each is a mean over [years]; 0 for instants.

    Returns
    -------
    The day as ``MM-DD`` in months of 30 days, ``01-01`` for whole years; or ``none: `` and the reason.

    Examples
    --------
    >>> season([620.0, 621.0]), season([3.5]), season([0.04, 0.13, 0.96])
    ('01-01', '07-01', 'none: of 3 times of the year')
    >>> season([2.5], mean_years=1.0)
    'none: means over 1 year'
    """
    values = np.asarray(list(years), float)
    if not values.size or not np.isfinite(values).all():
        return NONE + "without dates"
    if mean_years > LONGEST_MEAN:
        return NONE + f"means over {mean_years:g} year{'s' if mean_years > 1 else ''}"
    days = np.unique(np.round(values * DAYS).astype(int) % DAYS)
    # a day more or less is a matter of time steps
    spread = min(np.ptp((days + shift) % DAYS) for shift in (0, DAYS // 2))
    if spread > 2:
        return NONE + f"of {len(days)} times of the year"
    day = int(np.bincount(np.round(values * DAYS).astype(int) % DAYS).argmax())
    return f"{day // 30 + 1:02d}-{day % 30 + 1:02d}"
