"""Inputs drawn by hypothesis, always the same for a seed, and tried one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from .bases import make
from .readers import READERS
from .sandbox import Input, Outcome, attempt


def draw(reader: str, count: int, number: int) -> list[Input]:
    """Draw inputs of a reader.

    Parameters
    ----------
    reader : its name.
    count : how many.
    number : seed.

    Returns
    -------
    The inputs; fewer where there are no more different ones.
    """
    found: list[Input] = []

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(READERS[reader])
    def collect(case: Input) -> None:
        found.append(case)

    collect()
    return found[:count]


def outcomes(count: int, number: int, readers: Sequence[str] | None, bases: Path) -> Iterator[Outcome]:
    """Try inputs of every reader, as many of each.

    Parameters
    ----------
    count : inputs in all.
    number : seed.
    readers : names; None takes all.
    bases : folder of good files, made if it is empty.

    Yields
    ------
    What came of each.
    """
    if not bases.is_dir() or not any(bases.iterdir()):
        bases.mkdir(parents=True, exist_ok=True)
        make(bases)
    warm(bases)
    names = list(readers or READERS)
    for i, name in enumerate(names):
        share = count // len(names) + (i < count % len(names))
        cases = draw(name, share, number * 1000 + i) if share else []
        random.Random(number).shuffle(cases)
        for case in cases:
            yield attempt(case, bases)


def warm(bases: Path) -> None:
    """Import what every child would import again."""
