"""The constraints of a generated state, in the order they run in.

Every constraint takes one state as a Dataset ``(z, y, x)`` with its mesh, changes nothing else than what it says, and returns
the state with a record of what it moved (:mod:`warmstart.generator.constraints.constraint`). Masks need no correction: land is
never generated.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints.barotropic import close_barotropic
from warmstart.generator.constraints.bounds import bound
from warmstart.generator.constraints.constraint import Constraint, Moved
from warmstart.generator.constraints.contents import contents_of, levelling, setting
from warmstart.generator.constraints.stability import stabilise
from warmstart.ocean.grid import Grid
from warmstart.ocean.sea import require_whole
from warmstart.ocean.variables import STATE_VARIABLES, VARIABLES

if TYPE_CHECKING:
    from warmstart.generator.quantities.quantity import Quantity


def apply(state: xr.Dataset, grid: Grid, constraints: Sequence[Constraint] | None = None) -> Moved:
    """Apply constraints one after the other.

    Parameters
    ----------
    state : ``thetao so uo vo zos``, dims ``(z, y, x)``, NaN on land.
    grid : its mesh.
    constraints : what to apply, in this order; None applies :func:`standard`, with the heat and salt that the state has.

    Returns
    -------
    state : the corrected state.
    record : the numbers of all their records.

    Raises
    ------
    UserError
        If the state is of another mesh or not finite at sea, or lacks what a constraint needs.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> apply(state, grid)[1]["constraint_clipped_cells"]
    0.0
    >>> apply(state, grid, [levelling()])[1].keys()
    dict_keys(['constraint_sea_level'])
    """
    record: dict[str, float] = {}
    _require_finite(state, grid)
    if constraints is None:
        constraints = serving(standard(contents_of(state, grid)), state)
    for constraint in constraints:
        if missing := [n for n in constraint.needs if n not in state]:
            what = "; ".join(meaning for _, meaning in constraint.records.values())
            raise UserError(f"the state lacks {', '.join(missing)}, which a constraint needs: {what}")
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
    require_whole(state, grid)


def standard(
    targets: Mapping[str, float],
    responses: Mapping[str, xr.Dataset] | None = None,
    quantities: Iterable[Constraint] = (),
) -> tuple[Constraint, ...]:
    """The constraints of a generated state, in the order in which each keeps what those before it have made.

    Parameters
    ----------
    targets : means of ``thetao``, ``so`` and ``zos`` that stand for heat, salt and volume.
    responses : how the state changes with each (:func:`warmstart.generator.constraints.contents.responses_of`).
    quantities : what moves a state to what has a regression of its own (:mod:`warmstart.generator.quantities`), in their order.

    Returns
    -------
    Bounds, contents, non-divergent barotropic flow, quantities that change the water, stable columns, quantities that change
    the currents only, mean sea level: that of the target, or 0.
    """
    chosen = list(quantities)
    water = [q for q in chosen if {"thetao", "so"} & set(q.changes)]
    currents = [q for q in chosen if q not in water]
    setter, leveller = setting(targets, responses), levelling(targets.get("zos", 0.0))
    return bound, setter, close_barotropic, *water, stabilise, *currents, leveller


def serving(constraints: Iterable[Constraint], names: Container[Any]) -> tuple[Constraint, ...]:
    """Those of some constraints whose variables a state has: a state without a sea level has none to level.

    Parameters
    ----------
    constraints : in their order.
    names : variables of the state, or the state.

    Examples
    --------
    >>> len(serving(standard({}), ("uo", "vo")))
    3
    """
    return tuple(c for c in constraints if all(name in names for name in c.needs))


def records(those: Iterable[Constraint | Quantity]) -> dict[str, tuple[str, str]]:
    """Unit and meaning of each number that constraints or quantities record."""
    return {name: said for each in those for name, said in each.records.items()}
