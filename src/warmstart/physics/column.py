"""The water column: static stability, stratification, mixed layer.

Two cells are compared at the depth of the face between them: both are moved there adiabatically, and NEMO's simplified
equation of state (:mod:`warmstart.ocean.eos`) gives their densities. Comparing potential densities of one reference level
would call stable water unstable far from it, because the thermal expansion of this equation grows with depth.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.physics.cache import shared
from warmstart.physics.cgrid import extreme, labelled, mean_over, over_map, take, total
from warmstart.physics.density import chosen_equation

#: Depth of the water that a mixed layer is compared with [m].
REFERENCE_DEPTH = 10.0


def _wet_pairs(grid: Grid) -> xr.DataArray:
    """Faces between two wet cells, at the top face of the lower one; never at the surface."""
    wet = grid.mask("T")
    return wet & wet.shift(z=1, fill_value=False)


@shared
def density_step(
    state: xr.Dataset, grid: Grid, reference: str | float = "local", equation: str | None = None
) -> xr.DataArray:
    """Density of the lower minus that of the upper of two neighbouring cells, both at the depth of their common face.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.
    reference : where the two are compared: ``"local"`` at their common face, a depth [m] for potential density, or
        ``"in situ"`` for each at its own depth. That is no criterion of stability: with TEOS-10 compression hides
        inversions, and the pressure term of the simplified equation makes water above 10 degC lighter with depth.
    equation : equation of state, as in :func:`warmstart.physics.density.potential_density`.

    Returns
    -------
    ``(..., z, y, x)`` at the top face of each cell [kg m-3]; negative where the column is statically unstable, NaN at
    the surface and where one of the cells is land.

    Notes
    -----
    Simplified equation of state as NEMO's ``ln_seos`` (NEMO manual 4.2, section 4.10).

    Examples
    --------
    >>> bool((density_step(*ws.basin()).isel(y=4) > 0).any())
    True
    """
    thetao, so = take(state, grid, "thetao"), take(state, grid, "so")
    density = chosen_equation(state, grid, equation)
    if not isinstance(reference, str):
        below = above = xr.DataArray(float(reference))
        where = f"at {reference:g} m"
    elif reference == "local":
        below = above = grid.gdepw_0
        where = "at their common face"
    elif reference == "in situ":
        below, above = grid.gdept_0, grid.gdept_0.shift(z=1)
        where = "each where it is"
    else:
        raise UserError(f"no reference {reference}; expected local, in situ or a depth in m")
    step = density(thetao, so, below) - density(thetao.shift(z=1), so.shift(z=1), above)
    step = step.where(_wet_pairs(grid)).transpose(*state.thetao.dims)
    return labelled(step, "density_step", "kg m-3", f"density of the lower minus the upper cell, {where}")


def n2(
    state: xr.Dataset, grid: Grid, reference: str | float = "local", equation: str | None = None
) -> xr.DataArray:
    """Square of the buoyancy frequency, N2 = g / RHO0 * (rho_lower - rho_upper) / e3w at the faces between cells.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.
    reference, equation : as in :func:`density_step`.

    Returns
    -------
    ``(..., z, y, x)`` at the top face of each cell [s-2]; NaN where :func:`density_step` is.

    Notes
    -----
    Locally referenced, as NEMO's ``bn2`` (NEMO manual 4.2, section 4.10); there, alpha and beta are interpolated to the
    face, here the densities are taken at it.

    Examples
    --------
    >>> n2(*ws.basin()).attrs["units"]
    's-2'
    """
    frequency = eos.G / eos.RHO0 * density_step(state, grid, reference, equation) / grid.e3w_0
    return labelled(frequency, "n2", "s-2", "square of the buoyancy frequency")


def inversions(
    state: xr.Dataset,
    grid: Grid,
    threshold: float = 0.0,
    reference: str | float = "local",
    equation: str | None = None,
) -> xr.DataArray:
    """Fraction of the wet vertical pairs in which the upper cell is denser than the lower one.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.
    threshold : how much denser before it counts [kg m-3]. nemo-spinup-evaluation takes 1e-5.
    reference, equation : as in :func:`density_step`.

    Returns
    -------
    ``(...)`` [1]: 0 for a stable ocean, 1 if every wet pair is inverted. Land is not in the denominator.

    Examples
    --------
    >>> float(inversions(*ws.basin()))
    0.0
    """
    share = _inverted(
        density_step(state, grid, reference, equation), grid, threshold, xr.ones_like(grid.e3w_0)
    )
    text = "fraction of wet vertical pairs with denser water above" + _criterion(threshold, reference)
    return labelled(share, "inversions", "1", text)


def inversions_volume(
    state: xr.Dataset,
    grid: Grid,
    threshold: float = 0.0,
    reference: str | float = "local",
    equation: str | None = None,
) -> xr.DataArray:
    """Fraction of the volume between cell centres that lies in inverted pairs; arguments as :func:`inversions`.

    Returns
    -------
    ``(...)`` [1]. Each pair weighs ``e1t e2t e3w``, so that the thin upper levels do not dominate.

    Examples
    --------
    >>> float(inversions_volume(*ws.basin()))
    0.0
    """
    step, volume = density_step(state, grid, reference, equation), grid.e3w_0 * grid.e1t * grid.e2t
    text = "fraction of the volume with denser water above" + _criterion(threshold, reference)
    return labelled(_inverted(step, grid, threshold, volume), "inversions_volume", "1", text)


def _inverted(step: xr.DataArray, grid: Grid, threshold: float, weight: xr.DataArray) -> xr.DataArray:
    """Weighted share of the wet pairs that are inverted beyond the threshold; NaN where the sea holds NaN."""
    pairs = _wet_pairs(grid)
    inverted = (step < -threshold).astype("float64").where(step.notnull() | ~pairs)
    return mean_over(inverted, weight.where(pairs, 0.0))


def _criterion(threshold: float, reference: str | float) -> str:
    """Where two cells are compared, unless at their common face, and beyond what they count."""
    local = {"local": "", "in situ": ", each at its own depth"}
    where = local[reference] if isinstance(reference, str) else f", at {reference:g} m"
    return where + (f" by more than {threshold:g} kg m-3" if threshold else "")


def convective_energy(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Potential energy that overturning would release: that of the column minus that of its water sorted by density.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.

    Returns
    -------
    ``(..., y, x)`` [J m-2], 0 in a stable column, NaN on land: g times the sum over cells of density, thickness and the
    depth by which sorting moves it down. Mixing the same water instead of sorting it releases less.

    Notes
    -----
    Reference state of Winters et al. (1995, doi:10.1017/S002211209500125X) for each column alone. Density is the sum of
    the locally referenced steps of :func:`density_step` from the surface down, so that pressure alone never counts as
    an inversion.

    Examples
    --------
    >>> float(convective_energy(*ws.basin()).max())
    0.0
    """
    step = density_step(state, grid)
    unknown = (step.isnull() & _wet_pairs(grid)) | (take(state, grid, "thetao").isnull() & grid.mask("T"))
    known = ~unknown.any("z")
    density = step.fillna(0.0).cumsum("z")
    thickness = grid.e3t_0.where(grid.mask("T"), 0.0)
    if density.chunks is not None:
        density = density.chunk(z=-1)
    energy = xr.apply_ufunc(
        _sorting_energy, density, thickness, input_core_dims=[["z"], ["z"]], dask="parallelized",
        output_dtypes=["float64"],
    )  # fmt: skip
    energy = energy.where(known & grid.mask("T", three_d=False))
    text = "potential energy released by sorting the column by density"
    return labelled(over_map(energy, state), "convective_energy", "J m-2", text)


def _sorting_energy(density: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Energy released by sorting columns along the last axis, rounding not counted."""
    thickness = np.broadcast_to(thickness, density.shape)
    # land has no thickness: where it is sorted to does not matter
    order = np.argsort(density, axis=-1, kind="stable")
    sorted_thickness = np.take_along_axis(thickness, order, -1)
    depth = np.cumsum(thickness, -1) - 0.5 * thickness
    sorted_depth = np.cumsum(sorted_thickness, -1) - 0.5 * sorted_thickness
    new_depth = np.empty_like(depth)
    np.put_along_axis(new_depth, order, sorted_depth, -1)
    moved = np.where(order == np.arange(order.shape[-1]), 0.0, 1.0).any(-1)
    return np.asarray(eos.G * (density * thickness * (new_depth - depth)).sum(-1) * moved)


def convective_energy_mean(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Area mean of the :func:`convective_energy`; arguments as there.

    Returns
    -------
    ``(...)`` [J m-2].

    Examples
    --------
    >>> float(convective_energy_mean(*ws.basin()))
    0.0
    """
    mean = mean_over(convective_energy(state, grid), grid.column_area)
    return labelled(mean, "convective_energy", "J m-2", "potential energy that convection would release")


@shared
def mixed_layer_depth(
    state: xr.Dataset, grid: Grid, threshold: float = 0.03, reference_depth: float = REFERENCE_DEPTH
) -> xr.DataArray:
    """Depth at which potential density exceeds that near the surface by a threshold.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.
    threshold : excess of density [kg m-3].
    reference_depth : depth of the water to compare with [m]; the nearest level is taken.

    Returns
    -------
    ``(..., y, x)`` [m]: linear between cell centres, the sea floor where the whole column is within the threshold, NaN
    on land and where the column does not reach the reference level, which is the column's own.

    Notes
    -----
    Criterion of de Boyer Montegut et al. (2004, doi:10.1029/2004JC002378), with the surface-referenced potential
    density by the state's own equation (:func:`warmstart.physics.density.own_equation`).

    Examples
    --------
    >>> mixed_layer_depth(*ws.basin()).dims
    ('y', 'x')
    """
    wet, depth = grid.mask("T"), grid.gdept_0
    density = chosen_equation(state, grid, None)
    sigma = density(take(state, grid, "thetao"), take(state, grid, "so"), 0.0)
    level, reaches = _reference_level(grid, reference_depth)
    number = xr.DataArray(np.arange(wet.sizes["z"]), dims="z")
    start = total(sigma.where((number == level) & reaches, 0.0), "z")
    excess = (sigma - start - threshold).where(wet)
    below = wet & (number > level)
    beyond = (excess > 0) & below
    first = beyond & (beyond.cumsum("z") == 1)
    above = excess.shift(z=1)
    fraction = above / (above - excess).where(first)
    crossing = (depth.shift(z=1) + fraction * (depth - depth.shift(z=1))).where(first, 0.0)
    floor = (grid.e3t_0 * wet).sum("z")
    known = reaches & (excess.notnull() | ~wet).all("z")
    mld = over_map(crossing.sum("z").where(beyond.any("z"), floor).where(known), state)
    text = f"mixed layer depth, {threshold:g} kg m-3 denser than at {reference_depth:g} m"
    return labelled(mld, "mixed_layer_depth", "m", text)


def mixed_layer_mean(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Area mean of the :func:`mixed_layer_depth`, over the columns that have one; arguments as there.

    Returns
    -------
    ``(...)`` [m].

    Examples
    --------
    >>> bool(mixed_layer_mean(*ws.basin()) > 0)
    True
    """
    area = grid.area.where(_reference_level(grid, REFERENCE_DEPTH)[1], 0.0)
    mean = mean_over(mixed_layer_depth(state, grid), area)
    return labelled(mean, "mixed_layer_mean", "m", "area mean of the mixed layer depth")


def _reference_level(grid: Grid, depth: float) -> tuple[xr.DataArray, xr.DataArray]:
    """Number of the level nearest a depth in each column ``(y, x)``, and whether the column has water there."""
    wet = grid.mask("T")
    centre = grid.gdept_0.where(wet, grid.gdept_1d)
    level = abs(centre - depth).argmin("z")
    return level, wet.isel(z=level)


def mixed_layer_deepest(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest :func:`mixed_layer_depth` anywhere; arguments as there.

    Returns
    -------
    ``(...)`` [m].

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> bool(mixed_layer_deepest(state, grid) <= grid.bathymetry.max())
    True
    """
    counted = (grid.area > 0) & _reference_level(grid, REFERENCE_DEPTH)[1]
    deepest = extreme(mixed_layer_depth(state, grid), counted, "max")
    return labelled(deepest, "mixed_layer_deepest", "m", "largest mixed layer depth")
