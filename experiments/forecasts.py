"""Forecasts of held-out members against the truth: one tidy table of scores, the same for every rival.

A forecast is a set of states for one member, the truth its own equilibrium snapshots. Scores are proper and fair (Ferro 2014):
their expectation does not depend on the number of states; of a single state the continuous ranked probability score
(CRPS) is the absolute error. Means are weighted with volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from warmstart.equilibrium.distance import DEPTHS
from warmstart.errors import UserError
from warmstart.io.outputs import mark, replacing
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.cgrid import labelled
from warmstart.regression.layout import Layout
from warmstart.scores import thresholds
from warmstart.scores.measurement import Values, measure, split_by_needs, subject_of
from warmstart.scores.metrics import ALL, DRIFTS, METRICS

#: Columns of the table that :func:`score` makes.
COLUMNS = ("metric", "variable", "depth", "unit", "value")
#: Central share of the forecast's states that an interval should hold the truth with.
INTERVAL = 0.9
#: Relative differences below this are rounding.
SAME = 1e-6
#: Variables that distances between states compare.
TRACERS = ("thetao", "so")


def score(
    forecast: xr.Dataset, truth: xr.Dataset, grid: Grid, metrics: Iterable[str] | None = None
) -> pd.DataFrame:
    """Score the forecast of one member.

    Parameters
    ----------
    forecast : states ``(sample, z, y, x)``; variables that it lacks are not scored.
    truth : equilibrium snapshots of the member, ``(sample, z, y, x)``.
    grid : mesh of both.
    metrics : metrics of ``check``; None takes all of them.

    Returns
    -------
    Columns :data:`COLUMNS`. Of fields, by variable and depth range: ``rmse`` of the mean state, ``crps``, ``variance`` of the
    states (times (M + 1) / M, so that a reliable forecast of M states has the error of its mean; Fortin et al. 2014) and
    ``square_error`` of their mean, ``coverage`` of the 90 % interval (share of the volume) and its
    ``nominal_coverage`` for so many states. Of scalar metrics, under the name of the metric as variable: ``metric_crps``,
    ``metric_error`` (absolute, of the mean), ``metric_covered``; and of those where less is never wrong
    ``forecast_mean`` and ``truth_mean``.

    Raises
    ------
    UserError
        If they have no variable in common.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> one = state.expand_dims("sample")
    >>> table = score(one + 1.0, one, grid, metrics=[])
    >>> round(table.query("metric == 'crps' and variable == 'thetao' and depth == 'all'").value.item(), 9)
    1.0
    """
    names = tuple(n for n in VARIABLES if n in forecast and n in truth)
    if not names:
        raise UserError(
            f"the forecast holds {', '.join(map(str, forecast.data_vars))}; expected variables of the truth"
        )
    layout = Layout(grid, names)
    rows = _fields(layout.to_wet(layout.pack(forecast)), layout.to_wet(layout.pack(truth)), layout)
    chosen = list(METRICS) if metrics is None else list(metrics)
    if chosen:
        rows += _scalars(forecast[list(names)], truth[list(names)], grid, chosen)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _fields(states: np.ndarray, truth: np.ndarray, layout: Layout) -> list[tuple[str, str, str, str, float]]:
    """Scores cell by cell, averaged over snapshots of the truth and over the cells of each variable and depth range."""
    mean, count = states.mean(0), len(states)
    ordered = np.sort(states, axis=0)
    rank, nominal = interval(count)
    cells = {
        "rmse": ((mean - truth) ** 2).mean(0),
        "crps": np.mean([crps(ordered, t) for t in truth], 0),
    }
    if count > 1:
        low, high = ordered[rank - 1], ordered[count - rank]
        cells |= {
            "variance": states.var(0, ddof=1) * (count + 1) / count,
            "square_error": ((mean - truth) ** 2).mean(0),
            "coverage": ((low <= truth) & (truth <= high)).mean(0),
        }
    weights, channel = layout.to_wet(layout.weights), np.nonzero(layout.mask)[0]
    depth = layout.grid.gdept_1d.values[[level for _, level in layout.channels]][channel]
    rows = []
    for name, channels in layout.slices.items():
        ours = (channel >= channels.start) & (channel < channels.stop)
        for label, (top, bottom) in DEPTHS.items() if VARIABLES[name].three_d else [("all", DEPTHS["all"])]:
            here = ours & (depth >= top) & (depth < bottom)
            if not here.any():
                continue
            share = weights[here] / weights[here].sum()
            for metric, values in cells.items():
                value = float((share * values[here]).sum())
                value = float(np.sqrt(value)) if metric == "rmse" else value
                rows.append((metric, name, label, _unit(metric, VARIABLES[name].units), value))
            if count > 1:
                rows.append(("nominal_coverage", name, label, "1", nominal))
    return rows


def _unit(metric: str, units: str) -> str:
    units = "K" if units == "degC" else units
    if metric == "coverage":
        return "1"
    return f"({units})2" if metric in ("variance", "square_error") else units


def _scalars(
    forecast: xr.Dataset, truth: xr.Dataset, grid: Grid, names: list[str]
) -> list[tuple[str, str, str, str, float]]:
    """Scores of scalar metrics; the means of those where less is never wrong."""
    ours, theirs = (_measured(ds, grid, names) for ds in (forecast, truth))
    rows = []
    for name, found in ours.items():
        drawn, true = (
            np.sort(t[name].values.astype(float)) if name in t else np.zeros(0) for t in (ours, theirs)
        )
        unit = str(found.attrs["units"])
        if not len(true) or not np.isfinite(np.concatenate([drawn, true])).all():
            continue
        if one_sided(name):
            rows += [
                ("forecast_mean", name, "", unit, float(drawn.mean())),
                ("truth_mean", name, "", unit, float(true.mean())),
            ]
            continue
        if np.ptp(np.concatenate([drawn, true])) <= SAME * np.abs(true).max():
            # right up to rounding: the volume under a rigid lid, a mixed layer that reaches the sea floor
            drawn, true = np.zeros_like(drawn), np.zeros_like(true)
        rows.append(("metric_crps", name, "", unit, float(np.mean([crps(drawn, t) for t in true]))))
        rows.append(("metric_error", name, "", unit, float(np.abs(drawn.mean() - true).mean())))
        if len(drawn) > 1:
            rank, _ = interval(len(drawn))
            covered = ((drawn[rank - 1] <= true) & (true <= drawn[len(drawn) - rank])).mean()
            rows.append(("metric_covered", name, "", "1", float(covered)))
    return rows


def _measured(states: xr.Dataset, grid: Grid, names: list[str]) -> Values:
    """Metrics of every state, those that its variables allow."""
    thresholds.require_known(names, [*ALL, *DRIFTS])
    subject = subject_of(states, grid)
    usable, _ = split_by_needs(names, subject, ALL)
    found, _ = measure(subject, usable, ALL, strict=True, said=True)
    return {name: found[name] for name in dict.fromkeys(names) if name in found}


@cache
def one_sided(metric: str) -> bool:
    """Whether less of a metric is never wrong (inversions, residuals of a balance), or it must be 0 whatever the state.

    Examples
    --------
    >>> one_sided("inversions"), one_sided("channel_transport")
    (True, False)
    """
    rule = thresholds.load(None, [*METRICS, *DRIFTS]).metrics.get(metric)
    return rule is not None and rule.compare in ("above", "none")


def interval(states: int) -> tuple[int, float]:
    """Rank from either end between which the truth should lie, and with which probability.

    For M exchangeable states the truth lies between the r-th and the (M + 1 - r)-th with the probability
    (M + 1 - 2 r) / (M + 1); the rank whose probability is nearest to 90 % is taken. It is 90 % for 19 and for 39 states.

    Examples
    --------
    >>> interval(19), interval(39), interval(1)
    ((1, 0.9), (2, 0.9), (1, 0.0))
    """
    ranks = np.arange(1, (states + 1) // 2 + 1)
    share = (states + 1 - 2 * ranks) / (states + 1)
    best = int(np.abs(share - INTERVAL).argmin())
    return int(ranks[best]), round(float(share[best]), 12)


def crps(ordered: np.ndarray, truth: np.ndarray | float) -> np.ndarray:
    """Fair continuous ranked probability score of states in ascending order (Ferro 2014).

    Parameters
    ----------
    ordered : ``(sample, ...)``, ascending along the first axis.
    truth : ``(...)``.

    Returns
    -------
    Score ``(...)``; the absolute error of a single state.

    Examples
    --------
    >>> crps(np.array([0.0, 2.0]), 1.0).tolist()
    0.0
    """
    count = len(ordered)
    error = np.abs(ordered - truth).mean(0)
    if count == 1:
        return error
    # sum over pairs of |x_i - x_j| by ranks: no array of pairs
    factor = 2 * np.arange(1, count + 1) - count - 1
    return error - np.tensordot(factor, ordered, 1) / (count * (count - 1))


def novelty(forecast: xr.Dataset, truth: xr.Dataset, training: xr.Dataset, grid: Grid) -> pd.DataFrame:
    """Whether the states of a forecast are copies of training members.

    Parameters
    ----------
    forecast, truth : as in :func:`score`.
    training : one state of each training member, ``(sample, z, y, x)``.
    grid : mesh of all.

    Returns
    -------
    Columns :data:`COLUMNS`. Distances are RMS over temperature and salinity, each level in units of the training members'
    standard deviation: ``nearest_forecast`` and ``nearest_truth``, to the nearest training member, median over states;
    ``nearest_training``, the smallest between two training members. ``copy_ratio_forecast`` (the smallest over states) and
    ``copy_ratio_truth``: distance to the nearest over that to the second nearest training member; a copy has one near 0,
    below 1/3 is an alarm (Carlini et al. 2023).
    """
    scale = level_spread(training, grid)
    known = training[list(TRACERS)]
    own = distances(known, known, grid, scale).values
    np.fill_diagonal(own, np.inf)
    rows = [("nearest_training", "thetao so", "all", "1", float(own.min()))]
    for name, ds in (("forecast", forecast), ("truth", truth)):
        apart = np.sort(distances(ds[list(TRACERS)], known, grid, scale).values, axis=1)
        rows.append((f"nearest_{name}", "thetao so", "all", "1", float(np.median(apart[:, 0]))))
        rows.append((f"copy_ratio_{name}", "thetao so", "all", "1", float((apart[:, 0] / apart[:, 1]).min())))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Average the scores of members, and relate them to climatology.

    Parameters
    ----------
    table : rows of :func:`score` with the columns ``rival given split member``; one of the rivals is ``climatology``.

    Returns
    -------
    Columns ``rival given split metric variable depth unit value members low high``: mean over the members, and its 90 %
    interval under resampling of members. Beside the metrics of :func:`score`: ``spread_skill`` (spread over error, 1 is
    reliable), ``skill_crps`` and ``skill_metric_crps`` (mean over variables, or over scalar metrics, of the score relative to
    climatology's: below 1 is better). Of each variable both are means over the members that both have a score for; `members`
    is the number of these, of the variable that has fewest.
    """
    keys = ["rival", "given", "split", "metric", "variable", "depth", "unit"]
    rows = []
    for key, group in table.groupby(keys, sort=False):
        low, high = _resampled(group["value"].to_numpy())
        rows.append((*key, float(group["value"].mean()), len(group), low, high))
    means = pd.DataFrame(rows, columns=[*keys, "value", "members", "low", "high"])
    return pd.concat([means, _spread_skill(table), _relative(table)], ignore_index=True)


def _resampled(values: np.ndarray, draws: int = 1000) -> tuple[float, float]:
    """90 % interval of the mean under resampling; the same draws every time."""
    chosen = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[chosen].mean(1), [0.05, 0.95])
    return float(low), float(high)


def _spread_skill(table: pd.DataFrame) -> pd.DataFrame:
    """Root of mean variance over mean square error, of the states of all members together."""
    keys = ["rival", "given", "split", "variable", "depth"]
    wide = table[table["metric"].isin(["variance", "square_error"])]
    wide = wide.pivot_table(index=[*keys, "member"], columns="metric", values="value").reset_index()
    rows = []
    if wide.empty:
        return pd.DataFrame()
    for key, group in wide.groupby(keys, sort=False):
        ratio = float(np.sqrt(group["variance"].mean() / max(group["square_error"].mean(), 1e-300)))
        rival, given, split, variable, depth = key
        rows.append(
            (rival, given, split, "spread_skill", variable, depth, "1", ratio, len(group), np.nan, np.nan)
        )
    return pd.DataFrame(
        rows, columns=[*keys[:3], "metric", *keys[3:], "unit", "value", "members", "low", "high"]
    )


def _relative(table: pd.DataFrame) -> pd.DataFrame:
    """Scores relative to climatology's, averaged over variables or over scalar metrics."""
    same, keys = ["split", "member", "variable"], ["rival", "given", "split"]
    rows = []
    for metric in ("crps", "metric_crps"):
        part = table[(table["metric"] == metric) & table["depth"].isin(["", "all"])]
        base = part[part["rival"] == "climatology"].groupby(same)["value"].first().rename("base")
        # both means over the same members: one that a rival has no number for is often a hard one
        both = part.join(base, on=same).dropna(subset=["value", "base"])
        for key, group in both.groupby(keys, sort=False):
            known = group.groupby("variable")[["value", "base"]].mean()
            known["members"] = group.groupby("variable")["member"].nunique()
            known = known[known["base"] > 0]
            if known.empty:
                continue
            shares, members = known["value"] / known["base"], known["members"]
            rows.append((*key, f"skill_{metric}", "all", float(shares.mean()), int(members.min())))
            if metric == "metric_crps":
                worst = str(shares.idxmax())
                rows.append((*key, "worst_metric_crps", worst, float(shares[worst]), int(members[worst])))
    found = pd.DataFrame(rows, columns=[*keys, "metric", "variable", "value", "members"])
    found = found.assign(depth="all", unit="1", low=np.nan, high=np.nan)
    return found[[*keys, "metric", "variable", "depth", "unit", "value", "members", "low", "high"]]


def write_table(table: pd.DataFrame, path: Path, header: Mapping[str, object]) -> None:
    """Write a table as CSV with what it was made with in comment lines.

    Parameters
    ----------
    table : any.
    path : the file; replaced when it exists, its folder made when it does not.
    header : command, commit, machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(path, overwrite=True, ours=_is_table(path)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        for key, value in header.items():
            file.write(f"# {key}: {value}\n")
        file.write(f"{mark()}\n")
        table.to_csv(file, index=False, lineterminator="\n", float_format="%.6g")


def _is_table(path: Path) -> bool:
    """Whether a file begins as tables of older versions do, which bear no mark."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline().startswith(b"# command: ")


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
    scale : what each level is measured in, ``([z])``, such as :func:`level_spread`.
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
