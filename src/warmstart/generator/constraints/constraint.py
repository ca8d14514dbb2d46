"""What a constraint is: it changes a state so that something holds, and says what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, cast

import xarray as xr

from warmstart.ocean.grid import Grid

#: A state, and numbers that say what was moved.
Moved: TypeAlias = tuple[xr.Dataset, dict[str, float]]


class Constraint(Protocol):
    """Function of a state ``(z, y, x)`` and its mesh: the state with something that holds, and a record of what was moved.

    Attributes
    ----------
    needs : variables that it reads.
    changes : variables that it changes; all others stay bit for bit.
    makes : what holds afterwards, within round-off (names of :data:`FACTS`).
    keeps : what it leaves as it was, within round-off (names of :data:`FACTS`).
    records : unit and meaning of each number that it records.
    """

    needs: tuple[str, ...]
    changes: tuple[str, ...]
    makes: tuple[str, ...]
    keeps: tuple[str, ...]
    records: Mapping[str, tuple[str, str]]

    def __call__(self, state: xr.Dataset, grid: Grid) -> Moved:
        """Change a state."""


#: What a constraint may say that it makes or keeps.
FACTS = {
    "land": "no value on land and none missing at sea: no flow through walls",
    "bounds": "temperature and salinity within the bounds of the variables table",
    "heat content": "volume mean of temperature",
    "salt content": "volume mean of salinity",
    "columns": "heat and salt content of every column",
    "stability": "no cell is denser than the one below it",
    "barotropic flow": "depth-integrated transport, which is free of divergence",
    "overturning": "flow of every level through every row",
    "mean sea level": "area mean of the sea level",
}


def declared(
    *,
    needs: tuple[str, ...],
    changes: tuple[str, ...],
    makes: tuple[str, ...] = (),
    keeps: tuple[str, ...] = (),
    records: Mapping[str, tuple[str, str]],
) -> Callable[[Callable[[xr.Dataset, Grid], Moved]], Constraint]:
    """Make a function a constraint by what it declares (:class:`Constraint`); it stays as it is.

    Raises
    ------
    ValueError
        If something is made or kept that :data:`FACTS` does not name.

    Examples
    --------
    >>> @declared(needs=("zos",), changes=(), keeps=("mean sea level",), records={})
    ... def nothing(state, grid):
    ...     return state, {}
    >>> nothing.keeps
    ('mean sea level',)
    """
    unknown = sorted({*makes, *keeps} - FACTS.keys())
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: expected names of FACTS, {', '.join(FACTS)}")
    said = {"needs": needs, "changes": changes, "makes": makes, "keeps": keeps, "records": dict(records)}

    def declare(function: Callable[[xr.Dataset, Grid], Moved]) -> Constraint:
        for name, value in said.items():
            setattr(function, name, value)
        return cast(Constraint, function)

    return declare
