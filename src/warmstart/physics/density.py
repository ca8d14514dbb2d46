"""Density of sea water: potential density of any reference depth, by the equation of state that the engine uses.

``"seos"`` is NEMO's simplified equation of state (:mod:`warmstart.ocean.eos`), that of DINO in NEMO and in Veros.
``"teos10"`` takes the state as Conservative Temperature and Absolute Salinity, as NEMO's ``ln_teos10`` does, ``"teos10-potential"`` as
potential temperature and Absolute Salinity, ``"eos80"`` as potential temperature and practical salinity; they need the package ``gsw``.
A state says which it has in its attribute ``equation_of_state`` (:func:`own_equation`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.physics.cache import shared
from warmstart.physics.cgrid import labelled, take

#: ``(temperature [degC], salinity, depth [m]) -> density minus RHO0 [kg m-3]``.
Density = Callable[[Any, Any, Any], Any]

#: Coefficients of the surface part of the 55-term polynomial for Boussinesq density: ``(power of s, power of t) -> value``.
POLYNOMIAL = {
    (0, 0): 8.0189615746e02, (1, 0): 8.6672408165e02, (2, 0): -1.7864682637e03, (3, 0): 2.0375295546e03,
    (4, 0): -1.2849161071e03, (5, 0): 4.3227585684e02, (6, 0): -6.0579916612e01, (0, 1): 2.6010145068e01,
    (1, 1): -6.5281885265e01, (2, 1): 8.1770425108e01, (3, 1): -5.6888046321e01, (4, 1): 1.7681814114e01,
    (5, 1): -1.9193502195, (0, 2): -3.7074170417e01, (1, 2): 6.1548258127e01, (2, 2): -6.0362551501e01,
    (3, 2): 2.9130021253e01, (4, 2): -5.4723692739, (0, 3): 2.1661789529e01, (1, 3): -3.3449108469e01,
    (2, 3): 1.9717078466e01, (3, 3): -3.1742946532, (0, 4): -8.3627885467, (1, 4): 1.1311538584e01,
    (2, 4): -5.3563304045, (0, 5): 5.4048723791e-01, (1, 5): 4.8169980163e-01, (0, 6): -1.9083568888e-01,
}  # fmt: skip
#: Names of the equations of state.
EQUATIONS = ("seos", "teos10", "teos10-potential", "eos80")


def equation_of_state(name: str) -> Density:
    """Choose an equation of state.

    Parameters
    ----------
    name : one of :data:`EQUATIONS`.

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
    if name not in EQUATIONS:
        raise UserError(f"{name} is no equation of state; expected one of {', '.join(EQUATIONS)}")
    try:
        import gsw  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("TEOS-10 needs the package gsw; install warmstart[teos10]") from error
    if name == "teos10":
        return teos10_anomaly
    factor = 1.0 if name == "teos10-potential" else 35.16504 / 35.0
    return partial(_of_potential_temperature, salinity_factor=factor)


def _of_potential_temperature(thetao: Any, so: Any, depth: Any, salinity_factor: float) -> Any:
    """Density anomaly by TEOS-10 of potential temperature, and of salinity times a factor that makes it absolute."""
    import gsw

    absolute = so * salinity_factor
    return teos10_anomaly(_lazily(gsw.CT_from_pt, absolute, thetao), absolute, depth)


def own_equation(state: xr.Dataset, grid: Grid) -> str | None:
    """Tell the equation of state that a state was made with.

    Parameters
    ----------
    state : its attribute ``equation_of_state`` is ``seos``, ``teos10`` or ``eos80``.
    grid : its mesh; DINO and the oceans of this package have the simplified equation.

    Returns
    -------
    One of :data:`EQUATIONS`, for a state of potential temperature; None where nothing says it.

    Examples
    --------
    >>> own_equation(*ws.basin(nx=6, ny=8, nz=4))
    'seos'
    """
    said = str(state.attrs.get("equation_of_state", grid.ds.attrs.get("equation_of_state", "")))
    if said == "teos10":
        name = str(state["so"].attrs.get("standard_name", "")) if "so" in state else ""
        return "teos10-potential" if "absolute" in name else "eos80"
    if said in ("seos", "eos80"):
        return said
    configuration = str(grid.ds.attrs.get("configuration", "")).upper()
    return "seos" if "DINO" in configuration or grid.ds.attrs.get("engine") == "none" else None


def chosen_equation(state: xr.Dataset, grid: Grid, equation: str | None) -> Density:
    """The equation asked for, else that of the state, else that of DINO."""
    return equation_of_state(equation or own_equation(state, grid) or "seos")


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
    return _lazily(gsw.rho, so, thetao, pressure) - eos.RHO0


def _lazily(function: Callable[..., Any], *values: Any) -> Any:
    return xr.apply_ufunc(function, *values, dask="parallelized", output_dtypes=["float64"])


def potential_density(
    state: xr.Dataset, grid: Grid, reference: float = 0.0, equation: str | None = None
) -> xr.DataArray:
    """Density of the water when moved adiabatically to a reference depth, minus 1000 kg m-3: sigma-0, sigma-2, ….

    Parameters
    ----------
    state, grid : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``, and their mesh.
    reference : reference depth [m]; 0 gives sigma-0, 2000 gives sigma-2.
    equation : one of :data:`EQUATIONS`; None takes the state's own (:func:`own_equation`), or that of DINO where it says none.

    Returns
    -------
    ``(..., z, y, x)`` [kg m-3], NaN on land.

    Notes
    -----
    ``reference=0`` is NEMO's ``rhop`` minus 1000 (NEMO manual 4.2, section 4.10, ``ln_seos``).

    Examples
    --------
    >>> potential_density(*ws.basin(), 2000.0).attrs["units"]
    'kg m-3'
    """
    sigma = _anomaly(state, grid, reference, equation) + (eos.RHO0 - 1000.0)
    return labelled(sigma, "sigma", "kg m-3", f"potential density referenced to {reference:g} m, minus 1000")


@shared
def in_situ_density(state: xr.Dataset, grid: Grid, equation: str | None = None) -> xr.DataArray:
    """Density of the water where it is, minus ``eos.RHO0``; arguments as :func:`potential_density`.

    Returns
    -------
    ``(..., z, y, x)`` [kg m-3], NaN on land.

    Notes
    -----
    NEMO's ``rhd * rho0`` (NEMO manual 4.2, section 4.10).

    Examples
    --------
    >>> in_situ_density(*ws.basin()).dims
    ('z', 'y', 'x')
    """
    density = _anomaly(state, grid, grid.gdept_0, equation)
    return labelled(density, "density", "kg m-3", "in-situ density minus the reference density")


def _anomaly(state: xr.Dataset, grid: Grid, depth: Any, equation: str | None) -> xr.DataArray:
    """Density of the sea at a depth [m], minus ``eos.RHO0``."""
    density = chosen_equation(state, grid, equation)
    anomaly = density(take(state, grid, "thetao"), take(state, grid, "so"), depth)
    return anomaly.where(grid.mask("T")).transpose(*state.thetao.dims)


def polynomial_density(thetao: xr.DataArray, so: xr.DataArray) -> xr.DataArray:
    """Potential density at the surface by the 55-term polynomial that both peers use.

    Parameters
    ----------
    thetao : temperature [degC].
    so : salinity [1e-3].

    Returns
    -------
    Density [kg m-3], dims of the inputs.

    Notes
    -----
    Roquet et al. (2015, doi:10.1016/j.ocemod.2015.04.002), as NEMO's ``ln_teos10``; DINO itself runs with the simplified
    equation of state.

    Examples
    --------
    >>> round(float(polynomial_density(xr.DataArray(10.0), xr.DataArray(35.0))), 2)
    1026.82
    """
    # the order of NEMO's code, operation by operation: without a threshold the rounding of mixed water counts
    t = thetao.astype("float64") * (1.0 / 40.0)
    s = abs(so.astype("float64") + 32.0) * (0.875 / 35.16504)
    s = s**0.5
    result: Any = POLYNOMIAL[0, 6]
    for j in range(5, -1, -1):
        inner: Any = POLYNOMIAL[6 - j, j]
        for i in range(5 - j, 0, -1):
            inner = inner * s + POLYNOMIAL[i, j]
        result = result * t + inner * s + POLYNOMIAL[0, j]
    return result
