"""The north fold of a tripolar mesh: which cells repeat others, and what lies beyond the last row.

The northern edge of such a mesh is folded onto itself, about T points or about F points (NEMO manual 4.2, section 7.2). NEMO up to 4.0 writes
a row beyond the fold, later versions do not; either way cells on the fold are there twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

#: C-grid points of which a mesh may say what is counted once, NEMO's ``tmaskutil umaskutil vmaskutil``.
POINTS = ("T", "U", "V")
#: Share of the distance to the next point within which two points are the same.
SAME = 0.05
#: ``jperio`` of NEMO up to 4.0.
JPERIO: dict[int, Literal["T", "F"]] = {3: "T", 4: "T", 5: "F", 6: "F"}


@dataclass(frozen=True)
class Fold:
    """How the last rows of a mesh are folded.

    Attributes
    ----------
    pivot : ``"T"`` or ``"F"``: points about which the mesh is folded.
    beyond : whether the mesh holds a row beyond the fold, as NEMO up to 4.0 does.

    Examples
    --------
    >>> Fold("F", beyond=True).unique((3, 4), "T")[-1]
    array([False, False, False, False])
    """

    pivot: Literal["T", "F"]
    beyond: bool

    def _images(self, shape: tuple[int, int], point: str) -> tuple[int, np.ndarray]:
        """Sum of the numbers of a row and its image, and the image of each column."""
        ny, nx = shape
        axis = ny - 1 - self.beyond  # the row of T (or V) points that the fold runs through
        along = point in ("T", "U") if self.pivot == "T" else point in ("V", "F")
        total = 2 * axis if along else 2 * axis + (1 if self.pivot == "F" else -1)
        shift = {"T": nx, "F": nx - 1}[self.pivot] - (point in ("U", "F"))
        return total, (shift - np.arange(nx)) % nx

    def unique(self, shape: tuple[int, int], point: str) -> np.ndarray:
        """Which cells are not repeated, ``(y, x)``.

        Parameters
        ----------
        shape : rows and columns of the mesh, without repeated columns.
        point : ``"T"``, ``"U"``, ``"V"`` or ``"F"``.

        Returns
        -------
        Of a row that the fold runs through the first half is counted, as NEMO counts (``tmask_i``).
        """
        ny, nx = shape
        total, _ = self._images(shape, point)
        rows = np.arange(ny)[:, None]
        half = np.arange(nx)[None, :] < (nx + 1) // 2
        return np.where(total - rows == rows, half, total - rows > rows)

    def restored(self, values: np.ndarray, point: str) -> np.ndarray:
        """A field with its repeated cells set from those that they repeat; velocities change their sign.

        Parameters
        ----------
        values : ``(..., y, x)``.
        point : its C-grid point.
        """
        total, image = self._images(values.shape[-2:], point)
        out, sign = values.copy(), -1.0 if point in ("U", "V") else 1.0
        ny, nx = values.shape[-2:]
        for row in range(ny - 3, ny):
            source = total - row
            if 0 <= source < row:
                out[..., row, :] = sign * values[..., source, image]
            elif source == row:
                half = slice((nx + 1) // 2, nx)
                out[..., row, half] = sign * values[..., row, image[half]]
        return out

    def neighbours(self, shape: tuple[int, int]) -> tuple[int, np.ndarray]:
        """Row, and column of each column, of the T cells north of the last row."""
        total, image = self._images(shape, "T")
        return total - shape[0], image

    def next_row(self, values: np.ndarray, point: str) -> np.ndarray:
        """The row north of the last one, ``(..., x)``; velocities change their sign."""
        total, image = self._images(values.shape[-2:], point)
        sign = -1 if point in ("U", "V") else 1
        return np.asarray(values[..., total - values.shape[-2], image] * np.asarray(sign, values.dtype))


def recognise(fields: Mapping[str, np.ndarray], facts: Mapping[str, Any], columns: bool) -> Fold | None:
    """Tell how a mesh is folded.

    Parameters
    ----------
    fields : variables of the mesh ``([z,] y, x)``, repeated columns taken off: positions, and masks where it has them.
    facts : ``jperio``, or ``NFold`` and ``NFtype``, as far as the file says them.
    columns : whether the file repeated columns.

    Returns
    -------
    None for a mesh that is not folded. Positions go before what the file says of its rows, and where it says nothing its positions, its
    ``tmaskutil`` or the shape of its sea decide.

    Examples
    --------
    >>> recognise({"glamt": np.zeros((2, 2)), "gphit": np.zeros((2, 2))}, {"jperio": 1}, False)
    """
    ny, nx = fields["glamt"].shape
    said = JPERIO.get(int(facts.get("jperio", 0)))
    if said is None and int(facts.get("NFold", 0)):
        said = "F" if str(facts.get("NFtype", "T")).strip().upper() == "F" else "T"
    if nx < 4 or ny < 4:
        return None
    possible = [Fold(p, row) for p in ("T", "F") if said in (None, p) for row in (True, False)]
    for fits in (_by_positions, _by_masks, _by_sea):
        found = [fold for fold in possible if fits(fold, fields)]
        if len(found) == 1:
            return found[0]
    if said is None:
        return None
    return Fold(said, columns if "NFold" in facts else True)


def _by_positions(fold: Fold, fields: Mapping[str, np.ndarray]) -> bool:
    """Whether the points that would be the same lie in the same places."""
    compared = 0
    for point in POINTS:
        lon, lat = (fields.get(f"{name}{point.lower()}") for name in ("glam", "gphi"))
        if lon is None or lat is None:
            continue
        repeated = ~fold.unique(lon.shape, point)
        if not repeated.any():
            continue
        place = _on_sphere(lon, lat)
        image = _image(fold, place, point)
        apart = np.linalg.norm(place - image, axis=0)[repeated]
        step = np.linalg.norm(np.diff(place[:, -3:], axis=-1), axis=0)
        near = SAME * max(float(np.nanmedian(step)), 1e-9)
        if not np.isfinite(apart).any() or np.nanmax(apart) > near or not np.nanmax(step) > 1e-9:
            return False
        compared += 1
    return compared > 0


def _image(fold: Fold, values: np.ndarray, point: str) -> np.ndarray:
    """What is in the image of every repeated cell, without a change of sign."""
    sign = -1.0 if point in ("U", "V") else 1.0
    return np.where(fold.unique(values.shape[-2:], point), values, sign * fold.restored(values, point))


def _on_sphere(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Places as unit vectors, ``(3, y, x)``."""
    x, y = np.deg2rad(lon.astype("float64")), np.deg2rad(lat.astype("float64"))
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])


def _by_masks(fold: Fold, fields: Mapping[str, np.ndarray]) -> bool:
    """Whether the mesh's own count of unique cells is that of the fold, but for the pivots themselves."""
    repeated = 0
    for point in ("T", "V"):
        own, mask = fields.get(f"{point.lower()}maskutil"), fields.get(f"{point.lower()}mask")
        if own is None or mask is None:
            continue
        wet = (mask > 0.5).any(axis=0)
        lost = wet & ~fold.unique(wet.shape, point)
        if ((own > 0.5) & lost)[-2:].sum() > 2 or (wet & (own < 0.5) & ~lost)[-2:].sum() > 2:
            return False
        repeated += int(lost.sum())
    return repeated > 0


def _by_sea(fold: Fold, fields: Mapping[str, np.ndarray]) -> bool:
    """Whether the sea is the same in repeated cells: in a mesh that is not folded the last row is land."""
    if "tmask" in fields:
        depth = (fields["tmask"] > 0.5).sum(axis=0)
    else:
        depth = fields.get("bottom_level", np.zeros(fields["glamt"].shape))
    repeated = ~fold.unique(depth.shape, "T")
    if not repeated.any() or len(np.unique(depth[-1])) < 2:
        return False
    return bool((depth == fold.restored(depth, "T"))[repeated].all())


def unique_cells(fields: Mapping[str, np.ndarray], fold: Fold | None) -> dict[str, np.ndarray]:
    """Which cells of each point are counted once, by the mesh's own word or by its fold.

    Parameters
    ----------
    fields : variables of the mesh with complete masks, and ``tmaskutil umaskutil vmaskutil`` where it has them.
    fold : from :func:`recognise`.

    Returns
    -------
    ``tmaskutil umaskutil vmaskutil`` as int8 ``(y, x)``, 0 where a cell repeats another and 1 elsewhere, land too; empty where none does.

    Examples
    --------
    >>> unique_cells({name: np.ones((1, 4, 4)) for name in ("tmask", "umask", "vmask")}, None)
    {}
    """
    result = {}
    for point in POINTS:
        name, mask = f"{point.lower()}maskutil", fields[f"{point.lower()}mask"] > 0.5
        wet = mask.any(axis=0)
        if name in fields:
            once = (fields[name] > 0.5) | ~wet
            # NEMO up to 3.6 may leave the columns of cavities out
            once[:-2] |= (~mask[0] & wet)[:-2]
        else:
            once = np.ones(wet.shape, bool) if fold is None else fold.unique(wet.shape, point) | ~wet
        result[name] = once.astype("int8")
    return result if any((once == 0).any() for once in result.values()) else {}
