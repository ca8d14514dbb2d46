"""Contiguous time levels and static-slice writes, which is what makes the traced step fast on a CPU.

Veros keeps its prognostic fields as ``(x, y, z, 3)`` arrays and writes with ``x.at[...].set``, a scatter. XLA:CPU is
slow at both. Here the three time levels are three arrays, and a write to a static slice is one
``dynamic_update_slice``.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import EllipsisType
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

Index = Any


class TimeLevels:
    """Three arrays that Veros takes for one with a trailing time axis.

    Parameters
    ----------
    levels : the arrays at taum1, tau and taup1, of equal shape.

    Examples
    --------
    >>> x = TimeLevels([jnp.zeros(4), jnp.ones(4), jnp.zeros(4)])
    >>> x.shape, float(x[0, 1])
    ((4, 3), 1.0)
    """

    __slots__ = ("levels",)

    def __init__(self, levels: Iterable[Array]) -> None:
        self.levels = tuple(levels)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.levels[0].shape, 3)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        return self.levels[0].dtype

    def split(self, key: Index) -> tuple[int | None, tuple[Any, ...]]:
        """Separate an index into the time level it selects (None for all) and the index within a level."""
        parts = key if isinstance(key, tuple) else (key,)
        indexed = sum(part is not Ellipsis and part is not None for part in parts)
        reaches_time = indexed == self.ndim or (Ellipsis in parts and parts[-1] is not Ellipsis)
        if not reaches_time:
            return None, parts
        if isinstance(parts[-1], slice) and parts[-1] == slice(None):
            return None, parts[:-1] or (Ellipsis,)
        if isinstance(parts[-1], int):
            return parts[-1], parts[:-1] or (Ellipsis,)
        raise IndexError(
            f"index {key} into time levels: expected all levels or one of them by its number, as the step uses them"
        )

    def __getitem__(self, key: Index) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if None in parts and not isinstance(parts[-1], int):
            return jnp.stack(self.levels, -1)[key]
        level, rest = self.split(key)
        if level is None:
            return TimeLevels(a[rest] for a in self.levels)
        return self.levels[level][rest]


def static_slice(key: Index, shape: tuple[int, ...]) -> tuple[list[int], list[int], tuple[int, ...]] | None:
    """Resolve a basic index to start, size and shape of the result; None if it is not of that kind."""
    parts = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(part, int | slice | EllipsisType) for part in parts):
        return None
    if Ellipsis in parts:
        i = parts.index(Ellipsis)
        parts = (*parts[:i], *[slice(None)] * (len(shape) - len(parts) + 1), *parts[i + 1 :])
    parts = (*parts, *[slice(None)] * (len(shape) - len(parts)))
    starts, sizes, kept = [], [], []
    for part, n in zip(parts, shape, strict=True):
        if isinstance(part, int):
            starts.append(part % n)
            sizes.append(1)
            continue
        start, stop, stride = part.indices(n)
        if stride != 1:
            return None
        starts.append(start)
        sizes.append(max(stop - start, 0))
        kept.append(sizes[-1])
    return starts, sizes, tuple(kept)


def _write(target: Any, key: Index, value: Any, how: str) -> Any:
    if isinstance(target, TimeLevels):
        return _write_levels(target, key, value, how)
    where = static_slice(key, target.shape)
    if where is None:
        place = target.at[key]
        return {"set": place.set, "add": place.add, "multiply": place.multiply}[how](value)
    starts, sizes, kept = where
    if 0 in sizes:
        return target
    whole = tuple(sizes) == tuple(target.shape)
    value = jnp.broadcast_to(jnp.asarray(value, dtype=target.dtype), kept).reshape(sizes)
    if how != "set":
        old = (
            target
            if whole
            else lax.slice(target, starts, [a + b for a, b in zip(starts, sizes, strict=True)])
        )
        value = old + value if how == "add" else old * value
    return value if whole else lax.dynamic_update_slice(target, value, starts)


def _write_levels(target: TimeLevels, key: Index, value: Any, how: str) -> TimeLevels:
    level, rest = target.split(key)
    levels = list(target.levels)
    for i in range(3) if level is None else (level,):
        part = value
        if level is None and isinstance(value, TimeLevels):
            part = value.levels[i]
        elif level is None and getattr(value, "ndim", 0) == target.ndim:
            part = value[..., i if value.shape[-1] == 3 else 0]
        levels[i] = _write(levels[i], rest, part, how)
    return TimeLevels(levels)


def update(target: Any, key: Index, value: Any) -> Any:
    """Return `target` with ``target[key] = value``; Veros's ``update``."""
    return _write(target, key, value, "set")


def update_add(target: Any, key: Index, value: Any) -> Any:
    """Return `target` with ``target[key] += value``; Veros's ``update_add``."""
    return _write(target, key, value, "add")


def update_multiply(target: Any, key: Index, value: Any) -> Any:
    """Return `target` with ``target[key] *= value``; Veros's ``update_multiply``."""
    return _write(target, key, value, "multiply")
