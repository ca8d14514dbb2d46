"""Thermal wind: currents and density that are drawn, mixed and moved apart from each other keep no balance by themselves.

The ageostrophic shear of an equilibrium is that of friction, of walls and of the wind, a smooth function of the parameters, and
small beside the error of a current. It has a regression of its own. What a drawn state has beyond that is mostly noise: of the
regressions of its parts, and of columns that were mixed and water that was moved to carry heat while the currents stayed. With
u_g the geostrophic flow and a* the ageostrophic flow that is expected,

    du = share P [a* - (u - u_g)]

takes a share of it away. P keeps what the currents carry: the depth mean of every column, so that the transport through
straits and the gyres stay, and the flow of every level through every row, so that the overturning does.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints.constraint import Constraint, Moved, declared
from warmstart.generator.quantities.quantity import Quantity
from warmstart.ocean.grid import Grid
from warmstart.physics.geostrophy import EQUATOR, geostrophic_flow

NEEDED = ("thetao", "so", "uo", "vo")
POINTS = {"uo": "u", "vo": "v"}  #: where each velocity lies
FULL = 15.0  #: latitude from which the flow is adjusted wholly [degrees]; not at all within EQUATOR
#: Of the projection: largest flow left, share of the largest change [1], and passes.
TOLERANCE, MOST = 1e-13, 200
RECORDS = {
    "constraint_balanced_velocity": ("m s-1", "root mean square change of the velocity towards thermal wind"),
}


class AgeostrophicFlow(Quantity):
    """Flow that thermal wind does not explain, on the faces of U and V outside :data:`EQUATOR`, ``(2, z, y, x)`` [m s-1].

    It is divided by the root mean square over members of what it departs from its mean.
    """

    name, title = "currents", "the ageostrophic flow"
    needs, changes = NEEDED, tuple(POINTS)
    records = RECORDS
    share = 0.75
    from_state = True
    scales = 1
    former = ("residual", "balance")

    def weights(self, grid: Grid) -> np.ndarray:
        """Volume of the cells around the faces, ``(2, z, y, x)`` [m3]."""
        return np.stack([_volume(grid, point) for point in POINTS.values()])

    def measure(self, state: xr.Dataset, grid: Grid) -> np.ndarray:
        """As :func:`ageostrophic`, ``(2, z, y, x)`` [m s-1]."""
        found = ageostrophic(state, grid)
        return np.stack([found[n] for n in POINTS])

    def scale(self, members: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Root mean square of what members depart from their mean [m s-1]."""
        return np.array([float(np.sqrt(((members - members.mean(0)) ** 2 @ weights).mean())) or 1.0])

    def impose(self, target: np.ndarray, share: float) -> Constraint:
        """As :func:`balancing`."""
        return balancing(dict(zip(POINTS, target, strict=True)), share)


def balancing(kept: dict[str, np.ndarray], share: float) -> Constraint:
    """Make the constraint that the shear of the currents departs less from thermal wind than it was drawn.

    The mean of every column and the flow of every level through every row of V faces stay; it records the root mean square change.

    Parameters
    ----------
    kept : the ageostrophic flow that is expected, as of :func:`ageostrophic`.
    share : of what a state departs beyond that, taken away; from 0 to 1.

    Raises
    ------
    UserError
        If the share is not from 0 to 1.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> same, record = balancing(ageostrophic(state, grid), 0.5)(state, grid)
    >>> record["constraint_balanced_velocity"]
    0.0
    """
    if not 0 <= share <= 1:
        raise UserError(f"the share of the imbalance to take away is {share}; expected 0 to 1")

    @declared(
        needs=NEEDED, changes=tuple(POINTS), records=RECORDS,
        keeps=(
            "land", "bounds", "heat content", "salt content", "columns", "stability", "barotropic flow", "overturning",
            "mean sea level",
        ),
    )  # fmt: skip
    def balance(state: xr.Dataset, grid: Grid) -> Moved:
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
    state : ``thetao`` [degC], ``so`` [1e-3], ``uo vo`` [m s-1], dims ``(z, y, x)``, NaN on land.
    grid : its mesh.

    Returns
    -------
    ``uo`` and ``vo``, ``(z, y, x)`` [m s-1]: 0 on land and within :data:`EQUATOR`, tapered up to :data:`FULL`.

    Raises
    ------
    UserError
        If a variable is missing.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> ageostrophic(state, grid)["uo"].shape == grid.shape
    True
    """
    if missing := [n for n in NEEDED if n not in state]:
        raise UserError(f"the state lacks {', '.join(missing)}, which thermal wind needs")
    balanced, found = geostrophic_flow(state[list(NEEDED)], grid), {}
    for name, point in POINTS.items():
        north = np.clip((abs(grid.ds[f"gphi{point}"]) - EQUATOR) / (FULL - EQUATOR), 0.0, 1.0)
        taper = north**2 * (3 - 2 * north)
        apart = ((state[name] - balanced[name]) * taper).transpose("z", "y", "x").values
        thickness = (grid.ds[f"e3{point}_0"] * (grid.ds[f"{point}mask"] > 0)).transpose("z", "y", "x").values
        found[name] = _free(np.nan_to_num(apart), thickness, None)
    return found


def _volume(grid: Grid, point: str) -> np.ndarray:
    """Of the cells around the faces, ``(z, y, x)`` [m3]; 0 where they can have no ageostrophic flow."""
    size = grid.ds[f"e1{point}"] * grid.ds[f"e2{point}"] * grid.ds[f"e3{point}_0"]
    open_ = (grid.ds[f"{point}mask"] > 0) & (abs(grid.ds[f"gphi{point}"]) > EQUATOR)
    return np.asarray(size.where(open_, 0.0).transpose("z", "y", "x").values)


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


QUANTITY = AgeostrophicFlow()
