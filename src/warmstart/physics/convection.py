"""Convective adjustment: columns mixed until no cell is denser than the one below it."""

from __future__ import annotations

import numpy as np

from warmstart.ocean.eos import density_anomaly


def adjust_columns(
    thetao: np.ndarray, so: np.ndarray, thickness: np.ndarray, top: np.ndarray, wet: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Conservative convective adjustment: pool adjacent violators on locally referenced density.

    Cells are taken from the surface down. The last layer of the profile is mixed with the one above it as long as it is the
    lighter of the two at the depth of their common face; a layer that is left behind never changes again, so one pass
    leaves no unstable pair, whatever the equation of state.

    Parameters
    ----------
    thetao, so : ``(z, y, x)``, [degC] and [1e-3].
    thickness : of the cells, ``(z, y, x)`` [m].
    top : depth of the upper face of the cells, ``(z, y, x)`` [m].
    wet : ``(z, y, x)``.

    Returns
    -------
    thetao, so : as given on land.
    """
    shape, levels = wet.shape, wet.shape[0]
    t, s, h, face, sea = (
        a.reshape(levels, -1) for a in (thetao.astype(float), so.astype(float), thickness, top, wet)
    )
    columns = np.arange(sea.shape[1])
    stack_t, stack_s, stack_h, stack_face = (np.zeros((levels, columns.size)) for _ in range(4))
    layer = np.zeros((levels, columns.size), int)  # which layer of the stack each cell went to
    count = np.zeros(columns.size, int)
    for k in range(levels):
        new = columns[sea[k]]
        for stack, values in ((stack_t, t), (stack_s, s), (stack_h, h), (stack_face, face)):
            stack[count[new], new] = values[k, new]
        count[new] += 1
        layer[k] = count - 1
        active = new[count[new] > 1]
        while active.size:
            below, above = (count[active] - 1, active), (count[active] - 2, active)
            depth = stack_face[below]
            heavy = density_anomaly(stack_t[above], stack_s[above], depth) > density_anomaly(
                stack_t[below], stack_s[below], depth
            )
            active = active[heavy]
            below, above = (count[active] - 1, active), (count[active] - 2, active)
            total = stack_h[above] + stack_h[below]
            for stack in (stack_t, stack_s):
                stack[above] = (stack[above] * stack_h[above] + stack[below] * stack_h[below]) / total
            stack_h[above] = total
            count[active] -= 1
            layer[: k + 1, active] = np.minimum(layer[: k + 1, active], count[active] - 1)
            active = active[count[active] > 1]
    pick = (np.maximum(layer, 0), np.broadcast_to(columns, layer.shape))
    return tuple(
        np.where(sea, stack[pick], old).reshape(shape) for stack, old in ((stack_t, t), (stack_s, s))
    )  # type: ignore[return-value]


def inversions(thetao: np.ndarray, so: np.ndarray, top: np.ndarray, wet: np.ndarray) -> int:
    """Count vertical pairs of wet cells with the denser one above, at the depth of their common face.

    Parameters
    ----------
    thetao, so, top, wet : as :func:`adjust_columns`.
    """
    pair = wet[:-1] & wet[1:]
    upper = density_anomaly(thetao[:-1], so[:-1], top[1:])
    lower = density_anomaly(thetao[1:], so[1:], top[1:])
    return int((np.where(pair, upper - lower, 0.0) > 0).sum())
