"""Training examples: the residual of a snapshot about the mean of what is given, and what the network is told about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from warmstart.generator.space import Coordinates

#: What the network may be told, each dropped by itself in training.
TOLD = ("parameters", "forcing", "state", "age")


@dataclass(frozen=True, eq=False)
class Examples:
    """Snapshots of one split, and the predictions that their residuals are taken about.

    Attributes
    ----------
    states : ``(sample, wet)``, standardised units.
    member : position of each sample's member in the arrays below, ``(sample,)``.
    inputs : scaled parameters, ``(member, parameter)``.
    forcing : standardised profiles, ``(member, forcing, y)``.
    ages : years of the initial states, ``(age,)``.
    initial : the initial states, ``(age, member, wet)``, standardised units.
    means : predictions by what is given, ``(age, member, wet)``, one age where no state is given.
    relative : their predictive spread relative to the reference, ``(age, member)``.
    """

    states: np.ndarray
    member: np.ndarray
    inputs: np.ndarray
    forcing: np.ndarray
    ages: np.ndarray
    initial: np.ndarray
    means: dict[str, np.ndarray]
    relative: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.states)

    def residual(self, sample: int, given: str, age: int) -> np.ndarray:
        """Residual of one sample ``(wet,)``, standardised units, divided by its relative spread."""
        member = self.member[sample]
        return (self.states[sample] - self.means[given][age, member]) / self.relative[given][age, member]

    def residuals(self, given: str) -> np.ndarray:
        """Residual of every sample ``(sample, wet)``; the ages of the initial state take turns."""
        ages = len(self.means[given])
        return np.stack([self.residual(i, given, i % ages) for i in range(len(self))])

    def member_residuals(self, given: str) -> np.ndarray:
        """The same, averaged over the samples of each member: ``(member, wet)``."""
        residuals = self.residuals(given)
        return np.stack([residuals[self.member == m].mean(0) for m in np.unique(self.member)])


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """The examples of one optimiser step, all random numbers drawn.

    Attributes
    ----------
    latents : ``(batch, *shape)``.
    scale : of their coordinates, ``(batch, mode)`` or ``(batch, channel)``.
    sigma : noise level, ``(batch,)``.
    noise : standard normal, two draws, ``(2, batch, *shape)``.
    inputs, forcing, state, age : condition, ``(batch, ...)``; the state ``(batch, wet)``.
    told : 1 where the network is told of each of :data:`TOLD`, ``(batch, 4)``.
    given : 1 where the mean was given parameters and state, ``(batch, 2)``.
    """

    latents: np.ndarray
    scale: np.ndarray
    sigma: np.ndarray
    noise: np.ndarray
    inputs: np.ndarray
    forcing: np.ndarray
    state: np.ndarray
    age: np.ndarray
    told: np.ndarray
    given: np.ndarray


@dataclass(frozen=True)
class Row:
    """One example: the samples it combines with their weights, what is given, and the age of the initial state."""

    samples: np.ndarray
    weights: np.ndarray
    given: str
    age: int


def rows(examples: Examples, draw: np.random.Generator, batch: int, mixing: int) -> list[Row]:
    """Draw examples that combine residuals of several snapshots with random weights of unit norm.

    The combination has the covariance of the residuals but is none of them: a network that sees a dozen members a
    thousand times would otherwise learn them by heart. The first sample has the largest weight, a positive one; its condition
    is told. With a weight of either sign the expected combination would be 0, whatever the condition says.

    Parameters
    ----------
    examples : the snapshots.
    draw : source of randomness.
    batch : how many examples.
    mixing : how many snapshots in each; 1 takes them as they are.
    """
    made = []
    cases = tuple(examples.means)
    for _ in range(batch):
        given = cases[draw.integers(len(cases))]
        age = int(draw.integers(len(examples.means[given])))
        samples = draw.integers(len(examples), size=mixing)
        weights = draw.standard_normal(mixing) if mixing > 1 else np.ones(1)
        order = np.argsort(-np.abs(weights))
        weights = weights / (np.linalg.norm(weights) * np.sign(weights[order[0]]))
        made.append(Row(samples[order], weights[order], given, age))
    return made


def everything(examples: Examples) -> list[Row]:
    """Every sample with each of what may be given; the ages of the initial state take turns."""
    return [
        Row(np.array([i]), np.ones(1), given, i % len(means))
        for i in range(len(examples))
        for given, means in examples.means.items()
    ]


def collate(
    examples: Examples,
    chosen: list[Row],
    coordinates: Mapping[str, Coordinates],
    sigma: np.ndarray,
    noise: np.ndarray,
    told: np.ndarray,
) -> TrainingBatch:
    """Gather examples into a batch.

    Parameters
    ----------
    examples : the snapshots.
    chosen : which of them, and how they are combined.
    coordinates : by what is given.
    sigma, noise, told : as in :class:`TrainingBatch`; what an example's mean is not given, the network is not told either.
    """
    latents, leading = [], np.array([row.samples[0] for row in chosen])
    for row in chosen:
        mixed = sum(
            w * examples.residual(i, row.given, row.age)
            for i, w in zip(row.samples, row.weights, strict=True)
        )
        latents.append(coordinates[row.given].encode(mixed))
    member = examples.member[leading]
    given = np.array([[row.given != "state", row.given != "parameters"] for row in chosen], float)
    age = np.array([row.age if row.given != "parameters" else 0 for row in chosen])
    if len(examples.ages):
        state, years = examples.initial[age, member], scaled_age(examples.ages[age], examples.ages)
    else:
        state, years = np.zeros((len(chosen), 0)), np.zeros(len(chosen))
    return TrainingBatch(
        np.stack(latents), np.stack([coordinates[row.given].scale for row in chosen]), sigma, noise,
        examples.inputs[member], examples.forcing[member], state, years, told * given[:, [0, 0, 1, 1]], given,
    )  # fmt: skip


def scaled_age(years: np.ndarray, ages: np.ndarray) -> np.ndarray:
    """Age of an initial state, -0.5 to 0.5 across the ages of training in the logarithm.

    Examples
    --------
    >>> scaled_age(np.array([10.0, 1000.0]), np.array([10.0, 1000.0])).round(9).tolist()
    [-0.5, 0.5]
    """
    span = np.log(ages[-1] / ages[0]) or 1.0
    return (np.log(years) - 0.5 * np.log(ages[-1] * ages[0])) / span
