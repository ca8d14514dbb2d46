"""The forcing of the DINO configuration: wind stress and restoring fields, functions of latitude only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from warmstart.grid import Grid

LATITUDE_MAX = 70.0  #: latitude of the northern and southern walls [degrees]
YEAR_DAYS = 360.0  #: length of the year [days]
SEASON_PEAK_DAY = 201.0  #: day of the year with the warmest northern restoring temperature


def wind_stress(latitude: np.ndarray, parameters: Mapping[str, float]) -> np.ndarray:
    """Zonal wind stress: smooth curves between nodes at 0, 15, 45 and 70 degrees.

    Parameters
    ----------
    latitude : [degrees], any shape.
    parameters : with ``wind_stress_south`` and ``wind_stress_north`` [Pa], the westerlies at 45 degrees.

    Returns
    -------
    Eastward stress [Pa], shape of `latitude`.

    Examples
    --------
    >>> import numpy as np
    >>> wind_stress(np.array([-45.0, 0.0]), {"wind_stress_south": 0.2, "wind_stress_north": 0.1}).tolist()
    [0.2, -0.02]
    """
    south, north = parameters["wind_stress_south"], parameters["wind_stress_north"]
    nodes = np.array([-70.0, -45.0, -15.0, 0.0, 15.0, 45.0, 70.0])
    values = np.array([0.0, south, -0.1, -0.02, -0.1, north, 0.0])
    lat = np.clip(np.asarray(latitude, dtype=float), nodes[0], nodes[-1])
    k = np.clip(np.searchsorted(nodes, lat, side="right") - 1, 0, nodes.size - 2)
    s = np.clip((lat - nodes[k]) / (nodes[k + 1] - nodes[k]), 0, 1)
    return values[k] + (values[k + 1] - values[k]) * (3 - 2 * s) * s * s


def restoring_shapes(latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Latitudinal shapes of the restoring fields.

    Parameters
    ----------
    latitude : [degrees].

    Returns
    -------
    Weight of the equatorial temperature, weight of the equatorial salinity, salinity dip of the rain belt
    [1e-3], and 1 where the southern values hold (else 0); each of the shape of `latitude`.

    Examples
    --------
    >>> import numpy as np
    >>> [float(a[0]) for a in restoring_shapes(np.array([0.0]))]
    [1.0, 1.0, -1.25, 1.0]
    """
    lat = np.asarray(latitude, dtype=float)
    temperature = np.sin(np.pi * (lat + LATITUDE_MAX) / (2 * LATITUDE_MAX))
    salinity = (1 + np.cos(np.pi * lat / LATITUDE_MAX)) / 2
    dip = -1.25 * np.exp(-(lat**2) / 7.5**2)
    return temperature, salinity, dip, (lat <= 0).astype(float)


def restoring_temperature(
    latitude: np.ndarray, parameters: Mapping[str, float], day: float | None = None
) -> np.ndarray:
    """Temperature to which the surface is restored.

    Parameters
    ----------
    latitude : [degrees].
    parameters : with ``restoring_temperature_north``, ``_south``, ``_equator`` [degC] and, if `day` is given,
        ``seasonal_amplitude_north`` and ``_south`` [K].
    day : day of the 360-day year; None gives the annual mean.

    Returns
    -------
    Restoring temperature [degC], shape of `latitude`.

    Examples
    --------
    >>> import numpy as np
    >>> from warmstart.parameters import defaults
    >>> restoring_temperature(np.array([-70.0, 0.0, 70.0]), defaults()).round(6).tolist()
    [-0.5, 27.0, 5.0]
    """
    weight, _, _, south = restoring_shapes(latitude)
    cold_north, cold_south = (
        parameters["restoring_temperature_north"],
        parameters["restoring_temperature_south"],
    )
    if day is not None:
        season = np.cos((day % YEAR_DAYS - SEASON_PEAK_DAY) / (YEAR_DAYS / 2) * np.pi)
        cold_north = cold_north + parameters["seasonal_amplitude_north"] * season
        cold_south = cold_south - parameters["seasonal_amplitude_south"] * season
    cold = np.where(south > 0.5, cold_south, cold_north)
    return cold + (parameters["restoring_temperature_equator"] - cold) * weight


def restoring_salinity(latitude: np.ndarray, parameters: Mapping[str, float]) -> np.ndarray:
    """Salinity to which the surface is restored.

    Parameters
    ----------
    latitude : [degrees].
    parameters : with ``restoring_salinity_north``, ``_south`` and ``_equator`` [1e-3].

    Returns
    -------
    Restoring salinity [1e-3], shape of `latitude`.

    Examples
    --------
    >>> import numpy as np
    >>> from warmstart.parameters import defaults
    >>> restoring_salinity(np.array([-70.0, 70.0]), defaults()).round(6).tolist()
    [35.0, 35.1]
    """
    _, weight, dip, south = restoring_shapes(latitude)
    polar = np.where(
        south > 0.5, parameters["restoring_salinity_south"], parameters["restoring_salinity_north"]
    )
    return polar + (parameters["restoring_salinity_equator"] - polar) * weight + dip


def forcing(mesh_of_run: Grid, parameters: Mapping[str, float]) -> xr.Dataset:
    """Annual-mean forcing profiles of a simulation, as states files carry them.

    Parameters
    ----------
    mesh_of_run : the mesh; latitudes are those of its T points.
    parameters : a value for each parameter of the table, in its units.

    Returns
    -------
    ``forcing_wind_stress`` [Pa], ``forcing_restoring_temperature`` [degC] and ``forcing_restoring_salinity`` [1e-3],
    dims ``(y,)``.

    Examples
    --------
    >>> from warmstart.parameters import defaults
    >>> from warmstart.engine import dino
    >>> forcing(dino.grid(10.0, 6), defaults()).forcing_wind_stress.dims
    ('y',)
    """
    import xarray as xr

    latitude = mesh_of_run.gphit.values[:, 0]
    profiles = {
        "forcing_wind_stress": (wind_stress(latitude, parameters), "Pa", "eastward wind stress"),
        "forcing_restoring_temperature": (
            restoring_temperature(latitude, parameters), "degC", "restoring temperature, annual mean",
        ),
        "forcing_restoring_salinity": (restoring_salinity(latitude, parameters), "1e-3", "restoring salinity"),
    }  # fmt: skip
    return xr.Dataset(
        {
            name: ("y", values, {"units": units, "long_name": label})
            for name, (values, units, label) in profiles.items()
        }
    )
