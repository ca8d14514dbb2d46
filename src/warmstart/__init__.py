"""warmstart: skip the spin-up of an ocean model.

The verbs of the command line are functions of this module, in the order of the way of the data:
``simulate dataset train generate check restart verify spinup report``, and ``info plan demo`` beside them. ``open_state`` and
``open_grid`` open whatever an ocean model wrote; ``physics`` measures, ``plot`` draws; ``parameters`` and ``variables`` are
the tables, ``engines`` the ocean models. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

#: Where each name is: a room, or a room and a name in it.
_WHERE = {
    "UserError": "warmstart.errors:UserError",
    "Grid": "warmstart.ocean.grid:Grid",
    "basin": "warmstart.ocean.basin:basin",
    "parameters": "warmstart.ocean.parameters:PARAMETERS",
    "variables": "warmstart.ocean.variables:VARIABLES",
    "open_dataset": "warmstart.io.files:open_dataset",
    "open_grid": "warmstart.engines.recognition:open_grid",
    "open_state": "warmstart.engines.recognition:open_state",
    "simulate": "warmstart.verbs.simulate:simulate",
    "dataset": "warmstart.verbs.dataset:dataset",
    "train": "warmstart.verbs.train:train",
    "generate": "warmstart.verbs.generate:generate",
    "check": "warmstart.verbs.check:check",
    "restart": "warmstart.verbs.restart:restart",
    "verify": "warmstart.verbs.verify:verify",
    "spinup": "warmstart.verbs.spinup:spinup",
    "report": "warmstart.verbs.report:report",
    "info": "warmstart.verbs.info:info",
    "plan": "warmstart.verbs.plan:plan",
    "demo": "warmstart.verbs.demo:demo",
    "load": "warmstart.generator.checkpoint:load",
    "regrid": "warmstart.physics.regrid:regrid",
    "write_restart": "warmstart.engines.nemo.restart_file:write_restart",
    "engines": "warmstart.engines",
    "physics": "warmstart.physics",
    "plot": "warmstart.plot",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    # lazily, so that `import warmstart` loads neither torch nor JAX (PEP 562)
    if name in _WHERE:
        module, _, attribute = _WHERE[name].partition(":")
        found = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found
    if name == "__version__":
        from warmstart.io.outputs import version

        return version()
    raise AttributeError(f"module 'warmstart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
