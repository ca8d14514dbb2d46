"""The constraints of a generated state, in the order they run in, and how much each correction moved.

Every constraint takes one state as a Dataset ``(z, y, x)`` with its mesh, changes nothing else than what it says, and returns
the state with a record of what it moved. Masks need no correction: land is never generated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints.barotropic import close_barotropic
from warmstart.generator.constraints.bounds import bound, require_bounded
from warmstart.generator.constraints.contents import conserve, contents_of, level
from warmstart.generator.constraints.stability import stabilise
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import STATE_VARIABLES, VARIABLES

#: Unit and meaning of each number in a record.
RECORDS: dict[str, tuple[str, str]] = {
    "constraint_clipped_cells": (
        "1",
        "cells of temperature and salinity set to the bound of their physical range",
    ),
    "constraint_convected_share": ("1", "share of the volume that was mixed down to the predicted depth"),
    "constraint_convected_temperature": (
        "K",
        "root mean square change of temperature by mixing down to the predicted depth",
    ),
    "constraint_convected_salinity": (
        "1e-3",
        "root mean square change of salinity by mixing down to the predicted depth",
    ),
    "constraint_carried_temperature": (
        "K",
        "root mean square change of temperature to carry the predicted heat across each row",
    ),
    "constraint_carried_salinity": (
        "1e-3",
        "root mean square change of salinity to carry the predicted salt across each row",
    ),
    "constraint_mixed_share": ("1", "share of the volume that convective adjustment mixed"),
    "constraint_mixed_temperature": ("K", "root mean square change of temperature by convective adjustment"),
    "constraint_mixed_salinity": ("1e-3", "root mean square change of salinity by convective adjustment"),
    "constraint_heat": ("J", "heat content added to reach the wanted one"),
    "constraint_salt": ("kg", "salt content added to reach the wanted one"),
    "constraint_volume": ("m3", "volume added to reach the wanted one"),
    "constraint_conserved_temperature": (
        "K",
        "root mean square change of temperature by setting the contents",
    ),
    "constraint_conserved_salinity": ("1e-3", "root mean square change of salinity by setting the contents"),
    "constraint_barotropic_velocity": ("m s-1", "root mean square change of the depth-mean velocity"),
    "constraint_balanced_velocity": ("m s-1", "root mean square change of the velocity towards thermal wind"),
    "constraint_sea_level": ("m", "mean sea level removed"),
}

#: What turns a state on its mesh into one that satisfies something, with a record of what it moved.
Constraint = Callable[[xr.Dataset, Grid], tuple[xr.Dataset, dict[str, float]]]


def apply(
    state: xr.Dataset, grid: Grid, constraints: Sequence[Constraint] | None = None
) -> tuple[xr.Dataset, dict[str, float]]:
    """Apply constraints one after the other.

    Parameters
    ----------
    state : ``thetao so uo vo zos``, dims ``(z, y, x)``, NaN on land.
    grid : its mesh.
    constraints : what to apply, in this order; None applies :func:`standard`, with the heat and salt that the state has.

    Returns
    -------
    state : the corrected state.
    record : numbers named in :data:`RECORDS`.

    Raises
    ------
    UserError
        If the state is of another mesh, or not finite at sea.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> apply(state, grid)[1]["constraint_clipped_cells"]
    0.0
    >>> apply(state, grid, [level])[1].keys()
    dict_keys(['constraint_sea_level'])
    """
    record: dict[str, float] = {}
    _require_finite(state, grid)
    chosen = standard(contents_of(state, grid)) if constraints is None else constraints
    for constraint in chosen:
        state, moved = constraint(state, grid)
        record |= moved
    return state, record


def _require_finite(state: xr.Dataset, grid: Grid) -> None:
    """Refuse what no correction can mend."""
    for name in (n for n in STATE_VARIABLES if n in state):
        wet = grid.mask(VARIABLES[name].point, VARIABLES[name].three_d)
        if state[name].dims != wet.dims or state[name].shape != wet.shape:
            raise UserError(
                f"{name} has shape {dict(state[name].sizes)}; expected one state on the mesh, {dict(wet.sizes)}"
            )
        bad = int((~np.isfinite(state[name].values) & wet.values).sum())
        if bad:
            raise UserError(f"{name} is not finite at {bad} wet points; expected NaN on land only")


def standard(
    targets: Mapping[str, float],
    responses: Mapping[str, xr.Dataset] | None = None,
    predicted: Sequence[Constraint] = (),
    currents: Sequence[Constraint] = (),
) -> tuple[Constraint, ...]:
    """The constraints of a generated state, in the order in which each keeps what those before it have made.

    Parameters
    ----------
    targets : means of ``thetao``, ``so`` and ``zos`` that stand for heat, salt and volume.
    responses : how the state changes with each (:func:`warmstart.generator.constraints.contents.responses_of`).
    predicted : what has a regression of its own: the depth down to which columns are mixed
        (:func:`warmstart.generator.quantities.mixed_layer.mixed`), then transports of heat and salt
        (:func:`warmstart.generator.quantities.transports.carrying`).
    currents : what makes the currents follow the water as it is then (:func:`warmstart.generator.quantities.ageostrophy.balancing`).

    Returns
    -------
    Bounds, contents, non-divergent barotropic flow, mixed layers, transports, stable columns (all three conserve the
    contents), thermal wind (which keeps the depth-mean flow), mean sea level: that of the target, or 0.
    """

    def contents(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
        kept, record = conserve(state, grid, targets, responses)
        require_bounded(kept, targets)
        return kept, record

    def volume(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
        return level(state, grid, targets.get("zos", 0.0))

    return bound, contents, close_barotropic, *predicted, stabilise, *currents, volume
