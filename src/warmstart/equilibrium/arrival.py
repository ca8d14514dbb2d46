"""When a run arrives at equilibrium, and how many years of spin-up that saves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from warmstart.equilibrium.distance import PERCENTILE


@dataclass(frozen=True)
class Years:
    """A number of years, or what is known of it.

    Attributes
    ----------
    value : the number, or a bound of it [years]; NaN if nothing is known.
    bound : ``"="``, ``">"`` or ``"<"`` that value; empty if nothing is known.
    note : how to read it, or why nothing is known.
    """

    value: float = math.nan
    bound: str = ""
    note: str = ""


def years_until(year: np.ndarray, distances: np.ndarray, level: float) -> Years:
    """Find the first year after which the distance stays within a level.

    To stay means that at least 95 % of the snapshots from then on are within, which is what the equilibrium's own
    do: a rule without exception would call a perfect start late whenever one year is unusual.

    Parameters
    ----------
    year : times of the distances, increasing, shape ``(n,)`` [years].
    distances : shape ``(n,)`` [1]; one that is not a number is not within.
    level : largest distance that counts [1].

    Returns
    -------
    The year; more than the last one if it does not stay within to the end; nothing if there is no distance, or `level` is
    no number.

    Examples
    --------
    >>> years_until(np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.5]), 1.0).value
    1.0
    >>> years_until(np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.5]), 0.1).bound
    '>'
    """
    year, distances = np.asarray(year, "float64"), np.asarray(distances, "float64")
    if not np.isfinite(level):
        return Years(note="not judged: there is no level to compare with")
    if not np.isfinite(distances).any():
        return Years(note="not judged: no state has a distance")
    within = distances <= level
    share = np.cumsum(within[::-1])[::-1] / np.arange(within.size, 0, -1)
    arrived = np.flatnonzero(within & (share >= PERCENTILE / 100.0))
    if not arrived.size:
        note = f"a distance within {level:.3g} was not kept until year {year[-1]:.4g}"
        return Years(float(year[-1]), ">", note)
    return Years(float(year[arrived[0]]), "=", f"distance within {level:.3g} from then on")


def spinup_passed(final: float, spinup: tuple[np.ndarray, np.ndarray]) -> Years:
    """Find the last snapshot of a spin-up that is farther from the equilibrium than a given state.

    Parameters
    ----------
    final : distance of the state [1].
    spinup : years and distances of the snapshots of the spin-up, years increasing [years], [1].

    Returns
    -------
    More than its year, for nobody kept the states between the snapshots; less than the first year if none is farther;
    nothing if there are no snapshots or the state has no distance.

    Examples
    --------
    >>> spinup_passed(0.5, (np.array([10.0, 100.0, 400.0]), np.array([2.0, 1.0, 0.4]))).value
    100.0
    """
    year, distances = spinup
    if not np.isfinite(final):
        return Years(note="not judged: the state has no distance")
    if not len(year):
        return Years(note="not judged: the control holds no snapshots of its spin-up")
    farther = np.flatnonzero(np.asarray(distances) > final)
    if not farther.size:
        said = "no snapshot of the control's own spin-up was farther from the equilibrium"
        return Years(float(year[0]), "<", said)
    said = "the control's own spin-up was still farther from the equilibrium in that year"
    return Years(float(year[farther[-1]]), ">", said)


def years_from_rest(
    level: float, rest: Years | None, spinup: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float, str]:
    """Bound the years that an undisturbed spin-up needs to a distance: by a run from rest, else by snapshots of a spin-up.

    Parameters
    ----------
    level : the distance [1].
    rest : :func:`years_until` of a run from rest; None without one.
    spinup : years and distances of the snapshots of a spin-up; empty arrays if there are none.

    Returns
    -------
    least, most : between them the years lie; equal if they are known, infinite where nothing bounds them [years].
    source : what says so.

    Examples
    --------
    >>> spinup = np.array([10.0, 100.0, 400.0]), np.array([2.0, 1.0, 0.4])
    >>> years_from_rest(0.5, Years(20.0, ">"), spinup)
    (100.0, 400.0, "the control's own spin-up")
    >>> years_from_rest(0.5, Years(17.0, "="), spinup)
    (17.0, 17.0, 'the start from rest')
    """
    if rest is not None and rest.bound == "=":
        return rest.value, rest.value, "the start from rest"
    year, distances = np.asarray(spinup[0]), np.asarray(spinup[1])
    ran = rest.value if rest is not None and rest.bound == ">" else -math.inf
    farther = np.flatnonzero(~(distances <= level))
    least = float(year[farther[-1]]) if farther.size else -math.inf
    after = year[farther[-1] + 1 :] if farther.size else year
    most = float(after[0]) if after.size else math.inf
    if least >= ran and np.isfinite(least):
        return least, most, "the control's own spin-up"
    if ran > most:  # the two contradict one another: another way to the equilibrium
        most = math.inf
    return ran, most, "the start from rest" if np.isfinite(ran) else "the control's own spin-up"


def years_saved(start: Years, least: float, most: float, source: str) -> Years:
    """Compare the years that a start needs to a distance with those of an undisturbed spin-up.

    Parameters
    ----------
    start : :func:`years_until` of the start.
    least, most, source : :func:`years_from_rest`.

    Returns
    -------
    The years saved, at least or at most so many where one of both was not seen to arrive; nothing where neither was.

    Examples
    --------
    >>> years_saved(Years(2.0, "="), 20.0, math.inf, "the start from rest")
    Years(value=18.0, bound='>', note='at least: the start from rest needs more than 20 years')
    >>> years_saved(Years(20.0, ">"), 15.0, 15.0, "the start from rest").bound
    '<'
    """
    if not start.bound:
        return Years(note=start.note)
    if start.bound == "=" and least == most:
        return Years(least - start.value, "=", f"{source} needs {least:.4g} years")
    if start.bound == "=" and np.isfinite(least):
        return Years(least - start.value, ">", f"at least: {source} needs more than {least:.4g} years")
    if np.isfinite(most):
        needs = f"{most:.4g} years" if least == most else f"at most {most:.4g} years"
        mine = "this start needs more than" if start.bound == ">" else "this start needs"
        return Years(most - start.value, "<", f"at most: {source} needs {needs}, {mine} {start.value:.4g}")
    if start.bound == "=":
        return Years(
            note="not known: neither a start from rest nor the control's own spin-up to compare with"
        )
    known = f"{source} needs more than {least:.4g}"
    said = known if np.isfinite(least) else "nothing is known of a start from rest"
    return Years(note=f"not known: this start needs more than {start.value:.4g} years, {said}")
