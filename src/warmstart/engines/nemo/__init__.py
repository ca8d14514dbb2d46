"""NEMO: its meshes, restarts, output and namelists, versions 3.6 to 5.0, as the package's grids, states and parameters.

The user runs it, this package does not: restarts are written through the user's template, runs are read, and ``verify`` starts the
user's own command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from warmstart.engines.base import Gathered, JobRunner, Trial, TrialRequest, Written
from warmstart.errors import UserError
from warmstart.io.config import Config
from warmstart.ocean.parameters import PARAMETERS, Parameter
from warmstart.ocean.variables import VARIABLES, Variable

if TYPE_CHECKING:
    import xarray as xr

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
        """Refuse to simulate.

        Parameters
        ----------
        verb : what is asked for.

        Raises
        ------
        UserError
            If it is ``simulate``.
        """
        if verb == "simulate":
            self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        raise UserError(
            "NEMO is run by you, not by 'simulate'; give the folders of its runs to 'dataset', or restarts to 'verify'"
        )

    grid = phases = trial_phases = retried = command = _refuse

    def configuration_of(self, grid: Grid, where: str) -> MeshSize:
        """What the mesh says of its resolution, or the spacing of its middle row."""
        spacing = float(np.diff(grid.glamt.values[grid.shape[1] // 2]).mean())
        resolution = round(float(grid.ds.attrs.get("resolution", spacing)), 6)
        return MeshSize(resolution=resolution, levels=grid.shape[0])

    def forcing(self, grid: Grid, parameters: Mapping[str, float]) -> xr.Dataset:
        """No profiles: NEMO's forcing is in the user's files."""
        import xarray as xr

        return xr.Dataset()

    def recognise(self, path: Path) -> str | None:
        """Mesh, restart or output of NEMO, or the folder of a run."""
        from warmstart.engines.nemo import header
        from warmstart.engines.nemo.folders import find

        if path.is_dir():
            return "run of NEMO" if find(path) and not _is_ensemble(path) else None
        if not path.is_file():
            return None
        try:
            kind = header.recognise(path)
        except UserError:
            return None
        return str(kind) if kind.name in header.NEMO else None

    def holds_runs(self, places: Sequence[Path]) -> bool:
        """Whether any folder holds runs of NEMO and is none that ``simulate`` wrote."""
        from warmstart.engines.nemo.folders import find

        return any(find(place) for place in places if not _is_ensemble(place))

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
