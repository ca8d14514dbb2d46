"""The DINO configuration: geometry, bathymetry, forcing and initial state, without any ocean engine.

DINO (Kamm et al. 2025) is a sector of 50 degrees from 70S to 70N on a Mercator grid, with a re-entrant channel
between 65S and 45S that a ring-shaped sill half blocks. Wind, restoring
temperature and restoring salinity depend on latitude only. Everything here is plain numpy, so that analyses and the
generator know the configuration without starting an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from warmstart.ocean.basin import face_masks
from warmstart.ocean.grid import Grid, units_of

SECTOR_WIDTH = 50.0  #: longitudinal extent [degrees]
CHANNEL = (-65.0, -45.0)  #: latitudes between which the sector is re-entrant [degrees]
DEPTH = 4000.0  #: nominal depth of the Madec-Imbard levels [m]
TOP_THICKNESS = 20.0  #: thickness scale of the uppermost level [m]
SHELF_DEPTH = 2000.0  #: depth to which the slopes rise at the walls [m]
SILL_DEPTH = 2500.0  #: depth of the crest of the ring-shaped sill [m]
EARTH_RADIUS = 6370e3  #: [m]
EARTH_ROTATION = np.pi / 43082.0  #: [s-1]
RAD = np.pi / 180.0

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
    """Shapes of the restoring fields by latitude.

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
    >>> from warmstart.ocean.parameters import defaults
    >>> restoring_temperature(np.array([-70.0, 0.0, 70.0]), defaults()).round(6).tolist()
    [-0.5, 27.0, 5.0]
    """
    weight, _, _, south = restoring_shapes(latitude)
    cold_north, cold_south = (parameters[f"restoring_temperature_{side}"] for side in ("north", "south"))
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
    >>> from warmstart.ocean.parameters import defaults
    >>> restoring_salinity(np.array([-70.0, 70.0]), defaults()).round(6).tolist()
    [35.0, 35.1]
    """
    _, weight, dip, south = restoring_shapes(latitude)
    north_south = (parameters[f"restoring_salinity_{side}"] for side in ("south", "north"))
    polar = np.where(south > 0.5, *north_south)
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
    >>> from warmstart.ocean.parameters import defaults
    >>> from warmstart.engines import dino
    >>> forcing(dino.grid(10.0, 6), defaults()).forcing_wind_stress.dims
    ('y',)
    """
    latitude = mesh_of_run.gphit.values[:, 0]
    profiles = {
        "forcing_wind_stress": (wind_stress(latitude, parameters), "Pa", "eastward wind stress"),
        "forcing_restoring_temperature": (
            restoring_temperature(latitude, parameters), "degC", "restoring temperature, annual mean",
        ),
        "forcing_restoring_salinity": (restoring_salinity(latitude, parameters), "1e-3", "restoring salinity"),
    }  # fmt: skip
    about = (
        (name, values, {"units": u, "long_name": label}) for name, (values, u, label) in profiles.items()
    )
    return xr.Dataset({name: ("y", values, attrs) for name, values, attrs in about})


@dataclass(frozen=True)
class Mesh:
    """One-dimensional axes of the sector.

    Attributes
    ----------
    resolution : zonal grid spacing [degrees].
    longitude, latitude : of the T points [degrees], shapes ``(nx,)`` and ``(ny,)``.
    row_height : meridional extent of each row [degrees], shape ``(ny,)``.
    depth, thickness : of the T cells, surface first [m], shape ``(nz,)``.
    """

    resolution: float
    longitude: np.ndarray
    latitude: np.ndarray
    row_height: np.ndarray
    depth: np.ndarray
    thickness: np.ndarray

    @property
    def length(self) -> float:
        """Longitude of the eastern edge [degrees]."""
        return self.resolution * (self.longitude.size - 1)


def mesh(resolution: float, levels: int) -> Mesh:
    """Lay out the Mercator sector.

    Parameters
    ----------
    resolution : zonal grid spacing [degrees]; the meridional one is that times the cosine of latitude.
    levels : number of levels.

    Returns
    -------
    The axes. Column 0 is the meridional wall, open only in the channel.

    Examples
    --------
    >>> axes = mesh(4.0, 18)
    >>> axes.longitude.size, axes.latitude.size, axes.depth.size
    (13, 49, 18)
    """
    nx = round(SECTOR_WIDTH / resolution) + 1
    rows = int(np.floor(np.log(np.tan(np.pi / 4 + LATITUDE_MAX * RAD / 2)) / RAD / resolution + 1e-9))
    latitude = np.arcsin(np.tanh(resolution * RAD * np.arange(-rows, rows + 1))) / RAD
    half = (latitude[1] - latitude[0]) / 2
    edges = np.concatenate(
        [[latitude[0] - half], 0.5 * (latitude[1:] + latitude[:-1]), [latitude[-1] + half]],
    )
    depth = _level_depths(levels)
    faces = np.concatenate(
        [[0.0], 0.5 * (depth[1:] + depth[:-1]), [depth[-1] + 0.5 * (depth[-1] - depth[-2])]]
    )
    return Mesh(
        resolution=float(resolution),
        longitude=-resolution / 2 + resolution * np.arange(nx),
        latitude=latitude,
        row_height=np.diff(edges),
        depth=depth,
        thickness=np.diff(faces),
    )


def _level_depths(levels: int) -> np.ndarray:
    """Depths of the T points by Madec and Imbard (1996), DINO's 36 levels rescaled to `levels`; surface first [m]."""
    n = levels + 1
    kth, acr = 35.0 * n / 36, 10.5 * n / 36
    a0 = (TOP_THICKNESS - DEPTH / (n - 1)) / (
        np.tanh((1 - kth) / acr)
        - acr / (n - 1) * (np.log(np.cosh((n - kth) / acr)) - np.log(np.cosh((1 - kth) / acr)))
    )
    a1 = TOP_THICKNESS - a0 * np.tanh((1 - kth) / acr)
    a2 = -a1 - a0 * acr * np.log(np.cosh((1 - kth) / acr))
    k = np.arange(1, n) + 0.5
    return a2 + a1 * k + a0 * acr * np.log(np.cosh((k - kth) / acr))


def _smooth_step(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """Quintic step from 0 at `start` to 1 at `end`."""
    s = np.clip((x - start) / (end - start), 0, 1)
    return 6 * s**5 - 15 * s**4 + 10 * s**3


def _slopes(x: np.ndarray, left: float, right: float, width: float, scale: float, taper: float) -> np.ndarray:
    """Exponential slopes at both ends of an interval, 0 at the walls and 1 inside."""
    norm = 1 + np.exp(-width / scale)
    step_left = _smooth_step(x, left, left + taper)
    step_right = 1 - _smooth_step(x, right - taper, right)
    rise = (1 - np.exp(-(x - left) / scale) / norm) * (1 - step_left) + step_left
    fall = (1 - np.exp((x - right) / scale) / norm) * (1 - step_right) + step_right
    inside = np.where(x <= left + taper, rise, np.where(x >= right - taper, fall, 1.0))
    return np.where((x < left) | (x > right), 0.0, inside)


def bathymetry(axes: Mesh) -> np.ndarray:
    """Depth of the sea floor: slopes along the walls, an open channel and the ring-shaped sill.

    Parameters
    ----------
    axes : from :func:`mesh`.

    Returns
    -------
    Depth, 0 on the wall [m], shape ``(ny, nx)``.

    Examples
    --------
    >>> float(bathymetry(mesh(4.0, 18)).max()) <= 4000.0
    True
    """
    lon, lat = np.meshgrid(axes.longitude, axes.latitude)
    width = axes.length
    channel = _slopes(lat, *CHANNEL, width, 3.0, 10.0)
    zonal = _slopes(lon, 0.0, width, width, 3.0, 10.0) * (1 - channel) + channel
    meridional = _slopes(lat, -LATITUDE_MAX, LATITUDE_MAX, width, np.cos(LATITUDE_MAX * RAD) * 3.0, 10.0)
    depth = zonal * meridional * SHELF_DEPTH + SHELF_DEPTH
    centre, radius, scale = axes.longitude[0], 10.0, 4.0
    distance = np.hypot(lon - centre, lat + 55.0)
    ring = (SILL_DEPTH - depth) * np.exp(-((distance - radius) ** 2) / scale**2) + depth
    ring = np.where(depth >= SILL_DEPTH, ring, depth)
    east = _smooth_step(lon, centre, centre + scale)
    depth = east * ring + (1 - east) * depth
    wall = (lon < 0) & ((lat < CHANNEL[0]) | (lat > CHANNEL[1]))
    return np.where(wall, 0.0, depth)


def wet_levels(axes: Mesh) -> np.ndarray:
    """Count the wet levels of each column: a level is wet where its T point lies above the sea floor.

    Parameters
    ----------
    axes : from :func:`mesh`.

    Returns
    -------
    Number of wet levels, 0 on land, shape ``(ny, nx)``.

    Examples
    --------
    >>> int(wet_levels(mesh(4.0, 18)).max())
    18
    """
    return (axes.depth[:, None, None] < bathymetry(axes)).sum(0)


def initial_state(axes: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Temperature and salinity of a start from rest: a stratified tropical column that fades towards the poles.

    Parameters
    ----------
    axes : from :func:`mesh`.

    Returns
    -------
    Temperature [degC] and salinity [1e-3], dims ``(z, y, x)``, surface first, land not masked.

    Examples
    --------
    >>> t, s = initial_state(mesh(4.0, 18))
    >>> t.shape
    (18, 49, 13)
    """
    z = axes.depth
    upper = (-np.tanh((500 - z) / 150) + 1) / 2
    lower = (-np.tanh((z - 500) / 150) + 1) / 2
    temperature = (16 - 12 * np.tanh((z - 400) / 700)) * upper + (
        15 * (1 - np.tanh((z - 50) / 1500)) - 1.4 * np.tanh((z - 100) / 100) + 7 * (1500 - z) / 1500
    ) * lower
    salinity = (36.25 - 1.13 * np.tanh((z - 305) / 460)) * upper + (
        35.55
        + 1.25 * (5000 - z) / 5000
        - 1.62 * np.tanh((z - 60) / 650)
        + 0.2 * np.tanh((z - 35) / 100)
        + 0.2 * np.tanh((z - 1000) / 5000)
    ) * lower
    fade = (1 - np.abs(axes.latitude) / np.abs(axes.latitude).max())[None, :, None]
    flat = np.zeros((1, 1, axes.longitude.size))
    columns = [(c[:, None, None] - c.min()) * fade + c.min() + flat for c in (temperature, salinity)]
    return columns[0], columns[1]


def grid(resolution: float, levels: int) -> Grid:
    """Build the mesh of the DINO configuration under NEMO's names.

    Parameters
    ----------
    resolution : zonal grid spacing [degrees].
    levels : number of levels.

    Returns
    -------
    The mesh; full cells at the sea floor, periodic in x, land north of the last and south of the first row.

    Examples
    --------
    >>> grid(10.0, 6).shape
    (6, 19, 6)
    """
    axes = mesh(resolution, levels)
    shape = (levels, axes.latitude.size, axes.longitude.size)
    h, faces = axes.thickness, np.concatenate([[0.0], np.cumsum(axes.thickness)[:-1]])
    columns = {
        "e3t_0": h, "e3u_0": h, "e3v_0": h, "e3w_0": np.diff(axes.depth, prepend=-axes.depth[0]), "gdept_0": axes.depth, "gdepw_0": faces,
    }  # fmt: skip
    wet = (np.arange(levels)[:, None, None] < wet_levels(axes)).astype("int8")
    fields = _horizontal(axes)
    fields |= {name: np.broadcast_to(c[:, None, None], shape).copy() for name, c in columns.items()}
    fields |= face_masks(wet, periodic_x=True)
    fields |= {"gdept_1d": axes.depth, "gdepw_1d": faces, "e3t_1d": h}
    attrs = {"periodic_x": 1, "configuration": "DINO", "resolution": float(resolution), "engine": "veros"}
    dims = ("z", "y", "x")
    return Grid(
        xr.Dataset(
            {
                n: (dims[:1] if v.ndim == 1 else dims[-v.ndim :], v, {"units": units_of(n)})
                for n, v in fields.items()
            },
            attrs=attrs,
        )
    )


def _horizontal(axes: Mesh) -> dict[str, np.ndarray]:
    """Positions, scale factors and Coriolis parameter, dims ``(y, x)``."""
    metres = EARTH_RADIUS * RAD
    shape = (axes.latitude.size, axes.longitude.size)
    north = axes.latitude[0] - axes.row_height[0] / 2 + np.cumsum(axes.row_height)
    gaps = np.append(np.diff(axes.latitude), axes.row_height[-1])
    east = axes.longitude + axes.resolution / 2
    rows = {
        "gphit": axes.latitude, "gphiu": axes.latitude, "gphiv": north, "gphif": north,
        "e1t": axes.resolution * metres * np.cos(axes.latitude * RAD),
        "e1u": axes.resolution * metres * np.cos(axes.latitude * RAD),
        "e1v": axes.resolution * metres * np.cos(north * RAD),
        "e1f": axes.resolution * metres * np.cos(north * RAD),
        "e2t": axes.row_height * metres, "e2u": axes.row_height * metres,
        "e2v": gaps * metres, "e2f": gaps * metres,
        "ff_t": 2 * EARTH_ROTATION * np.sin(axes.latitude * RAD),
        "ff_f": 2 * EARTH_ROTATION * np.sin(north * RAD),
    }  # fmt: skip
    columns = {"glamt": axes.longitude, "glamv": axes.longitude, "glamu": east, "glamf": east}
    return {
        **{name: np.broadcast_to(values[:, None], shape).copy() for name, values in rows.items()},
        **{name: np.broadcast_to(values[None, :], shape).copy() for name, values in columns.items()},
        "bathymetry": np.concatenate([[0.0], np.cumsum(axes.thickness)])[wet_levels(axes)],
    }
