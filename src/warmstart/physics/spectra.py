"""Power spectra along rows and columns of a masked sector.

Land is never filled. Each row (zonal) or column (meridional) gives its longest run of wet points; runs shorter than
:data:`SHORTEST` points, or than half of the longest, are left out. From a run that land bounds, its linear trend is taken off and a Hann window is applied, scaled
so that it keeps the mean square; a row that is wet all round a re-entrant channel only loses its mean. Where the spacing
along a run varies, values are first interpolated linearly to even spacing. The lines of all runs are gathered in
wavenumber classes as wide as the widest spacing of lines, so that the sum over classes times their width is the variance
of what was transformed, averaged over runs with their lengths (Parseval).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.cgrid import Range, at_south, at_west, labelled, take, total, unknown

#: Fewest wet points of a run [cells].
SHORTEST = 6
#: Wavelength below which a model only has noise [cells].
NOISE = 4.0


class _Runs(NamedTuple):
    """Runs of one length: where they lie, their spacing, whether they close on themselves."""

    rows: np.ndarray
    columns: np.ndarray
    positions: np.ndarray
    closed: bool


def power_spectrum(
    field: xr.DataArray,
    grid: Grid,
    direction: str = "zonal",
    lat: Range = (-90.0, 90.0),
    depth: float = 0.0,
    per_cell: bool = False,
) -> xr.DataArray:
    """Power spectral density of a field at T points along rows or columns of the sea.

    Parameters
    ----------
    field : ``(..., [z,] y, x)``; with ``z`` the level nearest to `depth` is taken.
    grid : its mesh.
    direction : ``"zonal"`` or ``"meridional"``.
    lat : southern and northern bound of the cells, both included [degrees_north].
    depth : of the level [m].
    per_cell : whether wavenumbers are cycles per cell instead of per metre.

    Returns
    -------
    ``(..., wavenumber)`` [units of the field squared, m], one-sided, coordinate ``wavenumber`` [cycles m-1] at the middle
    of each class.

    Raises
    ------
    UserError
        If the sector has no run of at least :data:`SHORTEST` wet points.

    Notes
    -----
    Periodogram with a Hann window (Bendat and Piersol 2010, section 11.5); treatment of land as said in
    :mod:`warmstart.physics.spectra`.

    Examples
    --------
    >>> state, grid = ws.basin(nx=12, ny=16, nz=4)
    >>> power_spectrum(state.zos, grid, "meridional").dims
    ('wavenumber',)
    """
    level, wet, runs = _sector(grid, direction, lat, depth, per_cell)
    flat = (field.isel(z=level) if "z" in field.dims else field).astype("float64")
    if not runs:
        where = f"no {direction} run of {SHORTEST} wet points in this sector"
        raise UserError(f"{where}; take a wider one or a finer grid")
    width, count = _classes(runs)
    if flat.chunks is not None:
        flat = flat.chunk({"y": -1, "x": -1})
    density = xr.apply_ufunc(
        _transform, flat.fillna(0.0).where(flat.notnull() | ~wet), kwargs={"runs": runs, "width": width, "count": count},
        input_core_dims=[list(wet.dims)], output_core_dims=[["wavenumber"]], dask="parallelized",
        output_dtypes=["float64"], dask_gufunc_kwargs={"output_sizes": {"wavenumber": count}},
    )  # fmt: skip
    length = "cell" if per_cell else "m"
    attrs = {"units": f"{length}-1", "long_name": f"{direction} wavenumber"}
    density = density.assign_coords(wavenumber=("wavenumber", width * np.arange(1, count + 1), attrs))
    table = VARIABLES.get(str(field.name))
    units = field.attrs.get("units", table.units if table else "1")
    units = f"{units}2" if units.isalpha() else f"({units})2"
    what = field.attrs.get("long_name", table.long_name if table else "field")
    return labelled(density, "power", f"{units} {length}", f"{direction} power spectral density of {what}")


def _sector(
    grid: Grid, direction: str, lat: Range, depth: float, per_cell: bool
) -> tuple[int, xr.DataArray, list[_Runs]]:
    """The level nearest to a depth, its wet cells ``(lines, along)`` in the sector, and their runs."""
    axes = {"zonal": ("y", "x"), "meridional": ("x", "y")}
    if direction not in axes:
        raise UserError(f"no direction {direction}; expected zonal or meridional")
    level = int(np.abs(grid.gdept_1d.values - depth).argmin())
    inside = (grid.gphit >= lat[0]) & (grid.gphit <= lat[1])
    wet = (grid.mask("T").isel(z=level) & inside).transpose(*axes[direction])
    spacing = (grid.e1t if direction == "zonal" else grid.e2t).transpose(*wet.dims).values
    steps = np.ones_like(spacing) if per_cell else spacing
    return level, wet, _runs(wet.values, steps, direction == "zonal" and grid.periodic_x)


def _runs(wet: np.ndarray, spacing: np.ndarray, periodic: bool) -> list[_Runs]:
    """The longest run of each line of an array ``(lines, along)``, gathered by length."""
    size = wet.shape[1]
    found: dict[tuple[int, bool], list[tuple[int, int]]] = {}
    for line, mask in enumerate(wet):
        if periodic and mask.all():
            found.setdefault((size, True), []).append((line, 0))
            continue
        twice = np.concatenate([mask, mask]) if periodic else mask
        edges = np.flatnonzero(np.diff(np.concatenate([[0], twice.astype(np.int8), [0]])))
        lengths = edges[1::2] - edges[::2]
        if lengths.size and lengths.max() >= SHORTEST:
            best = int(lengths.argmax())
            found.setdefault((int(lengths[best]), False), []).append((line, int(edges[2 * best])))
    result = []
    longest = max((n for n, _ in found), default=0)
    for (n, closed), places in found.items():
        if 2 * n < longest:
            continue
        lines = np.array([line for line, _ in places])[:, None]
        along = (np.array([start for _, start in places])[:, None] + np.arange(n)) % size
        steps = spacing[lines, along]
        result.append(_Runs(lines, along, np.cumsum(steps, 1) - 0.5 * steps, closed))
    return result


def _lengths(runs: _Runs) -> np.ndarray:
    """Length of each run: points times their mean spacing."""
    n, first, last = runs.positions.shape[1], runs.positions[:, 0], runs.positions[:, -1]
    return np.asarray((last - first) / (n - 1) * n)


def _classes(groups: list[_Runs]) -> tuple[float, int]:
    """Width and number of the wavenumber classes."""
    width = max(float((1.0 / _lengths(runs)).max()) for runs in groups)
    top = max(float((runs.positions.shape[1] // 2 / _lengths(runs)).max()) for runs in groups)
    return width, max(round(top / width), 1)


def _transform(values: np.ndarray, runs: list[_Runs], width: float, count: int) -> np.ndarray:
    """Spectral density of ``(..., lines, along)`` in wavenumber classes, mean over runs weighted with their lengths."""
    power = np.zeros((*values.shape[:-2], count))
    whole = 0.0
    for group in runs:
        taken = values[..., group.rows, group.columns]
        lines = _periodogram(_even(taken, group.positions), group.closed)
        length = _lengths(group)
        wavenumber = np.arange(1, lines.shape[-1] + 1) / length[:, None]
        classes = np.clip(np.rint(wavenumber / width).astype(int), 1, count) - 1
        weight = np.broadcast_to(length[:, None], classes.shape)
        places = classes.ravel(), np.arange(classes.size)
        gather = scipy.sparse.csr_matrix((weight.ravel(), places), (count, classes.size))
        power += (gather @ lines.reshape(-1, classes.size).T).T.reshape(power.shape)
        whole += float(length.sum())
    return power / (whole * width)


def _even(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Values at evenly spaced positions between the same ends, linear between the given ones."""
    n = positions.shape[1]
    if np.allclose(np.diff(positions, axis=1), np.diff(positions[:, :2], axis=1), rtol=1e-6):
        return values
    even = np.linspace(positions[:, 0], positions[:, -1], n, axis=1)
    pairs = zip(positions, even, strict=True)
    left = np.stack([np.clip(np.searchsorted(p, e, "right") - 1, 0, n - 2) for p, e in pairs])
    line = np.arange(positions.shape[0])[:, None]
    start = positions[line, left]
    share = (even - start) / (positions[line, left + 1] - start)
    return np.asarray(values[..., line, left] * (1 - share) + values[..., line, left + 1] * share)


def _periodogram(values: np.ndarray, closed: bool) -> np.ndarray:
    """Variance of each line of the Fourier series of ``(..., n)``, from 1 to n // 2 cycles."""
    n = values.shape[-1]
    anomaly = values - values.mean(-1, keepdims=True)
    if not closed:
        t = np.arange(n) - 0.5 * (n - 1)
        anomaly = anomaly - (anomaly @ t)[..., None] / (t @ t) * t
        window = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
        anomaly = anomaly * (window / np.sqrt((window**2).mean()))
    lines = 2.0 * np.abs(np.fft.rfft(anomaly) / n)[..., 1:] ** 2
    if n % 2 == 0:
        lines[..., -1] *= 0.5
    return np.asarray(lines)


def kinetic_energy_spectrum(
    state: xr.Dataset,
    grid: Grid,
    direction: str = "zonal",
    lat: Range = (-90.0, 90.0),
    depth: float = 0.0,
    per_cell: bool = False,
) -> xr.DataArray:
    """Power spectral density of the kinetic energy of the horizontal flow.

    Parameters
    ----------
    state : ``uo`` at U points and ``vo`` at V points, ``(..., z, y, x)`` [m s-1].
    grid, direction, lat, depth, per_cell : as in :func:`power_spectrum`.

    Returns
    -------
    ``(..., wavenumber)`` [m2 s-2 m]: half the sum of the spectra of both components, averaged to T points.

    Examples
    --------
    >>> kinetic_energy_spectrum(*ws.basin()).attrs["units"]
    'm2 s-2 m'
    """
    level = int(np.abs(grid.gdept_1d.values - depth).argmin())
    u, v = (
        take(state, grid, name).isel(z=level).where(grid.mask(point).isel(z=level), 0.0)
        for name, point in (("uo", "U"), ("vo", "V"))
    )
    parts = [
        power_spectrum(0.5 * centred, grid, direction, lat, depth, per_cell)
        for centred in (u + at_west(u, grid), v + at_south(v))
    ]
    unit = "cell" if per_cell else "m"
    text = f"{direction} power spectral density of kinetic energy"
    return labelled(0.5 * (parts[0] + parts[1]), "power", f"m2 s-2 {unit}", text)


def small_scale_share(state: xr.Dataset, grid: Grid, variable: str, depth: float = 0.0) -> xr.DataArray:
    """Share of the variance along columns at wavelengths shorter than four cells, where a model only has noise.

    Parameters
    ----------
    state, grid : holds the variable, ``(..., [z,] y, x)``, and its mesh.
    variable : at T points, or ``"kinetic_energy"``.
    depth : of the level [m].

    Returns
    -------
    ``(...)`` [1]; NaN where the field does not vary, or no column is long enough.

    Notes
    -----
    Spectra as :func:`power_spectrum`, in cycles per cell. White noise has 0.5.

    Examples
    --------
    >>> bool(small_scale_share(*ws.basin(), "zos") < 0.2)
    True
    """
    options: dict[str, Any] = {"direction": "meridional", "depth": depth, "per_cell": True}
    text = f"share of the variance of {variable} at wavelengths under {NOISE:g} cells, {depth:g} m"
    if not _sector(grid, lat=(-90.0, 90.0), **options)[2]:
        why = f"no column has {SHORTEST} wet cells in a row at this depth"
        return unknown(state, "small_scale_share", "1", text, why)
    if variable == "kinetic_energy":
        power = kinetic_energy_spectrum(state, grid, **options)
    else:
        power = power_spectrum(take(state, grid, variable), grid, **options)
    whole = total(power, ["wavenumber"])
    share = total(power.where(power.wavenumber > 1.0 / NOISE, 0.0), ["wavenumber"]) / whole.where(whole > 0)
    return labelled(share, "small_scale_share", "1", text)
