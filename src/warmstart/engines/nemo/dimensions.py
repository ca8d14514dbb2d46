"""Dimensions of NEMO files: whatever they are called, time, level, row, column."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import lazy_arrays

_ROLES = {
    "time": r"time(_counter|_centered)?|t|record",
    "z": r"z|nav_lev|lev(el)?s?|olevel|depth[tuvwf]?|k|grid_[TUVW](_3D)?(_inner)?|deptht?_?\d*",
    "y": r"y(_.*)?|j|nj|lat(itude)?|nlat|nav_lat(_.*)?",
    "x": r"x(_.*)?|i|ni|lon(gitude)?|nlon|nav_lon(_.*)?",
}


def role(dim: str) -> str | None:
    """Tell which of ``time z y x`` a dimension of that name is; None for a name that says nothing.

    Examples
    --------
    >>> role("deptht"), role("y_grid_T"), role("axis_nbounds")
    ('z', 'y', None)
    """
    return next((name for name, pattern in _ROLES.items() if re.fullmatch(pattern, dim)), None)


def arrange(
    var: xr.Variable, dims: tuple[str, ...], name: str, sizes: Mapping[str, int] | None = None
) -> xr.Variable:
    """Bring a variable into the order ``time`` and `dims`, and give the dimensions these names.

    NEMO itself goes by the order of dimensions and ignores their names; so does this, unless the names say clearly
    that the order is another one.

    Parameters
    ----------
    var : a variable of a NEMO file, with or without a leading dimension of time.
    dims : spatial dimensions it should have, of ``z y x``.
    name : what to call it in a message.
    sizes : sizes of `dims`, where they are known; they decide where names and order disagree.

    Returns
    -------
    The variable with dims ``(time, *dims)``; time has length 1 where the file has none. Nothing is read.

    Raises
    ------
    UserError
        If it has another number of dimensions, or holds no numbers.

    Examples
    --------
    >>> arrange(xr.Variable(("y", "x", "nav_lev"), [[[1, 2]]]), ("z", "y", "x"), "e3t_0").sizes["z"]
    2
    """
    if var.dtype.kind not in "fiub":
        raise UserError(f"{name} holds no numbers but {var.dtype}; give a file in which it does")
    var, target = var.to_base_variable(), ("time", *dims)
    if var.ndim == len(dims) and "time" not in map(role, map(str, var.dims)):
        var = _with_time(var)
    if var.ndim != len(target):
        raise UserError(f"{name} has dims ({', '.join(map(str, var.dims))}); expected ({', '.join(target)})")
    by_order = _rename(var, target)
    roles = [role(str(d)) for d in var.dims]
    if tuple(roles) == target or sorted(map(str, roles)) != sorted(target):
        return by_order
    if sizes and all(by_order.sizes[d] == n for d, n in sizes.items() if d in dims):
        return by_order
    return _rename(var, tuple(map(str, roles))).transpose(*target)


def _with_time(var: xr.Variable) -> xr.Variable:
    """One record of a variable without time; xarray's own expand_dims would read it."""

    def read(key: lazy_arrays.Key) -> np.ndarray:
        values = lazy_arrays.take(var, key[1:])
        return values if isinstance(key[0], int) else values[None][key[0]]

    return lazy_arrays.variable(("time", *map(str, var.dims)), (1, *var.shape), var.dtype, read, var.attrs)


def _rename(var: xr.Variable, names: tuple[str, ...]) -> xr.Variable:
    renamed = var.copy(deep=False)
    renamed.dims = names
    return renamed
