"""Overturning in density space, and the residual circulation where the engine gives the bolus part.

In depth space the circulations of water masses cancel where isopycnals slope; in density space they do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.physics.cache import shared
from warmstart.physics.cgrid import (
    SVERDRUP,
    Range,
    at_north_face,
    extreme,
    labelled,
    mean_over,
    north_transport,
    rows_between,
    span,
    total_beyond,
    turned,
    unknown,
)
from warmstart.physics.density import own_equation, potential_density
from warmstart.physics.transport import overturning_cell

#: Reference depth of sigma-2 [m].
SIGMA2 = 2000.0
#: Names of the bolus velocities, at the same points as ``uo`` and ``vo`` [m s-1].
BOLUS = {"uo": "uo_bolus", "vo": "vo_bolus"}
#: Edges of the sigma-2 classes [kg m-3], fine where the abyss may be: the simplified equation of state leaves out the
#: compression of water, so that its numbers are about 9 lower.
EDGES = {
    "seos": np.concatenate([np.arange(18.0, 25.0, 0.5), np.arange(25.0, 30.01, 0.025)]),
    "teos10": np.concatenate(
        [np.arange(27.0, 34.0, 0.5), np.arange(34.0, 36.0, 0.1), np.arange(36.0, 39.01, 0.025)]
    ),
}


def residual_flow(state: xr.Dataset) -> xr.Dataset:
    """Add the bolus velocities of the eddy parametrisation to the resolved flow.

    Parameters
    ----------
    state : ``uo vo`` and ``uo_bolus vo_bolus`` (one of the pairs is enough), ``(..., z, y, x)`` [m s-1].

    Returns
    -------
    The state with ``uo`` and ``vo`` of the residual circulation, which is what carries tracers.

    Raises
    ------
    UserError
        If the state holds no bolus velocity.

    Notes
    -----
    Gent and McWilliams (1990); NEMO writes the part as ``uoce_eiv voce_eiv``.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> float((residual_flow(state.assign(vo_bolus=-state.vo)).vo).max())
    0.0
    """
    parts = {name: bolus for name, bolus in BOLUS.items() if name in state and bolus in state}
    if not parts:
        raise UserError("the state holds no bolus velocity; expected uo_bolus or vo_bolus beside uo and vo")
    return state.assign({name: state[name] + state[bolus].fillna(0.0) for name, bolus in parts.items()})


@shared
def overturning_density(
    state: xr.Dataset, grid: Grid, edges: Any = None, reference: float = SIGMA2, equation: str | None = None
) -> xr.DataArray:
    """Meridional overturning streamfunction in density classes.

    Parameters
    ----------
    state, grid : ``thetao`` [degC], ``so`` [1e-3] and ``vo`` [m s-1], ``(..., z, y, x)``, and their mesh.
    edges : increasing edges of the classes [kg m-3, minus 1000]; water beyond the outermost is counted in the nearest;
        None takes :data:`EDGES`.
    reference : reference depth of the density [m].
    equation : equation of state, as in :func:`warmstart.physics.density.potential_density`.

    Returns
    -------
    ``(..., sigma, y)`` at the light edge of each class of the V rows [Sv], coordinate ``sigma``: minus the northward
    transport of water denser than that, so that the sign is that of :func:`warmstart.physics.transport.overturning`.
    0 at the lightest edge where no net transport crosses the row.

    Notes
    -----
    Doos and Webb (1994, doi:10.1175/1520-0485(1994)024<0429:TDCATO>2.0.CO;2). Density at a face is the mean of its two
    cells.

    Examples
    --------
    >>> overturning_density(*ws.basin()).dims
    ('sigma', 'y')
    """
    own = equation or own_equation(state, grid) or "seos"
    edges = np.asarray(EDGES["seos" if own == "seos" else "teos10"] if edges is None else edges, float)
    if edges.size < 2 or not (np.diff(edges) > 0).all():
        raise UserError("edges of density classes must increase; expected at least two")
    sigma = at_north_face(potential_density(state, grid, reference, equation), grid)
    sigma = sigma.where(grid.mask("V"), 0.0)
    flow = north_transport(state, grid).where(grid.unique("V"), 0.0).transpose(*sigma.dims)
    if flow.chunks is not None or sigma.chunks is not None:
        whole = {"z": -1, "y": -1, "x": -1}
        flow, sigma = flow.chunk(whole), sigma.chunk(whole)
    classes = xr.apply_ufunc(
        _by_class, sigma, flow, kwargs={"edges": edges}, input_core_dims=[["z", "y", "x"]] * 2,
        output_core_dims=[["sigma", "y"]], vectorize=True, dask="parallelized", output_dtypes=["float64"],
        dask_gufunc_kwargs={"output_sizes": {"sigma": edges.size - 1}},
    )  # fmt: skip
    denser = total_beyond(classes, "sigma")
    axis = {"units": "kg m-3", "long_name": f"sigma at {reference:g} m"}
    result = (-denser / SVERDRUP).assign_coords(sigma=("sigma", edges[:-1], axis))
    text = "meridional overturning streamfunction, density classes"
    return labelled(result, "overturning_density", "Sv", text)


def _by_class(sigma: np.ndarray, flow: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Transport of each class through each row; NaN in the rows where the flow or the density of the sea is unknown."""
    rows, classes = sigma.shape[1], edges.size - 1
    unknown = (np.isnan(sigma) | np.isnan(flow)).any(axis=(0, 2))
    index = np.clip(np.searchsorted(edges, np.nan_to_num(sigma), side="right") - 1, 0, classes - 1)
    index = index * rows + np.arange(rows)[None, :, None]
    binned = np.bincount(index.ravel(), np.nan_to_num(flow).ravel(), minlength=classes * rows)
    result = binned.reshape(classes, rows)
    result[:, unknown] = np.nan
    return result


def overturning_density_cell(
    state: xr.Dataset, grid: Grid, lat: Range, rotation: str, below: float | None = None
) -> xr.DataArray:
    """Strongest overturning in sigma-2 classes between two latitudes.

    Parameters
    ----------
    state, grid : as in :func:`overturning_density`.
    lat : southern and northern bound of the V rows, both excluded [degrees_north].
    rotation : ``"northern"`` takes the maximum (sinking in the north), ``"abyssal"`` the minimum (sinking in the south).
    below : depth [m] whose mean sigma-2 between the latitudes is that of the lightest water that counts, whatever the
        density of this ocean's abyss; None counts all.

    Returns
    -------
    ``(...)`` [Sv]; NaN if the mesh has nothing there, or is nowhere as deep.

    Examples
    --------
    >>> overturning_density_cell(*ws.basin(), (10.0, 65.0), "northern").attrs["units"]
    'Sv'
    """
    kind = {"northern": "max", "abyssal": "min"}[rotation]
    text = f"{kind}imum overturning in sigma-2 classes, {span(lat)}"
    text += "" if below is None else f", of water denser than the mean at {below:g} m"
    if why := turned(grid, lat):
        return unknown(state, "overturning_density_cell", "Sv", text, why)
    psi = overturning_density(state, grid).rename(sigma="z")
    inside = rows_between(grid, lat)
    if below is not None:
        inside = inside & (psi.z >= _mean_density(state, grid, lat, below))
    value = extreme(psi.drop_vars("z"), inside.drop_vars("z", errors="ignore"), kind)
    return labelled(value, "overturning_density_cell", "Sv", text)


def _mean_density(state: xr.Dataset, grid: Grid, lat: Range, depth: float) -> xr.DataArray:
    """Area mean of sigma-2 over the cells between two latitudes that hold a depth, ``(...)`` [kg m-3]; NaN without any."""
    holds = (grid.gdepw_0 <= depth) & (depth < grid.gdepw_0 + grid.e3t_0) & grid.mask("T")
    area = grid.column_area.where(holds & (grid.gphit > lat[0]) & (grid.gphit < lat[1]), 0.0)
    return mean_over(potential_density(state, grid, SIGMA2), area)


def residual_cell(state: xr.Dataset, grid: Grid, lat: Range, below: float, rotation: str) -> xr.DataArray:
    """Strongest residual overturning in depth coordinates: that of resolved and bolus flow together.

    Parameters
    ----------
    state : ``vo`` and ``vo_bolus``, ``(..., z, y, x)`` [m s-1].
    grid, lat, below, rotation : as in :func:`warmstart.physics.transport.overturning_cell`.

    Returns
    -------
    ``(...)`` [Sv].

    Raises
    ------
    UserError
        If the state holds no bolus velocity.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> still = state.assign(vo_bolus=-state.vo)
    >>> abs(float(residual_cell(still, grid, (10.0, 65.0), 500.0, "northern")))
    0.0
    """
    value = overturning_cell(residual_flow(state), grid, lat, below, rotation)
    text = value.attrs["long_name"].replace("Eulerian", "residual")
    return value.rename("residual_cell").assign_attrs(long_name=text)
