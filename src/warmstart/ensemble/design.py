"""Ensemble plans: which members with which parameters, drawn from ranges or listed, and how long they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from warmstart import engines
from warmstart.engines.base import MOST_YEARS, Job, with_configuration
from warmstart.ensemble import member_table, starts
from warmstart.ensemble.member_table import Listed
from warmstart.equilibrium.acceleration import Acceleration
from warmstart.equilibrium.verdict import UNTIL_YEARS
from warmstart.errors import UserError, require_path
from warmstart.io import outputs
from warmstart.io.config import Config, build, dump_yaml, load_yaml, read_yaml
from warmstart.ocean import parameters as table
from warmstart.ocean.parameters import Parameter

#: Keys of a plan that may differ between two calls in the same folder: they change no member's result.
FREE = ("first", "members", "checkpoint_seconds")


class Plan(Config):
    """An ensemble of simulations.

    Attributes
    ----------
    engine : which ocean engine runs the members.
    configuration : the grid, in the terms of the engine: resolution and levels.
    parameters : the members one by one, each its parameters and, if wanted, its `name` and `split`; in a plan file also
        the path of a CSV table of them, relative to the plan (:func:`~warmstart.ensemble.member_table.read_table`). Without it
        they are drawn from `ranges`.
    members : how many members, those before `first` counted; member *i* is the same whatever this number is. Of listed
        members it is their number and need not be given.
    first : number of the first member that is run; those before are the business of another plan, which may start
        otherwise.
    seed : seed of the Sobol sequence that places the members in `ranges`; nothing is drawn where they are listed.
    years : length of the accelerated spin-up of each member; with another `until` its longest [model years].
    until : ``years``, or ``equilibrium``: a member whose deep ocean and transports have come to rest over 200 years
        (:mod:`warmstart.equilibrium.verdict`), and stayed so for 50, goes on to settle at once; or ``near``: one whose deep ocean has nearly, over 100.
    acceleration : extrapolation of the deep ocean between stretches of running
        (:class:`~warmstart.equilibrium.acceleration.Acceleration`); none if it is not given.
    settle_years : years run after it at short time steps, which the ``equilibrium`` snapshots come from.
    ranges : parameter name to lowest and highest value; numbers, or text with units.
    fixed : parameters with one value for all members, but those that are listed with another; the others keep the
        default of the parameters table.
    start : ``rest``; ``cold``, at rest and everywhere 2 degC and 35; ``nearest``, the state of the finished member with
        the nearest parameters; ``predicted``, what a regression on the finished members expects; the path of an
        engine restart from which every member starts; or a folder with one restart a member, ``member_NNN.h5``.
    finished : the folder of finished members, runs or member files, for ``nearest`` and ``predicted``, of which those
        before `first` are taken, or all if that is 0; with
        `acceleration`, the first shift aims at the profile that a regression on them expects.
    checkpoint_seconds : a killed member loses at most so much [s of wall time].
    extrapolate : whether values may lie outside the ranges in which the engine was shown to be stable.
    """

    engine: str = engines.DEFAULT
    configuration: Any
    parameters: tuple[Listed, ...] | None = Field(default=None, max_length=member_table.MOST)
    members: int = Field(ge=1, le=100_000)
    first: int = Field(default=0, ge=0)
    seed: int = Field(ge=0)
    years: int = Field(ge=1, le=MOST_YEARS)
    until: Literal["years", "near", "equilibrium"] = "years"
    acceleration: Acceleration | None = None
    settle_years: int = Field(default=20, ge=0, le=MOST_YEARS)
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    fixed: dict[str, float] = Field(default_factory=dict)
    start: str = "rest"
    finished: str | None = None
    checkpoint_seconds: float = Field(default=60.0, gt=0, le=300)
    extrapolate: bool = False

    @model_validator(mode="before")
    @classmethod
    def _count_listed(cls, given: Any) -> Any:
        """The configuration is the engine's; members that are listed have a number, and are not drawn."""
        given = with_configuration(given)
        if not isinstance(given, dict) or not isinstance(given.get("parameters"), (list, tuple)):
            return given
        engine, listed = given.get("engine", engines.DEFAULT), given["parameters"]
        if engine in engines.names():
            listed = [{**m, "engine": engine} if isinstance(m, dict) else m for m in listed]
        return {"members": max(len(listed), 1), "seed": 0, **given, "parameters": listed}

    @field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        engines.find(name)
        return name

    @field_validator("parameters", mode="before")
    @classmethod
    def _parse_listed(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, (list, tuple)):
            raise ValueError(
                "expected a list of members, each with its parameters, or the path of a CSV table"
            )
        if value is not None and not value:
            raise ValueError("lists no member; expected at least one, or ranges: to draw members from")
        return value

    @field_validator("ranges", mode="before")
    @classmethod
    def _parse_ranges(cls, value: Any, info: ValidationInfo) -> Any:
        return table.parse_ranges(value, _known_to(info))

    @field_validator("fixed", mode="before")
    @classmethod
    def _parse_fixed(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected parameter names with one value each")
        return {name: table.parse(number, name, _known_to(info)) for name, number in value.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        both = sorted(set(self.ranges) & set(self.fixed))
        if both:
            raise ValueError(f"{', '.join(both)}: in ranges and in fixed; keep one of them")
        offered = engines.find(self.engine).starts
        if self.start in starts.NAMES and self.start not in offered:
            raise ValueError(
                f"start: the engine '{self.engine}' offers no start '{self.start}'; expected {', '.join(offered)}, or the path of a restart"
            )
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
            known = engines.find(self.engine).parameters
            _require_stable(self.ranges, known)
            _require_stable({name: (value, value) for name, value in self.fixed.items()}, known)
        if self.parameters is not None:
            self._require_listed(self.parameters)
        return self

    def _require_listed(self, members: Sequence[Listed]) -> None:
        """Refuse a list that contradicts the rest of the plan, or itself."""
        if self.ranges:
            raise ValueError("ranges and parameters both say where the members lie; keep one of them")
        if self.members != len(members):
            raise ValueError(
                f"members is {self.members}, but parameters lists {len(members)}; remove members, or list as many"
            )
        for i, member in enumerate(members):
            if not self.extrapolate:
                where = f"parameters: member {member_table.called(i, members)}: "
                known = engines.find(self.engine).parameters
                _require_stable({name: (value, value) for name, value in member.values.items()}, known, where)
        member_table.require_distinct(members, member_parameters(self))


def _known_to(info: ValidationInfo) -> Mapping[str, Parameter] | None:
    """The parameters of the engine of a plan; None takes the table, where the plan names no engine that there is."""
    name = info.data.get("engine")
    return engines.find(name).parameters if name else None


def _require_stable(
    given: dict[str, tuple[float, float]], known: Mapping[str, Parameter], where: str = ""
) -> None:
    """Refuse values with which the engine was never shown to be stable."""
    for name, (low, high) in given.items():
        p = table.get(name, known)
        if low < p.low or high > p.high:
            span = f"{low:g} to {high:g}" if low < high else f"{low:g}"
            raise ValueError(
                f"{where}{name}: {span} {p.units} leaves the range in which the engine was shown to be "
                f"stable, {p.low:g} to {p.high:g} {p.units}; stay inside, or set extrapolate: true"
            )


def load_plan(
    plan: Plan | dict[str, Any] | str | Path, members: int | None = None, until: str | None = None
) -> Plan:
    """Read and resolve a plan.

    Parameters
    ----------
    plan : a plan, its content, or the path of a YAML file; a relative `start`, `finished` or table of `parameters` there
        is relative to that file.
    members : number of members in place of the plan's; of listed members the first so many.
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
        resolved = build(Plan, _with_table(plan, Path()), "plan")
    else:
        beside = Path(plan).parent
        resolved = build(Plan, _with_table(read_yaml(plan), beside), str(plan))
        if resolved.start not in starts.NAMES:
            resolved = resolved.model_copy(update={"start": str((beside / resolved.start).resolve())})
        if resolved.finished is not None:
            resolved = resolved.model_copy(update={"finished": str((beside / resolved.finished).resolve())})
    if until is not None:
        resolved = build(Plan, resolved.model_dump() | {"until": until}, "plan")
    if members is not None:
        if members < 1:
            raise UserError(f"members is {members}; expected at least 1")
        few = resolved.parameters
        if few is not None and members > len(few):
            raise UserError(f"members is {members}, but the plan lists {len(few)}; list more in parameters")
        few = few if few is None else few[:members]
        resolved = resolved.model_copy(update={"members": members, "parameters": few})
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


def _with_table(given: dict[str, Any], beside: Path) -> dict[str, Any]:
    """The content of a plan with its members in place of the path of their table."""
    listed, name = given.get("parameters"), given.get("engine", engines.DEFAULT)
    if not isinstance(listed, str | Path):
        return given
    known = engines.find(name).parameters if name in engines.names() else None
    return {**given, "parameters": member_table.read_table(beside / require_path(listed), known)}


def member_parameters(plan: Plan) -> list[dict[str, float]]:
    """All parameters of every member, in the units of the parameters table, those before `first` too.

    Examples
    --------
    >>> plan = load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 2, "seed": 1, "years": 30,
    ...                   "ranges": {"bottom_drag": [3e-7, 1e-5]}})
    >>> len(member_parameters(plan))
    2
    """
    known = engines.find(plan.engine).parameters
    if plan.parameters is not None:
        own = [member.values for member in plan.parameters]
    else:
        own = table.sobol(plan.ranges, plan.members, plan.seed, known)
    return [table.resolve({**plan.fixed, **values}, known) for values in own]


def finished_members(plan: Plan) -> list[starts.Finished]:
    """Read the finished members that a plan starts from or aims at.

    Raises
    ------
    UserError
        As :func:`warmstart.ensemble.starts.read_finished`.

    Examples
    --------
    >>> finished_members(load_plan({"configuration": {"resolution": 4, "levels": 18}, "members": 1, "seed": 1, "years": 30}))
    []
    """
    if plan.finished is None:
        return []
    engine = engines.find(plan.engine)
    return starts.read_finished(plan.finished, engine.grid(plan.configuration), engine, before=plan.first)


def member_job(
    plan: Plan,
    values: dict[str, float],
    folder: Path,
    finished: Sequence[starts.Finished] = (),
    member: Listed | None = None,
) -> dict[str, Any]:
    """What the engine is asked for one member, as ``job.yaml`` holds it.

    Parameters
    ----------
    plan : the plan.
    values : a value for each parameter of the table, in its units.
    folder : folder of the member.
    finished : the finished members whose deep ocean the first shift aims at, those of these very values left out.
    member : name and split, where the plan lists its members.

    Returns
    -------
    The content of a :class:`~warmstart.engines.base.Job`.

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
    if how is not None and (known := starts.others(finished, values)):
        expected = _begun_with(folder) or starts.expected_profile(
            values, plan.configuration, known, plan.engine
        )
        how = how.model_copy(update={"expected": expected})
    try:
        job = Job(
            engine=plan.engine,
            configuration=plan.configuration,
            parameters=values,
            name=member.name if member else None,
            split=member.split if member else None,
            start=starts.path_of(plan.start, folder),
            folder=folder,
            phases=engines.find(plan.engine).phases(plan.model_copy(update={"acceleration": how})),
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


def remember(plan: Plan, runs: Path, inputs: Iterable[Any] = ()) -> Plan:
    """Write the resolved plan beside the members, or refuse a folder that belongs to another plan.

    Parameters
    ----------
    plan : the resolved plan.
    runs : the folder of the ensemble; made if it does not exist.
    inputs : what the command reads, which is never replaced.

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
    path, former = runs / "plan.yaml", None
    if path.exists():
        former = load_yaml(path, Plan)
        if differing := _differing(former, plan):
            raise UserError(
                f"{runs} holds an ensemble of another plan: {'; '.join(differing)}. "
                "Choose another output folder, or change the plan back; only members may be added"
            )
        longer = max(former, plan, key=lambda p: p.members)
        plan = plan.model_copy(
            update={
                "first": min(plan.first, former.first), "members": longer.members, "parameters": longer.parameters,
            }
        )  # fmt: skip
        if plan == former:
            return plan
    outputs.require_work(runs, (path.name,))
    runs.mkdir(parents=True, exist_ok=True)
    dump_yaml(plan, path, inputs, former)
    return plan


def _differing(former: Plan, plan: Plan) -> list[str]:
    """What makes two plans another: keys, or members of their lists."""
    both = former.parameters is not None and plan.parameters is not None
    free = (*FREE, "parameters", "seed") if both else FREE
    differing = [
        f"{key} ({_short(getattr(former, key))} there, {_short(getattr(plan, key))} asked for)"
        for key in Plan.model_fields
        if key not in free and getattr(former, key) != getattr(plan, key)
    ]
    return differing + (member_table.changes(former.parameters or (), plan.parameters or ()) if both else [])


def _short(value: Any) -> str:
    text = str(value.model_dump() if isinstance(value, BaseModel) else value)
    return text if len(text) <= 80 else text[:77] + "…"
