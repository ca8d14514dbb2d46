"""NEMO: its meshes, restarts, output and namelists, versions 3.6 to 5.0, as the package's grids, states and parameters.

The user runs it, this package does not: restarts are written through the user's template, runs are read, and ``verify`` starts the
user's own command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from warmstart.engines.base import Gathered, JobRunner, Kind, Results, Said, Trial, TrialRequest, Written
from warmstart.errors import UserError
from warmstart.io.config import Config
from warmstart.ocean.parameters import PARAMETERS, Parameter
from warmstart.ocean.variables import VARIABLES, Variable

if TYPE_CHECKING:
    import xarray as xr

    from warmstart.io.netcdf import Header
    from warmstart.ocean.grid import Grid


class MeshSize(Config):
    """The mean zonal spacing of a mesh [degrees] and its levels."""

    resolution: float
    levels: int


class Nemo:
    """NEMO, which the user runs: as :class:`warmstart.engines.base.Engine`."""

    name = "nemo"
    title = "NEMO"
    extra = ""
    modules: tuple[str, ...] = ()
    variables: Mapping[str, Variable] = VARIABLES
    required = ("thetao", "so")
    parameters: Mapping[str, Parameter] = PARAMETERS
    configuration = MeshSize
    starts: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = {
        "restart": ("template", "namelist", "date"),
        "dataset": ("parameter", "equilibrium", "equilibrium_from"),
        "verify": ("run", "template", "mesh"),
    }
    work_marks: tuple[str, ...] = ()
    tabulates = True

    def require(self, verb: str) -> None:
        """Refuse to simulate."""
        if verb == "simulate":
            self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        raise UserError(
            "NEMO is run by you, not by 'simulate'; give the folders of its runs to 'dataset', or restarts to 'verify'"
        )

    grid = phases = trial_phases = cycle_phases = retried = command = _refuse

    def configuration_of(self, grid: Grid, where: str) -> MeshSize:
        """What the mesh says of its resolution, or the spacing of its middle row."""
        spacing = float(np.diff(grid.glamt.values[grid.shape[1] // 2]).mean())
        resolution = round(float(grid.ds.attrs.get("resolution", spacing)), 6)
        return MeshSize(resolution=resolution, levels=grid.shape[0])

    def forcing(self, grid: Grid, parameters: Mapping[str, float]) -> xr.Dataset:
        """No profiles: NEMO's forcing is in the user's files."""
        import xarray as xr

        return xr.Dataset()

    def recognise(self, path: Path, header: Header | None) -> Kind | None:
        """Mesh, restart or output of NEMO, the folder of a run or of runs, or a file of CMIP6."""
        from warmstart.engines.nemo.header import OTHER, kind_of

        if path.is_dir():
            return Kind("run", ("runs",), self.title) if self.runs(path) else None
        kind = None if header is None else kind_of(header, path)
        return None if kind is None or kind.name == OTHER else kind

    def describe(self, path: Path, kind: Kind) -> list[str]:
        """The kind, with the version by the files beside it where it does not show it; of runs what each holds."""
        from warmstart.engines.nemo.folders import describe
        from warmstart.engines.nemo.header import UNSAID, version_beside

        if "runs" in kind.holds:
            return describe(self.runs(path))
        unsure = any(word in kind.version for word in (UNSAID, " to ", " or "))
        beside = version_beside(path) if unsure else ""
        return [f"{kind}; {beside}" if beside else str(kind)]

    def open_grid(self, paths: Sequence[Path], kind: Kind) -> Grid:
        """The mesh in files, in the folder of a run, or beside the states."""
        from warmstart.engines.nemo.header import PARTIAL
        from warmstart.engines.nemo.mesh import find, open_grid, split

        first = paths[0]
        if "runs" in kind.holds:
            return open_grid(find(first))
        if "mesh" not in kind.holds:
            return open_grid(find(first.parent, f"{first} needs its mesh"))
        if len(paths) > 1:
            return open_grid(paths)
        return open_grid((PARTIAL in kind.detail and split(first.parent)) or first)

    def open_state(self, paths: Sequence[Path], kind: Kind, grid: Grid, diagnostics: bool) -> xr.Dataset:
        """The states in restarts or output, or those of a run with the most."""
        from warmstart.engines.nemo.folders import states_of
        from warmstart.engines.nemo.state import open_state

        return open_state(
            list(states_of(paths[0], grid).paths) if "runs" in kind.holds else paths, grid, diagnostics
        )

    def runs(self, folder: Path) -> list[Path]:
        """The folder itself, or those in it, with a namelist or files of NEMO; none in what ``simulate`` wrote."""
        from warmstart.engines.nemo.folders import find

        return [] if _is_ensemble(folder) else find(folder)

    def results(self, run: Path) -> Results:
        """The restarts or output with the most states, and what the namelist says."""
        from warmstart.engines.nemo.folders import states_of

        return states_of(run)

    def made_with(self, path: Path, own: Sequence[Parameter]) -> Said | None:
        """What a namelist says, or the folder of a run."""
        from warmstart.engines.nemo.configuration import settings
        from warmstart.engines.nemo.namelist import CFG

        named = path.name.startswith("namelist") or path.suffix == ".nml"
        return settings(path, name=own) if named or (path / CFG).is_file() else None

    def holds_runs(self, places: Sequence[Path]) -> bool:
        """Whether any folder holds runs of NEMO and is none that ``simulate`` wrote."""
        return any(self.runs(place) for place in places)

    def refuse_unusable(self, state: xr.Dataset, grid: Grid, where: str) -> None:
        """Nothing: :func:`warmstart.engines.nemo.restart_file.write_restart` looks at each state with its template."""

    def restart_name(self, index: int) -> str:
        """Name of the restart file of a state."""
        return f"restart_{index:03d}.nc"

    def write_restart(self, state: xr.Dataset, grid: Grid, path: Path, options: Mapping[str, Any]) -> Written:
        """As :func:`warmstart.engines.nemo.restart_file.write_restart`, with ``template``, ``namelist`` and ``date``."""
        from warmstart.engines.manifest import Fields
        from warmstart.engines.nemo.restart_file import write_restart

        template, namelist, date = (options.get(name) for name in ("template", "namelist", "date"))
        made = write_restart(state, path, template, grid, namelist, date)
        fields = Fields(
            given=made.replaced, derived=made.recomputed, zeroed=made.zeroed, kept=made.kept, dropped=made.dropped
        )  # fmt: skip
        return Written(tuple(made.paths), fields, {"date": made.date, "remarks": made.remarks})

    def read_restart(self, path: Path, grid: Grid) -> xr.Dataset:
        """The state of a restart."""
        from warmstart.engines.nemo.state import open_state

        return open_state([path], grid).isel(time=0)

    def members(self, places: Sequence[Path], options: Mapping[str, Any], transient: bool) -> Gathered:
        """Runs that a user has, each a member."""
        from warmstart.engines.nemo.collection import collect

        return collect(places, options, transient)

    def trial(self, request: TrialRequest, jobs: JobRunner) -> Trial:
        """Runs of the user's command, or finished ones."""
        from warmstart.engines.nemo.trial_runs import trial

        return trial(request, **request.options)


def _is_ensemble(place: Path) -> bool:
    """Whether 'warmstart simulate' wrote a folder."""
    return (place / "plan.yaml").exists() or any((p / "status.yaml").exists() for p in place.glob("member_*"))


ENGINE: Any = Nemo()
