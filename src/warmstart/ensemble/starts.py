"""Where the members of an ensemble start: rest, a cold ocean, the nearest finished member, or what a regression expects."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from pydantic import BaseModel
from threadpoolctl import threadpool_limits

from warmstart import engines
from warmstart.ensemble.member_table import same
from warmstart.errors import UserError, reading
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.regression import normalizer as normalize
from warmstart.regression.layout import Layout
from warmstart.regression.mean import fit
from warmstart.regression.theory import NEEDED, theory_of

if TYPE_CHECKING:
    from warmstart.engines.base import Engine

log = logging.getLogger(__name__)

#: What a plan may ask for by name; anything else is the path of a restart, or of a folder with one a member.
NAMES = ("rest", "cold", "nearest", "predicted")
#: Those for which a restart is made in the member's folder, and those of them that need finished members.
MADE = ("cold", "nearest", "predicted")
FROM_FINISHED = ("nearest", "predicted")
FILE = "start.h5"
OWN = "member_{:03d}.h5"  #: a member's restart in a folder of restarts

COLD = {"thetao": 2.0, "so": 35.0}  #: the homogeneous ocean [degC, 1e-3]
CARRIED = ("thetao", "so", "uo", "vo")
FEWEST = 3  #: finished members that a regression needs


@dataclass(frozen=True)
class Finished:
    """A member whose run has ended at or near equilibrium.

    Attributes
    ----------
    path : the file that holds its states.
    values : its parameters.
    last : its last equilibrium state, dims ``(z, y, x)``.
    mean : the mean of its equilibrium states.
    """

    path: Path
    values: dict[str, float]
    last: xr.Dataset
    mean: xr.Dataset


def read_finished(
    folder: str | Path, grid: Grid, engine: Engine | None = None, before: int = 0
) -> list[Finished]:
    """Read the members of a folder that ended at or near equilibrium, in the order of their names.

    Parameters
    ----------
    folder : runs, ``member_NNN/states.nc``, or member files, ``member_NNN.nc``.
    grid : the mesh that they must have.
    engine : that ran them; None takes the default.
    before : only members with a smaller number; 0 takes all.

    Raises
    ------
    UserError
        If there are none, one is on another mesh, or its file lacks a parameter.

    Examples
    --------
    >>> read_finished("no-such-folder", grid=None)
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder holds no member at or near equilibrium...
    """
    found, known = [], (engine or engines.find(engines.DEFAULT)).parameters
    for path in sorted([*Path(folder).glob("member_*/states.nc"), *Path(folder).glob("member_*.nc")]):
        if before and _number(path) >= before:
            continue
        with (
            files.open_dataset(path) as ds,
            reading(path, "give the file of a finished member as it was made"),
        ):
            if str(ds.attrs.get("verdict")) not in ("equilibrium", "near"):
                continue
            files.open_grid(path).require_same(grid, str(path))
            states = ds[list(CARRIED)].isel(time=(ds["phase"] == "equilibrium").values).load()
            values = {name: parameters.parse(v.item(), name, known) if name in known else float(v.item())
                      for name, v in parameters.extract(ds).items()}  # fmt: skip
        if lacking := [name for name in known if name not in values]:
            raise UserError(
                f"{path} does not say its {', '.join(lacking)}; expected a finished member with all parameters"
            )
        if states.sizes["time"]:
            found.append(Finished(path, values, states.isel(time=-1), states.mean("time")))
    if not found:
        raise UserError(
            f"{folder} holds no member at or near equilibrium{f' before member {before}' if before else ''}; expected "
            "member_NNN/states.nc or member_NNN.nc of finished runs"
        )
    return found


def _number(path: Path) -> int:
    """Number of the member whose file this is; one without a number comes before all others."""
    name = path.parent.name if path.name == "states.nc" else path.stem
    digits = name.removeprefix("member_").split("_")[0]
    return int(digits) if digits.isdigit() else -1


def others(finished: Sequence[Finished], values: dict[str, float]) -> list[Finished]:
    """Those finished members whose parameters are not `values`: a member that is made again learns nothing from itself.

    Examples
    --------
    >>> others([], parameters.defaults())
    []
    """
    return [m for m in finished if not same(values, m.values)]


def varied(values: dict[str, float], finished: Sequence[Finished]) -> list[str]:
    """Names of the parameters in which the finished members and the run that shall start differ among each other.

    However they were given: drawn, fixed, or listed. What the other members of its plan are makes no difference to a run.

    Parameters
    ----------
    values : parameters of the run that shall start.
    finished : from :func:`read_finished`.

    Examples
    --------
    >>> varied(parameters.defaults(), [])
    []
    """
    return [name for name in sorted(values) if any(_differ(m.values, values, name) for m in finished)]


def nearest(values: dict[str, float], finished: Sequence[Finished], varied: Sequence[str]) -> xr.Dataset:
    """Take the last state of the member whose parameters are nearest, each in units of its range in the table, or of its logarithm.

    Parameters
    ----------
    values : parameters of the run that shall start.
    finished : from :func:`read_finished`.
    varied : names of the parameters to compare, from :func:`varied`.

    Returns
    -------
    State, dims ``(z, y, x)``; the attribute ``nearest`` names the file.

    Raises
    ------
    UserError
        If there is no finished member.
    """
    if not finished:
        raise UserError(
            "no finished member has other parameters than the run that shall start; expected one at least, or start: rest"
        )
    here = _scaled(values, varied)
    chosen = min(
        finished, key=lambda m: (float(((_scaled(m.values, varied) - here) ** 2).sum()), m.path.name)
    )
    return chosen.last.assign_attrs(nearest=str(chosen.path.name))


def predicted(
    values: dict[str, float], finished: Sequence[Finished], varied: Sequence[str], grid: Grid
) -> xr.Dataset:
    """Predict the state by the regression that generators have for their mean, on parameters and the pycnocline of theory.

    Parameters
    ----------
    values, finished, varied : as :func:`nearest`. Of a parameter in which only the run differs the members know nothing;
        the log says so.
    grid : the mesh of the members.

    Returns
    -------
    Mean equilibrium state that a Gaussian process expects (:mod:`warmstart.regression.mean`), dims ``(z, y, x)``.

    Raises
    ------
    UserError
        If there are fewer than three finished members.
    """
    if len(finished) < FEWEST:
        raise UserError(
            f"{len(finished)} finished members are too few for a regression; expected at least {FEWEST}, or start: nearest"
        )
    unknown = [n for n in varied if not any(_differ(m.values, finished[0].values, n) for m in finished)]
    if unknown:
        log.warning(
            "the finished members all have one value of %s and cannot tell what another does",
            ", ".join(unknown),
        )
    layout = Layout(grid, CARRIED)
    fields = layout.pack(xr.concat([m.mean for m in finished], "sample"))
    normalizer = normalize.fit(fields, layout)
    states = layout.to_wet(normalizer.standardise(fields))
    inputs = np.stack([_known(m.values, varied) for m in finished])
    with threadpool_limits(1):
        # one thread: the same sums, and with them the same start, whatever the machine offers
        model = fit(states, inputs, layout.to_wet(layout.weights))
        expected = layout.from_wet(model.predict(_known(values, varied)))
    return layout.unpack(normalizer.restore(expected)[None]).isel(sample=0, drop=True)


def _differ(one: dict[str, float], other: dict[str, float], name: str) -> bool:
    return not same({name: one[name]}, other)


def _scaled(values: dict[str, float], varied: Sequence[str]) -> np.ndarray:
    """Parameters on -0.5 to 0.5 over their range in the table."""
    return np.array([float(parameters.get(name).coordinate(values[name])) - 0.5 for name in varied])


def _known(values: dict[str, float], varied: Sequence[str]) -> np.ndarray:
    """Scaled parameters, with what theory makes of them if it says anything."""
    scaled = _scaled(values, varied)
    if not set(varied) & set(NEEDED):
        return scaled
    ranges = {name: (parameters.get(name).low, parameters.get(name).high) for name in varied}
    return theory_of(ranges, values).extend(scaled)


def cold(grid: Grid) -> xr.Dataset:
    """A homogeneous cold ocean at rest, the second initial state of a test for multiple equilibria.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> float(cold(basin(nx=6, ny=8, nz=4)[1]).thetao.max())
    2.0
    """
    wet = grid.tmask > 0
    return xr.Dataset(
        {name: xr.full_like(grid.tmask, value, dtype=float).where(wet) for name, value in COLD.items()}
    )


def write_start(
    start: str,
    values: dict[str, float],
    configuration: BaseModel,
    finished: Sequence[Finished],
    folder: Path,
    engine: str = engines.DEFAULT,
) -> None:
    """Write the restart that a member starts from, unless its folder holds one.

    Parameters
    ----------
    start : one of :data:`MADE`.
    values : parameters of the member.
    configuration : its grid.
    finished : from :func:`read_finished`, those of these very values left out; nobody reads it for a cold start.
    folder : of the member; ``start.h5`` is written there.
    engine : that writes it.

    Raises
    ------
    UserError
        If the finished members do not serve.
    """
    if (folder / FILE).exists():
        return
    model = engines.find(engine)
    grid, known = model.grid(configuration), others(finished, values)
    if start == "cold":
        state = cold(grid)
    elif start == "nearest":
        state = nearest(values, known, varied(values, known))
    else:
        state = predicted(values, known, varied(values, known), grid)
    folder.mkdir(parents=True, exist_ok=True)
    model.write_restart(state, grid, folder / FILE, {})


def path_of(start: str, folder: Path) -> str:
    """Tell what the job of a member says that it starts from.

    Parameters
    ----------
    start : one of :data:`NAMES`, the path of a restart, or that of a folder with one a member.
    folder : of the member, ``member_NNN``.

    Returns
    -------
    ``rest`` or the path of a restart.

    Raises
    ------
    UserError
        If a folder of restarts has none of this member.

    Examples
    --------
    >>> path_of("nearest", Path("runs/member_003"))
    'runs/member_003/start.h5'
    """
    if start in MADE:
        return str(folder / FILE)
    if not Path(start).is_dir():
        return start
    own = Path(start) / f"{folder.name}.h5"
    if not own.is_file():
        raise UserError(f"start: {start} holds no {own.name}; expected one restart a member in that folder")
    return str(own)


def expected_profile(
    values: dict[str, float],
    configuration: BaseModel,
    finished: Sequence[Finished],
    engine: str = engines.DEFAULT,
) -> tuple[float, ...]:
    """Horizontal means of temperature and salinity that the regression expects at equilibrium.

    Parameters
    ----------
    values, configuration, finished, engine : as :func:`write_start`.

    Returns
    -------
    Each level of both [degC, 1e-3], surface first.
    """
    grid = engines.find(engine).grid(configuration)
    state = predicted(values, finished, varied(values, finished), grid)
    level, weight = ("y", "x"), grid.volume
    means = [(state[n].fillna(0.0) * weight).sum(level) / weight.sum(level) for n in ("thetao", "so")]
    return tuple(float(v) for v in np.concatenate([m.values for m in means]))
