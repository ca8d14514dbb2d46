"""Weights between rectilinear meshes: bilinear and conservative, level by level, and how land is filled."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix


def linear_weights(source: np.ndarray, target: np.ndarray, period: float | None = None) -> csr_matrix:
    """Weights of linear interpolation along one axis.

    Parameters
    ----------
    source : increasing positions, shape ``(s,)``.
    target : positions, shape ``(t,)``; beyond the ends the end's value is taken.
    period : length after which `source` repeats; None for an axis with ends.

    Returns
    -------
    Sparse ``(t, s)``; rows sum to 1.

    Examples
    --------
    >>> linear_weights(np.array([0.0, 2.0]), np.array([0.5])).toarray()
    array([[0.75, 0.25]])
    """
    n, order = source.size, np.arange(source.size)
    if period is not None:
        source = np.concatenate([[source[-1] - period], source, [source[0] + period]])
        order = np.concatenate([[n - 1], order, [0]])
        target = (target - source[0]) % period + source[0]
    if source.size == 1:
        return csr_matrix(np.ones((target.size, 1)))
    right = np.clip(np.searchsorted(source, target, side="right"), 1, source.size - 1)
    share = np.clip((target - source[right - 1]) / (source[right] - source[right - 1]), 0.0, 1.0)
    share[np.abs(share) < 1e-9] = 0.0  # positions that differ by rounding are the same
    share[np.abs(share - 1.0) < 1e-9] = 1.0
    rows = np.tile(np.arange(target.size), 2)
    columns = np.concatenate([order[right - 1], order[right]])
    return csr_matrix((np.concatenate([1.0 - share, share]), (rows, columns)), shape=(target.size, n))


def overlap_lengths(source: np.ndarray, target: np.ndarray, period: float | None = None) -> csr_matrix:
    """Lengths that the intervals of two axes share.

    Parameters
    ----------
    source, target : increasing edges, shapes ``(s + 1,)`` and ``(t + 1,)``.
    period : length after which `source` repeats, at least its own; None for an axis with ends. What `target` does not
        reach in its place counts one period further on either side, so that no part of either axis counts twice.

    Returns
    -------
    Sparse ``(t, s)``, units of the edges.

    Examples
    --------
    >>> overlap_lengths(np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0])).toarray()
    array([[1., 1.]])
    >>> overlap_lengths(np.array([0.0, 2.0, 4.0]), np.array([-1.0, 1.0, 3.0]), period=4.0).toarray()
    array([[1., 1.],
           [1., 1.]])
    """
    places = [source]
    if period is not None:
        places += [np.minimum(source, target[0]) + period, np.maximum(source, target[-1]) - period]
    lengths = np.zeros((target.size - 1, source.size - 1))
    for edges in places:
        upper = np.minimum(target[1:, None], edges[None, 1:])
        lower = np.maximum(target[:-1, None], edges[None, :-1])
        lengths += np.maximum(upper - lower, 0.0)
    scale = np.abs(target[-1] - target[0])
    return csr_matrix(np.where(lengths > 1e-9 * scale, lengths, 0.0))


def limited_slopes(values: np.ndarray, thickness: np.ndarray, wet: np.ndarray) -> np.ndarray:
    """Difference across each cell of a linear profile that makes no new extremes (van Leer 1977).

    Parameters
    ----------
    values : cell means, dims ``(z, column)``.
    thickness : of the cells [m].
    wet : which cells count.

    Returns
    -------
    Lower minus upper edge of each cell; 0 in the first and last wet cell and at extremes.

    Examples
    --------
    >>> limited_slopes(np.array([[0.0], [1.0], [2.0]]), np.ones((3, 1)), np.ones((3, 1), bool))[1]
    array([1.])
    """
    out = np.zeros_like(values)
    if values.shape[0] < 3:
        return out
    inner = wet[:-2] & wet[1:-1] & wet[2:]
    h = thickness
    up = np.where(inner, values[1:-1] - values[:-2], 0.0)
    down = np.where(inner, values[2:] - values[1:-1], 0.0)
    # slopes to both neighbours, in change across this cell
    above, below = (2 * h[1:-1] / (h[:-2] + h[1:-1])) * up, (2 * h[1:-1] / (h[1:-1] + h[2:])) * down
    central = 0.5 * (above + below)
    limit = np.minimum(np.abs(central), 2 * np.minimum(np.abs(up), np.abs(down)))
    out[1:-1] = np.where(up * down > 0, np.sign(central) * limit, 0.0)
    return out


def integrate_columns(
    values: np.ndarray,
    top: np.ndarray,
    thickness: np.ndarray,
    wet: np.ndarray,
    faces: np.ndarray,
    floor: np.ndarray | float = np.inf,
    slopes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Integrate linear profiles of columns over other layers.

    Parameters
    ----------
    values : cell means, dims ``(z, column)``.
    top, thickness : of these cells [m], same shape.
    wet : which of them are water, same shape.
    faces : upper and lower faces of the layers to integrate over [m], dims ``(2, layer, column)``.
    floor : depth below which nothing is integrated [m], dims ``(column,)``; a cell that it cuts has its mean throughout, so
        that the part above holds its share of the content.

    Returns
    -------
    integral : of the values over the water in each layer, dims ``(layer, column)``.
    covered : thickness of that water [m], same dims.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> [float(a[0, 0]) for a in integrate_columns(3 * one, 0 * one, 10 * one, one > 0, np.array([[[5.0]], [[20.0]]]))]
    [15.0, 5.0]
    """
    bottom = top + thickness
    slopes = limited_slopes(values, thickness, wet) if slopes is None else slopes
    slope = np.where(bottom > floor + 1e-6 * thickness, 0.0, slopes)
    upper, lower = faces
    integral, covered = np.zeros(upper.shape), np.zeros(upper.shape)
    highest, lowest = upper.min(axis=1), lower.max(axis=1)
    for k in np.flatnonzero(wet.any(axis=1)):
        # most layers lie above or below this cell in every column
        near = np.flatnonzero((lowest > top[k].min()) & (highest < bottom[k].max()))
        if not near.size:
            continue
        layers = slice(near[0], near[-1] + 1)
        h = np.where(wet[k], thickness[k], 1.0)
        a, b = (np.clip((face[layers] - top[k]) / h, 0.0, 1.0) for face in (upper, lower))
        # faces that differ by rounding are the same
        a, b = (np.where(np.abs(f - np.round(f)) < 1e-9, np.round(f), f) for f in (a, b))
        share = np.where(wet[k], (b - a) * h, 0.0)
        mean = np.where(wet[k], values[k], 0.0)
        integral[layers] += share * (mean + 0.5 * slope[k] * (a + b - 1.0))
        covered[layers] += share
    return integral, covered


def fill(values: np.ndarray, wet: np.ndarray, periodic: bool) -> np.ndarray:
    """Give every wet cell a value: along the level from its neighbours, where none is known from the level above.

    Parameters
    ----------
    values : dims ``(z, y, x)``, NaN where unknown.
    wet : which cells need a value.
    periodic : whether the last column is the neighbour of the first.

    Returns
    -------
    The same with no NaN in wet cells, provided that the uppermost level has a value anywhere; known values unchanged.

    Examples
    --------
    >>> fill(np.array([[[1.0, np.nan, np.nan]]]), np.ones((1, 1, 3), bool), False).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    values = _spread(np.where(wet, values, np.nan), wet, periodic)
    for through in (False, True):
        for k in range(values.shape[0]):
            if through or k == 0:
                # across land, as a last resort
                if np.isnan(values[k][wet[k]]).any() and np.isfinite(values[k]).any():
                    everywhere = _spread(values[k : k + 1], np.ones_like(wet[k : k + 1]), periodic)[0]
                    values[k] = np.where(wet[k], everywhere, np.nan)
                continue
            hole = wet[k] & np.isnan(values[k])
            values[k][hole] = values[k - 1][hole]
    return values


def _spread(values: np.ndarray, allowed: np.ndarray, periodic: bool) -> np.ndarray:
    """Let values spread along their level into unknown allowed cells, ring by ring, each the mean of its known neighbours."""
    values = values.copy()
    while True:
        hole = allowed & np.isnan(values)
        if not hole.any():
            return values
        known = np.isfinite(values)
        padded = [np.pad(np.where(known, values, 0.0), ((0, 0), (1, 1), (1, 1)))]
        padded.append(np.pad(known.astype(float), ((0, 0), (1, 1), (1, 1))))
        total, count = (
            p[:, :-2, 1:-1] + p[:, 2:, 1:-1] + p[:, 1:-1, :-2] + p[:, 1:-1, 2:]
            for p in (_wrapped(p, periodic) for p in padded)
        )
        reached = hole & (count > 0)
        if not reached.any():
            return values
        values[reached] = total[reached] / count[reached]


def _wrapped(padded: np.ndarray, periodic: bool) -> np.ndarray:
    if periodic:
        padded[:, :, 0], padded[:, :, -1] = padded[:, :, -2].copy(), padded[:, :, 1].copy()
    return padded
