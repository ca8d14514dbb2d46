"""The bounds of the variables table as a constraint."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints.constraint import Moved, declared
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES, carried

#: Share of a variable's physical range by which a state may leave it: what was clipped moves when its contents are set.
CLIPPED = 1e-3


def require_bounded(state: xr.Dataset, targets: Mapping[str, float]) -> None:
    """Refuse contents that take temperature or salinity to what no ocean has."""
    for name in (n for n in ("thetao", "so") if n in state):
        low, high = VARIABLES[name].bounds
        lowest, highest = float(state[name].min()), float(state[name].max())
        slight = CLIPPED * (high - low)
        if lowest < low - slight or highest > high + slight:
            raise UserError(
                f"with a mean {name} of {targets[name]:g} {VARIABLES[name].units} the state ranges from {lowest:.3g} to "
                f"{highest:.3g}; expected {low:g} to {high:g}. Ask for a mean nearer to those of the training states"
            )


@declared(
    needs=(), changes=("thetao", "so"), makes=("bounds",),
    keeps=("land", "barotropic flow", "overturning", "mean sea level"),
    records={
        "constraint_clipped_cells": ("1", "cells of temperature and salinity set to the bound of their physical range"),
    },
)  # fmt: skip
def bound(state: xr.Dataset, grid: Grid) -> Moved:
    """Keep temperature, salinity and the own variables of an engine within the physical range that their table says."""
    tables = {n: t for n, t in carried(state).items() if n in ("thetao", "so") or n not in VARIABLES}
    new = {n: state[n].clip(*table.bounds, keep_attrs=True) for n, table in tables.items()}
    cells = sum(int((new[n] != state[n]).where(state[n].notnull(), False).sum()) for n in new)
    return state.assign(new), {"constraint_clipped_cells": float(cells)}
