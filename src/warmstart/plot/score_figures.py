"""Figures of sets of states: ensembles against the truth, distances, and published numbers against corrected ones.

As in :mod:`warmstart.plot.figures`: every function takes an ``ax``, or makes a figure of its own, and returns the axes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from warmstart.physics.literature import CORRECTED
from warmstart.plot.physics_figures import own
from warmstart.plot.style import COLOURS, INK, MUTED, RULE, colouring


def ranks(histogram: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a rank histogram, the mean over its other dimensions, with the line of a reliable ensemble.

    Parameters
    ----------
    histogram : ``([z,] rank)`` from :func:`warmstart.scores.crps.rank_histogram`.
    ax : where to draw; None makes a figure.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> ranks(xr.DataArray([0.2, 0.3, 0.5], dims="rank")).get_xlabel()
    'rank of the truth'
    """
    if ax is None:
        return own(ranks, (3.4, 2.6), histogram)
    mean = histogram.mean([d for d in histogram.dims if d != "rank"])
    count = mean.sizes["rank"]
    ax.bar(np.arange(count), mean.values, width=0.9, color=COLOURS["generated"])
    ax.axhline(1.0 / count, color=INK, lw=0.7, ls="--")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("rank of the truth")
    ax.set_ylabel("share of the sea")
    return ax


def memory(distances: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the distances to the nearest training state of generated, test and training states, sorted.

    Parameters
    ----------
    distances : from :func:`warmstart.scores.similarity.memorisation`.
    ax : where to draw; None makes a figure.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> near = xr.Dataset({f"nearest_{n}": (n, [1.0, 2.0]) for n in ("generated", "train", "test")})
    >>> memory(near).get_xlabel()
    'distance to the nearest training state'
    """
    if ax is None:
        return own(memory, (4.0, 2.8), distances)
    for name, colour in (("generated", "generated"), ("test", "control"), ("train", "nearest")):
        values = np.sort(distances[f"nearest_{name}"].values)
        steps = np.arange(values.size + 1) / values.size
        ax.step(np.concatenate([values[:1], values]), steps, where="post", label=name, color=COLOURS[colour])
    ax.set_xlim(left=0.0)
    ax.set_ylim(0.0, 1.02)
    ax.set_xlabel("distance to the nearest training state")
    ax.set_ylabel("share of states")
    ax.grid(color=RULE, lw=0.4)
    ax.legend()
    return ax


def apart(distances: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw how far the states of two sets are from one another.

    Parameters
    ----------
    distances : ``(a, b)`` from :func:`warmstart.scores.similarity.distances`; where `a` or `b` has a coordinate, it
        names the states.
    ax : where to draw; None makes a figure.

    Returns
    -------
    The axes.

    Examples
    --------
    >>> apart(xr.DataArray([[0.0, 1.0], [1.0, 0.0]], dims=("a", "b"))).get_xlabel()
    'state'
    """
    if ax is None:
        return own(apart, (4.0, 3.4), distances)
    values = distances.transpose("a", "b").values
    bounds = np.asarray(MaxNLocator(10).tick_values(0.0, max(float(np.nanmax(values)), 1e-12)))
    mesh = ax.pcolormesh(values, **colouring("dense", bounds), edgecolors="white", linewidth=0.5)
    for axis, dim in ((ax.xaxis, "b"), (ax.yaxis, "a")):
        axis.set_ticks(np.arange(distances.sizes[dim]) + 0.5, [str(v) for v in distances[dim].values])
        axis.set_tick_params(length=0)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xlabel("state")
    ax.set_ylabel("state")
    bar = ax.figure.colorbar(mesh, ax=ax, aspect=24, pad=0.03)
    bar.set_label("distance [ensemble standard deviations]")
    return ax


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
