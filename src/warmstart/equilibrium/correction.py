"""From the drift of a short run to the equilibrium: how much of a Newton step to take, and how far the equilibrium is.

At the end of some decades an ocean drifts at a rate r. In the circulation that it has, its temperature and salinity would come
to rest at x + d (a Newton step; :mod:`warmstart.engines.veros.newton_step`). The circulation answers to d, so not all of it is to be
believed: ``x + a(z) d``, where the shares a, of each tracer at some depths, are what fits best the errors of members of the ensemble
whose equilibrium is known and that were predicted by a generator which had not seen them. The same members say how far from
equilibrium an ocean is whose step has a given size, and how surely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import ndtr, ndtri

from warmstart.equilibrium.distance import DEPTHS, TRACERS
from warmstart.errors import UserError
from warmstart.ocean.grid import Grid

#: Name of the file beside a generator.
FILE = "correction.yaml"
#: Longest means over years from which a rate is taken [years].
MOST_YEARS = 10
#: A step is cut where it is larger than so many standard deviations of the ensemble.
LARGEST = 1.0
#: Ridge of the shares, relative to the mean square of the steps.
RIDGE = 0.02
#: What the estimates of a distance are of: temperature, salinity, and both.
OF = (*TRACERS, "both")


class Estimate(BaseModel):
    """What the size of a step says about the distance to equilibrium: log D = intercept + slope log(size) + scatter z.

    Attributes
    ----------
    intercept, slope : of the regression, distances and sizes in standard deviations of the ensemble.
    least : size below which nothing more is said.
    scatter : standard deviation about it, of members left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    intercept: float
    slope: float = Field(ge=0.0)
    least: float = Field(gt=0.0)
    scatter: float = Field(gt=0.0)

    def quantile(self, size: float, probability: float) -> float:
        """The distance that is not exceeded with that probability [standard deviations]."""
        middle = self.intercept + self.slope * math.log(max(size, self.least))
        return math.exp(middle + self.scatter * float(ndtri(probability)))

    def probability(self, size: float, distance: float) -> float:
        """How probably the equilibrium is within a distance [standard deviations]."""
        middle = self.intercept + self.slope * math.log(max(size, self.least))
        return float(ndtr((math.log(distance) - middle) / self.scatter))


class Correction(BaseModel):
    """How much of a Newton step is taken, and what it says about the distance to equilibrium.

    Attributes
    ----------
    years : length of the runs from which it was learned [model years].
    members : how many members of the ensemble, each left out of the generator that predicted it.
    depths : where the shares are given; between them they are interpolated [m].
    shares : of the step of each tracer at these depths.
    estimates : by range of depth and by what is looked at, for the end of the run, before the step is taken.
    error_left : share of the error below 500 m that a step leaves on members that are left out [1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    years: int = Field(ge=4)
    members: int = Field(ge=1)
    depths: tuple[float, ...] = Field(min_length=1)
    shares: dict[str, tuple[float, ...]]
    estimates: dict[str, dict[str, Estimate]]
    error_left: float

    @model_validator(mode="after")
    def _complete(self) -> Correction:
        if list(self.depths) != sorted(set(self.depths)):
            raise ValueError("depths must increase")
        wrong = [name for name, values in self.shares.items() if len(values) != len(self.depths)]
        if wrong:
            raise ValueError(
                f"shares of {', '.join(wrong)}: expected one for each of {len(self.depths)} depths"
            )
        return self

    def taken(self, step: xr.Dataset, spread: xr.Dataset, grid: Grid) -> xr.Dataset:
        """What of a Newton step is added to a state.

        Parameters
        ----------
        step : ``thetao`` [K] and ``so`` [1e-3], dims ``(z, y, x)``.
        spread : standard deviation of the ensemble, dims ``(z,)``, the same units.
        grid : the mesh.

        Returns
        -------
        The same variables; zero on land.
        """
        return _taken(step, self.shares, self.depths, spread, grid)


def late_rates(states: xr.Dataset) -> xr.Dataset:
    """Drift at the end of a run: the mean of its last years less that of as many before, ten or a quarter of the run.

    Parameters
    ----------
    states : a state at the end of each year, ``thetao`` [degC] and ``so`` [1e-3], dims ``(time, z, y, x)``, coordinate ``year``; states of
        broken years are left out.

    Returns
    -------
    Rates [K/year, 1e-3/year], dims ``(z, y, x)``.

    Raises
    ------
    UserError
        If there are fewer than four years.

    Examples
    --------
    >>> years = xr.DataArray(np.arange(1.0, 41.0), dims="time")
    >>> late_rates(xr.Dataset({"thetao": 0.5 * years, "so": 0.0 * years}).assign_coords(year=years)).thetao.item()
    0.5
    """
    year = states["year"].values
    whole = np.flatnonzero((year > 0) & (year % 1.0 == 0))
    count = min(MOST_YEARS, len(whole) // 4)
    if count < 1:
        raise UserError(f"{len(whole)} whole years are too few to tell a drift; expected 4 at least")
    late, early = whole[-count:], whole[-2 * count : -count]
    found = {}
    for name in TRACERS:
        rate = (
            states[name].isel(time=late).mean("time") - states[name].isel(time=early).mean("time")
        ) / count
        found[name] = rate.assign_attrs(units={"thetao": "K", "so": "1e-3"}[name])
    return xr.Dataset(found)


def sizes(step: xr.Dataset, spread: xr.Dataset, grid: Grid) -> dict[str, dict[str, float]]:
    """Size of a step, or of an error, by range of depth and tracer.

    Parameters
    ----------
    step : ``thetao`` [K] and ``so`` [1e-3], dims ``(z, y, x)``.
    spread : standard deviation of the ensemble, dims ``(z,)``, the same units.
    grid : the mesh.

    Returns
    -------
    Root of the volume mean of the square in each range of :data:`warmstart.equilibrium.distance.DEPTHS`, of ``thetao``, of ``so`` and of
    ``both`` [standard deviations]; ranges without water are left out.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> one = xr.Dataset({name: xr.ones_like(grid.gdept_1d) for name in TRACERS})
    >>> sizes(2.0 * one * grid.tmask, one, grid)["all"]["both"]
    2.0
    """
    volume, depth, found = grid.volume.values * (grid.tmask.values > 0), grid.gdept_0.values, {}
    square = {
        n: np.nan_to_num((step[n] / spread[n]).transpose("z", "y", "x").values.astype("float64")) ** 2
        for n in TRACERS
    }
    for label, (low, high) in DEPTHS.items():
        weight = volume * ((depth >= low) & (depth < high))
        if not weight.any():
            continue
        mean = {n: float((weight * values).sum() / weight.sum()) for n, values in square.items()}
        mean["both"] = sum(mean.values()) / len(mean)
        found[label] = {n: math.sqrt(value) for n, value in mean.items()}
    return found


@dataclass(frozen=True)
class Pair:
    """What a run of a member said, and what was true.

    Attributes
    ----------
    step : Newton step at the end of the run, ``thetao`` [K] and ``so`` [1e-3], dims ``(z, y, x)``.
    error : equilibrium less state at the end, the same.
    group : pairs of a group are left out together: their starts share a generator.
    """

    step: xr.Dataset
    error: xr.Dataset
    group: int


def fit(
    pairs: Sequence[Pair], spread: xr.Dataset, grid: Grid, depths: Sequence[float], years: int, members: int
) -> Correction:
    """Learn a correction.

    Parameters
    ----------
    pairs : of members whose equilibrium is known, in two groups at least.
    spread : standard deviation of the ensemble, dims ``(z,)``.
    grid : the mesh.
    depths : where the shares are given [m].
    years : length of the runs [model years].
    members : how many members the pairs are of.

    Returns
    -------
    The shares fit all pairs; the estimates and the error that is left are of pairs whose group was left out.

    Raises
    ------
    UserError
        If there are fewer than two groups.
    """
    groups = sorted({pair.group for pair in pairs})
    if len(groups) < 2:
        raise UserError("pairs of one group cannot be left out; expected two groups of members at least")
    parts = [_normal_equations(pair, spread, grid, depths) for pair in pairs]
    shares = _solve(parts)
    left: list[tuple[Pair, xr.Dataset]] = []
    for group in groups:
        own = _solve([part for part, pair in zip(parts, pairs, strict=True) if pair.group != group])
        for pair in (p for p in pairs if p.group == group):
            left.append((pair, _taken(pair.step, own, depths, spread, grid)))
    estimates = _estimates(left, spread, grid)
    return Correction(
        years=years, members=members, depths=tuple(depths), shares=shares, estimates=estimates,
        error_left=_error_left(left, spread, grid),
    )  # fmt: skip


def _cut(step: xr.DataArray, spread: xr.DataArray, grid: Grid) -> xr.DataArray:
    """A step no larger than a standard deviation of its level, zero on land."""
    limit = LARGEST * spread
    return step.clip(-limit, limit).where(grid.tmask > 0, 0.0).fillna(0.0).transpose("z", "y", "x")


def _hats(depths: Sequence[float], grid: Grid) -> np.ndarray:
    """How much each depth counts at each level, ``(depth, z)``."""
    return np.array([np.interp(grid.gdept_1d.values, depths, unit) for unit in np.eye(len(depths))])


def _taken(
    step: xr.Dataset,
    shares: Mapping[str, Sequence[float]],
    depths: Sequence[float],
    spread: xr.Dataset,
    grid: Grid,
) -> xr.Dataset:
    """A step, cut and with its shares."""
    share = {n: xr.DataArray(np.interp(grid.gdept_1d.values, depths, shares[n]), dims="z") for n in shares}
    return xr.Dataset({n: _cut(step[n], spread[n], grid) * share[n] for n in shares})


def _normal_equations(
    pair: Pair, spread: xr.Dataset, grid: Grid, depths: Sequence[float]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Products of the step at each depth with itself and with the error, each cell in standard deviations and by volume."""
    hats, volume, found = _hats(depths, grid), grid.volume.values * (grid.tmask.values > 0), {}
    for name in TRACERS:
        unit = spread[name].values[:, None, None]
        step = np.nan_to_num(_cut(pair.step[name], spread[name], grid).values / unit)
        error = np.nan_to_num(pair.error[name].transpose("z", "y", "x").values / unit)
        by_level = (volume * step * step).sum((1, 2)), (volume * step * error).sum((1, 2))
        found[name] = np.einsum("iz,jz,z->ij", hats, hats, by_level[0]), hats @ by_level[1]
    return found


def _solve(parts: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> dict[str, tuple[float, ...]]:
    """Shares that fit best, drawn a little towards none."""
    found = {}
    for name in TRACERS:
        square, product = (np.sum([p[name][i] for p in parts], axis=0) for i in (0, 1))
        ridge = RIDGE * np.diag(np.diag(square)) + 1e-12 * np.eye(len(square))
        found[name] = tuple(float(f"{v:.4g}") for v in np.linalg.solve(square + ridge, product))
    return found


def _estimates(
    left: Sequence[tuple[Pair, xr.Dataset]], spread: xr.Dataset, grid: Grid
) -> dict[str, dict[str, Estimate]]:
    """What the size of the step that would be taken says about the error, by range of depth."""
    size = [sizes(taken, spread, grid) for _, taken in left]
    true = [sizes(pair.error, spread, grid) for pair, _ in left]
    groups = np.array([pair.group for pair, _ in left])
    found: dict[str, dict[str, Estimate]] = {}
    for label in size[0]:
        found[label] = {}
        for of in OF:
            x = np.log(np.maximum([s[label][of] for s in size], 1e-6))
            y = np.log(np.maximum([t[label][of] for t in true], 1e-6))
            intercept, slope = _line(x, y)
            misses = np.concatenate([_miss(x, y, groups != g, groups == g) for g in np.unique(groups)])
            scatter = max(float(np.sqrt((misses**2).mean())), 0.05)
            least = float(np.exp(np.quantile(x, 0.02)))
            found[label][of] = Estimate(**{
                k: float(f"{v:.4g}")
                for k, v in {"intercept": intercept, "slope": slope, "least": least, "scatter": scatter}.items()
            })  # fmt: skip
    return found


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of least squares, the slope not negative."""
    slope = max(0.0, float(((x - x.mean()) * (y - y.mean())).sum() / max(((x - x.mean()) ** 2).sum(), 1e-12)))
    return float(y.mean() - slope * x.mean()), slope


def _miss(x: np.ndarray, y: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Errors of the line through what is known at what is asked."""
    intercept, slope = _line(x[known], y[known])
    return np.asarray(y[asked] - intercept - slope * x[asked])


def _error_left(left: Sequence[tuple[Pair, xr.Dataset]], spread: xr.Dataset, grid: Grid) -> float:
    """Root of the ratio of the mean squares below 500 m, with and without the step."""
    deep, before, after = DEPTHS["0-500 m"][1], 0.0, 0.0
    for pair, taken in left:
        for error, total in ((pair.error, "before"), (pair.error - taken, "after")):
            size = sizes(error.where(grid.gdept_1d >= deep, 0.0), spread, grid)["all"]["both"] ** 2
            before, after = (before + size, after) if total == "before" else (before, after + size)
    return float(f"{math.sqrt(after / before):.4g}")
