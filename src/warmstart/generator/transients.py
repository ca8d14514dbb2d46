"""Initial states for training: what each member looked like after so many years of spin-up."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from warmstart.data import batches
from warmstart.data.normalize import Normalizer

log = logging.getLogger(__name__)

#: At most so many ages are learned from.
AGES = 6
#: A year counts as an age where so large a share of the members has a snapshot of it.
SHARE = 0.8
#: Fewer members with transients than this teach nothing.
FEWEST = 3


def initial_states(
    store: str | Path, normalizer: Normalizer, split: str, members: np.ndarray, ages: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """States of members on the way to equilibrium, at a few ages.

    Parameters
    ----------
    store : a store of states.
    normalizer : of the training states.
    split : of the members.
    members : their numbers, ascending.
    ages : years since the start; None chooses those that most members have snapshots of, or else a few that are spread
        evenly in the logarithm.

    Returns
    -------
    ages : years, ascending; none if the store holds too few transients.
    states : ``(age, member, wet)``, standardised units; between a member's snapshots interpolated in the logarithm of
        the age, outside them the nearest.
    """
    layout = normalizer.layout
    found = batches.read(store, layout, split, "transient")
    usable = np.isfinite(found.year) & (found.year > 0)
    lacking = np.setdiff1d(members, found.member[usable])
    nothing = np.zeros((0, len(members), int(layout.mask.sum())))
    if len(lacking) or not len(members) or (ages is None and len(members) < FEWEST):
        if len(lacking) < len(members):
            log.warning(
                "no initial state is learned from: members %s hold no transient with its year",
                lacking.tolist(),
            )
        return np.zeros(0) if ages is None else ages, nothing
    states = layout.to_wet(normalizer.standardise(found.fields[usable]))
    member, year = found.member[usable], found.year[usable]
    ages = common_ages(member, year) if ages is None else ages
    series = []
    for m in members:
        order = np.argsort(year[member == m])
        series.append(_at(np.log(ages), np.log(year[member == m][order]), states[member == m][order]))
    return np.asarray(ages, float), np.stack(series, 1)


def common_ages(member: np.ndarray, year: np.ndarray) -> np.ndarray:
    """Choose the ages to learn from.

    Parameters
    ----------
    member, year : of each transient, ``(sample,)``.

    Returns
    -------
    At most :data:`AGES` years, ascending.

    Examples
    --------
    >>> common_ages(np.array([0, 0, 1, 1]), np.array([10.0, 50.0, 10.0, 50.0])).tolist()
    [10.0, 50.0]
    >>> common_ages(np.array([0, 0, 1, 1]), np.array([10.0, 90.0, 20.0, 80.0])).tolist()
    [20.0, 40.0, 80.0]
    """
    members = len(np.unique(member))
    years, counts = np.unique(year, return_counts=True)
    common = years[counts >= SHARE * members]
    if len(common) > AGES:
        common = common[np.unique(np.linspace(0, len(common) - 1, AGES).round().astype(int))]
    if len(common):
        return common
    first = max(year[member == m].min() for m in np.unique(member))
    last = max(min(year[member == m].max() for m in np.unique(member)), first)
    return np.unique(np.geomspace(first, last, AGES // 2).round(6))


def _at(wanted: np.ndarray, known: np.ndarray, states: np.ndarray) -> np.ndarray:
    """States ``(age, wet)`` at `wanted`, linear between `known`."""
    place = np.interp(wanted, known, np.arange(len(known)))
    low = np.minimum(place.astype(int), len(known) - 1)
    high = np.minimum(low + 1, len(known) - 1)
    share = (place - low)[:, None]
    return (1 - share) * states[low] + share * states[high]
