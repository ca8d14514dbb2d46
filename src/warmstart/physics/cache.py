"""Fields that several metrics need, computed once where many metrics of one state are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_memory: ContextVar[dict[Any, Any] | None] = ContextVar("fields", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Compute every :func:`shared` field once a state and grid; neither may change inside the block.

    Examples
    --------
    >>> from warmstart.physics.column import density_step
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> with sharing():
    ...     density_step(state, grid) is density_step(state, grid)
    True
    >>> density_step(state, grid) is density_step(state, grid)
    False
    """
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def shared(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a pure function ``(state, grid, ...)`` whose result :func:`sharing` keeps, unless an argument is not hashable.

    Examples
    --------
    >>> shared(max)(1, 2)
    2
    """

    @functools.wraps(function)
    def once(*args: P.args, **kwargs: P.kwargs) -> R:
        memory = _memory.get()
        if memory is None:
            return function(*args, **kwargs)
        state, grid, *further = args
        key = (function, id(state), id(grid), tuple(further), tuple(sorted(kwargs.items())))
        try:
            known = key in memory
        except TypeError:  # an argument that cannot be looked up, such as an array
            return function(*args, **kwargs)
        if not known:
            # state and grid are kept, so that no other gets their identity
            memory[key] = (state, grid, function(*args, **kwargs))
        result: R = memory[key][2]
        return result

    return once
