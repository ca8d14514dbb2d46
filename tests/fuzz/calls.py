"""Readers that no command reaches without running an ocean model: called as a user of the package would."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmstart.errors import UserError


def load_plan(path: str) -> None:
    """A plan as ``simulate`` reads it, up to the job of its first member."""
    from warmstart.ensemble import design

    read = design.load_plan(path)
    values = design.member_parameters(read.model_copy(update={"members": min(read.members, 100)}))
    design.member_job(read, values[0], Path("out_runs"), ())


def remember_plan(path: str) -> None:
    """A plan beside runs of another one."""
    from warmstart.ensemble import design as plan

    plan.remember(plan.load_plan(path), Path("out_runs"))


def read_manifest(path: str) -> None:
    from warmstart.engines.manifest import fields_of
    from warmstart.engines.manifest import read_manifest as read

    read(path)
    fields_of(path)


def read_restart(path: str) -> None:
    from warmstart.engines.veros.arrays import read_restart as read

    read(path)


def load_job(path: str) -> None:
    from warmstart.engines.base import load_job as read

    read(path)


def claim(folder: str) -> None:
    """The request that a folder of verification runs remembers."""

    from warmstart import engines
    from warmstart.engines.manifest import read_manifest as read
    from warmstart.verbs import verify

    manifest = read("restarts")
    values = verify._common_parameters(manifest, "restarts", engines.find(manifest.engine))
    verify._claim(Path(folder), verify._request(manifest, values, 2, None), False)


def control(path: str) -> None:
    """The control of a verification, beside a good file that says the mesh and the parameters."""
    import warmstart as ws
    from warmstart.io.files import open_dataset
    from warmstart.ocean.parameters import extract
    from warmstart.verbs import verify

    with open_dataset("good.nc") as ds:
        values = {name: float(value.flat[0]) for name, value in extract(ds).items()}
    verify._control_states(path, values, ws.open_grid("good.nc"))


def spread(path: str) -> None:
    """What a verification takes for the spread of the ensemble: a store, or a generator."""
    import warmstart as ws
    from warmstart.verbs import verify

    verify.reference_spread(Path(path), ws.open_grid("states.nc"))


def finished(folder: str) -> None:
    """The finished members that new ones start from."""
    import warmstart as ws
    from warmstart.ensemble import starts
    from warmstart.ocean.parameters import defaults

    grid = ws.open_grid("states.nc")
    members = starts.read_finished(folder, grid)
    varied = starts.varied(defaults(), members)
    starts.nearest(defaults(), members, varied)
    starts.predicted(defaults(), members, varied, grid)


def namelist(path: str) -> None:
    from warmstart.engines.nemo.configuration import settings

    settings(path)


def parse(name: str, text: str) -> None:
    from warmstart.ocean.parameters import parse as read

    read(text, name)


def train_config(path: str, *sets: str) -> None:
    from warmstart.generator.settings import GeneratorConfig
    from warmstart.io.config import load_yaml

    load_yaml(path, GeneratorConfig, sets)


def generate(*items: str) -> None:
    """Parameters handed over in Python, as text, numbers or what is no mapping."""
    import json

    import warmstart as ws

    ws.generate("generator", json.loads(items[0]))


def open_state(path: str) -> None:
    import warmstart as ws

    with ws.open_state(path) as ds:
        ds.load()


def open_path(name: str, path: str) -> None:
    """A path given to a function of the package, not to a command."""
    import warmstart as ws

    functions: dict[str, Callable[[], Any]] = {
        "open_state": lambda: ws.open_state(path),
        "open_grid": lambda: ws.open_grid(path),
        "open_dataset": lambda: ws.open_dataset(path),
        "load": lambda: ws.load(path),
        "check": lambda: ws.check(path),
        "check grid": lambda: ws.check("states.nc", grid=path),
        "check reference": lambda: ws.check("states.nc", reference=path),
        "check thresholds": lambda: ws.check("states.nc", thresholds=path),
        "dataset": lambda: ws.dataset(path, "out.zarr"),
        "restart": lambda: ws.restart(path, "out_restarts"),
        "restart template": lambda: ws.restart("states.nc", "out", engine="nemo", template=path),
        "report": lambda: ws.report([path], "out.html"),
        "generate": lambda: ws.generate("generator", initial=path),
        "verify": lambda: ws.verify(path, "out.nc"),
        "plan": lambda: load_plan(path),
        "namelist": lambda: namelist(path),
    }
    functions[name]()


def fails(path: str) -> None:
    raise KeyError(path)


def leaves(path: str) -> None:
    Path("left").write_text(path)
    raise UserError("refused")


def harms(path: str) -> None:
    Path(path).write_bytes(b"")


def crashes(path: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


CALLS: dict[str, Callable[..., None]] = {
    f.__name__: f
    for f in (load_plan, remember_plan, read_manifest, read_restart, load_job, claim, control, spread, finished, namelist, parse, train_config,
              generate, open_state, open_path, fails, leaves, harms, crashes)
}  # fmt: skip
