"""How deep each column is mixed: a regression of its own, because a mean over oceans that convect in different places does not.

A column convects or does not. The mean of temperature and salinity over both kinds is stratified, and with it every state that is
drawn about it: its mixed layers are too shallow. The logarithm of the mixed layer depth is therefore predicted beside the
state, and each column is mixed down to that depth, its content unchanged.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.generator.constraints.constraint import Constraint, Moved, declared
from warmstart.generator.quantities.quantity import Quantity
from warmstart.ocean.grid import Grid
from warmstart.physics.column import mixed_layer_depth

SHALLOWEST = 1.0  #: that is told apart [m]
NEEDED = ("thetao", "so")
RECORDS = {
    "constraint_convected_share": ("1", "share of the volume that was mixed down to the predicted depth"),
    "constraint_convected_temperature": (
        "K",
        "root mean square change of temperature by mixing down to the predicted depth",
    ),
    "constraint_convected_salinity": (
        "1e-3",
        "root mean square change of salinity by mixing down to the predicted depth",
    ),
}


class MixedLayer(Quantity):
    """Depth of the mixed layer of every column ``(y, x)`` [m]; its logarithm is regressed."""

    name, title = "mixed_layer", "mixed layers"
    needs = changes = NEEDED
    records = RECORDS
    former = ("mean", "mixed_layer")

    def weights(self, grid: Grid) -> np.ndarray:
        """Area of the wet columns, ``(y, x)`` [m2]."""
        return np.where(_floor(grid) > 0, grid.area.values, 0.0)

    def measure(self, state: xr.Dataset, grid: Grid) -> np.ndarray:
        """Depth of the mixed layer, ``(y, x)`` [m]."""
        return np.asarray(mixed_layer_depth(state[list(NEEDED)], grid).values)

    def regressed(self, values: np.ndarray) -> np.ndarray:
        """Logarithm of the depth."""
        return np.asarray(np.log(np.maximum(values, SHALLOWEST)))

    def restored(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Depth [m], the sea floor at most."""
        floor = _floor(grid)
        return np.minimum(np.exp(values), floor[floor > 0])

    def impose(self, target: np.ndarray, share: float) -> Constraint:
        """As :func:`mixed`."""
        return mixed(target, share)


def mixed(depth: np.ndarray, share: float = 1.0) -> Constraint:
    """Make the constraint that every column is mixed down to a depth, its heat and salt content unchanged.

    It records the share of the volume that is mixed, and the changes of temperature and salinity.

    Parameters
    ----------
    depth : of the mixed layer, ``(y, x)`` [m]; cells whose middle lies above it are mixed.
    share : of what mixing changes, 0 to 1.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> convected, record = mixed(np.full(grid.shape[1:], 1e4))(state, grid)
    >>> bool((convected.thetao.max("z") - convected.thetao.min("z")).max() < 1e-12)
    True
    """

    @declared(
        needs=NEEDED, changes=NEEDED, records=RECORDS,
        keeps=("land", "bounds", "heat content", "salt content", "columns", "barotropic flow", "overturning", "mean sea level"),
    )  # fmt: skip
    def mix(state: xr.Dataset, grid: Grid) -> Moved:
        wet = grid.tmask.values > 0
        inside = wet & (grid.gdept_0.values < depth)
        thickness = np.where(inside, grid.e3t_0.values, 0.0)
        total = np.maximum(thickness.sum(0), np.finfo(float).tiny)
        volume = np.where(wet, grid.volume.values, 0.0)
        new, record = {}, {"constraint_convected_share": float(volume[inside].sum() / volume.sum())}
        for name, key in (("thetao", "temperature"), ("so", "salinity")):
            old = np.where(wet, state[name].values, 0.0)
            values = np.where(inside, (old * thickness).sum(0) / total, old)
            values = values if share == 1 else old + share * (values - old)
            new[name] = state[name].copy(data=np.where(wet, values, np.nan))
            moved = float(np.sqrt((volume * (values - old) ** 2).sum() / volume.sum()))
            record[f"constraint_convected_{key}"] = moved
        return state.assign(new), record

    return mix


def _floor(grid: Grid) -> np.ndarray:
    """Thickness of the wet cells of each column, ``(y, x)`` [m]."""
    return np.asarray((grid.e3t_0 * (grid.tmask > 0)).sum("z").values, float)


QUANTITY = MixedLayer()
