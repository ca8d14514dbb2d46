"""What engines have in common that run jobs: a process that is handed ``job.yaml`` files and leaves folders of runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from warmstart.engines.base import (
    Gathered,
    JobRunner,
    Kind,
    Phase,
    Results,
    Said,
    SpinUp,
    Trial,
    TrialRequest,
    Written,
    load_job,
    only,
)
from warmstart.errors import UserError, require_installed
from warmstart.io import files
from warmstart.io.config import Config, read_yaml
from warmstart.ocean.parameters import PARAMETERS, Parameter
from warmstart.ocean.sea import require_whole
from warmstart.ocean.variables import VARIABLES, Variable

if TYPE_CHECKING:
    import xarray as xr

    from warmstart.io.netcdf import Header
    from warmstart.ocean.grid import Grid

#: What the work folder of a verification remembers of the request its runs belong to.
REQUEST = "verify.yaml"
#: The states of a run, with their mesh.
STATES = "states.nc"


class JobEngine(ABC):
    """An engine that this package runs: as :class:`warmstart.engines.base.Engine`, with what such engines share.

    A subclass gives what is only its own: the attributes, and ``grid configuration_of phases trial_phases command
    write_restart read_restart``. A run leaves ``states.nc``, ``series.nc`` and ``status.yaml`` in its folder.
    """

    name: str
    title: str
    extra: str = ""
    modules: tuple[str, ...] = ()
    variables: Mapping[str, Variable] = VARIABLES
    required: tuple[str, ...]
    parameters: Mapping[str, Parameter] = PARAMETERS
    configuration: type[Config]
    starts: tuple[str, ...] = ("rest",)
    options: Mapping[str, tuple[str, ...]] = {}
    work_marks: tuple[str, ...] = (REQUEST,)
    tabulates: bool = False

    @abstractmethod
    def grid(self, configuration: BaseModel) -> Grid:
        """The mesh of a configuration."""

    @abstractmethod
    def configuration_of(self, grid: Grid, where: str) -> BaseModel:
        """The configuration whose mesh this is; `where` names its file in messages."""

    @abstractmethod
    def phases(self, plan: SpinUp) -> tuple[Phase, ...]:
        """What a member of a plan runs."""

    @abstractmethod
    def trial_phases(self, years: int, configuration: BaseModel) -> tuple[Phase, ...]:
        """What a start runs in a verification."""

    @abstractmethod
    def command(self, device: str) -> list[str]:
        """Command line of a subprocess that runs the job files appended to it."""

    @abstractmethod
    def write_restart(self, state: xr.Dataset, grid: Grid, path: Path, options: Mapping[str, Any]) -> Written:
        """Write one state as a restart."""

    @abstractmethod
    def read_restart(self, path: Path, grid: Grid) -> xr.Dataset:
        """Open a restart as a state."""

    def require(self, verb: str) -> None:
        """Refuse a verb for which a package is not installed, with the command that installs it."""
        for module in self.modules:
            require_installed(module, self.extra, verb)

    def forcing(self, grid: Grid, parameters: Mapping[str, float]) -> xr.Dataset:
        """No profiles."""
        import xarray as xr

        return xr.Dataset()

    def cycle_phases(self, years: int, configuration: BaseModel) -> tuple[Phase, ...]:
        """What a start runs in one cycle of a spin-up: as in a verification."""
        return self.trial_phases(years, configuration)

    def retried(self, phases: Sequence[Phase], configuration: BaseModel) -> tuple[Phase, ...]:
        """The same phases: nothing else is tried after a blow-up."""
        return tuple(phases)

    def recognise(self, path: Path, header: Header | None) -> Kind | None:
        """The folder of a run. An engine whose restarts shall open says what they are: a kind that holds ``states``."""
        job = path / "job.yaml"
        return Kind("run", ("runs",), self.title) if job.is_file() and self._made(job) else None

    def describe(self, path: Path, kind: Kind) -> list[str]:
        """What it is; nothing more."""
        return [str(kind)]

    def open_grid(self, paths: Sequence[Path], kind: Kind) -> Grid:
        """The mesh of the run whose folder this is, or lies in.

        Raises
        ------
        UserError
            If no states of the run are there.
        """
        states = self._states(paths[0], kind)
        if not states.is_file():
            raise UserError(
                f"{paths[0]} carries no mesh, and there is no {states}; give the mesh (grid, --grid)"
            )
        return files.open_grid(states)

    def open_state(self, paths: Sequence[Path], kind: Kind, grid: Grid, diagnostics: bool) -> xr.Dataset:
        """The states of a run, or that of a restart."""
        path = only(paths, self.title)
        if "runs" in kind.holds:
            return files.open_dataset(self._states(path, kind))
        return self.read_restart(path, grid)

    def _states(self, path: Path, kind: Kind) -> Path:
        return (path if "runs" in kind.holds else path.parent) / STATES

    def runs(self, folder: Path) -> list[Path]:
        """The folder itself, or those in it, that hold states of this engine."""
        places = [folder, *sorted(folder.glob("*/"))]
        found = [p for p in places if (p / STATES).is_file() and self.recognise(p, None) is not None]
        return found[:1] if folder in found else found

    def results(self, run: Path) -> Results:
        """The states of a run."""
        return Results([run / STATES])

    def made_with(self, path: Path, own: Sequence[Parameter]) -> Said | None:
        """The parameters of a job, or of the folder of a run."""
        job = path if path.name == "job.yaml" else path / "job.yaml"
        if not job.is_file() or not self._made(job):
            return None
        return Said(load_job(job).parameters, {}, {})

    def holds_runs(self, places: Sequence[Path]) -> bool:
        """Whether the first of the folders holds a plan or members of this engine."""
        for place in places[:1]:
            for path in (place / "plan.yaml", *sorted(place.glob("member_*/job.yaml"))[:1]):
                if path.is_file():
                    return self._made(path)
        return False

    def _made(self, path: Path) -> bool:
        """Whether a job or a plan names this engine."""
        try:
            return read_yaml(path).get("engine") == self.name
        except UserError:
            return False

    def refuse_unusable(self, state: xr.Dataset, grid: Grid, where: str) -> None:
        """Refuse a state that no engine could start from.

        Parameters
        ----------
        state : dims ``(z, y, x)``.
        grid : its mesh.
        where : what to call it in messages.

        Raises
        ------
        UserError
            Naming the variable that is of another mesh, has holes, or is in other units.
        """
        for name in self.given(state):
            table = self.variables[name]
            wet = grid.mask(table.point, table.three_d).values
            values = state[name].transpose(*table.dims).values
            if values.shape != wet.shape:
                raise UserError(
                    f"{where}: {name} has shape {values.shape}, its mesh {wet.shape}; expected the same"
                )
            require_whole(state, grid, f"{where}: ", tables={name: table})
            low, high = table.bounds
            mean = float(values[wet].mean())
            if not low <= mean <= high:
                raise UserError(
                    f"{where}: {name} is {mean:.4g} on average; expected {low:g} to {high:g} {table.units}: convert its units"
                )

    def given(self, state: xr.Dataset) -> tuple[str, ...]:
        """The variables of a state that go into a restart: those that are required."""
        return self.required

    def restart_name(self, index: int) -> str:
        """Name of the restart file of a state."""
        return f"{index:03d}.h5"

    def members(self, places: Sequence[Path], options: Mapping[str, Any], transient: bool) -> Gathered:
        """The finished members of an ensemble.

        Parameters
        ----------
        places : the folder that ``simulate`` wrote, or one of member files.
        options : none.
        transient : whether to take the snapshots on the way to equilibrium too.

        Raises
        ------
        UserError
            If there are several folders, or none finished.
        """
        from warmstart.store.members import find_members
        from warmstart.store.writer import say_incomplete

        if len(places) != 1:
            raise UserError(
                "several folders are for runs of NEMO; of 'warmstart simulate' give the one that it wrote"
            )
        found, blown_up = find_members(places[0], transient)
        say_incomplete(found)
        return Gathered(found, blown_up)

    def trial(self, request: TrialRequest, jobs: JobRunner) -> Trial:
        """Run each start as a job."""
        return jobs(self, request)
