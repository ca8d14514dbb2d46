"""NEMO's simplified equation of state (S-EOS) and what follows from it.

Plain arithmetic, so that the same functions serve numpy, xarray and torch. The form is that of NEMO's
``ln_seos`` (NEMO manual 4.2, section 4.10; Vallis 2006; Roquet et al. 2015) with the numbers of the DINO
namelist:

    rho - RHO0 = -A0 (1 + LAMBDA1/2 Ta + MU1 z) Ta + B0 (1 - LAMBDA2/2 Sa - MU2 z) Sa - NU Ta Sa

with Ta = T - 10 degC, Sa = S - 35, z the depth in metres.
"""

from __future__ import annotations

from typing import Any

RHO0 = 1026.0  #: reference density [kg m-3]
CP = 3991.86795711963  #: heat capacity of sea water [J kg-1 K-1] (TEOS-10, as NEMO's rcp)
G = 9.80665  #: gravity [m s-2] (NEMO's grav)

A0 = 0.165  #: thermal expansion [kg m-3 K-1]
B0 = 0.76554  #: haline contraction [kg m-3]
LAMBDA1 = 0.06  #: cabbeling in temperature [K-1]
LAMBDA2 = 0.0  #: cabbeling in salinity
MU1 = 1.497e-4  #: thermobaric coefficient [m-1]
MU2 = 0.0  #: the same for salinity [m-1]
NU = 0.0  #: cross term [K-1]
T0 = 10.0  #: reference temperature [degC]
S0 = 35.0  #: reference salinity [1e-3]


def density_anomaly(thetao: Any, so: Any, depth: Any) -> Any:
    """In-situ density minus :data:`RHO0` by NEMO's simplified equation of state.

    Parameters
    ----------
    thetao : potential temperature [degC]; numpy, xarray, torch or a number.
    so : salinity [1e-3], broadcastable.
    depth : depth, positive down [m], broadcastable.

    Returns
    -------
    Density anomaly [kg m-3], of the type and shape that the inputs broadcast to.

    Examples
    --------
    >>> density_anomaly(10.0, 35.0, 1000.0)
    0.0
    """
    ta = thetao - T0
    sa = so - S0
    thermal = -A0 * (1.0 + 0.5 * LAMBDA1 * ta + MU1 * depth) * ta
    haline = B0 * (1.0 - 0.5 * LAMBDA2 * sa - MU2 * depth) * sa
    return thermal + haline - NU * ta * sa


def density(thetao: Any, so: Any, depth: Any) -> Any:
    """In-situ density [kg m-3]; arguments as :func:`density_anomaly`.

    Examples
    --------
    >>> density(10.0, 35.0, 0.0)
    1026.0
    """
    return RHO0 + density_anomaly(thetao, so, depth)
