"""Whether the sea is whole: a state has a finite value wherever its mesh has water."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import Variable, carried


def holes(
    state: xr.Dataset, grid: Grid, tables: Mapping[str, Variable] | None = None
) -> dict[str, xr.Variable]:
    """Where the sea holds no finite value.

    Parameters
    ----------
    state : variables of the variables table, or some of them, and an engine's own, dims ``([...,] [z,] y, x)`` in any order, of the sizes of the mesh.
    grid : their mesh.
    tables : what to look at and what it is; None takes what the state itself says (:func:`warmstart.ocean.variables.carried`).

    Returns
    -------
    For each of them True where it is not finite at a wet point, dims ``([...,] [z,] y, x)``; coordinates are not looked at.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> int(holes(state, grid)["thetao"].sum())
    0
    """
    found = {}
    for name, table in (carried(state) if tables is None else tables).items():
        values = state[name].variable.transpose(..., *table.dims)
        wet = grid.mask(table.point, table.three_d).variable.transpose(*table.dims)
        found[name] = values.copy(data=~np.isfinite(values.values) & wet.values)
    return found


def require_whole(
    state: xr.Dataset,
    grid: Grid,
    whose: str = "",
    advice: str = "",
    tables: Mapping[str, Variable] | None = None,
) -> None:
    """Refuse a state whose sea holds values that are not finite.

    Parameters
    ----------
    state, grid, tables : as of :func:`holes`.
    whose : what it is of, before the message.
    advice : what may be done, after it.

    Raises
    ------
    UserError
        Naming the variable, and at how many wet points it is not finite.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> require_whole(state * float("nan"), grid, "a.nc: ")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: a.nc: thetao is not finite at 119 wet points; expected NaN on land only
    """
    for name, found in holes(state, grid, tables).items():
        if count := int(found.sum()):
            raise UserError(
                f"{whose}{name} is not finite at {count} wet points; expected NaN on land only{advice}"
            )
