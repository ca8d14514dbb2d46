"""The series of a run: one row of numbers a record, whatever engine made it. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from warmstart.engines import dino
from warmstart.ocean.grid import Grid
from warmstart.physics import transport

DEEP = 2000.0  #: depth below which the ocean counts as deep [m]
SVERDRUP = 1e6  #: [m3 s-1]

#: Units and meaning of the series; every value is instantaneous.
SERIES: dict[str, tuple[str, str]] = {
    "thetao_mean": ("degC", "volume-mean potential temperature"),
    "so_mean": ("1e-3", "volume-mean salinity"),
    "thetao_deep": ("degC", "mean potential temperature below 2000 m"),
    "so_deep": ("1e-3", "mean salinity below 2000 m"),
    "channel_transport": ("Sv", "transport round the channel, through its narrowest section"),
    "throughflow": ("Sv", "transport round the channel, mean over all its sections"),
    "overturning_north": ("Sv", "maximum of the residual overturning, 10N-65N below 500 m"),
    "overturning_abyssal": ("Sv", "minimum of the residual overturning, north of 60S below 1500 m"),
    "kinetic_energy": ("m2 s-2", "volume-mean kinetic energy"),
    "surface_temperature": ("degC", "mean temperature of the uppermost level"),
    "vertical_velocity_rms": ("m s-1", "root-mean-square vertical velocity"),
    "vertical_velocity_max": ("m s-1", "largest vertical speed"),
    "speed_max": ("m s-1", "largest horizontal velocity component"),
}

#: Of the years of series and states.
YEARS = {"units": "1", "long_name": "model years of 360 days since the start of the run"}

#: How a row of the series came about: type, units, meaning.
CIRCUMSTANCES: dict[str, tuple[str, str, str]] = {
    "stretch": ("int32", "1", "extrapolations of the deep ocean before"),
    "dt_tracer": ("float64", "s", "time step of tracers on the way there"),
}

#: Profiles of the series; horizontal means of each level, surface first.
PROFILES: dict[str, tuple[str, str, str]] = {
    "thetao_profile": ("temp", "degC", "horizontal-mean potential temperature"),
    "so_profile": ("salt", "1e-3", "horizontal-mean salinity"),
}


def series_row(fields: Mapping[str, np.ndarray], grid: Grid) -> dict[str, float]:
    """Reduce a state to the numbers of the series.

    Parameters
    ----------
    fields : from :func:`newest`.
    grid : the mesh.

    Returns
    -------
    One number for each name of :data:`SERIES`, in its units.
    """
    volume = grid.volume.values
    deep = volume * (grid.gdept_0.values > DEEP)

    def mean(values: np.ndarray, weight: np.ndarray) -> float:
        total = float(weight.sum())
        return float((values * weight).sum() / total) if total else float("nan")

    u, v, w = fields["u"], fields["v"], fields["w"]
    flow = xr.Dataset({"uo": (("z", "y", "x"), u)})
    residual = _residual_overturning(v, fields["B1_gm"], grid)
    north_row = grid.gphiv.values[:, 0]
    face = grid.gdepw_0.values[:, 0, 0]
    north = ((north_row > 10) & (north_row < 65))[None, :] & (face > 500.0)[:, None]
    abyssal = (north_row > -60)[None, :] & (face > 1500.0)[:, None]
    return {
        "thetao_mean": mean(fields["temp"], volume),
        "so_mean": mean(fields["salt"], volume),
        "thetao_deep": mean(fields["temp"], deep),
        "so_deep": mean(fields["salt"], deep),
        "channel_transport": float(transport.channel_transport(flow, grid)),
        "throughflow": float(transport.throughflow(flow, grid)),
        "overturning_north": float(np.max(residual, where=north, initial=-np.inf)),
        "overturning_abyssal": float(np.min(residual, where=abyssal, initial=np.inf)),
        "kinetic_energy": mean(0.5 * (u**2 + v**2), volume),
        "surface_temperature": mean(fields["temp"][0], volume[0]),
        "vertical_velocity_rms": float(np.sqrt(mean(w**2, volume))),
        "vertical_velocity_max": float(np.abs(w).max()),
        "speed_max": float(max(np.abs(u).max(), np.abs(v).max())),
    }


def profiles(fields: Mapping[str, np.ndarray], grid: Grid) -> dict[str, list[float]]:
    """Average temperature and salinity over each level.

    Parameters
    ----------
    fields : from :func:`newest`.
    grid : the mesh.

    Returns
    -------
    The names of :data:`PROFILES`, a value a level.
    """
    volume = grid.volume.values
    water = np.maximum(volume.sum(axis=(1, 2)), 1e-300)
    return {
        name: ((fields[veros] * volume).sum(axis=(1, 2)) / water).tolist()
        for name, (veros, _, _) in PROFILES.items()
    }


def _residual_overturning(v: np.ndarray, eddy: np.ndarray, grid: Grid) -> np.ndarray:
    """Overturning by the mean flow `v` [m s-1] and the eddy streamfunction at the top faces, ``B1_gm`` of Veros [m2 s-1], dims ``(z, y)`` [Sv].

    Positive where water sinks in the north.
    """
    width = grid.e1v.values * grid.vmask.values
    northward = (v * width * grid.e3v_0.values).sum(axis=2)
    below = np.cumsum(northward[::-1], axis=0)[::-1]
    return -(below + (eddy * width).sum(axis=2)) / SVERDRUP


def series_dataset(rows: list[dict[str, Any]]) -> xr.Dataset:
    """Stack series rows along time.

    Parameters
    ----------
    rows : each from :func:`series_row`, with ``day`` and, where known, the :func:`profiles`, ``stretch`` and ``dt_tracer`` [s].

    Returns
    -------
    Dataset with dim ``time`` and coordinate ``year``; profiles have dims ``(time, z)``.
    """
    years = np.array([row["day"] for row in rows]) / dino.YEAR_DAYS
    variables: dict[str, Any] = {}
    for name, (units, meaning) in SERIES.items():
        values = np.array([row.get(name, np.nan) for row in rows])  # rows of an earlier version may lack one
        variables[name] = ("time", values, {"units": units, "long_name": f"{meaning} (instantaneous)"})
    whole = [n for n in (*CIRCUMSTANCES, *PROFILES) if rows and all(n in row for row in rows)]
    for name in whole:
        kind, units, meaning = (CIRCUMSTANCES | PROFILES)[name]
        held = [row[name] for row in rows]
        if name in CIRCUMSTANCES:
            variables[name] = ("time", np.array(held, kind), {"units": units, "long_name": meaning})
        else:
            attrs = {"units": units, "long_name": f"{meaning} (instantaneous)"}
            variables[name] = (("time", "z"), np.array(held), attrs)
    return xr.Dataset(variables, coords={"year": ("time", years, YEARS)})
