"""What an engine is asked to do and how it says what it did; no ocean engine is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, Field, FiniteFloat, ValidationError, field_validator, model_validator

from warmstart import engines
from warmstart.equilibrium.acceleration import Acceleration
from warmstart.errors import UserError
from warmstart.io.config import Config, read_yaml
from warmstart.ocean.constants import DAY, YEAR

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from warmstart.engines.manifest import Fields
    from warmstart.io.netcdf import Header
    from warmstart.ocean.grid import Grid
    from warmstart.ocean.parameters import Parameter
    from warmstart.ocean.variables import Variable
    from warmstart.scores.verification import Target
    from warmstart.store.members import BlowUp, Member

MOST_YEARS = 1_000_000  #: of a run [model years]
MOST_STOPS = 1_000_000  #: of a phase: rows, snapshots and shifts each


class Phase(Config):
    """A stretch of a run with fixed time steps.

    Attributes
    ----------
    name : for messages.
    until_day : day since the start of the run at which it ends.
    dt_momentum, dt_tracer : time steps [s]; they differ in an accelerated run.
    record_days : the series has a row at each multiple [days].
    snapshot_days : days of the states to keep; day 0 is the start.
    snapshot_every_days : in addition, a state at each multiple [days].
    label : what the states are, ``transient`` or ``equilibrium``.
    until : the verdict at which it ends earlier, ``near`` or ``equilibrium``; later phases then begin earlier.
    acceleration : whether the deep ocean is extrapolated between stretches of running.
    newton_step : whether the run says at its end where its tracers would come to rest in the circulation that it has then.
    """

    name: str
    until_day: float = Field(gt=0.0)
    dt_momentum: float = Field(gt=0.0)
    dt_tracer: float = Field(gt=0.0)
    record_days: float = Field(default=float(YEAR), gt=0.0)
    snapshot_days: tuple[float, ...] = ()
    snapshot_every_days: float | None = Field(default=None, gt=0.0)
    label: Literal["transient", "equilibrium"] = "transient"
    until: Literal["near", "equilibrium"] | None = None
    acceleration: Acceleration | None = None
    newton_step: bool = Field(
        default=False, exclude_if=lambda asked: not asked
    )  # jobs of before stay the same

    @model_validator(mode="after")
    def _countable(self) -> Phase:
        """Refuse a phase that would look at the state more often than anybody can keep."""
        stretch = None if self.acceleration is None else self.acceleration.stretch_years * YEAR
        for interval in (self.record_days, self.snapshot_every_days, stretch):
            if interval is not None and self.until_day / interval > MOST_STOPS:
                raise ValueError(
                    f"phase {self.name}: {self.until_day:g} days with a look at the state each {interval:g}; expected at most "
                    f"{MOST_STOPS:,} looks: run less long, or look less often"
                )
        return self

    def records(self, day: float) -> bool:
        """Whether the series has a row at that day."""
        return day % self.record_days == 0

    def keeps(self, day: float) -> bool:
        """Whether the state of that day is kept."""
        every = self.snapshot_every_days
        return day in self.snapshot_days or (every is not None and day > 0 and day % every == 0)

    def stops(self, start_day: float) -> list[float]:
        """Days after `start_day` at which the engine looks at the state: rows, snapshots and the end."""
        days = {self.until_day, *(d for d in self.snapshot_days if start_day < d <= self.until_day)}
        for interval in (self.record_days, self.snapshot_every_days):
            if interval is not None:
                first = int(start_day // interval) + 1
                days |= {n * interval for n in range(first, int(self.until_day // interval) + 1)}
        if self.acceleration is not None:
            length = self.acceleration.stretch_years * YEAR
            days |= {
                start_day + n * length for n in range(1, int((self.until_day - start_day) // length) + 1)
            }
        return sorted(days)

    def ends_stretch(self, start_day: float, day: float) -> bool:
        """Whether a stretch between two extrapolations ends on that day."""
        if self.acceleration is None:
            return False
        return (day - start_day) % (self.acceleration.stretch_years * YEAR) == 0


class Job(Config):
    """One run of an engine.

    Attributes
    ----------
    engine : which engine.
    configuration : the grid, in the engine's own terms.
    parameters : a value for each parameter of the engine, in its units.
    name, split : of a member that its plan lists, if they were given; the files of the run carry them.
    start : ``rest`` or the path of a restart.
    folder : where everything is written.
    phases : what to run, in order.
    checkpoint_seconds : wall time between checkpoints [s].
    """

    engine: str
    configuration: Any
    parameters: dict[str, FiniteFloat]
    name: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    start: str
    folder: Path
    phases: tuple[Phase, ...] = Field(min_length=1)
    checkpoint_seconds: float = Field(default=60.0, ge=0.0)

    @model_validator(mode="before")
    @classmethod
    def _configured(cls, given: Any) -> Any:
        return with_configuration(given)

    @field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        engines.find(name)
        return name

    @model_validator(mode="after")
    def _check(self) -> Job:
        table = engines.find(self.engine).parameters
        missing, unknown = set(table) - set(self.parameters), set(self.parameters) - set(table)
        if missing or unknown:
            raise ValueError(
                f"parameters must be exactly those of the table; missing: {', '.join(sorted(missing)) or 'none'}, "
                f"unknown: {', '.join(sorted(unknown)) or 'none'}"
            )
        for phases in (self.phases, self.cautious_phases):
            day = 0.0
            for phase in phases:
                if phase.until_day <= day:
                    raise ValueError(
                        f"phase {phase.name} ends on day {phase.until_day:g}, not after day {day:g}"
                    )
                for stop in phase.stops(day):
                    if (stop - day) * DAY % phase.dt_tracer:
                        raise ValueError(
                            f"phase {phase.name}: day {stop:g} is no whole number of steps of {phase.dt_tracer:g} s "
                            f"after day {day:g}"
                        )
                day = phase.until_day
        return self

    @property
    def cautious_phases(self) -> tuple[Phase, ...]:
        """The phases of the retry after a blow-up."""
        return engines.find(self.engine).retried(self.phases, self.configuration)

    @property
    def years(self) -> float:
        """Length of the run in model years."""
        return self.phases[-1].until_day / YEAR


def with_configuration(given: Any) -> Any:
    """The content of a job or a plan with its configuration as the model of its engine.

    Parameters
    ----------
    given : what is to be validated: a mapping, or anything else, which stays as it is.

    Raises
    ------
    ValueError
        Naming the keys of the configuration that are wrong.

    Examples
    --------
    >>> with_configuration({"engine": "veros", "configuration": {"resolution": 4, "levels": 18}})["configuration"].levels
    18
    """
    if not isinstance(given, dict) or "configuration" not in given:
        return given
    name, configuration = given.get("engine", engines.DEFAULT), given["configuration"]
    if isinstance(configuration, BaseModel) or name not in engines.names():
        return given
    try:
        return {**given, "configuration": engines.find(name).configuration.model_validate(configuration)}
    except ValidationError as error:
        raise ValueError(_lines(error, "configuration")) from error


def _lines(error: ValidationError, *where: str) -> str:
    """Each wrong key, its path, and what was expected there."""
    places = (".".join((*where, *map(str, e["loc"]))) or "job" for e in error.errors())
    return "; ".join(f"{place}: {e['msg']}" for place, e in zip(places, error.errors(), strict=True))


class SpinUp(Protocol):
    """What a plan says of the length of its runs."""

    configuration: Any
    years: int
    settle_years: int
    until: Any
    acceleration: Acceleration | None


@dataclass(frozen=True)
class Kind:
    """What a file or folder is.

    Attributes
    ----------
    name : in words.
    holds : what can be opened of it: ``states``, ``mesh``, ``runs``.
    maker : title of the engine, where only that engine leaves such files.
    version : of the engine, or that the file does not show it; empty where that is no question.
    detail : time stepping, pieces, means or instants: one phrase each.
    """

    name: str
    holds: tuple[Literal["states", "mesh", "runs"], ...] = ()
    maker: str = ""
    version: str = ""
    detail: tuple[str, ...] = ()

    def __str__(self) -> str:
        version = f"(version: {self.version})" if self.version else ""
        return ", ".join([" ".join(filter(None, (self.maker, self.name, version))), *self.detail])


@dataclass(frozen=True)
class Said:
    """What a run, or what is to be one, says of its parameters.

    Attributes
    ----------
    values : parameter to value, in its units.
    unknown : parameters of the table that are not known, and why.
    notes : how a value was found, or what it stands for, by parameter.
    """

    values: dict[str, float]
    unknown: dict[str, str]
    notes: dict[str, str]


@dataclass(frozen=True)
class Results:
    """What a finished run has to be looked at.

    Attributes
    ----------
    paths : the files of its states.
    mesh : where their mesh is, if not in or beside them.
    parameters : what the run says of them.
    """

    paths: Sequence[Path]
    mesh: Path | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """What an engine wrote for one state.

    Attributes
    ----------
    paths : the files, the first to be given to the engine.
    fields : where their fields come from.
    told : of the restart in the manifest, ``date`` and ``remarks``.
    """

    paths: tuple[Path, ...]
    fields: Fields
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gathered:
    """Finished runs for a store.

    Attributes
    ----------
    members : what each run contributes.
    blown_up : runs that left no states.
    about : further attributes of the store.
    table : makes the table of the verb out of the store's; None leaves it. One that is made is written beside the store.
    """

    members: list[Member]
    blown_up: Sequence[BlowUp] = ()
    about: Mapping[str, Any] | None = None
    table: Callable[[pd.DataFrame], pd.DataFrame] | None = None


@dataclass(frozen=True)
class Trial:
    """Runs of several starts, finished or blown up, and what they are compared with.

    Attributes
    ----------
    names : of the starts; ``control`` and ``rest`` are what the others are compared with.
    folders : of each, with ``series.nc`` and ``states.nc``.
    statuses : of each: ``state``, and of one that did not finish ``blow_ups`` or a ``reason``.
    target : the equilibrium; None without a control.
    grid : the mesh.
    values : the parameters of all starts, where they are known.
    attrs : attributes of the results.
    """

    names: Sequence[str]
    folders: Sequence[Path]
    statuses: Sequence[Mapping[str, Any]]
    target: Target | None
    grid: Grid
    values: Mapping[str, float] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRequest:
    """What a verification asks for.

    Attributes
    ----------
    restarts : folder of restarts, or what else the engine takes.
    output : file of the results.
    folder : of the runs.
    years : length of each run [model years].
    control : the true equilibrium, or None.
    spread : gives what distances are measured in, and a name for it; None takes the control's variation along each level.
    rest : whether to run the start from rest.
    workers : runs at once.
    overwrite : whether runs of another request may be replaced.
    progress : whether to show a progress bar.
    options : those of the engine's own.
    """

    restarts: Path
    output: Path
    folder: Path
    years: int
    control: str | Path | None
    spread: Callable[[Grid], tuple[xr.Dataset, str]] | None
    rest: bool
    workers: int
    overwrite: bool
    progress: bool
    options: Mapping[str, Any]


#: Runs the starts of a request with an engine that takes jobs.
JobRunner = Callable[["Engine", TrialRequest], Trial]


class Engine(Protocol):
    """What the rest of the package asks of an ocean engine.

    Attributes
    ----------
    name : its name, that of its entry point.
    title : what it is called in sentences.
    extra : the pip extra that brings it; empty for none.
    modules : packages that the extra brings.
    variables : what its states hold, in the order of the generator's channels.
    required : those of them that a restart cannot do without.
    parameters : its parameters, with default, range, scale and units.
    configuration : model of what a plan says of the grid.
    starts : names of the starts that it offers beside the path of a restart.
    options : what it takes beyond the common options, by verb.
    work_marks : files by which the work folder of its verifications is known.
    tabulates : whether ``dataset`` writes a table of its runs beside the store.
    """

    name: str
    title: str
    extra: str
    modules: tuple[str, ...]
    variables: Mapping[str, Variable]
    required: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    configuration: type[Config]
    starts: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    work_marks: tuple[str, ...]
    tabulates: bool

    def require(self, verb: str) -> None:
        """Refuse a verb for which something has to be installed, or that this engine cannot do."""

    def grid(self, configuration: BaseModel) -> Grid:
        """The mesh of a configuration."""

    def configuration_of(self, grid: Grid, where: str) -> BaseModel:
        """The configuration whose mesh this is; `where` names its file in messages."""

    def forcing(self, grid: Grid, parameters: Mapping[str, float]) -> xr.Dataset:
        """Profiles or maps that may condition a generator; an empty Dataset for none."""

    def phases(self, plan: SpinUp) -> tuple[Phase, ...]:
        """What a member of a plan runs."""

    def trial_phases(self, years: int, configuration: BaseModel) -> tuple[Phase, ...]:
        """What a start runs in a verification: a state a year, a row of the series a year or more often."""

    def cycle_phases(self, years: int, configuration: BaseModel) -> tuple[Phase, ...]:
        """What a start runs in a cycle of a spin-up: as in a verification, and a Newton step at the end where the engine can tell one."""

    def retried(self, phases: Sequence[Phase], configuration: BaseModel) -> tuple[Phase, ...]:
        """The phases of the retry after a blow-up."""

    def command(self, device: str) -> list[str]:
        """Command line of a subprocess that runs the job files appended to it; it prints one JSON object a line."""

    def recognise(self, path: Path, header: Header | None) -> Kind | None:
        """What a file or folder is, if this engine can open it or made it; `header` is that of a NetCDF or HDF5 file."""

    def describe(self, path: Path, kind: Kind) -> list[str]:
        """Lines on a file or folder that it recognised, the first in place of its name."""

    def open_grid(self, paths: Sequence[Path], kind: Kind) -> Grid:
        """The mesh that files carry or that lies beside them; `kind` is that of the first."""

    def open_state(self, paths: Sequence[Path], kind: Kind, grid: Grid, diagnostics: bool) -> xr.Dataset:
        """States in files on their mesh, lazily; `diagnostics` asks for more than the state."""

    def runs(self, folder: Path) -> list[Path]:
        """Folders of finished runs: the folder itself, or those in it."""

    def results(self, run: Path) -> Results:
        """The files of a run whose states shall be looked at."""

    def made_with(self, path: Path, own: Sequence[Parameter]) -> Said | None:
        """What a run of this engine was made with, or what a file sets it up with; `own` are not in its table. None of any other."""

    def holds_runs(self, places: Sequence[Path]) -> bool:
        """Whether folders hold runs that this engine made."""

    def refuse_unusable(self, state: xr.Dataset, grid: Grid, where: str) -> None:
        """Refuse a state that it could not start from, before anything is written."""

    def restart_name(self, index: int) -> str:
        """Name of the restart file of a state."""

    def write_restart(self, state: xr.Dataset, grid: Grid, path: Path, options: Mapping[str, Any]) -> Written:
        """Write one state as a restart."""

    def read_restart(self, path: Path, grid: Grid) -> xr.Dataset:
        """Open a restart as a state."""

    def members(self, places: Sequence[Path], options: Mapping[str, Any], transient: bool) -> Gathered:
        """Finished runs in folders."""

    def trial(self, request: TrialRequest, jobs: JobRunner) -> Trial:
        """Run the starts of a verification, or read finished ones; `jobs` runs those of an engine that takes jobs."""


def only(paths: Sequence[Path], whose: str) -> Path:
    """The one file of a state.

    Parameters
    ----------
    paths : the files given.
    whose : what writes them, for the message.

    Raises
    ------
    UserError
        If there are several.

    Examples
    --------
    >>> only([Path("a.nc"), Path("b.nc")], "Veros")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: a.nc is of Veros, whose states are one file each; give one
    """
    if len(paths) > 1:
        raise UserError(f"{paths[0]} is of {whose}, whose states are one file each; give one")
    return paths[0]


def load_job(path: str | Path) -> Job:
    """Read a job from YAML.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    UserError
        If the file is missing, no YAML, or no valid job.

    Examples
    --------
    >>> load_job("no-such-job.yaml")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: job file no-such-job.yaml does not exist
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"job file {path} does not exist")
    try:
        return Job.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path} is no valid job: {_lines(error)}") from error


def save_job(job: Job, path: str | Path) -> None:
    """Write a job to YAML, the inverse of :func:`load_job`; the file is replaced if it exists."""
    from warmstart.io.config import dump_yaml

    dump_yaml(job, path)
