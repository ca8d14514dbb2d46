"""What has to stand in for parts of Veros while its step is traced, and only then.

Veros compiles its kernels one by one, locks its settings and checks every assignment. To trace the whole step into one
program, :func:`traceable` replaces, inside a ``with`` block: the jitted call of a kernel by a plain one, the array
writes by those of :mod:`warmstart.engine.veros.levels`, and the elliptic solver by one that JAX can trace.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import veros.core.advection
import veros.core.eke
import veros.core.external
import veros.core.idemix
import veros.core.isoneutral
import veros.core.momentum
import veros.core.operators as operators
import veros.core.thermodynamics
import veros.core.tke  # noqa: F401  (every module that holds a reference must be loaded before it is patched)
from veros.routines import VerosKernel
from veros.state import VerosState

from warmstart.engine.veros import levels
from warmstart.engine.veros.setup import seos


class Bag:
    """Variables or settings as plain attributes: traced values may be assigned, nothing is checked."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        vars(self).update(content)

    def unlock(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def update(self, other: Any = None, **new: Any) -> Bag:
        if other is not None:
            new = dict(zip(other._fields, other, strict=True)) if hasattr(other, "_fields") else dict(other)
        vars(self).update(new)
        return self

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)

    def items(self) -> Any:
        return vars(self).items()


def state_with(template: VerosState, variables: Mapping[str, Any], settings: Mapping[str, Any]) -> VerosState:
    """Make a Veros state with the dimensions of `template` and unchecked variables and settings."""
    state = VerosState.__new__(VerosState)
    vars(state).update(vars(template))
    state._variables, state._settings = Bag(variables), Bag(settings)
    return state


def _unrolled(lower: int, upper: int, body: Any, value: Any) -> Any:
    """Veros's ``for_loop`` with static indices."""
    for i in range(lower, upper):
        value = body(i, value)
    return value


REPLACED = {
    "update": levels.update,
    "update_add": levels.update_add,
    "update_multiply": levels.update_multiply,
    "for_loop": _unrolled,
}


def _plain_call(kernel: VerosKernel, *args: Any, **kwargs: Any) -> Any:
    bound = kernel.func_sig.bind(*args, **kwargs)
    bound.apply_defaults()
    function = getattr(kernel.function, "__wrapped__", kernel.function)
    return function(*bound.arguments.values())


def _holders(original: Any, name: str) -> list[Any]:
    """Modules of Veros's core that hold `original` under `name`."""
    loaded = [module for key, module in list(sys.modules.items()) if key.startswith("veros.core")]
    return [module for module in loaded if module is not None and vars(module).get(name) is original]


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    former = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, former)


@contextlib.contextmanager
def traceable(solver: Any) -> Iterator[None]:
    """Let Veros's routines be traced by JAX while the block runs.

    Parameters
    ----------
    solver : object with Veros's ``solve(state, rhs, x0, boundary_val)``.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(seos())
        stack.enter_context(_replaced(VerosKernel, "__call__", _plain_call))
        stack.enter_context(_replaced(operators, "flush", lambda: None))
        for name, replacement in REPLACED.items():
            for module in _holders(getattr(operators, name), name):
                stack.enter_context(_replaced(module, name, replacement))
        # the package attribute of that name is the routine, not the module
        stream = sys.modules["veros.core.external.solve_stream"]
        stack.enter_context(_replaced(stream, "get_linear_solver", lambda state: solver))
        yield
