"""Inputs drawn by hypothesis, always the same for a seed, and tried one by one."""

from __future__ import annotations

import contextlib
import importlib
import os
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
    cases: list[Input] = []
    for i, name in enumerate(names):
        share = count // len(names) + (i < count % len(names))
        cases += draw(name, share, number * 1000 + i) if share else []
    random.Random(number).shuffle(cases)
    for case in cases:
        yield attempt(case, bases)


def warm(bases: Path) -> None:
    """Import and do once what every child would do again; where matplotlib keeps its fonts is no concern of the inputs."""
    os.environ.setdefault("MPLCONFIGDIR", str(bases / ".matplotlib"))
    for name in (
        "warmstart.verbs.check", "warmstart.cli", "warmstart.verbs.simulate", "warmstart.verbs.dataset", "warmstart.verbs.plan", "warmstart.verbs.restart",
        "warmstart.generator.initial_state", "warmstart.generator.training", "warmstart.verbs.info", "warmstart.verbs.report", "warmstart.verbs.verify",
        "warmstart.verbs.train", "warmstart.plot.figures", "warmstart.engines.nemo.restart_file", "warmstart.engines.veros.arrays", "warmstart.physics.regrid",
        "matplotlib.pyplot", "matplotlib.font_manager", "cmocean", "markdown_it", "rich.table", "cftime", "scipy.stats", "zarr", "h5py",
        "typer.rich_utils",
    ):  # fmt: skip
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    from warmstart.ocean.parameters import parse

    parse("300 mPa", "wind_stress_south")
