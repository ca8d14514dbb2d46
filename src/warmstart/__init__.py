"""warmstart: skip the spin-up of an ocean model.

The verbs of the command line are the functions of this module, in the order of the way of the data:
``simulate dataset train generate check restart verify report``. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_WHERE = {
    "UserError": "warmstart.errors",
    "Grid": "warmstart.grid",
    "open_dataset": "warmstart.files",
    "open_grid": "warmstart.opening",
    "open_state": "warmstart.opening",
    "load": "warmstart.generator.checkpoint",
    "simulate": "warmstart.engine.ensemble",
    "dataset": "warmstart.gather",
    "train": "warmstart.generator.train",
    "generate": "warmstart.generator.generate",
    "check": "warmstart.check",
    "restart": "warmstart.restart",
    "write_restart": "warmstart.engine.nemo.restart",
    "regrid": "warmstart.regrid",
    "verify": "warmstart.verify",
    "report": "warmstart.report.html",
    "demo": "warmstart.demo",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    # lazily, so that `import warmstart` loads neither torch nor JAX (PEP 562)
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name == "__version__":
        from warmstart.outputs import version

        return version()
    raise AttributeError(f"module 'warmstart' has no attribute {name!r}")


class _Package(ModuleType):
    """The package, where a verb keeps its name although a submodule has the same one.

    Importing ``warmstart.check`` would bind the module to ``warmstart.check``; ``ws.check(...)`` must stay the verb.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _WHERE and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
