"""Conservation: heat, salt and volume of a state are set exactly, along what the prior says varies together.

Among all states with the right contents the conditional law of a Gaussian prior of covariance C moves x to

    x + C w (w' C w)^-1 (target - w' x)

where w are the weights of the contents. The plain (orthogonal) projection, C = 1, adds the same number everywhere: the
content is right, the state is not one of the prior's any more.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints.bounds import require_bounded
from warmstart.generator.constraints.constraint import Constraint, Moved, declared
from warmstart.generator.space import Coordinates
from warmstart.ocean.eos import CP, RHO0
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import STATE_VARIABLES, VARIABLES
from warmstart.regression.normalizer import Normalizer

log = logging.getLogger(__name__)

#: Which content the mean of each variable stands for, its unit, and the content of a unit of the mean in one m3 (or m2).
CONTENTS: dict[str, tuple[str, str, float]] = {
    "thetao": ("heat", "J", RHO0 * CP),
    "so": ("salt", "kg", RHO0 * 1e-3),
    "zos": ("volume", "m3", 1.0),
}
#: What holds when a mean is set.
SET = {"thetao": "heat content", "so": "salt content", "zos": "mean sea level"}
#: Unit and meaning of what :func:`conserve` records.
RECORDS = {
    "constraint_heat": ("J", "heat content added to reach the wanted one"),
    "constraint_salt": ("kg", "salt content added to reach the wanted one"),
    "constraint_volume": ("m3", "volume added to reach the wanted one"),
    "constraint_conserved_temperature": (
        "K",
        "root mean square change of temperature by setting the contents",
    ),
    "constraint_conserved_salinity": ("1e-3", "root mean square change of salinity by setting the contents"),
}
#: Share of the same number everywhere in a response, so that contents can be set that no mode of the prior changes.
UNIFORM = 1e-3
#: Standard deviations from which a content is so unlikely that a warning is given.
FAR = 4.0
#: Relative error of a mean that is no error.
ROUND_OFF = 1e-14
#: A prior whose contents vary by less than this share of its cells does not know how contents vary: what varies is the
#: round-off of its patterns, which a generator stores in half precision (1e-5).
SMALLEST = 1e-3


def means(state: xr.Dataset, grid: Grid) -> dict[str, float]:
    """Means that stand for the contents of a state.

    Parameters
    ----------
    state : ``thetao so zos``, or some of them, dims ``(z, y, x)``.
    grid : its mesh.

    Returns
    -------
    Volume mean of ``thetao`` [degC] and ``so`` [1e-3], area mean of ``zos`` [m].

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> round(means(state, grid)["so"], 2)
    35.18
    """
    weights = _weights(grid)
    return {
        n: float(np.nansum(state[n].transpose(*w.dims).values * w.values))
        for n, w in weights.items()
        if n in state
    }


def conserve(
    state: xr.Dataset,
    grid: Grid,
    targets: Mapping[str, float],
    responses: Mapping[str, xr.Dataset] | None = None,
) -> tuple[xr.Dataset, dict[str, float]]:
    """Set the contents of heat, salt and volume.

    Parameters
    ----------
    state : dims ``(z, y, x)``, NaN on land.
    grid : its mesh.
    targets : wanted means, as :func:`means` gives them; contents that are not named stay free.
    responses : how the state changes with each content (:func:`responses_of`); None adds the same number everywhere.

    Returns
    -------
    state : with these means, to round-off.
    record : heat [J], salt [kg] and volume [m3] added, and the root mean square change of temperature and salinity.

    Raises
    ------
    UserError
        If a target is unknown, not finite or beyond the physical bounds of its variable.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> warmer, record = conserve(state, grid, {"thetao": means(state, grid)["thetao"] + 1})
    >>> round(means(warmer, grid)["thetao"] - means(state, grid)["thetao"], 12)
    1.0
    """
    wanted = check_targets(targets)
    uniform = {n: xr.Dataset({n: grid.mask("T", VARIABLES[n].three_d) * 1.0}) for n in wanted}
    directions = [(responses or {}).get(n, uniform[n]) for n in wanted]
    before, new = means(state, grid), state
    for n, direction in zip(wanted, directions, strict=True):
        far = abs(wanted[n] - before[n]) / direction.attrs.get("spread", np.inf)
        if far > FAR:
            log.warning(
                "a mean of %s of %g %s is %.0f standard deviations of the generator's law from what was drawn: the state is "
                "an extrapolation", n, wanted[n], VARIABLES[n].units, far,
            )  # fmt: skip
    size_of = np.array([means(abs(state[[n]]), grid)[n] for n in wanted])
    for _ in range(3 if wanted else 0):  # the first is exact but for round-off, which the others take away
        gap = np.array([target - means(new, grid)[n] for n, target in wanted.items()])
        if (np.abs(gap) <= ROUND_OFF * size_of).all():
            break
        moving = [means(d, grid) for d in directions]
        gain = np.array([[m.get(n, 0.0) for m in moving] for n in wanted])
        for size, direction in zip(np.linalg.solve(gain, gap), directions, strict=True):
            moved = {n: new[n] + size * direction[n] for n in direction.data_vars if n in new}
            new = new.assign({n: da.assign_attrs(state[n].attrs) for n, da in moved.items()})
    after = means(new, grid)
    extent = {"thetao": grid.volume.sum(), "so": grid.volume.sum(), "zos": grid.area.sum()}
    record = {
        f"constraint_{content}": (after[n] - before[n]) * float(extent[n]) * factor
        for n, (content, _, factor) in CONTENTS.items()
        if n in before
    }
    for n, word in (("thetao", "temperature"), ("so", "salinity")):
        change = new[n] - state[n] if n in state else xr.zeros_like(grid.tmask, float)
        record[f"constraint_conserved_{word}"] = (
            float(((change**2).fillna(0.0) * _weights(grid)[n]).sum()) ** 0.5
        )
    return new, record


def check_targets(targets: Mapping[str, float]) -> dict[str, float]:
    """Refuse means that no state has.

    Raises
    ------
    UserError
        If a target is unknown, not a finite number or beyond the physical bounds of its variable.

    Examples
    --------
    >>> check_targets({"so": 35})
    {'so': 35.0}
    """
    unknown = [n for n in targets if n not in CONTENTS]
    if unknown:
        known = ", ".join(f"{n} ({content})" for n, (content, _, _) in CONTENTS.items())
        raise UserError(f"cannot conserve {', '.join(unknown)}: expected means of {known}")
    found = {}
    for name, target in targets.items():
        low, high = VARIABLES[name].bounds
        try:
            found[name] = float(target)
        except (TypeError, ValueError) as error:
            raise UserError(f"the mean of {name} to conserve is {target!r}; expected a number") from error
        if not low <= found[name] <= high:
            raise UserError(
                f"the mean of {name} to conserve is {found[name]:g} {VARIABLES[name].units}; expected {low:g} to {high:g}"
            )
    return found


@lru_cache(maxsize=8)
def responses_of(coordinates: Coordinates, normalizer: Normalizer) -> dict[str, xr.Dataset]:
    """How a state changes, on average over the law of the residual, when one of its contents is one unit larger.

    Parameters
    ----------
    coordinates : of the residual: their white noise is the prior.
    normalizer : its units.

    Returns
    -------
    For each variable of :data:`CONTENTS` a change of state whose mean of that variable is 1; its attribute ``spread`` is the
    standard deviation of that mean.
    """
    layout, grid = coordinates.layout, coordinates.layout.grid
    std = layout.to_wet(np.broadcast_to(normalizer.std[:, None, None], layout.shape))
    found = {}
    for name, weight in _weights(grid).items():
        if name not in layout.slices:
            continue
        functional = np.zeros(layout.shape)
        functional[layout.slices[name]] = weight.values
        functional = layout.to_wet(functional) * std
        change = covariance(coordinates, functional)
        variance = float(functional @ change)
        # were all cells to vary together, the content would vary by so much
        if variance <= (SMALLEST * float(np.abs(functional) @ np.sqrt(coordinates.variance()))) ** 2:
            continue
        response = layout.unpack(layout.from_wet(change * std * (1 - UNIFORM) / variance)[None]).isel(
            sample=0
        )
        found[name] = response.assign({name: response[name] + UNIFORM}).assign_attrs(spread=variance**0.5)
    return found


def covariance(coordinates: Coordinates, functional: np.ndarray) -> np.ndarray:
    """Covariance ``(wet,)`` of white noise, decoded, with a weighted sum of itself; weights ``(wet,)``."""
    return coordinates.decode(adjoint(coordinates, functional))


def adjoint(coordinates: Coordinates, gradient: np.ndarray) -> np.ndarray:
    """Gradient ``(..., *shape)`` with respect to the latent of what has the gradient ``(..., wet)`` with respect to the residual.

    The transpose of decoding.
    """
    if len(coordinates.basis):
        weights = coordinates.layout.to_wet(coordinates.layout.weights)
        return coordinates.encode(gradient / weights) * coordinates.scale**2
    return coordinates.encode(gradient) * coordinates.scale[:, None, None] ** 2


@lru_cache(maxsize=4)
def _weights(grid: Grid) -> dict[str, xr.DataArray]:
    """Weights of the means that stand for contents."""
    volume, area = grid.volume / grid.volume.sum(), grid.area / grid.area.sum()
    return {"thetao": volume, "so": volume, "zos": area}


def contents_of(state: xr.Dataset, grid: Grid) -> dict[str, float]:
    """Means of temperature and salinity that a state has, and no mean sea level: what its corrections have to keep."""
    return means(state, grid) | ({"zos": 0.0} if "zos" in state else {})


def setting(targets: Mapping[str, float], responses: Mapping[str, xr.Dataset] | None = None) -> Constraint:
    """Make the constraint that a state has the contents that are wanted, by :func:`conserve`.

    It may leave the bounds by what was clipped and has to be given back elsewhere.
    """

    # what varies together with a content is anything, so all variables may change
    @declared(
        needs=tuple(targets), changes=tuple(STATE_VARIABLES), keeps=("land",),
        makes=tuple(fact for n, fact in SET.items() if n in targets),
        records=RECORDS,
    )  # fmt: skip
    def contents(state: xr.Dataset, grid: Grid) -> Moved:
        kept, record = conserve(state, grid, targets, responses)
        require_bounded(kept, targets)
        return kept, record

    return contents


def levelling(mean: float = 0.0) -> Constraint:
    """Make the constraint that the sea level has an area mean [m]; it records by how much it was too high."""

    @declared(
        needs=("zos",), changes=("zos",), makes=("mean sea level",),
        keeps=(
            "land", "bounds", "heat content", "salt content", "columns", "stability", "barotropic flow", "overturning",
        ),
        records={"constraint_sea_level": ("m", "mean sea level removed")},
    )  # fmt: skip
    def volume(state: xr.Dataset, grid: Grid) -> Moved:
        zos = state["zos"]
        above = float((zos.fillna(0.0) * grid.area).sum() / grid.area.sum()) - mean
        return state.assign(zos=(zos - above).assign_attrs(zos.attrs)), {"constraint_sea_level": above}

    return volume
