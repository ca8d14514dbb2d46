"""Ensembles against the truth: fair scores, spread and skill, ranks.

Scores are proper and fair: their expectation does not depend on the number of members. Means are over the wet cells of a
level, weighted with their area. States lie along a dimension, ``sample`` by default.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.cgrid import labelled
from warmstart.scores.similarity import TRACERS, level_mean, require_members, vectors


def crps(ensemble: xr.DataArray, truth: xr.DataArray, grid: Grid, dim: str = "sample") -> xr.DataArray:
    """Fair continuous ranked probability score of each level.

    Parameters
    ----------
    ensemble : variable at T points, ``(sample, ..., [z,] y, x)``.
    truth : the same variable without the dimension of the members.
    grid : their mesh.
    dim : dimension of the members, at least two.

    Returns
    -------
    ``(..., [z])``, units of the variable: mean over the sea of E|X - y| - E|X - X'| / 2; the mean absolute error of an
    ensemble without spread.

    Raises
    ------
    UserError
        If there are fewer than two members.

    Notes
    -----
    As :func:`fair_crps`.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> twice = xr.concat([state.thetao, state.thetao], "sample")
    >>> crps(twice, state.thetao + 1.0, grid).values.round(6)
    array([1., 1., 1., 1.])
    """
    require_members(ensemble, dim)

    def score(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return fair_crps(np.moveaxis(x, -1, 0), y)

    point = xr.apply_ufunc(
        score, truth.astype("float64"), ensemble.astype("float64"), input_core_dims=[[], [dim]],
        dask="parallelized", output_dtypes=["float64"],
    )  # fmt: skip
    table = VARIABLES.get(str(ensemble.name))
    units = ensemble.attrs.get("units", table.units if table else "1")
    return labelled(level_mean(point, grid), "crps", units, "fair CRPS of each level")


def fair_crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fair continuous ranked probability score of numbers.

    Parameters
    ----------
    samples : ``(sample, ...)``, in any order.
    truth : ``(...)``.

    Returns
    -------
    Score ``(...)``: E|X - y| - E|X - X'| / 2; the absolute error of a single sample.

    Notes
    -----
    Ferro (2014, doi:10.1002/qj.2270); the sum over pairs by ranks, which needs no array of pairs.

    Examples
    --------
    >>> fair_crps(np.array([[0.0], [2.0]]), np.array([1.0])).tolist()
    [0.0]
    """
    n = len(samples)
    distance = np.abs(samples - truth).mean(0)
    if n < 2:
        return distance
    rank = (2 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * (samples.ndim - 1))
    return distance - (rank * np.sort(samples, axis=0)).sum(0) / (n * (n - 1))


def energy_score(
    ensemble: xr.Dataset,
    truth: xr.Dataset,
    grid: Grid,
    scale: xr.Dataset,
    names: Iterable[str] = TRACERS,
    dim: str = "sample",
) -> xr.DataArray:
    """Fair energy score of whole states: the CRPS of the vector of all its cells.

    Parameters
    ----------
    ensemble : ``names``, ``(sample, [z,] y, x)``.
    truth : the same, without the dimension of the members.
    grid : their mesh.
    scale : what each level is measured in, ``([z])``, such as :func:`warmstart.scores.similarity.level_spread`.
    names : variables at T points.
    dim : dimension of the members, at least two.

    Returns
    -------
    Scalar [1]: E||X - y|| - E||X - X'|| / 2, the norm being the RMS over the volume in units of `scale`.

    Raises
    ------
    UserError
        If there are fewer than two members.

    Notes
    -----
    Gneiting and Raftery (2007, doi:10.1198/016214506000001437), by scoringrules.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> both = xr.concat([state, state], "sample")
    >>> scale = xr.Dataset({n: xr.ones_like(grid.gdept_1d) for n in TRACERS})
    >>> float(energy_score(both, state + 2.0, grid, scale).round(6))
    2.0
    """
    import scoringrules

    require_members(ensemble, dim)
    x = vectors(ensemble, grid, scale, names, dim)
    y = vectors(truth.expand_dims(dim), grid, scale, names, dim)[0]
    score = float(scoringrules.es_ensemble(y, x, estimator="fair", backend="numpy"))
    return labelled(xr.DataArray(score), "energy_score", "1", "fair energy score of states")


def spread_skill(ensemble: xr.DataArray, truth: xr.DataArray, grid: Grid, dim: str = "sample") -> xr.Dataset:
    """Spread of the members and error of their mean, level by level.

    Parameters
    ----------
    ensemble, truth, grid, dim : as in :func:`crps`; where both have further dims (cases), these are averaged over.

    Returns
    -------
    ``spread`` and ``error`` [units of the variable], ``ratio`` [1], dims ``([z])``: root of the mean variance, RMS error of the mean,
    and their quotient times sqrt((M + 1) / M), which is 1 for a reliable ensemble of M members; above 1 the ensemble
    is too wide.

    Raises
    ------
    UserError
        If there are fewer than two members.

    Notes
    -----
    Fortin et al. (2014, doi:10.1175/JHM-D-14-0008.1).

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> both = xr.concat([state.thetao - 1, state.thetao + 1], "sample")
    >>> spread_skill(both, state.thetao, grid).spread.values.round(3)
    array([1.414, 1.414, 1.414, 1.414])
    """
    members = require_members(ensemble, dim)
    values = ensemble.astype("float64")
    variance = values.var(dim, ddof=1, skipna=False)
    square = (values.mean(dim, skipna=False) - truth.astype("float64")) ** 2
    cases = [d for d in square.dims if d not in ("z", "y", "x")]
    spread, error = (level_mean(da, grid).mean(cases) ** 0.5 for da in (variance, square))
    table = VARIABLES.get(str(ensemble.name))
    units = ensemble.attrs.get("units", table.units if table else "1")
    units = "K" if units == "degC" else units
    ratio = spread / error.where(error > 0) * ((members + 1) / members) ** 0.5
    return xr.Dataset(
        {
            "spread": labelled(spread, "spread", units, "spread of the members"),
            "error": labelled(error, "error", units, "RMS error of the mean"),
            "ratio": labelled(ratio, "ratio", "1", "spread over error"),
        }
    )


def rank_histogram(
    ensemble: xr.DataArray, truth: xr.DataArray, grid: Grid, dim: str = "sample"
) -> xr.DataArray:
    """How often the truth has each rank among the members, level by level.

    Parameters
    ----------
    ensemble, truth, grid, dim : as in :func:`crps`; further dims (cases) are averaged over.

    Returns
    -------
    ``([z,] rank)`` [1], ranks 0 to M: share of the area in which that many members lie below the truth; 1 / (M + 1) each
    for a reliable ensemble. Ties count half to either side.

    Raises
    ------
    UserError
        If there is no member.

    Notes
    -----
    Hamill (2001, doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2).

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> both = xr.concat([state.thetao - 1, state.thetao + 1], "sample")
    >>> rank_histogram(both, state.thetao, grid).isel(z=0).values.round(6)
    array([0., 1., 0.])
    """
    members = require_members(ensemble, dim, least=1)
    below, equal = (ensemble < truth).sum(dim), (ensemble == truth).sum(dim)
    known = truth.notnull() & ensemble.notnull().all(dim)
    ranks = xr.DataArray(np.arange(members + 1), dims="rank")
    inside = (ranks >= below) & (ranks <= below + equal)
    share = (inside / (equal + 1.0)).where(known)
    cases = [d for d in share.dims if d not in ("z", "y", "x", "rank")]
    share = level_mean(share, grid).mean(cases)
    share = share.transpose(..., "rank").assign_coords(rank=ranks)
    return labelled(share, "rank_histogram", "1", "share of the sea with each rank of the truth")


def score_metrics(ensemble: xr.Dataset, truth: xr.Dataset, dim: str = "sample") -> xr.Dataset:
    """Scores of scalar metrics: fair CRPS, spread, error and rank of each.

    Parameters
    ----------
    ensemble : metrics, ``(sample, case)`` or ``(sample,)``, such as those of :func:`warmstart.verbs.check.check`.
    truth : the same metrics of the true states, ``(case,)`` or scalars.
    dim : dimension of the members, at least two.

    Returns
    -------
    ``crps spread error rank``, dims ``(metric, [case])``; the first three in units of the metric, `rank` between 0 and 1.

    Raises
    ------
    UserError
        If there are fewer than two members, or the truth lacks a metric.

    Notes
    -----
    As :func:`crps`, :func:`spread_skill` and :func:`rank_histogram`.

    Examples
    --------
    >>> two = xr.Dataset({"throughflow": ("sample", [1.0, 3.0])})
    >>> float(score_metrics(two, xr.Dataset({"throughflow": 2.0})).crps.item())
    0.0
    """
    members = require_members(ensemble, dim)
    missing = [str(n) for n in ensemble.data_vars if n not in truth]
    if missing:
        raise UserError(f"the truth lacks {', '.join(missing)}; give the same metrics of both")
    rows = []
    for name in ensemble.data_vars:
        x, y = ensemble[name].astype("float64").transpose(..., dim), truth[name].astype("float64")
        score = fair_crps(np.moveaxis(x.values, -1, 0), y.values)
        rank = ((x < y).sum(dim) + 0.5 * (x == y).sum(dim)) / members
        error = abs(x.mean(dim) - y)
        parts = {
            "crps": error.copy(data=score.reshape(error.shape)),
            "spread": x.std(dim, ddof=1),
        }
        rows.append(xr.Dataset(parts | {"error": error, "rank": rank}))
    names = xr.DataArray([str(n) for n in ensemble.data_vars], dims="metric")
    return xr.concat(rows, "metric").assign_coords(metric=names)
