"""What engines have in common that run jobs: a process that is handed ``job.yaml`` files and leaves folders of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from warmstart.engines.base import Gathered, JobRunner, Phase, SpinUp, Trial, TrialRequest, Written
from warmstart.errors import UserError, require_installed
from warmstart.io.config import Config, read_yaml
from warmstart.ocean.parameters import PARAMETERS, Parameter
from warmstart.ocean.variables import VARIABLES, Variable

if TYPE_CHECKING:
    import xarray as xr

    from warmstart.ocean.grid import Grid

#: What the work folder of a verification remembers of the request its runs belong to.
REQUEST = "verify.yaml"


class JobEngine:
    """An engine that this package runs: as :class:`warmstart.engines.base.Engine`, with what such engines share.

    A subclass gives what is only its own: the attributes, and ``grid configuration_of phases trial_phases command
    write_restart``. A run leaves ``states.nc``, ``series.nc`` and ``status.yaml`` in its folder.
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

    def require(self, verb: str) -> None:
        """Refuse a verb for which a package is not installed.

        Parameters
        ----------
        verb : what needs it.

        Raises
        ------
        UserError
            With the command that installs it.
        """
        for module in self.modules:
            require_installed(module, self.extra, verb)

    def grid(self, configuration: BaseModel) -> Grid:
        """The mesh of a configuration."""
        raise NotImplementedError

    def configuration_of(self, grid: Grid, where: str) -> BaseModel:
        """The configuration whose mesh this is; `where` names its file in messages."""
        raise NotImplementedError

    def forcing(self, grid: Grid, parameters: Mapping[str, float]) -> xr.Dataset:
        """No profiles."""
        import xarray as xr

        return xr.Dataset()

    def phases(self, plan: SpinUp) -> tuple[Phase, ...]:
        """What a member of a plan runs."""
        raise NotImplementedError

    def trial_phases(self, years: int, configuration: BaseModel) -> tuple[Phase, ...]:
        """What a start runs in a verification."""
        raise NotImplementedError

    def cycle_phases(self, years: int, configuration: BaseModel) -> tuple[Phase, ...]:
        """What a start runs in one cycle of a spin-up: as in a verification."""
        return self.trial_phases(years, configuration)

    def retried(self, phases: Sequence[Phase], configuration: BaseModel) -> tuple[Phase, ...]:
        """The same phases: nothing else is tried after a blow-up."""
        return tuple(phases)

    def command(self, device: str) -> list[str]:
        """Command line of a subprocess that runs the job files appended to it."""
        raise NotImplementedError

    def recognise(self, path: Path) -> str | None:
        """The folder of a run of this engine.

        Parameters
        ----------
        path : a file or folder.

        Returns
        -------
        What it is, or None.
        """
        if not (path / "job.yaml").is_file():
            return None
        return f"run of {self.title}" if self._made(path / "job.yaml") else None

    def _made(self, path: Path) -> bool:
        """Whether a job or a plan names this engine."""
        try:
            return read_yaml(path).get("engine") == self.name
        except UserError:
            return False

    def holds_runs(self, places: Sequence[Path]) -> bool:
        """Whether the first of the folders holds a plan or members of this engine."""
        for place in places[:1]:
            for path in (place / "plan.yaml", *sorted(place.glob("member_*/job.yaml"))[:1]):
                if path.is_file():
                    return self._made(path)
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
            wet = grid.ds[table.mask].values > 0 if table.three_d else grid.mask(table.point, False).values
            values = state[name].transpose(*table.dims).values
            if values.shape != wet.shape:
                raise UserError(
                    f"{where}: {name} has shape {values.shape}, its mesh {wet.shape}; expected the same"
                )
            holes = int((~np.isfinite(values[wet])).sum())
            if holes:
                raise UserError(
                    f"{where}: {name} is not finite at {holes} of {wet.sum()} wet points; expected a number at each"
                )
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

    def write_restart(self, state: xr.Dataset, grid: Grid, path: Path, options: Mapping[str, Any]) -> Written:
        """Write one state as a restart."""
        raise NotImplementedError

    def read_restart(self, path: Path, grid: Grid) -> xr.Dataset:
        """Open a restart as a state."""
        raise NotImplementedError

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
