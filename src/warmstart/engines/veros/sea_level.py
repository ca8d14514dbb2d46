"""Sea level of a rigid-lid model, diagnosed from the flow below the surface layer."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from warmstart.ocean import eos
from warmstart.ocean.grid import Grid

REFERENCE_DEPTH = 200.0  #: below the Ekman layer, above all topography [m]
UNCONSTRAINED = 1e-6  #: relative weight of a level sea where the reference depth is below the sea floor


def sea_level(thetao: np.ndarray, so: np.ndarray, uo: np.ndarray, vo: np.ndarray, grid: Grid) -> np.ndarray:
    """Diagnose the sea level whose geostrophic balance carries the flow at 200 m.

    The balance at the T point nearest to the reference depth z_r is
    ``G grad(zos) = -f k x u(z_r) - (G / RHO0) grad(integral of the density anomaly from z_r to 0)``; it is solved by
    least squares over the wet faces, weighted with their area, with zero area mean.

    Parameters
    ----------
    thetao, so : temperature [degC] and salinity [1e-3], dims ``(z, y, x)``; land is ignored.
    uo, vo : velocity, zero on land [m s-1], dims ``(z, y, x)``.
    grid : the mesh, periodic in x.

    Returns
    -------
    Sea level, NaN on land [m], dims ``(y, x)``.
    """
    level = int(np.abs(grid.gdept_1d.values - REFERENCE_DEPTH).argmin())
    tmask = grid.tmask.values > 0
    anomaly = np.where(tmask, eos.density_anomaly(thetao, so, grid.gdept_0.values), 0.0)
    thickness = grid.e3t_0.values[: level + 1].copy()
    thickness[-1] = grid.gdept_0.values[level] - grid.gdepw_0.values[level]
    steric = -(anomaly[: level + 1] * thickness).sum(0) / eos.RHO0
    slope_x, slope_y = _geostrophic_slopes(uo[level], vo[level], grid, level)
    return _integrate_slopes(slope_x, slope_y, steric, grid, level)


def _geostrophic_slopes(
    uo: np.ndarray, vo: np.ndarray, grid: Grid, level: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes f v / G at U points and -f u / G at V points."""
    umask, vmask = grid.umask.values[level], grid.vmask.values[level]

    def mean(values: np.ndarray, mask: np.ndarray, shifts: tuple[tuple[int, int], ...]) -> np.ndarray:
        total = sum(_shift(values * mask, *s) for s in shifts)
        count = sum(_shift(mask.astype("float64"), *s) for s in shifts)
        return np.asarray(total / np.maximum(count, 1.0))

    v_at_u = mean(vo, vmask, ((0, 0), (0, 1), (-1, 0), (-1, 1)))
    u_at_v = mean(uo, umask, ((0, 0), (1, 0), (0, -1), (1, -1)))
    coriolis_v = 0.5 * (grid.ff_f.values + np.roll(grid.ff_f.values, 1, axis=1))
    return grid.ff_t.values * v_at_u / eos.G, -coriolis_v * u_at_v / eos.G


def _shift(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """``out[j, i] = values[j + rows, i + columns]``: periodic in x, zero beyond the first and last row."""
    moved = np.roll(values, (-rows, -columns), axis=(0, 1))
    if rows > 0:
        moved[-rows:] = 0
    elif rows < 0:
        moved[:-rows] = 0
    return moved


def _integrate_slopes(
    slope_x: np.ndarray, slope_y: np.ndarray, steric: np.ndarray, grid: Grid, level: int
) -> np.ndarray:
    """Least-squares surface whose slopes are the given ones plus those of `steric`."""
    _, ny, nx = grid.shape
    cell = np.arange(ny * nx).reshape(ny, nx)
    east, north = np.roll(cell, -1, axis=1), np.concatenate([cell[1:], cell[-1:]])
    blocks = []
    for here, there, slope, name in ((cell, east, slope_x, "u"), (cell, north, slope_y, "v")):
        spacing, across = (grid.e1u, grid.e2u) if name == "u" else (grid.e2v, grid.e1v)
        mask = grid.ds[f"{name}mask"].values
        wet = mask[0].ravel() > 0
        deep = mask[level].ravel()[wet] > 0
        rise = (slope * spacing.values).ravel()[wet] + (steric.ravel()[there.ravel()] - steric.ravel())[wet]
        weight = (across.values / spacing.values).ravel()[wet] * np.where(deep, 1.0, UNCONSTRAINED)
        blocks.append((here.ravel()[wet], there.ravel()[wet], np.where(deep, rise, 0.0), weight))
    here, there, rise, weight = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    sea = grid.tmask.values[0].ravel() > 0
    index = np.cumsum(sea) - 1
    faces = np.arange(here.size)
    difference = scipy.sparse.csr_matrix(
        (np.repeat([-1.0, 1.0], faces.size), (np.tile(faces, 2), index[np.concatenate([here, there])])),
        shape=(faces.size, int(sea.sum())),
    )
    laplacian = (difference.T @ scipy.sparse.diags(weight) @ difference).tocsc()
    right = difference.T @ (weight * rise)
    surface = np.zeros(right.size)
    surface[1:] = scipy.sparse.linalg.spsolve(laplacian[1:, 1:], right[1:])
    area = (grid.e1t.values * grid.e2t.values).ravel()[sea]
    out = np.full(ny * nx, np.nan)
    out[sea] = surface - (surface * area).sum() / area.sum()
    return out.reshape(ny, nx)
