"""The water column: static stability, stratification, mixed layer.

Two cells are compared at the depth of the face between them: both are moved there adiabatically, and NEMO's simplified
equation of state (:mod:`warmstart.eos`) gives their densities. Comparing potential densities of one reference level
would call stable water unstable far from it, because the thermal expansion of this equation grows with depth.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart import eos
from warmstart.grid import Grid
from warmstart.physics.cgrid import extreme, labelled, total


def wet_pairs(grid: Grid) -> xr.DataArray:
    """Faces between two wet cells, at the top face of the lower one.

    Parameters
    ----------
    grid : the mesh.

    Returns
    -------
    Boolean ``(z, y, x)``; never true at the surface.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(wet_pairs(grid).isel(z=0).any())
    False
    """
    wet = grid.mask("T")
    return wet & wet.shift(z=1, fill_value=False)


def density_step(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Density of the lower minus that of the upper of two neighbouring cells, both at the depth of their common face.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.

    Returns
    -------
    ``(..., z, y, x)`` at the top face of each cell [kg m-3]; negative where the column is statically unstable, NaN at
    the surface and where one of the cells is land.

    Notes
    -----
    Simplified equation of state as NEMO's ``ln_seos`` (NEMO manual 4.2, section 4.10).

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool((density_step(state, grid).isel(y=4) > 0).any())
    True
    """
    thetao, so = state.thetao.astype("float64"), state.so.astype("float64")
    lower = eos.density_anomaly(thetao, so, grid.gdepw_0)
    upper = eos.density_anomaly(thetao.shift(z=1), so.shift(z=1), grid.gdepw_0)
    step = (lower - upper).where(wet_pairs(grid)).transpose(*state.thetao.dims)
    return labelled(
        step, "density_step", "kg m-3", "density of the lower minus the upper cell at their common face"
    )


def n2(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Square of the buoyancy frequency, N2 = g / RHO0 * (rho_lower - rho_upper) / e3w at the faces between cells.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.

    Returns
    -------
    ``(..., z, y, x)`` at the top face of each cell [s-2]; NaN where :func:`density_step` is.

    Notes
    -----
    Locally referenced, as NEMO's ``bn2`` (NEMO manual 4.2, section 4.10); there, alpha and beta are interpolated to the
    face, here the densities are taken at it.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> n2(state, grid).attrs["units"]
    's-2'
    """
    frequency = eos.G / eos.RHO0 * density_step(state, grid) / grid.e3w_0
    return labelled(frequency, "n2", "s-2", "square of the buoyancy frequency")


def inversions(state: xr.Dataset, grid: Grid, threshold: float = 0.0) -> xr.DataArray:
    """Fraction of the wet vertical pairs in which the upper cell is denser than the lower one.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    threshold : how much denser before it counts [kg m-3]. nemo-spinup-evaluation takes 1e-5.

    Returns
    -------
    ``(...)`` [1]: 0 for a stable ocean, 1 if every wet pair is inverted. Land is not in the denominator.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> float(inversions(state, grid))
    0.0
    """
    inverted = _inverted(state, grid, threshold)
    text = "fraction of wet vertical pairs with denser water above" + _beyond(threshold)
    pairs = wet_pairs(grid).sum()
    return labelled(total(inverted, ("z", "y", "x")) / pairs.where(pairs > 0), "inversions", "1", text)


def inversions_volume(state: xr.Dataset, grid: Grid, threshold: float = 0.0) -> xr.DataArray:
    """Fraction of the volume between cell centres that lies in inverted pairs.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    threshold : as in :func:`inversions` [kg m-3].

    Returns
    -------
    ``(...)`` [1]. Each pair weighs ``e1t e2t e3w``, so that the thin upper levels do not dominate.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> float(inversions_volume(state, grid))
    0.0
    """
    volume = (grid.e3w_0 * grid.e1t * grid.e2t).where(wet_pairs(grid), 0.0)
    inverted = total(_inverted(state, grid, threshold) * volume, ("z", "y", "x"))
    text = "fraction of the volume with denser water above" + _beyond(threshold)
    sea = volume.sum()
    return labelled(inverted / sea.where(sea > 0), "inversions_volume", "1", text)


def _inverted(state: xr.Dataset, grid: Grid, threshold: float) -> xr.DataArray:
    """1 where a wet pair is inverted beyond the threshold, 0 elsewhere, NaN where the sea holds NaN."""
    step, pairs = density_step(state, grid), wet_pairs(grid)
    return (step < -threshold).astype("float64").where(step.notnull() | ~pairs)


def _beyond(threshold: float) -> str:
    return f" by more than {threshold:g} kg m-3" if threshold else ""


def mixed_layer_depth(
    state: xr.Dataset, grid: Grid, threshold: float = 0.03, reference_depth: float = 10.0
) -> xr.DataArray:
    """Depth at which potential density exceeds that near the surface by a threshold.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    threshold : excess of density [kg m-3].
    reference_depth : depth of the water to compare with [m]; the nearest level is taken.

    Returns
    -------
    ``(..., y, x)`` [m]: linear between cell centres, the sea floor where the whole column is within the threshold, NaN
    on land.

    Notes
    -----
    Criterion of de Boyer Montegut et al. (2004, doi:10.1029/2004JC002378), with the surface-referenced potential
    density of the simplified equation of state.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> mixed_layer_depth(state, grid).dims
    ('y', 'x')
    """
    wet, depth = grid.mask("T"), grid.gdept_0
    sigma = eos.density_anomaly(state.thetao.astype("float64"), state.so.astype("float64"), 0.0)
    level = int(np.abs(grid.gdept_1d.values - reference_depth).argmin())
    excess = (sigma - sigma.isel(z=level) - threshold).where(wet)
    below = wet & (xr.DataArray(np.arange(wet.sizes["z"]), dims="z") > level)
    beyond = (excess > 0) & below
    first = beyond & (beyond.cumsum("z") == 1)
    above = excess.shift(z=1)
    fraction = above / (above - excess).where(first)
    crossing = (depth.shift(z=1) + fraction * (depth - depth.shift(z=1))).where(first, 0.0)
    floor = (grid.e3t_0 * wet).sum("z")
    known = wet.isel(z=level) & (excess.notnull() | ~wet).all("z")
    mld = crossing.sum("z").where(beyond.any("z"), floor).where(known)
    mld = mld.transpose(*(d for d in state.thetao.dims if d != "z"))
    text = f"mixed layer depth, {threshold:g} kg m-3 denser than at {reference_depth:g} m"
    return labelled(mld, "mixed_layer_depth", "m", text)


def mixed_layer_mean(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Area mean of the mixed layer depth; see :func:`mixed_layer_depth`.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.

    Returns
    -------
    ``(...)`` [m].

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(mixed_layer_mean(state, grid) > 0)
    True
    """
    depth = mixed_layer_depth(state, grid).where(grid.area > 0, 0.0)
    mean = total(depth * grid.area, ("y", "x")) / grid.area.sum()
    return labelled(mean, "mixed_layer_mean", "m", "area mean of the mixed layer depth")


def mixed_layer_deepest(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest mixed layer depth anywhere; see :func:`mixed_layer_depth`.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.

    Returns
    -------
    ``(...)`` [m].

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(mixed_layer_deepest(state, grid) <= grid.bathymetry.max())
    True
    """
    deepest = extreme(mixed_layer_depth(state, grid), grid.area > 0, "max")
    return labelled(deepest, "mixed_layer_deepest", "m", "largest mixed layer depth")
