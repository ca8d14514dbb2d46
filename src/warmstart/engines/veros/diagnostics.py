"""States from the fields of a running step of Veros. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines import dino
from warmstart.engines.series import YEARS
from warmstart.engines.veros.arrays import from_veros
from warmstart.engines.veros.sea_level import sea_level
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import STATE_VARIABLES, VARIABLES


def newest(carry: Mapping[str, Any], level: int = 1) -> dict[str, np.ndarray]:
    """Take the newest time level of what states and series need.

    Parameters
    ----------
    carry : from :class:`warmstart.engines.veros.step.PureStep`.
    level : index of the newest time level.

    Returns
    -------
    ``temp salt u v w B1_gm``, dims ``(z, y, x)``, surface first, zero on land.
    """
    fields = {name: from_veros(carry[name][level]) for name in ("temp", "salt", "u", "v", "w")}
    return fields | {"B1_gm": from_veros(carry["B1_gm"])}


def state_arrays(fields: Mapping[str, np.ndarray], grid: Grid) -> dict[str, np.ndarray]:
    """Name and mask the variables of a state.

    Parameters
    ----------
    fields : from :func:`newest`.
    grid : the mesh.

    Returns
    -------
    ``thetao so uo vo`` with dims ``(z, y, x)`` and ``zos`` with dims ``(y, x)``, NaN on land.
    """
    held = {v.name: (v.mask, v.veros) for v in VARIABLES.values() if v.veros is not None}
    out = {n: np.where(grid.ds[mask].values > 0, fields[veros], np.nan) for n, (mask, veros) in held.items()}
    out["zos"] = sea_level(fields["temp"], fields["salt"], fields["u"], fields["v"], grid)
    return out


def states_dataset(snapshots: list[dict[str, Any]]) -> xr.Dataset:
    """Stack snapshots along time.

    Parameters
    ----------
    snapshots : each with the arrays of :func:`state_arrays`, ``day`` and ``phase``.

    Returns
    -------
    Dataset with dim ``time`` and coordinates ``year`` and ``phase``.
    """
    variables = {
        name: (("time", *VARIABLES[name].dims), np.stack([s[name] for s in snapshots]), VARIABLES[name].attrs)
        for name in STATE_VARIABLES
    }
    years = np.array([float(s["day"]) for s in snapshots]) / dino.YEAR_DAYS
    phases = np.array([str(s["phase"]) for s in snapshots])
    coords = {"year": ("time", years, YEARS), "phase": ("time", phases, {"long_name": "phase of the run"})}
    return xr.Dataset(variables, coords=coords)
