"""Density of sea water: potential density of any reference depth, by the equation of state that the engine uses.

``"seos"`` is NEMO's simplified equation of state (:mod:`warmstart.eos`), that of DINO in NEMO and in Veros.
``"teos10"`` takes the state as Conservative Temperature and Absolute Salinity, as NEMO's ``ln_teos10`` does, and needs
the package ``gsw``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xarray as xr

from warmstart import eos
from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.physics.cgrid import labelled, take
from warmstart.physics.sharing import shared

#: ``(temperature [degC], salinity, depth [m]) -> density minus RHO0 [kg m-3]``.
Density = Callable[[Any, Any, Any], Any]

#: Names of the equations of state.
EQUATIONS = ("seos", "teos10")


def equation_of_state(name: str) -> Density:
    """Choose an equation of state.

    Parameters
    ----------
    name : ``"seos"`` or ``"teos10"``.

    Returns
    -------
    Function of temperature [degC], salinity [1e-3 or g kg-1] and depth [m] that gives the density minus ``eos.RHO0``
    [kg m-3].

    Raises
    ------
    UserError
        If the name is unknown, or ``gsw`` is not installed.

    Examples
    --------
    >>> equation_of_state("seos")(10.0, 36.0, 0.0)
    0.76554
    """
    if name == "seos":
        return eos.density_anomaly
    if name != "teos10":
        raise UserError(f"{name} is no equation of state; expected one of {', '.join(EQUATIONS)}")
    try:
        import gsw  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("TEOS-10 needs the package gsw; install warmstart[teos10]") from error
    return teos10_anomaly


def teos10_anomaly(thetao: Any, so: Any, depth: Any) -> Any:
    """In-situ density minus ``eos.RHO0`` by TEOS-10.

    Parameters
    ----------
    thetao : Conservative Temperature [degC].
    so : Absolute Salinity [g kg-1].
    depth : depth, positive down [m].

    Returns
    -------
    Density anomaly [kg m-3].

    Notes
    -----
    ``gsw.rho`` (IOC, SCOR and IAPSO 2010; 75-term polynomial of Roquet et al. 2015, doi:10.1016/j.ocemod.2015.04.002) at
    the pressure of a Boussinesq ocean, RHO0 g z: pressure must not depend on latitude where depth does not.

    Examples
    --------
    >>> round(float(teos10_anomaly(10.0, 35.0, 0.0)) + eos.RHO0, 3)
    1026.825
    """
    import gsw

    pressure = depth * (1e-4 * eos.RHO0 * eos.G)
    return (
        xr.apply_ufunc(gsw.rho, so, thetao, pressure, dask="parallelized", output_dtypes=["float64"])
        - eos.RHO0
    )


def potential_density(
    state: xr.Dataset, grid: Grid, reference: float = 0.0, equation: str = "seos"
) -> xr.DataArray:
    """Density of the water when moved adiabatically to a reference depth, minus 1000 kg m-3: sigma-0, sigma-2, ….

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    reference : reference depth [m]; 0 gives sigma-0, 2000 gives sigma-2.
    equation : one of :data:`EQUATIONS`.

    Returns
    -------
    ``(..., z, y, x)`` [kg m-3], NaN on land.

    Notes
    -----
    ``reference=0`` is NEMO's ``rhop`` minus 1000 (NEMO manual 4.2, section 4.10, ``ln_seos``).

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> potential_density(state, grid, 2000.0).attrs["units"]
    'kg m-3'
    """
    density = equation_of_state(equation)
    anomaly = density(take(state, grid, "thetao"), take(state, grid, "so"), reference)
    sigma = (anomaly + (eos.RHO0 - 1000.0)).where(grid.mask("T")).transpose(*state.thetao.dims)
    return labelled(sigma, "sigma", "kg m-3", f"potential density referenced to {reference:g} m, minus 1000")


@shared
def in_situ_density(state: xr.Dataset, grid: Grid, equation: str = "seos") -> xr.DataArray:
    """Density of the water where it is, minus ``eos.RHO0``.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    equation : one of :data:`EQUATIONS`.

    Returns
    -------
    ``(..., z, y, x)`` [kg m-3], NaN on land.

    Notes
    -----
    NEMO's ``rhd * rho0`` (NEMO manual 4.2, section 4.10).

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> in_situ_density(state, grid).dims
    ('z', 'y', 'x')
    """
    density = equation_of_state(equation)
    anomaly = density(take(state, grid, "thetao"), take(state, grid, "so"), grid.gdept_0)
    result = anomaly.where(grid.mask("T")).transpose(*state.thetao.dims)
    return labelled(result, "density", "kg m-3", "in-situ density minus the reference density")
