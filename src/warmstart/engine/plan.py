"""Ensemble plans: which parameters vary, how many members, how long they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from warmstart import parameters as table
from warmstart.config import Config, build, dump_yaml, load_yaml, read_yaml
from warmstart.engine import dino, starts
from warmstart.engine.acceleration import Acceleration
from warmstart.engine.base import Configuration, Job, spinup_phases
from warmstart.engine.member import LOCK
from warmstart.engine.verdict import UNTIL_YEARS
from warmstart.errors import UserError

#: Keys of a plan that may differ between two calls in the same folder: they change no member's result.
FREE = ("first", "members", "checkpoint_seconds")


class Plan(Config):
    """An ensemble of simulations.

    Attributes
    ----------
    engine : which ocean engine runs the members.
    configuration : resolution and levels.
    members : how many members, those before `first` counted; member *i* is the same whatever this number is.
    first : number of the first member that is run; those before are the business of another plan, which may start
        otherwise.
    seed : seed of the Sobol sequence that places the members in `ranges`.
    years : length of the accelerated spin-up of each member; with another `until` its longest [model years].
    until : ``years``, or ``equilibrium``: a member whose deep ocean and transports have come to rest over 200 years
        (:mod:`warmstart.engine.verdict`), and stayed so for 50, goes on to settle at once; or ``near``: one whose deep ocean has nearly, over 100.
    acceleration : extrapolation of the deep ocean between stretches of running
        (:class:`~warmstart.engine.acceleration.Acceleration`); none if it is not given.
    settle_years : years run after it at short time steps, which the ``equilibrium`` snapshots come from.
    ranges : parameter name to lowest and highest value; numbers, or text with units.
    fixed : parameters with one value for all members; the others keep the default of the parameters table.
    start : ``rest``; ``cold``, at rest and everywhere 2 degC and 35; ``nearest``, the state of the finished member with
        the nearest parameters; ``predicted``, what a regression on the finished members expects; the path of an
        engine restart from which every member starts; or a folder with one restart a member, ``member_NNN.h5``.
    finished : the folder of finished members, runs or member files, for ``nearest`` and ``predicted``, of which those
        before `first` are taken, or all if that is 0; with
        `acceleration`, the first shift aims at the profile that a regression on them expects.
    checkpoint_seconds : a killed member loses at most so much [s of wall time].
    extrapolate : whether values may lie outside the ranges in which the engine was shown to be stable.
    """

    engine: Literal["veros"] = "veros"
    configuration: Configuration
    members: int = Field(ge=1, le=100_000)
    first: int = Field(default=0, ge=0)
    seed: int = Field(ge=0)
    years: int = Field(ge=1)
    until: Literal["years", "near", "equilibrium"] = "years"
    acceleration: Acceleration | None = None
    settle_years: int = Field(default=20, ge=0)
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    fixed: dict[str, float] = Field(default_factory=dict)
    start: str = "rest"
    finished: str | None = None
    checkpoint_seconds: float = Field(default=60.0, gt=0, le=300)
    extrapolate: bool = False

    @field_validator("ranges", mode="before")
    @classmethod
    def _parse_ranges(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected parameter names with [lowest, highest]")
        ranges = {}
        for name, pair in value.items():
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise ValueError(f"{name}: expected [lowest, highest], for example [0.05 Pa, 0.4 Pa]")
            low, high = (table.parse(bound, name) for bound in pair)
            if not low < high:
                raise ValueError(f"{name}: the lowest value {low:g} is not below the highest {high:g}")
            ranges[name] = (low, high)
        return ranges

    @field_validator("fixed", mode="before")
    @classmethod
    def _parse_fixed(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected parameter names with one value each")
        return {name: table.parse(number, name) for name, number in value.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        both = sorted(set(self.ranges) & set(self.fixed))
        if both:
            raise ValueError(f"{', '.join(both)}: in ranges and in fixed; keep one of them")
        if self.start in starts.FROM_FINISHED and self.finished is None:
            raise ValueError(f"start: {self.start} needs finished: the folder of finished members")
        if self.finished is not None and self.start not in starts.FROM_FINISHED and self.acceleration is None:
            raise ValueError(
                "finished: is read for start: nearest or predicted, or with acceleration; remove it"
            )
        if self.years < UNTIL_YEARS.get(self.until, 0.0):
            raise ValueError(
                f"until: {self.until} is judged over {UNTIL_YEARS[self.until]:g} years; years is {self.years}"
            )
        if not self.extrapolate:
            given = {**self.ranges, **{name: (value, value) for name, value in self.fixed.items()}}
            for name, (low, high) in given.items():
                p = table.get(name)
                if low < p.low or high > p.high:
                    raise ValueError(
                        f"{name}: {low:g} to {high:g} {p.units} leaves the range in which the engine was shown to be "
                        f"stable, {p.low:g} to {p.high:g} {p.units}; stay inside, or set extrapolate: true"
                    )
        return self


def load_plan(
    plan: Plan | dict[str, Any] | str | Path, members: int | None = None, until: str | None = None
) -> Plan:
    """Read and resolve a plan.

    Parameters
    ----------
    plan : a plan, its content, or the path of a YAML file; a relative `start` there is relative to that file.
    members : number of members in place of the plan's.
    until : ``years``, ``near`` or ``equilibrium`` in place of the plan's.

    Returns
    -------
    The plan, values in the units of the parameters table.

    Raises
    ------
    UserError
        If the file or a key is wrong.

    Examples
    --------
    >>> load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 2, "seed": 1, "years": 30,
    ...            "ranges": {"wind_stress_south": ["50 mPa", 0.4]}}, members=3).members
    3
    """
    if isinstance(plan, Plan):
        resolved = plan
    elif isinstance(plan, dict):
        resolved = build(Plan, plan, "plan")
    else:
        resolved = load_yaml(plan, Plan)
        beside = Path(plan).parent
        if resolved.start not in starts.NAMES:
            resolved = resolved.model_copy(update={"start": str((beside / resolved.start).resolve())})
        if resolved.finished is not None:
            resolved = resolved.model_copy(update={"finished": str((beside / resolved.finished).resolve())})
    if until is not None:
        resolved = build(Plan, resolved.model_dump() | {"until": until}, "plan")
    if members is not None:
        if members < 1:
            raise UserError(f"members is {members}; expected at least 1")
        resolved = resolved.model_copy(update={"members": members})
    if resolved.first >= resolved.members:
        raise UserError(
            f"first is {resolved.first}, of {resolved.members} members; expected a smaller number"
        )
    if resolved.start not in starts.NAMES and not Path(resolved.start).exists():
        raise UserError(
            f"start: {resolved.start} does not exist; expected {', '.join(starts.NAMES)}, the path of an engine restart, "
            f"or a folder with {starts.OWN.format(0)} and so on"
        )
    if resolved.finished is not None and not Path(resolved.finished).is_dir():
        raise UserError(
            f"finished: {resolved.finished} is no folder; expected runs or a folder of member files"
        )
    return resolved


def member_parameters(plan: Plan) -> list[dict[str, float]]:
    """All parameters of every member, in the units of the parameters table, those before `first` too.

    Examples
    --------
    >>> plan = load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 2, "seed": 1, "years": 30,
    ...                   "ranges": {"bottom_drag": [3e-7, 1e-5]}})
    >>> len(member_parameters(plan))
    2
    """
    sampled = table.sobol(plan.ranges, plan.members, plan.seed)
    return [table.resolve({**plan.fixed, **values}) for values in sampled]


def finished_members(plan: Plan) -> list[starts.Finished]:
    """Read the finished members that a plan starts from or aims at.

    Raises
    ------
    UserError
        As :func:`warmstart.engine.starts.read_finished`.

    Examples
    --------
    >>> finished_members(load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 1, "seed": 1, "years": 30}))
    []
    """
    if plan.finished is None:
        return []
    grid = dino.grid(plan.configuration.resolution, plan.configuration.levels)
    return starts.read_finished(plan.finished, grid, before=plan.first)


def member_job(
    plan: Plan, values: dict[str, float], folder: Path, finished: Sequence[starts.Finished] = ()
) -> dict[str, Any]:
    """What the engine is asked for one member, as ``job.yaml`` holds it.

    Parameters
    ----------
    plan : the plan.
    values : a value for each parameter of the table, in its units.
    folder : folder of the member.
    finished : the finished members whose deep ocean the first shift aims at.

    Returns
    -------
    The content of a :class:`~warmstart.engine.base.Job`.

    Raises
    ------
    UserError
        If the run is not valid, or the folder of restarts holds none of this member.

    Examples
    --------
    >>> plan = load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 1, "seed": 1, "years": 100})
    >>> [phase["until_day"] / 360 for phase in member_job(plan, member_parameters(plan)[0], Path("runs"))["phases"]][1:]
    [100.0, 120.0]
    """
    how = plan.acceleration
    if how is not None and finished:
        expected = _begun_with(folder) or starts.expected_profile(
            values, plan.configuration, sorted(plan.ranges), finished
        )
        how = how.model_copy(update={"expected": expected})
    try:
        job = Job(
            engine=plan.engine,
            configuration=plan.configuration,
            parameters=values,
            start=starts.path_of(plan.start, folder),
            folder=folder,
            phases=spinup_phases(
                plan.years,
                plan.settle_years,
                None if plan.until == "years" else plan.until,
                how,
                resolution=plan.configuration.resolution,
            ),
            checkpoint_seconds=plan.checkpoint_seconds,
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"the plan makes no valid run: {reason}") from error
    return job.model_dump(mode="json")


def _begun_with(folder: Path) -> tuple[float, ...]:
    """The profile that a member which has begun aims at: more may have finished since, and round otherwise elsewhere."""
    path = folder / "job.yaml"
    phases = read_yaml(path).get("phases", []) if path.exists() else []
    aims = [(phase.get("acceleration") or {}).get("expected") for phase in phases]
    return next((tuple(aim) for aim in aims if aim), ())


def remember(plan: Plan, runs: Path) -> Plan:
    """Write the resolved plan beside the members, or refuse a folder that belongs to another plan.

    Parameters
    ----------
    plan : the resolved plan.
    runs : the folder of the ensemble; made if it does not exist.

    Returns
    -------
    The plan as written: all members ever asked for.

    Raises
    ------
    UserError
        Naming the keys that differ.

    Examples
    --------
    >>> import tempfile
    >>> plan = load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 1, "seed": 1, "years": 100})
    >>> remember(plan, Path(tempfile.mkdtemp()) / "runs") == plan
    True
    """
    path = runs / "plan.yaml"
    if path.exists():
        former = load_yaml(path, Plan)
        differing = [
            f"{key} ({_short(getattr(former, key))} there, {_short(getattr(plan, key))} asked for)"
            for key in Plan.model_fields
            if key not in FREE and getattr(former, key) != getattr(plan, key)
        ]
        if differing:
            raise UserError(
                f"{runs} holds an ensemble of another plan: {'; '.join(differing)}. "
                "Choose another output folder, or change the plan back; only members may grow"
            )
        plan = plan.model_copy(
            update={"first": min(plan.first, former.first), "members": max(plan.members, former.members)}
        )
        if plan == former:
            return plan
    elif runs.exists() and any(path.name != LOCK for path in runs.iterdir()):
        raise UserError(
            f"{runs} exists and holds no plan.yaml; choose an empty or a new folder for the ensemble"
        )
    runs.mkdir(parents=True, exist_ok=True)
    dump_yaml(plan, path)
    return plan


def _short(value: Any) -> str:
    text = str(value.model_dump() if isinstance(value, BaseModel) else value)
    return text if len(text) <= 80 else text[:77] + "…"
