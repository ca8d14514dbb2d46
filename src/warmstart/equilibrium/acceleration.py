"""Extrapolate a slow approach to equilibrium between stretches of running.

Below the thermocline an ocean drifts as a whole: at 3000 m the mean of a level moves an order of magnitude more than
anything else, smoothly and for centuries. So the slow unknown is the profile of horizontal means of temperature and
salinity. Each stretch of running measures the profile and its rate of change; Anderson's method (1965, J. ACM 12, 547;
Walker and Ni 2011, SIAM J. Numer. Anal. 49, 1715) on the map *profile + relaxation time x rate* says by how much each
level shall be shifted before the next stretch. The ocean model decides what the equilibrium is: where it does not drift
the shift is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Depth over which the deep ocean exchanges heat by mixing, so that its time scale is the square of it over the vertical
#: diffusivity: 120 years were found at 8.8e-5 m2/s, 725 at 1.6e-5 (``experiments/equilibria``) [m].
SCALE_DEPTH = 600.0
RELAXATION_YEARS = (80.0, 700.0)  #: shortest and longest that is assumed [years]
YEAR_SECONDS = 360.0 * 86400.0  #: the engine's calendar
MEMORY = 3  #: how many former stretches the method remembers
REGULARISATION = 1e-3  #: relative to the mean square of the differences between stretches
NOISE = 1e-4  #: what the variability of decades puts into a rate; smaller differences say nothing [K/year]
HALINE_WEIGHT = 4.6  #: temperature difference that weighs as much in density as one of salinity [K per 1e-3]
TAPER_DEPTHS = (
    300.0,
    1500.0,
)  #: no shift above the first, all of it below the second: the rest follows in decades [m]
LARGEST_SHIFT = 2.5  #: of any level in one go [K]
CALM = {
    "equilibrium": (0.01, 0.15),
    "near": (0.03, 0.3),
}  #: drift of the deep ocean, and of any level, that needs no further shift on the way there [K/century]


class Acceleration(BaseModel):
    """When to extrapolate.

    Attributes
    ----------
    stretch_years : between two shifts [model years].
    window_years : years of the first stretch after a shift over which the rates are measured; what comes before is
        adjustment. While it stays calm the window grows with each further stretch [model years].
    ramp_years : over which a shift is spread, a part each year: all at once it is a shock that can blow a run up.
    most : number of shifts at most.
    relaxation_years : a guess of the time scale of the deep ocean, which the first shift relies on and the others improve
        on; None takes the one that mixing implies (:func:`relaxation_years`).
    expected : profile that the first shift aims at: horizontal means of temperature [degC] and salinity [1e-3] at
        equilibrium, of each level of both, surface first; empty if nobody knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    stretch_years: int = Field(default=60, ge=4)
    window_years: int = Field(default=30, ge=3)
    ramp_years: int = Field(default=5, ge=1)
    most: int = Field(default=8, ge=1)
    relaxation_years: float | None = Field(default=None, gt=0.0)
    expected: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _window_fits(self) -> Acceleration:
        if self.window_years + self.ramp_years > self.stretch_years:
            both = f"window_years {self.window_years} and ramp_years {self.ramp_years}"
            raise ValueError(f"{both} together must be no longer than stretch_years {self.stretch_years}")
        return self


def relaxation_years(vertical_diffusivity: float) -> float:
    """Guess the time scale of the deep ocean: the time that heat needs to diffuse over 600 m, between 80 and 700 years.

    Parameters
    ----------
    vertical_diffusivity : of the interior [m2 s-1].

    Returns
    -------
    Time scale [years].

    Examples
    --------
    >>> [round(relaxation_years(kappa)) for kappa in (3e-5, 1e-4, 1e-5)]
    [386, 116, 700]
    """
    return float(np.clip(SCALE_DEPTH**2 / vertical_diffusivity / YEAR_SECONDS, *RELAXATION_YEARS))


@dataclass(frozen=True)
class Stretch:
    """What a stretch of running measured.

    Attributes
    ----------
    profile : horizontal means of temperature [degC] and salinity [1e-3], each level of both, shape ``(2 nz,)``.
    rate : their rate of change [K/year, 1e-3/year], the same shape.
    """

    profile: np.ndarray
    rate: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, for a checkpoint."""
        return {name: value.tolist() for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Levels:
    """The water of each level.

    Attributes
    ----------
    depth : of the level's middle, surface first, shape ``(nz,)`` [m].
    volume : of its wet cells, shape ``(nz,)`` [m3].
    """

    depth: np.ndarray
    volume: np.ndarray

    @property
    def taper(self) -> np.ndarray:
        """Share of a shift that each level takes, shape ``(nz,)``."""
        top, bottom = TAPER_DEPTHS
        return np.clip((self.depth - top) / (bottom - top), 0.0, 1.0)

    def deep_mean(self, profile: np.ndarray, deep: float = 2000.0) -> float:
        """Mean of a profile's temperature below `deep` [m]."""
        weight = self.volume * (self.depth > deep)
        return float(profile[: weight.size] @ weight / weight.sum()) if weight.any() else float("nan")


def measure(years: np.ndarray, profiles: np.ndarray) -> Stretch:
    """Fit a straight line to the profiles of some years: their mean and their slope.

    Parameters
    ----------
    years : shape ``(n,)``, n >= 3 [years].
    profiles : shape ``(n, 2 nz)``.

    Examples
    --------
    >>> measure(np.arange(3.0), np.array([[1.0, 35.0], [2.0, 35.0], [3.0, 35.0]])).rate
    array([1., 0.])
    """
    time = years - years.mean()
    return Stretch(profiles.mean(0), time @ (profiles - profiles.mean(0)) / (time @ time))


def is_calm(stretch: Stretch, levels: Levels, until: str = "equilibrium") -> bool:
    """Whether neither the deep ocean nor any level below the taper drifts so much that a shift would help.

    Parameters
    ----------
    stretch : what was measured.
    levels : the water of each level.
    until : the verdict that the run goes on to, ``near`` or ``equilibrium``.

    Examples
    --------
    >>> is_calm(Stretch(np.zeros(2), np.zeros(2)), Levels(np.array([3000.0]), np.ones(1)))
    True
    """
    rate = 100.0 * stretch.rate[: levels.depth.size] * levels.taper
    deep = levels.deep_mean(rate)
    calm_deep, calm_level = CALM[until]
    return bool(abs(np.nan_to_num(deep)) < calm_deep and np.abs(rate).max(initial=0.0) < calm_level)


def next_shift(history: Sequence[Stretch], levels: Levels, relaxation: float) -> np.ndarray:
    """Say by how much to shift each level.

    Parameters
    ----------
    history : the stretches so far, the newest last; at least one.
    levels : the water of each level.
    relaxation : guess of the time scale of the deep ocean [years].

    Returns
    -------
    Shift of the profile, shape ``(2 nz,)`` [K, 1e-3]; zero above the thermocline.

    Examples
    --------
    A level that relaxes to 5 degC with a time scale of 700 years is there after two stretches:

    >>> level = Levels(np.array([3000.0]), np.ones(1))
    >>> past = [Stretch(np.array([t, 35.0]), np.array([(5 - t) / 700, 0.0])) for t in (3.0, 4.0)]
    >>> next_shift(past, level, 350.0).round(1)
    array([1., 0.])
    """
    share = np.sqrt(levels.volume / levels.volume.sum()) * levels.taper
    weight = np.concatenate([share, HALINE_WEIGHT * share])
    forward = np.stack([relaxation * s.rate for s in history[-MEMORY - 1 :]])
    image = np.stack([s.profile for s in history[-MEMORY - 1 :]]) + forward
    shift = forward[-1]
    if len(forward) > 1:
        differences = (forward[1:] - forward[:-1]) * weight
        size = float((differences**2).sum()) / len(differences)
        ridge = max(REGULARISATION * size, (relaxation * NOISE) ** 2)
        gram = differences @ differences.T + ridge * np.eye(len(differences))
        mixing = np.linalg.lstsq(gram, differences @ (forward[-1] * weight))[0]
        shift = shift - mixing @ (image[1:] - image[:-1])
    return bounded(shift, levels)


def bounded(shift: np.ndarray, levels: Levels) -> np.ndarray:
    """Taper a shift towards the surface and keep it below 2.5 K.

    Examples
    --------
    >>> bounded(np.array([-5.0, 0.2]), Levels(np.array([3000.0]), np.ones(1)))
    array([-2.5,  0.1])
    """
    shift = shift * np.tile(levels.taper, 2)
    largest = float(np.abs(shift[: levels.depth.size]).max(initial=0.0))
    return shift * min(1.0, LARGEST_SHIFT / largest) if largest > 0 else shift
