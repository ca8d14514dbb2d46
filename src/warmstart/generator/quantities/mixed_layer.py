"""How deep each column is mixed: a regression of its own, because a mean over oceans that convect in different places does not.

A column convects or does not. The mean of temperature and salinity over both kinds is stratified, and with it every state that is
drawn about it: its mixed layers are too shallow. The logarithm of the mixed layer depth is therefore predicted beside the
state, and each column is mixed down to that depth, its content unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from warmstart.generator.constraints.chain import Constraint
from warmstart.ocean.grid import Grid
from warmstart.physics.column import mixed_layer_depth
from warmstart.regression import mean
from warmstart.regression.mean import MeanModel
from warmstart.regression.normalizer import Normalizer

SHALLOWEST = 1.0  #: that is told apart [m]
NEEDED = ("thetao", "so")


@dataclass(frozen=True, eq=False)
class MixedLayer:
    """Mixed layer depth as a function of the parameters.

    Attributes
    ----------
    model : of its logarithm at the wet columns.
    grid : the mesh.
    """

    model: MeanModel
    grid: Grid

    def depth(self, inputs: np.ndarray) -> np.ndarray:
        """Predict the depth.

        Parameters
        ----------
        inputs : scaled parameters, ``(parameter,)``.

        Returns
        -------
        Depth ``(y, x)`` [m], the sea floor at most; 0 on land.
        """
        floor = _floor(self.grid)
        depth, wet = np.zeros(floor.shape), floor > 0
        depth[wet] = np.minimum(np.exp(self.model.predict(inputs)), floor[wet])
        return depth


def fit(
    states: np.ndarray, member: np.ndarray, inputs: np.ndarray, normalizer: Normalizer, weigh: bool = True,
    model: str = "gaussian-process",
) -> MixedLayer | None:  # fmt: skip
    """Fit the depth of the mixed layer to the snapshots of the training members.

    Parameters
    ----------
    states : standardised snapshots, ``(sample, wet)``.
    member : which member each is of, 0 to the number of members.
    inputs : scaled parameters of each member, ``(member, parameter)``.
    normalizer : of the states, with their layout.
    weigh : whether a Gaussian process weighs its inputs by their relevance.
    model : as :func:`warmstart.regression.mean.fit`.

    Returns
    -------
    The model; None where the states hold no temperature and salinity.
    """
    layout = normalizer.layout
    grid, floor = layout.grid, _floor(layout.grid)
    if not set(NEEDED) <= set(layout.variables):
        return None
    depth = np.zeros((len(inputs), *floor.shape))
    for index in range(len(inputs)):
        own = layout.unpack(normalizer.restore(layout.from_wet(states[member == index])))
        depth[index] = mixed_layer_depth(own[list(NEEDED)], grid).mean("sample").values
    known, area = np.log(np.maximum(depth[:, floor > 0], SHALLOWEST)), grid.area.values[floor > 0]
    return MixedLayer(mean.fit(known, inputs, area / area.sum(), model=model, weigh=weigh), grid)


def mixed(depth: np.ndarray) -> Constraint:
    """Make the constraint that every column is mixed down to a depth.

    Parameters
    ----------
    depth : of the mixed layer, ``(y, x)`` [m]; cells whose middle lies above it are mixed.

    Returns
    -------
    Function of a state ``(z, y, x)`` and its mesh: the state with heat and salt content of every column unchanged, and a
    record of the volume and of the changes of temperature and salinity.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> convected, record = mixed(np.full(grid.shape[1:], 1e4))(state, grid)
    >>> bool((convected.thetao.max("z") - convected.thetao.min("z")).max() < 1e-12)
    True
    """

    def mix(state: xr.Dataset, grid: Grid) -> tuple[xr.Dataset, dict[str, float]]:
        wet = grid.tmask.values > 0
        inside = wet & (grid.gdept_0.values < depth)
        thickness = np.where(inside, grid.e3t_0.values, 0.0)
        total = np.maximum(thickness.sum(0), np.finfo(float).tiny)
        volume = np.where(wet, grid.volume.values, 0.0)
        new, record = {}, {"constraint_convected_share": float(volume[inside].sum() / volume.sum())}
        for name, key in (("thetao", "temperature"), ("so", "salinity")):
            old = np.where(wet, state[name].values, 0.0)
            values = np.where(inside, (old * thickness).sum(0) / total, old)
            new[name] = state[name].copy(data=np.where(wet, values, np.nan))
            moved = float(np.sqrt((volume * (values - old) ** 2).sum() / volume.sum()))
            record[f"constraint_convected_{key}"] = moved
        return state.assign(new), record

    return mix


def _floor(grid: Grid) -> np.ndarray:
    """Thickness of the wet cells of each column, ``(y, x)`` [m]."""
    return np.asarray((grid.e3t_0 * (grid.tmask > 0)).sum("z").values, float)
