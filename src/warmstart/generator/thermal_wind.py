"""Thermal wind: currents and density that are drawn, mixed and moved apart from each other keep no balance by themselves.

The ageostrophic shear of an equilibrium is that of friction, of walls and of the wind. Much of it is the same in the expected
state. What a drawn state has beyond that is mostly noise: of the regressions of its parts, and of columns that were mixed and
water that was moved to carry heat while the currents stayed. With u_g the geostrophic flow, u* and u_g* of the expected state,

    du = share P [(u_g - u_g*) - (u - u*)]

takes a share of it away. P keeps what the currents carry: the depth mean of every column, so that the transport through
straits and the gyres stay, and the flow of every level through every row, so that the overturning does.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints import Constraint
from warmstart.grid import Grid
from warmstart.physics.geostrophy import EQUATOR, geostrophic_flow

NEEDED = ("thetao", "so", "uo", "vo")
FULL = 15.0  #: latitude from which the flow is adjusted wholly [degrees]; not at all within EQUATOR
#: Of the projection: largest flow left, share of the largest change [1], and passes.
TOLERANCE, MOST = 1e-13, 200


def balancing(expected: xr.Dataset, grid: Grid, share: float) -> Constraint:
    """Make the constraint that the shear of the currents departs less from thermal wind than it was drawn.

    Parameters
    ----------
    expected : the state whose departure from balance is kept: ``thetao`` [degC], ``so`` [1e-3], ``uo vo`` [m s-1], dims
        ``(z, y, x)``, NaN on land.
    grid : its mesh, and that of the states.
    share : of what a state departs beyond that, taken away; from 0 to 1.

    Returns
    -------
    Function of a state and its mesh: the state with other velocities, of which the mean of every column and the flow
    of every level through every row of V faces are the same, and a record of the root mean square change.

    Raises
    ------
    UserError
        If the share is not from 0 to 1, or a variable is missing.

    Notes
    -----
    Thermal wind as in :func:`warmstart.physics.geostrophy.thermal_wind_residual`.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> same, record = balancing(state, grid, 0.5)(state, grid)
    >>> record["constraint_balanced_velocity"]
    0.0
    """
    if not 0 <= share <= 1:
        raise UserError(f"the share of the imbalance to take away is {share}; expected 0 to 1")
    if missing := [n for n in NEEDED if n not in expected]:
        raise UserError(f"the expected state lacks {', '.join(missing)}, which thermal wind needs")
    kept = ageostrophic(expected, grid)

    def balance(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
        drawn, new = ageostrophic(state, grid), {}
        squares = volume = 0.0
        for name, point, length in (("uo", "u", None), ("vo", "v", grid.e1v)):
            mask = (grid.ds[f"{point}mask"] > 0).transpose("z", "y", "x").values
            thickness = grid.ds[f"e3{point}_0"].transpose("z", "y", "x").values * mask
            along = None if length is None else length.transpose("y", "x").values
            change = _free(share * (kept[name] - drawn[name]), thickness, along)
            new[name] = state[name].copy(data=np.where(mask, state[name].values + change, np.nan))
            squares, volume = squares + float((change**2 * thickness).sum()), volume + float(thickness.sum())
        rms = (squares / volume) ** 0.5 if volume else 0.0
        return state.assign(new), {"constraint_balanced_velocity": rms}

    return balance


def ageostrophic(state: xr.Dataset, grid: Grid) -> dict[str, np.ndarray]:
    """Flow minus that in thermal-wind balance with the density, without its depth mean.

    Parameters
    ----------
    state : as of :func:`balancing`.
    grid : its mesh.

    Returns
    -------
    ``uo`` and ``vo``, ``(z, y, x)`` [m s-1]: 0 on land and within :data:`EQUATOR`, tapered up to :data:`FULL`.
    """
    balanced, found = geostrophic_flow(state[list(NEEDED)], grid), {}
    for name, point in (("uo", "u"), ("vo", "v")):
        north = np.clip((abs(grid.ds[f"gphi{point}"]) - EQUATOR) / (FULL - EQUATOR), 0.0, 1.0)
        taper = north**2 * (3 - 2 * north)
        apart = ((state[name] - balanced[name]) * taper).transpose("z", "y", "x").values
        thickness = (grid.ds[f"e3{point}_0"] * (grid.ds[f"{point}mask"] > 0)).transpose("z", "y", "x").values
        found[name] = _free(np.nan_to_num(apart), thickness, None)
    return found


def _free(change: np.ndarray, thickness: np.ndarray, length: np.ndarray | None) -> np.ndarray:
    """The nearest change ``(z, y, x)`` without depth mean and, given the `length` of its faces, without flow through any row.

    The two are taken away in turn, which ends at the projection; on a flat floor at once.
    """
    wet = thickness > 0
    depth = np.maximum(thickness.sum(0), np.finfo(float).tiny)
    change = np.where(wet, change, 0.0)
    if length is None:
        return np.where(wet, change - (change * thickness).sum(0) / depth, 0.0)
    face = thickness * length
    row = np.maximum(face.sum(2), np.finfo(float).tiny)
    enough = TOLERANCE * float(abs(change).max())
    for _ in range(MOST):
        change = np.where(wet, change - ((change * face).sum(2) / row)[:, :, None], 0.0)
        change = np.where(wet, change - (change * thickness).sum(0) / depth, 0.0)
        if abs((change * face).sum(2) / row).max(initial=0.0) <= enough:
            break
    return change
