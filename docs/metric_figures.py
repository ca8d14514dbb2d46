"""Figures of the page of metrics, family by family, from the arrays that the numbers come from.

As in :mod:`warmstart.plot.figures`: every function takes an ``ax``, or makes a figure of its own, and returns the axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from warmstart.errors import UserError
from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.physics import balance, budgets, column, geostrophy
from warmstart.physics.cgrid import labelled, take
from warmstart.plot.figures import profile
from warmstart.plot.style import (
    COLOURS,
    INK,
    MUTED,
    RULE,
    canvas,
    colour_bar,
    colouring,
    label,
    latitude_axis,
    levels,
    pretty_units,
    style,
)

#: Edges of the classes of the census.
THETAO_EDGES = np.arange(-2.0, 32.01, 0.5)  #: [degC]
SO_EDGES = np.arange(33.0, 39.01, 0.05)  #: [1e-3]
#: The metric of :data:`warmstart.scores.metrics.METRICS` that corrects a published one of the same kind and unit.
CORRECTED = {
    "nemo_spinup_evaluation_temperature_500m_30NS": "temperature_500m_30NS",
    "nemo_spinup_evaluation_temperature_BWbox": "temperature_bottom_water",
    "nemo_spinup_evaluation_temperature_DWbox": "temperature_deep_water",
    "nemo_spinup_evaluation_ACC_Drake": "throughflow",
    "nemo_spinup_evaluation_ACC_Drake_2": "throughflow_free_surface",
    "nemo_spinup_evaluation_NASTG_BSF_max": "gyre_north",
    "dino_fusion_BWbox_thetao": "temperature_bottom_water",
    "dino_fusion_BWbox_thetao_by_index": "temperature_bottom_water",
    "dino_fusion_DWbox_thetao": "temperature_deep_water",
    "dino_fusion_DWbox_thetao_by_index": "temperature_deep_water",
}


def own(draw: Callable[..., Axes], size: tuple[float, float], *arguments: Any, **options: Any) -> Axes:
    """Draw in a figure of its own.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> own(energy_by_level, (3.0, 4.0), *basin(nx=6, ny=8, nz=4)).get_xscale()
    'log'
    """
    with style():
        return draw(*arguments, ax=canvas(1, 1, *size)[1][0], **options)


def spectrum(power: xr.DataArray, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw power spectra on logarithmic axes, one line a state, with wavelengths on top.

    Parameters
    ----------
    power : ``(..., wavenumber)`` from :func:`warmstart.physics.spectra.power_spectrum`.
    ax : where to draw; None makes a figure.
    line : passed to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.physics import spectra
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> spectrum(spectra.power_spectrum(state.zos, grid, "meridional")).get_yscale()
    'log'
    """
    if ax is None:
        return own(spectrum, (4.0, 3.2), power, **line)
    kilometres = power.wavenumber.attrs.get("units") == "m-1"
    k = power.wavenumber.values * (1e3 if kilometres else 1.0)
    for i, row in enumerate(power.transpose(..., "wavenumber").values.reshape(-1, k.size)):
        ax.loglog(
            k, row, **{"color": COLOURS["generated"], **line, "label": line.get("label") if i == 0 else None}
        )
    ax.set_xlabel(f"wavenumber [cycles {'km⁻¹' if kilometres else 'per cell'}]")
    ax.set_ylabel(f"power [{pretty_units(power.attrs.get('units', ''))}]")
    ax.grid(color=RULE, lw=0.4, which="major")
    if kilometres and not ax.child_axes:
        top = ax.secondary_xaxis("top", functions=(_inverse, _inverse))
        top.set_xlabel("wavelength [km]")
    return ax


def _inverse(x: Any) -> Any:
    with np.errstate(divide="ignore"):
        return 1.0 / np.asarray(x, float)


def water_masses(volumes: xr.DataArray, ax: Axes | None = None, reference: float = 2000.0) -> Axes:
    """Draw a volumetric census against salinity and temperature, with lines of equal potential density.

    Parameters
    ----------
    volumes : ``(thetao_class, so_class)`` [m3] from :func:`census`.
    ax : where to draw; None makes a figure.
    reference : reference depth of the density lines [m].

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> water_masses(census(state, grid)).get_xlabel()
    'salinity [g kg⁻¹]'
    """
    if ax is None:
        return own(water_masses, (4.2, 3.4), volumes, reference=reference)
    volume = volumes.transpose("thetao_class", "so_class")
    shown = np.ma.masked_less_equal(volume.values, 0.0)
    t, s = volume.thetao_class.values, volume.so_class.values
    mesh = ax.pcolormesh(
        s, t, shown, norm=LogNorm(), cmap=colouring("matter", np.arange(3.0))["cmap"], rasterized=True
    )
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if rows.size:
        t, s = (edge[max(used[0] - 1, 0) : used[-1] + 2] for edge, used in ((t, rows), (s, columns)))
        ax.set_ylim(t[0], t[-1])
        ax.set_xlim(s[0], s[-1])
        bar = ax.figure.colorbar(mesh, ax=ax, aspect=24, pad=0.02)
        bar.ax.set_title("m³", fontsize=7.5, loc="left", color=MUTED)
    density = eos.density_anomaly(t[:, None], s[None], reference) + eos.RHO0 - 1000.0
    lines = ax.contour(s, t, density, 8, colors=MUTED, linewidths=0.4)
    ax.clabel(lines, fontsize=6, fmt="%.1f")
    ax.set_xlabel("salinity [g kg⁻¹]")
    ax.set_ylabel("potential temperature [°C]")
    return ax


def overturning_in_density(psi: xr.DataArray, grid: Grid, ax: Axes | None = None) -> Axes:
    """Draw an overturning streamfunction against latitude and density, dense water at the bottom.

    Parameters
    ----------
    psi : ``(sigma, y)`` [Sv] from :func:`warmstart.physics.overturning.overturning_density`.
    grid : its mesh.
    ax : where to draw; None makes a figure.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.physics import overturning
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> overturning_in_density(overturning.overturning_density(state, grid), grid).get_ylabel()
    'sigma at 2000 m [kg m⁻³]'
    """
    if ax is None:
        return own(overturning_in_density, (5.0, 3.0), psi, grid)
    bounds = levels([psi], symmetric=True)
    bounds = bounds[bounds != 0]  # rounding on either side of 0 has one colour
    lat, values = grid.gphiv.mean("x").values, psi.transpose("sigma", "y").values
    ax.contourf(lat, psi.sigma.values, values, bounds, extend="both", **colouring("balance", bounds))
    ax.contour(lat, psi.sigma.values, values, bounds, colors=INK, linewidths=0.35, alpha=0.6)
    active = np.flatnonzero((np.abs(np.nan_to_num(values)) > 0.03 * max(bounds[-1], 1e-30)).any(1))
    if active.size:
        ax.set_ylim(psi.sigma.values[min(active[-1] + 1, psi.sigma.size - 1)], psi.sigma.values[active[0]])
    latitude_axis(ax.xaxis, lat)
    ax.set_xlabel("latitude")
    ax.set_ylabel(label(psi.sigma))
    colour_bar([ax], bounds, "balance", "Sv")
    return ax


def inversions(
    state: xr.Dataset, grid: Grid, ax: Axes | None = None, thresholds: Any = None, **line: Any
) -> Axes:
    """Draw the share of inverted pairs as a function of the threshold.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    ax : where to draw; None makes a figure.
    thresholds : increasing and positive [kg m-3]; None takes 1e-6 to 1.
    line : passed to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> inversions(state, grid).get_xscale()
    'log'
    """
    if ax is None:
        return own(inversions, (4.0, 3.0), state, grid, thresholds=thresholds, **line)
    steps = np.logspace(-6, 0, 25).tolist() if thresholds is None else thresholds
    curve = xr.concat([column.inversions(state, grid, threshold=t) for t in steps], "threshold")
    for i, row in enumerate(curve.transpose(..., "threshold").values.reshape(-1, len(steps))):
        colour = {"color": COLOURS["generated"], **line, "label": line.get("label") if i == 0 else None}
        ax.semilogx(steps, 100 * row, **colour)
    ax.set_xlabel("denser above by more than [kg m⁻³]")
    ax.set_ylabel("wet pairs [%]")
    ax.set_ylim(bottom=0.0)
    ax.grid(color=RULE, lw=0.4)
    return ax


def transport_by_latitude(flux: xr.DataArray, grid: Grid, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw a northward transport of heat [PW] or salt [Gg s-1] against latitude.

    Parameters
    ----------
    flux : ``(..., y)`` from :func:`warmstart.physics.transport.heat_transport` or ``salt_transport``.
    grid : its mesh.
    ax : where to draw; None makes a figure.
    line : passed to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.physics import transport
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> transport_by_latitude(transport.heat_transport(state, grid), grid).get_ylabel()
    'northward heat transport [PW]'
    """
    if ax is None:
        return own(transport_by_latitude, (4.5, 2.8), flux, grid, **line)
    what, unit, size = {"W": ("heat", "PW", 1e15), "kg s-1": ("salt", "Gg s⁻¹", 1e6)}[flux.attrs["units"]]
    lat = grid.gphiv.mean("x").values
    for i, row in enumerate(flux.transpose(..., "y").values.reshape(-1, lat.size)):
        colour = {"color": COLOURS["generated"], **line, "label": line.get("label") if i == 0 else None}
        ax.plot(lat, row / size, **colour)
    ax.axhline(0.0, color=MUTED, lw=0.5)
    latitude_axis(ax.xaxis, lat)
    ax.set_xlabel("latitude")
    ax.set_ylabel(f"northward {what} transport [{unit}]")
    ax.grid(color=RULE, lw=0.4)
    return ax


def energy_by_level(state: xr.Dataset, grid: Grid, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw the kinetic energy of each level against depth.

    Parameters
    ----------
    state : ``uo`` and ``vo``, ``(..., z, y, x)`` [m s-1].
    grid : its mesh.
    ax : where to draw; None makes a figure.
    line : passed to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> energy_by_level(state, grid).get_ylabel()
    'depth [m]'
    """
    if ax is None:
        return own(energy_by_level, (3.2, 4.0), state, grid, **line)
    parts = [
        balance.kinetic_energy(state.isel(z=[k]), Grid(grid.ds.isel(z=[k]))) for k in range(grid.shape[0])
    ]
    energy = labelled(xr.concat(parts, "z").transpose(..., "z"), "energy", "m2 s-2", "kinetic energy")
    profile(energy, grid, ax, **{"color": COLOURS["generated"], **line})
    ax.set_xscale("log")
    return ax


def balance_scatter(state: xr.Dataset, grid: Grid, ax: Axes | None = None, points: int = 4000) -> Axes:
    """Draw the zonal flow below the Ekman layer against the one in geostrophic balance.

    Parameters
    ----------
    state : ``thetao`` [degC], ``so`` [1e-3], ``uo`` [m s-1], ``(z, y, x)``, and ``zos(y, x)`` [m].
    grid : its mesh.
    ax : where to draw; None makes a figure.
    points : at most so many, evenly taken.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> balance_scatter(state, grid).get_xlabel()
    'geostrophic zonal velocity [m s⁻¹]'
    """
    if ax is None:
        return own(balance_scatter, (3.4, 3.4), state, grid, points=points)
    below = (grid.gdept_0 > geostrophy.EKMAN).transpose("z", "y", "x")
    expected = geostrophy.geostrophic_flow(state, grid).uo.where(below)
    x, y = expected.values.ravel(), state.uo.transpose("z", "y", "x").values.ravel()
    both = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    both = both[:: max(both.size // points, 1)]
    ax.plot(x[both], y[both], ".", ms=1.5, color=COLOURS["generated"], alpha=0.5, rasterized=True)
    limit = float(np.percentile(np.abs(np.concatenate([x[both], y[both]])), 99.9)) if both.size else 1.0
    ax.plot([-limit, limit], [-limit, limit], color=INK, lw=0.6)
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-limit, limit)
    ax.set_xlabel("geostrophic zonal velocity [m s⁻¹]")
    ax.set_ylabel("zonal velocity [m s⁻¹]")
    ax.set_aspect("equal")
    return ax


def heat_by_depth(state: xr.Dataset, grid: Grid, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw the heat content of each level, per metre of depth.

    Parameters
    ----------
    state : ``thetao(..., z, y, x)`` [degC].
    grid : its mesh.
    ax : where to draw; None makes a figure.
    line : passed to :meth:`matplotlib.axes.Axes.plot`.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=12, ny=24, nz=4)
    >>> heat_by_depth(state, grid).get_xlabel()
    'heat content [ZJ m⁻¹]'
    """
    if ax is None:
        return own(heat_by_depth, (3.2, 4.0), state, grid, **line)
    parts = [
        budgets.heat_content(state.isel(z=[k]), Grid(grid.ds.isel(z=[k]))) / grid.e3t_1d.isel(z=k)
        for k in range(grid.shape[0])
    ]
    content = xr.concat(parts, "z", coords="minimal", compat="override").transpose(..., "z")
    content = 1e-21 * content.where(grid.mask("T").any(("y", "x")))
    content.attrs = {"units": "ZJ m-1", "long_name": "heat content"}
    return profile(content, grid, ax, **{"color": COLOURS["generated"], **line})


def census(
    state: xr.Dataset, grid: Grid, thetao_edges: Any = THETAO_EDGES, so_edges: Any = SO_EDGES
) -> xr.DataArray:
    """Volume of the water in classes of temperature and salinity.

    Parameters
    ----------
    state : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``.
    grid : its mesh.
    thetao_edges, so_edges : increasing edges of the classes [degC, 1e-3]; water beyond the outermost is counted in the
        nearest class, so that the sum is the volume of the sea.

    Returns
    -------
    ``(..., thetao_class, so_class)`` [m3], coordinates at the middle of each class; NaN for a state with a hole.

    Raises
    ------
    UserError
        If edges do not increase.

    Notes
    -----
    Volumetric T-S census of Montgomery (1958, doi:10.1016/0146-6313(58)90004-2).

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> bool(np.isclose(census(state, grid).sum(), grid.volume.sum()))
    True
    """
    edges = [np.asarray(thetao_edges, float), np.asarray(so_edges, float)]
    for e in edges:
        if e.size < 2 or not (np.diff(e) > 0).all():
            raise UserError("edges of a census must increase; expected at least two")
    volume = grid.volume
    fields = [take(state, grid, name).where(volume > 0, 0.0) for name in ("thetao", "so")]
    if any(f.chunks is not None for f in fields):
        fields = [f.chunk({"z": -1, "y": -1, "x": -1}) for f in fields]
    sizes = {"thetao_class": edges[0].size - 1, "so_class": edges[1].size - 1}
    result = xr.apply_ufunc(
        _histogram, *fields, volume, kwargs={"edges": edges}, input_core_dims=[["z", "y", "x"]] * 3,
        output_core_dims=[list(sizes)], vectorize=True, dask="parallelized", output_dtypes=["float64"],
        dask_gufunc_kwargs={"output_sizes": sizes},
    )  # fmt: skip
    middles = {
        name: xr.DataArray(0.5 * (e[1:] + e[:-1]), dims=name, attrs={"units": units})
        for (name, e), units in zip(zip(sizes, edges, strict=True), ("degC", "1e-3"), strict=True)
    }
    return labelled(result.assign_coords(middles), "census", "m3", "volume of water in T-S classes")


def _histogram(thetao: np.ndarray, so: np.ndarray, volume: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    wet = volume > 0
    shape = tuple(e.size - 1 for e in edges)
    if np.isnan(thetao[wet]).any() or np.isnan(so[wet]).any():
        return np.full(shape, np.nan)
    index = [
        np.clip(np.searchsorted(e, f[wet], side="right") - 1, 0, e.size - 2)
        for e, f in zip(edges, (thetao, so), strict=True)
    ]
    return np.bincount(index[0] * shape[1] + index[1], volume[wet], shape[0] * shape[1]).reshape(shape)


def deviations(values: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """Draw by how much published metrics deviate from the corrected ones.

    Parameters
    ----------
    values : numbers of one state by the names of the metrics, published and corrected; those without a partner are left
        out.
    ax : where to draw; None makes a figure.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> both = {"nemo_spinup_evaluation_ACC_Drake": 61.0, "throughflow": 60.0}
    >>> deviations(both).get_xlabel()
    'published minus corrected [% of the corrected]'
    """
    if ax is None:
        return own(deviations, (5.6, 3.2), values)
    pairs = [(n, c) for n, c in CORRECTED.items() if values.get(c) and n in values]
    percent = [100.0 * (values[n] - values[c]) / abs(values[c]) for n, c in pairs]
    rows = np.arange(len(pairs))
    ax.hlines(rows, 0.0, percent, color=RULE, lw=1.5)
    ax.plot(percent, rows, "o", color=COLOURS["generated"])
    for row, value in zip(rows, percent, strict=True):
        ax.annotate(
            f"{value:+.1f} %" if abs(value) >= 0.05 else "0",
            (value, row),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=6.5,
        )
    ax.axvline(0.0, color=MUTED, lw=0.6)
    ax.set_yticks(
        rows,
        [n.replace("nemo_spinup_evaluation_", "").replace("dino_fusion_", "DINO-Fusion ") for n, _ in pairs],
    )
    ax.set_ylim(len(pairs) - 0.4, -0.8)
    ax.margins(x=0.12)
    ax.set_xlabel("published minus corrected [% of the corrected]")
    return ax
