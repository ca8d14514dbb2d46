"""Sets of states against one another: distances, diversity, memorisation, and distances of distributions.

States lie along a dimension, ``sample`` by default. The distance of two states is the RMS of their difference over the
volume of the sea, each level in units of the spread of the training members.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.optimize
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.physics.cgrid import labelled, take

#: Variables that distances between states compare.
TRACERS = ("thetao", "so")


def level_spread(
    states: xr.Dataset, grid: Grid, names: Iterable[str] = TRACERS, dim: str = "sample"
) -> xr.Dataset:
    """Standard deviation of each level about the mean state: the unit in which distances are measured.

    Parameters
    ----------
    states : ``names``, ``(sample, [z,] y, x)``, at least two samples.
    grid : their mesh.
    names : variables at T points.
    dim : dimension of the samples.

    Returns
    -------
    The variables, dims ``([z])``, their units; 1 where a level does not vary, so that it adds nothing.

    Raises
    ------
    UserError
        If there are fewer than two samples.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> level_spread(xr.concat([state, state + 2.0], "sample"), grid).thetao.values.round(3)
    array([1., 1., 1., 1.])
    """
    require_members(states, dim)
    out = {}
    for name in names:
        std = level_mean(states[name].astype("float64").var(dim, skipna=False), grid) ** 0.5
        out[name] = std.where(std > 0, 1.0)
    return xr.Dataset(out)


def distances(
    a: xr.Dataset,
    b: xr.Dataset,
    grid: Grid,
    scale: xr.Dataset,
    names: Iterable[str] = TRACERS,
    dim: str = "sample",
) -> xr.DataArray:
    """Distance of every state of one set to every state of another.

    Parameters
    ----------
    a, b : ``names``, ``(sample, [z,] y, x)``.
    grid : their mesh.
    scale : as in :func:`energy_score`.
    names : variables at T points.
    dim : dimension of the states.

    Returns
    -------
    ``(a, b)`` [1]: RMS over the volume of the difference in units of `scale`, mean over the variables.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> pair = xr.concat([state, state + 2.0], "sample")
    >>> distances(pair, pair, grid, level_spread(pair, grid)).values.round(3)
    array([[0., 2.],
           [2., 0.]])
    """
    names = list(names)
    x, y = (vectors(ds, grid, scale, names, dim) for ds in (a, b))
    apart = np.stack([np.sqrt(((y - row) ** 2).sum(-1)) for row in x])
    return labelled(xr.DataArray(apart, dims=("a", "b")), "distance", "1", "distance between states")


def diversity(states: xr.Dataset, grid: Grid, scale: xr.Dataset, dim: str = "sample") -> xr.DataArray:
    """Mean distance between different states of a set.

    Parameters
    ----------
    states : ``thetao`` [degC] and ``so`` [1e-3], ``(sample, z, y, x)``, at least two.
    grid : their mesh.
    scale : as in :func:`energy_score`; take that of the training members to compare sets.
    dim : dimension of the states.

    Returns
    -------
    Scalar [1]; sqrt(2) for independent draws of the ensemble that `scale` comes from.

    Raises
    ------
    UserError
        If there are fewer than two states.

    Notes
    -----
    As :func:`distances`.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> pair = xr.concat([state, state + 2.0], "sample")
    >>> float(diversity(pair, grid, level_spread(pair, grid)).round(6))
    2.0
    """
    n = require_members(states, dim)
    apart = distances(states, states, grid, scale, dim=dim).values
    mean = float(apart.sum() / (n * (n - 1)))
    return labelled(xr.DataArray(mean), "diversity", "1", "mean distance between different states")


def memorisation(
    generated: xr.Dataset, train: xr.Dataset, test: xr.Dataset, grid: Grid, dim: str = "sample"
) -> xr.Dataset:
    """Whether generated states are copies: distance to the nearest training state, against what is normal.

    Parameters
    ----------
    generated, train, test : ``thetao`` [degC] and ``so`` [1e-3], ``(sample, z, y, x)``; at least two training states, one a
        member, or the snapshots of a member count as each other's copies.
    grid : their mesh.
    dim : dimension of the states.

    Returns
    -------
    ``nearest_generated(sample)``, ``nearest_train`` and ``nearest_test`` [1]: distance to the nearest (other) training state;
    ``ratio_test``, ``ratio_train``: median of the first over the medians of the others. About 1 is as new as a held-out state, 0 a copy.

    Raises
    ------
    UserError
        If there are fewer than two training states.

    Notes
    -----
    Nearest-neighbour test as Carlini et al. (2023, arXiv:2301.13188) and Meehan et al. (2020, arXiv:2004.05675).

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> train = xr.concat([state, state + 2.0], "sample")
    >>> float(memorisation(train, train, train + 1.0, grid).ratio_test)
    0.0
    """
    scale = level_spread(train, grid, dim=dim)
    own = distances(train, train, grid, scale, dim=dim).values
    np.fill_diagonal(own, np.inf)
    near = {
        "generated": distances(generated, train, grid, scale, dim=dim).values.min(1),
        "train": own.min(1),
        "test": distances(test, train, grid, scale, dim=dim).values.min(1),
    }
    median = {name: float(np.median(v)) for name, v in near.items()}
    out = xr.Dataset({f"nearest_{n}": (dim if n == "generated" else n, v) for n, v in near.items()})
    for name in ("test", "train"):
        out[f"ratio_{name}"] = median["generated"] / median[name] if median[name] > 0 else np.nan
    for name, text in (
        ("nearest_generated", "distance of generated states to the nearest training state"),
        ("nearest_train", "distance of training states to the nearest other one"),
        ("nearest_test", "distance of test states to the nearest training state"),
        ("ratio_test", "median distance of generated over that of test states"),
        ("ratio_train", "median distance of generated over that of training states"),
    ):
        out[name].attrs = {"units": "1", "long_name": text}
    return out


def sliced_wasserstein(
    a: xr.Dataset, b: xr.Dataset, grid: Grid, scale: Any = None, directions: int = 32
) -> xr.DataArray:
    """Sliced 2-Wasserstein distance between the volumetric T-S distributions of two states or sets of states.

    Parameters
    ----------
    a, b : ``thetao`` [degC] and ``so`` [1e-3], ``(..., z, y, x)``; further dims are pooled.
    grid : their mesh.
    scale : units of the two axes, ``(thetao, so)``; None takes the volume-weighted standard deviations of `b`.
    directions : number of projections, evenly spread over half a turn.

    Returns
    -------
    Scalar [1]: root of the mean over directions of the squared W2 of the projections.

    Notes
    -----
    Bonneel et al. (2015, doi:10.1007/s10851-014-0506-3). W2 in one dimension is exact, from the quantile functions.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> float(sliced_wasserstein(state, state, grid))
    0.0
    """
    (xa, wa), (xb, wb) = _cloud(a, grid), _cloud(b, grid)
    if scale is None:
        mean = wb @ xb
        scale = np.sqrt(wb @ (xb - mean) ** 2)
    scale = np.asarray(scale, float)
    angles = np.pi * np.arange(directions) / directions
    sides = np.stack([np.cos(angles), np.sin(angles)])
    square = [_w2_square(xa / scale @ e, wa, xb / scale @ e, wb) for e in sides.T]
    value = xr.DataArray(float(np.sqrt(np.mean(square))))
    return labelled(value, "sliced_wasserstein", "1", "sliced 2-Wasserstein distance in T-S")


def _cloud(state: xr.Dataset, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Temperature and salinity of every wet cell ``(n, 2)`` and the share of the volume that each is."""
    fields = [take(state, grid, n).transpose(..., "z", "y", "x") for n in TRACERS]
    wet = (grid.volume > 0).transpose("z", "y", "x").values
    points = np.stack([f.values[..., wet].ravel() for f in fields], 1)
    volume = np.tile(grid.volume.transpose("z", "y", "x").values[wet], points.shape[0] // int(wet.sum()))
    return points, volume / volume.sum()


def _w2_square(x: np.ndarray, wx: np.ndarray, y: np.ndarray, wy: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of two weighted samples on a line."""
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    cx, cy = np.cumsum(wx[i]), np.cumsum(wy[j])
    cx[-1] = cy[-1] = 1.0
    levels = np.union1d(cx, cy)
    steps = np.diff(levels, prepend=0.0)
    apart = x[i][np.searchsorted(cx, levels)] - y[j][np.searchsorted(cy, levels)]
    return float(steps @ apart**2)


def spectral_wasserstein(a: xr.DataArray, b: xr.DataArray, dim: str = "sample") -> xr.DataArray:
    """2-Wasserstein distance between two sets of log-spectra.

    Parameters
    ----------
    a, b : power spectra with the same wavenumbers, ``(sample, wavenumber)``, positive.
    dim : dimension of the samples; the sets may have different sizes.

    Returns
    -------
    Scalar [1]: root of the optimal mean squared distance when every spectrum of one set is carried to those of the other, the
    distance of two being the RMS over wavenumbers of the difference of their natural logarithms.

    Raises
    ------
    UserError
        If the wavenumbers differ.

    Notes
    -----
    Lienen et al. (2024, arXiv:2306.01776), there for turbulent kinetic energy.

    Examples
    --------
    >>> power = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("sample", "wavenumber"))
    >>> float(spectral_wasserstein(power, power * np.e).round(6))
    1.0
    """
    if a.sizes["wavenumber"] != b.sizes["wavenumber"] or (
        "wavenumber" in a.coords and "wavenumber" in b.coords and not np.allclose(a.wavenumber, b.wavenumber)
    ):
        raise UserError("the spectra have different wavenumbers; take both on one grid, sector and depth")
    x, y = (np.log(da.transpose(dim, "wavenumber").values) for da in (a, b))
    cost = ((x[:, None] - y[None]) ** 2).mean(-1)
    value = xr.DataArray(float(np.sqrt(_transport_cost(cost))))
    return labelled(value, "spectral_wasserstein", "1", "2-Wasserstein distance of log-spectra")


def _transport_cost(cost: np.ndarray) -> float:
    """Least mean cost of carrying a uniform distribution over rows to one over columns."""
    n, m = cost.shape
    if n == m:
        rows, columns = scipy.optimize.linear_sum_assignment(cost)
        return float(cost[rows, columns].mean())
    each = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    mass = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return float(scipy.optimize.linprog(cost.ravel(), A_eq=each, b_eq=mass, method="highs").fun)


def vectors(ds: xr.Dataset, grid: Grid, scale: xr.Dataset, names: Iterable[str], dim: str) -> np.ndarray:
    """States as vectors ``(sample, n)`` whose Euclidean norm is the RMS over volume and variables in units of `scale`."""
    parts = []
    for name in names:
        volume = grid.volume if "z" in ds[name].dims else grid.area
        share = np.sqrt(volume / volume.sum())
        scaled = (ds[name].astype("float64") / scale[name]).where(volume > 0, 0.0) * share
        space = [d for d in ("z", "y", "x") if d in scaled.dims]
        parts.append(scaled.transpose(dim, *space).values.reshape(ds.sizes[dim], -1))
    return np.concatenate(parts, 1) / np.sqrt(len(parts))


def level_mean(field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Area mean over the wet cells of each level; a NaN in the sea stays NaN."""
    wet = grid.mask("T", three_d="z" in field.dims)
    area = (grid.e1t * grid.e2t).where(wet, 0.0)
    whole = area.sum(("y", "x"))
    return (field.where(wet, 0.0) * area).sum(("y", "x"), skipna=False) / whole.where(whole > 0)


def require_members(states: xr.Dataset | xr.DataArray, dim: str, least: int = 2) -> int:
    """Count the states along a dimension and refuse fewer than `least`."""
    count = states.sizes.get(dim, 0)
    if count < least:
        raise UserError(f"{count} state(s) along {dim}; expected an ensemble of at least {least}")
    return int(count)
