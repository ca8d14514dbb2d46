"""Metrics of others, exactly as published, beside the corrected ones of this package.

``nemo_spinup_evaluation_*`` follow nemo-spinup-evaluation 0.3.0 (m2lines, after Metrics-Ocean by E. Meunier and G. Gachon),
``dino_fusion_*`` the tables of DINO-Fusion (Meunier et al. 2025, arXiv:2502.02499, ``ICLRw-tables.py``). What differs from the
corrected definitions, flaws included, is in the documentation page "Published metrics".

Land is 0 in all of them, whatever the state holds there; so is a hole in the sea, as in the originals, where the sums
skip what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.cgrid import SVERDRUP, labelled, take
from warmstart.physics.density import polynomial_density


def nemo_spinup_evaluation_check_density_from_file(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Fraction of all cells, land included, that are denser than the cell below: density of the file.

    Parameters
    ----------
    state, grid : ``rhop(..., z, y, x)`` [kg m-3], as NEMO 4.2 writes it to restarts, 0 on land, and its mesh.

    Returns
    -------
    ``(...)`` [1]: mean over all cells of (rho_k - rho_{k+1} > 1e-5); comparisons with land are false and stay in the
    denominator.

    Raises
    ------
    UserError
        If the state has no ``rhop``.

    Notes
    -----
    ``check_density`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> state, grid = ws.basin()
    >>> rhop = polynomial_density(state.thetao, state.so)
    >>> float(nemo_spinup_evaluation_check_density_from_file(state.assign(rhop=rhop), grid))
    0.0
    """
    if "rhop" not in state:
        raise UserError("no density in the file; expected rhop, as NEMO 4.2 writes it to restarts")
    return _denser_than_below(take(state, grid, "rhop").fillna(0.0), "from_file", "rhop of the file")


def nemo_spinup_evaluation_check_density_computed(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Fraction of all cells, land included, that are denser than the cell below: 55-term polynomial.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.

    Returns
    -------
    ``(...)`` [1], as :func:`nemo_spinup_evaluation_check_density_from_file`.

    Notes
    -----
    ``check_density(get_density(…)[0])`` of nemo-spinup-evaluation 0.3.0. At most 34 * 11890 / (36 * 199 * 62) = 0.91 on
    DINO's 1-degree mesh.

    Examples
    --------
    >>> float(nemo_spinup_evaluation_check_density_computed(*ws.basin()))
    0.0
    """
    density = _density(state, grid).transpose(*state.thetao.dims)
    return _denser_than_below(density, "computed", "55-term polynomial")


def _denser_than_below(density: xr.DataArray, kind: str, source: str) -> xr.DataArray:
    density = density.where(density != 0)
    share = (density - density.shift(z=-1) > 1e-5).mean(("z", "y", "x"))
    return labelled(
        share, f"check_density_{kind}", "1", f"share of cells denser than the one below, {source}"
    )


def nemo_spinup_evaluation_temperature_500m_30NS(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Temperature of the level nearest 500 m, 30S-30N, weighted with the volume of the whole column.

    Parameters
    ----------
    state, grid : ``thetao(..., z, y, x)`` [degC], and its mesh.

    Returns
    -------
    ``(...)`` [degC]: weights e1t e2t tmask(500 m) sum_k e3t_0(k), the sum over all levels of the file.

    Notes
    -----
    ``temperature_500m_30NS_metric`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> nemo_spinup_evaluation_temperature_500m_30NS(*ws.basin()).attrs["units"]
    'degC'
    """
    level = int(np.abs(grid.gdept_1d.values - 500.0).argmin())
    weight = grid.e1t * grid.e2t * grid.e3t_0.sum("z") * grid.tmask.isel(z=level)
    weight = weight.where(abs(grid.gphit) < 30.0, 0.0)
    value = (_filled(state, grid, "thetao").isel(z=level) * weight).sum(("y", "x")) / weight.sum()
    text = "temperature near 500 m, 30S-30N, column weights"
    return labelled(value, "temperature_500m_30NS_metric", "degC", text)


def nemo_spinup_evaluation_temperature_BWbox(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Mean temperature of all water but that above 3000 m in 30S-30N.

    Parameters
    ----------
    state, grid : ``thetao(..., z, y, x)`` [degC], and its mesh.

    Returns
    -------
    ``(...)`` [degC], weights e1t e2t e3t_0 tmask; depth is that of the levels, not of the cells.

    Notes
    -----
    ``temperature_BWbox_metric`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> nemo_spinup_evaluation_temperature_BWbox(*ws.basin()).attrs["units"]
    'degC'
    """
    box = ~((grid.gdept_1d < 3000.0) & (abs(grid.gphit) < 30.0))
    return _mean(state, grid, "thetao", box, "temperature_BWbox_metric", "temperature of bottom water")


def nemo_spinup_evaluation_temperature_DWbox(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Mean temperature between 500 and 3000 m in 30S-30N; arguments as :func:`nemo_spinup_evaluation_temperature_BWbox`.

    Returns
    -------
    ``(...)`` [degC], weights e1t e2t e3t_0 tmask.

    Notes
    -----
    ``temperature_DWbox_metric`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> nemo_spinup_evaluation_temperature_DWbox(*ws.basin()).attrs["units"]
    'degC'
    """
    box = (abs(grid.gdept_1d - 1750.0) < 1250.0) & (abs(grid.gphit) < 30.0)
    return _mean(state, grid, "thetao", box, "temperature_DWbox_metric", "temperature of deep water")


def nemo_spinup_evaluation_ACC_Drake(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Zonal transport through the first column of the mesh.

    Parameters
    ----------
    state, grid : ``uo(..., z, y, x)`` [m s-1], and its mesh.

    Returns
    -------
    ``(...)`` [Sv]: sum of u e2u e3u_0 umask at x = 0.

    Notes
    -----
    ``ACC_Drake_metric`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> nemo_spinup_evaluation_ACC_Drake(*ws.basin()).attrs["units"]
    'Sv'
    """
    return labelled(_drake(state, grid, 1.0), "ACC_Drake_metric", "Sv", "transport through the first column")


def nemo_spinup_evaluation_ACC_Drake_2(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Zonal transport through the first column, meant to follow the sea level; as coded it does not.

    Parameters
    ----------
    state, grid : ``uo(..., z, y, x)`` [m s-1] and ``zos(..., y, x)`` [m], and their mesh.

    Returns
    -------
    ``(...)`` [Sv]. The surface mask of the original is the first row at all depths, not the first level at all rows; that
    row is land, so that the value is :func:`nemo_spinup_evaluation_ACC_Drake`. What was meant is
    ``throughflow(free_surface=True)``.

    Notes
    -----
    ``ACC_Drake_metric_2`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> ocean = ws.basin()
    >>> bool(nemo_spinup_evaluation_ACC_Drake_2(*ocean) == nemo_spinup_evaluation_ACC_Drake(*ocean))
    True
    """
    zos = _filled(state, grid, "zos")
    level = 0.5 * (zos + zos.roll(x=-1)).isel(x=0)
    surface = grid.umask.isel(x=0, y=0)
    stretch = 1.0 + level * surface / (grid.e3u_0.sum("z").isel(x=0) + 1.0 - surface)
    text = "transport through the first column, sea level meant to count"
    return labelled(_drake(state, grid, stretch), "ACC_Drake_metric_2", "Sv", text)


def _drake(state: xr.Dataset, grid: Grid, stretch: xr.DataArray | float) -> xr.DataArray:
    first = (grid.umask * grid.e2u * grid.e3u_0).isel(x=0)
    return (_filled(state, grid, "uo").isel(x=0) * first * stretch).sum(("z", "y")) / SVERDRUP


def nemo_spinup_evaluation_NASTG_BSF_max(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Largest barotropic streamfunction between the equator and 40N, integrated from the west.

    Parameters
    ----------
    state, grid : ``vo(..., z, y, x)`` [m s-1] and ``zos(..., y, x)`` [m], and their mesh.

    Returns
    -------
    ``(...)`` [Sv]: largest of the sum from the west of v e1v e3v, e3v stretched by the sea level over the sum of e3v_0 of
    all levels of the file, those below the sea floor included; latitudes are those of T points.

    Notes
    -----
    ``NASTG_BSF_max`` of nemo-spinup-evaluation 0.3.0.

    Examples
    --------
    >>> nemo_spinup_evaluation_NASTG_BSF_max(*ws.basin()).attrs["units"]
    'Sv'
    """
    zos, surface = _filled(state, grid, "zos"), grid.vmask.isel(z=0)
    level = 0.5 * (zos + zos.roll(y=-1))
    stretch = 1.0 + level * surface / (grid.e3v_0.sum("z") + 1.0 - surface)
    flow = (_filled(state, grid, "vo") * grid.e3v_0).sum("z") * stretch * grid.e1v * surface
    psi = flow.cumsum("x") / SVERDRUP
    value = psi.where(abs(grid.gphit - 20.0) < 20.0).max(("y", "x"))
    return labelled(value, "NASTG_BSF_max", "Sv", "largest barotropic streamfunction, 0-40N")


def dino_fusion_density_errors(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Share of the volume that is lighter than the cell above, by the 55-term polynomial.

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.

    Returns
    -------
    ``(...)`` [%]: volume of the cells with rho_k < rho_{k-1}, without a threshold, over the volume of the sea with its
    uppermost level.

    Notes
    -----
    ``compute_density_error`` of DINO-Fusion.

    Examples
    --------
    >>> float(dino_fusion_density_errors(*ws.basin()))
    0.0
    """
    density = _density(state, grid)
    lighter = density - density.shift(z=1) < 0.0
    value = 100.0 * (lighter * grid.volume).sum(("z", "y", "x")) / grid.volume.sum()
    return labelled(value, "density_errors", "%", "share of the volume lighter than the cell above")


def dino_fusion_BWbox(
    state: xr.Dataset, grid: Grid, variable: str = "thetao", by_index: bool = False
) -> xr.DataArray:
    """Mean of all water but that above 1500 m in 30S-30N.

    Parameters
    ----------
    state, grid : `variable`, ``(..., z, y, x)``, and its mesh.
    variable : ``"thetao"`` or ``"so"``.
    by_index : whether "latitude" is the number of the row, as in the committed script, where the coordinate is missing
        from the renamed mesh; the paper means degrees.

    Returns
    -------
    ``(...)``, units of the variable.

    Notes
    -----
    ``temperature_BWbox_metric(depth_box=1500)`` of DINO-Fusion.

    Examples
    --------
    >>> dino_fusion_BWbox(*ws.basin()).attrs["units"]
    'degC'
    """
    rows, counted = _tropics(grid, by_index)
    text = f"{variable} of bottom water, all but < 1500 m in 30S-30N{counted}"
    return _mean(state, grid, variable, ~((grid.gdept_1d < 1500.0) & rows), variable, text)


def dino_fusion_DWbox(
    state: xr.Dataset, grid: Grid, variable: str = "thetao", by_index: bool = False
) -> xr.DataArray:
    """Mean of the water between 500 and 1500 m in 30S-30N; arguments as :func:`dino_fusion_BWbox`.

    Returns
    -------
    ``(...)``, units of the variable; NaN where no cell is in the box.

    Notes
    -----
    ``temperature_DWbox_metric(depth_box=1500)`` of DINO-Fusion.

    Examples
    --------
    >>> dino_fusion_DWbox(*ws.basin(), "so").attrs["units"]
    '1e-3'
    """
    rows, counted = _tropics(grid, by_index)
    box = (grid.gdept_1d < 1500.0) & (grid.gdept_1d > 500.0) & rows
    text = f"{variable} of deep water, 500-1500 m, 30S-30N{counted}"
    return _mean(state, grid, variable, box, variable, text)


def _tropics(grid: Grid, by_index: bool) -> tuple[xr.DataArray, str]:
    """Rows within 30 degrees or, where latitude is missed, the first 30; and how to say the latter."""
    if by_index:
        return xr.DataArray(np.arange(grid.shape[1]), dims="y") < 30.0, ", rows counted instead of degrees"
    return abs(grid.gphit) < 30.0, ""


def _mean(
    state: xr.Dataset, grid: Grid, variable: str, box: xr.DataArray, name: str, text: str
) -> xr.DataArray:
    volume = grid.volume.where(box, 0.0)
    sea = volume.sum()
    mean = (_filled(state, grid, variable) * volume).sum(("z", "y", "x")) / sea.where(sea > 0)
    return labelled(mean, name, VARIABLES[variable].units, text)


def _density(state: xr.Dataset, grid: Grid) -> xr.DataArray:
    return polynomial_density(_filled(state, grid, "thetao"), _filled(state, grid, "so")) * grid.tmask


def _filled(state: xr.Dataset, grid: Grid, name: str) -> xr.DataArray:
    return take(state, grid, name).fillna(0.0)


#: Columns of nemo-spinup-evaluation's CSV of restarts, in its order, and the functions that fill them. In its CSV of
#: output, ``check_density_computed`` stands last.
NEMO_SPINUP_EVALUATION: dict[str, Callable[[xr.Dataset, Grid], xr.DataArray]] = {
    "check_density_from_file": nemo_spinup_evaluation_check_density_from_file,
    "check_density_computed": nemo_spinup_evaluation_check_density_computed,
    "temperature_500m_30NS_metric": nemo_spinup_evaluation_temperature_500m_30NS,
    "temperature_BWbox_metric": nemo_spinup_evaluation_temperature_BWbox,
    "temperature_DWbox_metric": nemo_spinup_evaluation_temperature_DWbox,
    "ACC_Drake_metric": nemo_spinup_evaluation_ACC_Drake,
    "ACC_Drake_metric_2": nemo_spinup_evaluation_ACC_Drake_2,
    "NASTG_BSF_max": nemo_spinup_evaluation_NASTG_BSF_max,
}
