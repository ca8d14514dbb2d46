"""Stable columns as a constraint."""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.generator.constraints.constraint import Moved, declared
from warmstart.ocean.grid import Grid
from warmstart.physics.convection import adjust_columns


@declared(
    needs=("thetao", "so"), changes=("thetao", "so"), makes=("stability",),
    keeps=("land", "bounds", "heat content", "salt content", "columns", "barotropic flow", "overturning", "mean sea level"),
    records={
        "constraint_mixed_share": ("1", "share of the volume that convective adjustment mixed"),
        "constraint_mixed_temperature": ("K", "root mean square change of temperature by convective adjustment"),
        "constraint_mixed_salinity": ("1e-3", "root mean square change of salinity by convective adjustment"),
    },
)  # fmt: skip
def stabilise(state: xr.Dataset, grid: Grid) -> Moved:
    """Mix every column until no cell is denser than the one below it, at the depth of their common face.

    Heat and salt content of every column stay; cells of a mixed layer are equal, bit for bit.

    Parameters
    ----------
    state : with ``thetao`` [degC] and ``so`` [1e-3], dims ``(z, y, x)``.
    grid : its mesh.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> upside_down = state.assign(thetao=state.thetao.isel(z=slice(None, None, -1)))
    >>> mixed, record = stabilise(upside_down, grid)
    >>> record["constraint_mixed_share"] > 0.9
    True
    """
    wet = grid.tmask.values > 0
    thetao, so = adjust_columns(
        state["thetao"].values, state["so"].values, grid.e3t_0.values, grid.gdepw_0.values, wet
    )
    moved = {n: np.where(wet, new - state[n].values, 0.0) for n, new in (("thetao", thetao), ("so", so))}
    volume = grid.volume.values
    rms = {n: float(np.sqrt((volume * m**2).sum() / volume.sum())) for n, m in moved.items()}
    share = float(volume[(moved["thetao"] != 0) | (moved["so"] != 0)].sum() / volume.sum())
    new = {
        n: state[n].copy(data=np.where(wet, values, np.nan)) for n, values in (("thetao", thetao), ("so", so))
    }
    return state.assign(new), {
        "constraint_mixed_share": share,
        "constraint_mixed_temperature": rms["thetao"],
        "constraint_mixed_salinity": rms["so"],
    }
