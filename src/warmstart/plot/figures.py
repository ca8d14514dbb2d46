"""Figures of ocean states: functions that take xarray objects and draw on Matplotlib axes.

Latitude runs from 60°S to 60°N, depth points down with the upper 1000 m stretched, land is grey, colours come from
cmocean through the variables table, and what is signed has a colour map symmetric about 0. Every function that draws
takes an ``ax``, or makes a figure of its own, and returns the axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import FuncFormatter, MaxNLocator

from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.plot.style import (  # fmt: skip
    INK,
    LAND,
    RULE,
    canvas,
    colour_bar,
    colouring,
    degrees,
    depth_axis,
    label,
    latitude_axis,
    levels,
    pretty_units,
    style,
)

#: Draws a field on given axes in given colour classes: ``(field, grid, ax, bounds, cmap) -> ax``.
Draw = Callable[..., Axes]


def zonal_mean(da: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Average a field at T points along x over the sea, cells weighted by volume.

    Parameters
    ----------
    da, grid : ``(..., z, y, x)``, and its mesh.

    Returns
    -------
    ``(..., z, y)``, NaN where all is land.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> zonal_mean(state.thetao, grid).dims
    ('z', 'y')
    """
    return _mean(da, grid, ("x",))


def horizontal_mean(da: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Average a field at T points or faces of T cells over each level of the sea, cells weighted by volume.

    Parameters
    ----------
    da : ``(..., z, y, x)``; NaN is left out.
    grid : its mesh.

    Returns
    -------
    ``(..., z)``.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> horizontal_mean(state.thetao, grid).dims
    ('z',)
    """
    return _mean(da, grid, ("y", "x"))


def _mean(da: xr.DataArray, grid: Grid, dims: tuple[str, ...]) -> xr.DataArray:
    weight = grid.volume.where(da.notnull(), 0.0)
    total = weight.sum(dims)
    mean = (da.fillna(0.0) * weight).sum(dims) / total.where(total > 0)
    return mean.rename(da.name).assign_attrs(da.attrs)


def section(
    da: xr.DataArray,
    grid: Grid,
    ax: Axes | None = None,
    bounds: np.ndarray | None = None,
    cmap: str | None = None,
) -> Axes:
    """Draw a field at T points against latitude and depth.

    Parameters
    ----------
    da, grid : ``(z, y)``, or ``(z, y, x)``, which is averaged along x, and its mesh.
    ax : where to draw; None makes a figure with a colour bar.
    bounds : of the colour classes; None chooses them.
    cmap : cmocean colour map; None takes the one of the variables table.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> section(state.thetao, grid).get_ylabel()
    'depth [m]'
    """
    field = zonal_mean(da, grid) if "x" in da.dims else da
    if ax is None:
        return _alone(section, field, grid, bounds, cmap)
    bounds = levels([field]) if bounds is None else bounds
    field = field.transpose("z", "y")
    lat, depth = _lat_edges(grid), _depth_edges(grid)
    look = colouring(cmap or _cmap(da), bounds)
    ax.set_facecolor(LAND)
    ax.pcolormesh(lat, depth, np.ma.masked_invalid(field.values), rasterized=True, **look)
    with np.errstate(invalid="ignore"):
        centres = grid.gphit.mean("x").values, grid.gdept_1d.values
        ax.contour(*centres, field.values, bounds[::2], colors=INK, linewidths=0.35, alpha=0.6)
    return _section_axes(ax, lat, float(depth[-1]))


def overturning(
    psi: xr.DataArray,
    grid: Grid,
    ax: Axes | None = None,
    bounds: np.ndarray | None = None,
    cmap: str | None = None,
) -> Axes:
    """Draw a meridional overturning streamfunction against latitude and depth.

    Parameters
    ----------
    psi : ``(z, y)`` at the top face of each cell of the V rows [Sv], from :func:`warmstart.physics.transport.overturning`.
    grid, ax, bounds, cmap : as in :func:`section`.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> overturning(ws.physics.transport.overturning(state, grid), grid).get_xlabel()
    'latitude'
    """
    if ax is None:
        return _alone(overturning, psi, grid, bounds, cmap)
    bounds = levels([psi], symmetric=True) if bounds is None else bounds
    lat, depth = _lat_edges(grid), _depth_edges(grid)
    # 0 on the bottom and on the southern wall, where the function is not stored
    values = np.pad(psi.transpose("z", "y").values, ((0, 1), (1, 0)))
    _filled(ax, lat, depth, values, bounds, cmap or "balance")
    wet = (grid.tmask > 0).any("x").transpose("z", "y").values
    _land(ax, lat, depth, wet)
    return _section_axes(ax, lat, float(depth[-1]))


def map_xy(
    da: xr.DataArray,
    grid: Grid,
    ax: Axes | None = None,
    bounds: np.ndarray | None = None,
    cmap: str | None = None,
) -> Axes:
    """Draw a field at T points against longitude and latitude.

    Parameters
    ----------
    da : ``(y, x)``, or ``(z, y, x)``, of which the uppermost level is taken.
    grid, ax, bounds, cmap : as in :func:`section`.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> map_xy(state.zos, grid).get_ylabel()
    'latitude'
    """
    field = da.isel(z=0) if "z" in da.dims else da
    if ax is None:
        return _alone(map_xy, field, grid, bounds, cmap)
    bounds = levels([field]) if bounds is None else bounds
    wet = (grid.tmask.isel(z=0) > 0).values
    values = np.ma.masked_where(~wet, np.ma.masked_invalid(field.transpose("y", "x").values))
    lon, lat = _corners(grid)
    ax.set_facecolor(LAND)
    ax.pcolormesh(lon, lat, values, rasterized=True, **colouring(cmap or _cmap(da), bounds))
    return _map_axes(ax, lon, lat)


def streamfunction_map(
    psi: xr.DataArray,
    grid: Grid,
    ax: Axes | None = None,
    bounds: np.ndarray | None = None,
    cmap: str | None = None,
) -> Axes:
    """Draw a barotropic streamfunction against longitude and latitude.

    Parameters
    ----------
    psi : ``(y, x)`` at F points [Sv], from :func:`warmstart.physics.transport.barotropic_streamfunction`.
    grid, ax, bounds, cmap : as in :func:`section`.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> streamfunction_map(ws.physics.transport.barotropic_streamfunction(state, grid), grid).get_ylabel()
    'latitude'
    """
    if ax is None:
        return _alone(streamfunction_map, psi, grid, bounds, cmap)
    bounds = levels([psi], symmetric=True) if bounds is None else bounds
    lon, lat = _corners(grid)
    values = np.pad(psi.transpose("y", "x").values, ((1, 0), (0, 0)), mode="edge")
    values = np.concatenate([values[:, -1:], values], axis=1)  # the western edge is the eastern one
    _filled(ax, lon, lat, values, bounds, cmap or "balance")
    _land(ax, lon, lat, (grid.tmask.isel(z=0) > 0).values)
    return _map_axes(ax, lon, lat)


def profile(da: xr.DataArray, grid: Grid, ax: Axes | None = None, at: str = "T", **line: Any) -> Axes:
    """Draw horizontal means against depth, one line a state.

    Parameters
    ----------
    da, grid : ``(..., z)``, or ``(..., z, y, x)``, which is averaged over each level, and its mesh.
    ax : where to draw; None makes a figure.
    at : ``"T"`` for centres of cells, ``"W"`` for their top faces.
    line : passed to :meth:`matplotlib.axes.Axes.plot`.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> profile(state.thetao, grid).get_xlabel()
    'potential temperature [°C]'
    """
    if ax is None:
        with style():
            return profile(da, grid, canvas(1, 1, 3.2, 4.0)[1][0], at, **line)
    means = horizontal_mean(da, grid) if "x" in da.dims else da
    rows = means.values.reshape(-1, means.sizes["z"])
    depth = {"T": grid.gdept_1d, "W": grid.gdepw_1d}[at].values
    for i, row in enumerate(rows):
        ax.plot(row, depth, **{**line, "label": line.get("label") if i == 0 else None})
    ax.set_xlabel(label(da))
    ax.grid(color=RULE, lw=0.4)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    depth_axis(ax, float(_depth_edges(grid)[-1]))
    return ax


def series(da: xr.DataArray, time: xr.DataArray, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw a time series, missing values left out.

    Parameters
    ----------
    da : ``(time,)``.
    time : of the same size, with units in its attributes.
    ax : where to draw; None makes a figure.
    line : passed to :meth:`matplotlib.axes.Axes.plot`.

    Examples
    --------
    >>> year = xr.DataArray([0.0, 1.0], dims="time", attrs={"units": "1", "long_name": "model years"})
    >>> series(year.assign_attrs(units="Sv", long_name="transport"), year).get_ylabel()
    'transport [Sv]'
    """
    if ax is None:
        with style():
            return series(da, time, canvas(1, 1, 5.0, 2.5)[1][0], **line)
    known = np.isfinite(np.asarray(da.values, float))
    ax.plot(time.values[known], da.values[known], **line)
    ax.set_ylabel(label(da))
    ax.set_xlabel(label(time))
    ax.grid(color=RULE, lw=0.4)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    return ax


def _alone(draw: Draw, field: xr.DataArray, grid: Grid, bounds: np.ndarray | None, cmap: str | None) -> Axes:
    """The field in a figure of its own with a colour bar."""
    signed = draw in (overturning, streamfunction_map)
    bounds = levels([field], symmetric=signed) if bounds is None else bounds
    cmap = cmap or ("balance" if signed else _cmap(field))
    with style():
        _, (ax,) = canvas(1, 1, *((5.0, 3.0) if draw in (section, overturning) else (3.2, 5.0)))
        draw(field, grid, ax, bounds, cmap)
        ax.set_title(label(field), wrap=True)
        colour_bar([ax], bounds, cmap, pretty_units(field.attrs.get("units", "")))
    return ax


def _cmap(da: xr.DataArray) -> str:
    table = VARIABLES.get(str(da.name))
    return table.cmap if table else "balance"


def _filled(
    ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, bounds: np.ndarray, cmap: str
) -> None:
    """Filled contours with thin lines, negative ones dashed."""
    filled = ax.contourf(x, y, values, bounds, extend="both", **colouring(cmap, bounds))
    filled.set_rasterized(True)
    lines = bounds[np.abs(bounds) > 0]
    styles = ["--" if b < 0 else "-" for b in lines]
    ax.contour(x, y, values, lines, colors=INK, linewidths=0.35, alpha=0.6, linestyles=styles)


def _land(ax: Axes, x: np.ndarray, y: np.ndarray, wet: np.ndarray) -> None:
    land = np.ma.masked_where(wet, np.zeros(wet.shape))
    ax.pcolormesh(x, y, land, cmap=ListedColormap([LAND]), rasterized=True, zorder=2)


def _lat_edges(grid: Grid) -> np.ndarray:
    """Latitudes of the walls between rows, ``(y + 1,)``."""
    north = grid.gphiv.mean("x").values
    return np.concatenate([[2 * float(grid.gphit.isel(y=0).mean()) - north[0]], north])


def _depth_edges(grid: Grid) -> np.ndarray:
    """Depths of the faces between levels, ``(z + 1,)``."""
    top = grid.gdepw_1d.values
    return np.append(top, top[-1] + float(grid.e3t_1d.values[-1]))


def _corners(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of the corners of the T cells, ``(y + 1, x + 1)``."""
    corners = []
    for name in ("glamf", "gphif"):
        values = grid.ds[name].transpose("y", "x").values
        values = np.concatenate([2 * values[:1] - values[1:2], values])
        corners.append(np.concatenate([2 * values[:, :1] - values[:, 1:2], values], axis=1))
    return corners[0], corners[1]


def _section_axes(ax: Axes, lat: np.ndarray, bottom: float) -> Axes:
    ax.set_xlim(lat[0], lat[-1])
    latitude_axis(ax.xaxis, lat)
    ax.set_xlabel("latitude")
    depth_axis(ax, bottom)
    return ax


def _map_axes(ax: Axes, lon: np.ndarray, lat: np.ndarray) -> Axes:
    ax.set_xlim(lon.min(), lon.max())
    ax.set_ylim(lat.min(), lat.max())
    latitude_axis(ax.yaxis, lat)
    step = 20.0 if np.ptp(lon) < 120 else 60.0
    ax.set_xticks(np.arange(np.ceil(lon.min() / step), np.floor(lon.max() / step) + 1) * step)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: degrees(v, "EW")))
    ax.set_xlabel("longitude")
    ax.set_ylabel("latitude")
    ax.set_aspect("equal" if np.ptp(lon) > np.ptp(lat) else 0.85)
    return ax
