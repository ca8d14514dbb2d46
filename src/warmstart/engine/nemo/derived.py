"""Fields of NEMO's restarts that follow from the five prognostic ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from warmstart import eos
from warmstart.engine.nemo.template import Template
from warmstart.grid import Grid

Fields: TypeAlias = Mapping[str, np.ndarray]

#: Before-fields of the leapfrog scheme and the now-fields they start from.
BEFORE = {"tb": "tn", "sb": "sn", "ub": "un", "vb": "vn", "sshb": "sshn"}
#: Largest rms misfit at which a template's ``rhop`` counts as that of the simplified equation of state [kg m-3].
SAME_DENSITY = 0.05


def _before(name: str) -> Callable[[Fields, Grid], np.ndarray]:
    return lambda fields, grid: fields[BEFORE[name]]


def _density(fields: Fields, grid: Grid) -> np.ndarray:
    """Potential density at the surface [kg m-3], land 0."""
    rhop = eos.RHO0 + eos.density_anomaly(fields["tn"], fields["sn"], 0.0)
    return np.where(grid.tmask.values > 0, rhop, 0.0)


def _depth(grid: Grid, point: str) -> np.ndarray:
    return (grid.ds[f"e3{point}_0"].values * (grid.ds[f"{point}mask"].values > 0)).sum(axis=0)


def depth_mean(velocity: np.ndarray, grid: Grid, point: str) -> np.ndarray:
    """Depth mean of a velocity; the sea level stretches all cells of a column alike and does not change it.

    Parameters
    ----------
    velocity : at U or V points, land 0 [m s-1], dims ``(z, y, x)``.
    grid : its mesh.
    point : ``"u"`` or ``"v"``.

    Returns
    -------
    ``(y, x)`` [m s-1], 0 on land: NEMO's ``uu_b``, ``uu_n``.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> grid = basin()[1]
    >>> float(depth_mean(grid.umask.values * 0.1, grid, "u").max())
    0.1
    """
    thickness = grid.ds[f"e3{point}_0"].values * (grid.ds[f"{point}mask"].values > 0)
    total = thickness.sum(axis=0)
    return (velocity * thickness).sum(axis=0) / np.where(total > 0, total, 1.0)


def _surface(name: str) -> Callable[[Fields, Grid], np.ndarray]:
    return lambda fields, grid: fields[name][0] if fields[name].ndim == 3 else fields[name]


def _stretched(fields: Fields, grid: Grid) -> np.ndarray:
    """Thickness of the T cells under the sea level: all cells of a column by the same factor."""
    depth = _depth(grid, "t")
    factor = 1.0 + fields["sshn"] / np.where(depth > 0, depth, 1.0)
    return grid.e3t_0.values * np.where(grid.tmask.values > 0, factor, 1.0)


#: Name in the restart: what it depends on, and how it is computed. ``sst_m`` is potential temperature, as with ``ln_seos``.
DERIVED: dict[str, tuple[tuple[str, ...], Callable[[Fields, Grid], np.ndarray]]] = {
    **{name: ((now,), _before(name)) for name, now in BEFORE.items()},
    "rhop": (("tn", "sn"), _density),
    "uu_n": (("un",), lambda fields, grid: depth_mean(fields["un"], grid, "u")),
    "vv_n": (("vn",), lambda fields, grid: depth_mean(fields["vn"], grid, "v")),
    "ssha": (("sshn",), lambda fields, grid: fields["sshn"]),
    "ub2_b": (("un",), lambda fields, grid: depth_mean(fields["un"], grid, "u") * _depth(grid, "u")),
    "vb2_b": (("vn",), lambda fields, grid: depth_mean(fields["vn"], grid, "v") * _depth(grid, "v")),
    "un_bf": (("un",), lambda fields, grid: np.zeros(grid.shape[1:])),
    "vn_bf": (("vn",), lambda fields, grid: np.zeros(grid.shape[1:])),
    "ssu_m": (("un",), _surface("un")),
    "ssv_m": (("vn",), _surface("vn")),
    "sst_m": (("tn",), _surface("tn")),
    "sss_m": (("sn",), _surface("sn")),
    "ssh_m": (("sshn",), _surface("sshn")),
    "e3t_m": (("sshn",), lambda fields, grid: _stretched(fields, grid)[0]),
    "e3t_n": (("sshn",), _stretched),
    "e3t_b": (("sshn",), _stretched),
    **{name: (("un",), lambda fields, grid: depth_mean(fields["un"], grid, "u")) for name in ("ub_e", "ubb_e")},
    **{name: (("vn",), lambda fields, grid: depth_mean(fields["vn"], grid, "v")) for name in ("vb_e", "vbb_e")},
    **{name: (("sshn",), lambda fields, grid: fields["sshn"]) for name in ("sshb_e", "sshbb_e")},
}  # fmt: skip

#: Sums that NEMO goes on adding to (sbcssm), over all steps of a period of the surface forcing but one.
SUMS = ("ssu_m", "ssv_m", "sst_m", "sss_m", "ssh_m", "e3t_m")


def recompute(
    template: Template, fields: Fields, changed: set[str], grid: Grid
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Compute what the template has and the changed fields determine.

    Parameters
    ----------
    template : the template.
    fields : all five prognostic fields, land 0.
    changed : names of those that differ from the template's.
    grid : the mesh.

    Returns
    -------
    values : new values of each variable to overwrite.
    dropped : variables that must go: a ``rhop`` by another equation of state, which NEMO computes anew if it is missing.

    Examples
    --------
    >>> recompute(template, fields, {"tn"}, grid)[0].keys()  # doctest: +SKIP
    dict_keys(['tb', 'rhop'])
    """
    steps = max(float(template.read("nn_fsbc")) - 1.0, 1.0) if "nn_fsbc" in template.names else 1.0
    values = {
        name: function(fields, grid)
        for name, (needs, function) in DERIVED.items()
        if name in template.names and changed & set(needs)
    }
    values |= {name: steps * values[name] for name in SUMS if name in values}
    if "rhop" in values and not _same_equation(template, grid):
        return {name: v for name, v in values.items() if name != "rhop"}, ("rhop",)
    return values, ()


def _same_equation(template: Template, grid: Grid) -> bool:
    """Whether the template's density is that of NEMO's simplified equation of state."""
    wet = grid.tmask.values > 0
    own = {name: template.read(name) for name in ("tn", "sn", "rhop")}
    misfit = (own["rhop"] - _density(own, grid))[wet]
    return bool(np.sqrt(np.mean(misfit**2)) < SAME_DENSITY)
