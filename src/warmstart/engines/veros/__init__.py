"""The Veros engine: DINO in Veros 1.7, its whole step traced to one pure JAX function.

Importing this package loads neither JAX nor Veros; its modules ``setup``, ``step`` and ``run`` do.
``python -m warmstart.engines.veros JOB.yaml`` runs a job (:class:`warmstart.engines.base.Job`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from warmstart.engines.base import Kind, Phase, SpinUp, Written, only
from warmstart.engines.jobs import JobEngine
from warmstart.engines.veros.phases import cautious, spinup_phases, verify_phases
from warmstart.errors import UserError
from warmstart.io.config import Config, build

if TYPE_CHECKING:
    import xarray as xr

    from warmstart.io.netcdf import Header
    from warmstart.ocean.grid import Grid

#: What the restart takes from a state if it is there.
OPTIONAL = ("uo", "vo")
#: What the restart computes from the state, and what it leaves to the first steps of the engine.
DERIVED, ZEROED = ("psi", "rho", "Nsqr", "w"), ("tendencies", "tke")


#: Its files: snapshots and averages of any set-up, the restarts of these, and those that are written here.
OUTPUT = Kind("output", ("states", "mesh"), "Veros")
BARE, RESTART = Kind("restart", (), "Veros"), Kind("restart", ("states",), "Veros")


class Configuration(Config):
    """Grid of the DINO configuration: zonal resolution [degrees] and number of levels."""

    resolution: float = Field(gt=0.0, le=12.5)
    levels: int = Field(ge=4, le=100)


class Veros(JobEngine):
    """DINO in Veros, which this package runs."""

    name = "veros"
    title = "Veros"
    extra = "veros"
    modules = ("veros", "jax", "jaxlib", "h5netcdf", "dask", "distributed")
    required = ("thetao", "so")
    configuration = Configuration
    starts = ("rest", "cold", "nearest", "predicted")
    options: Mapping[str, tuple[str, ...]] = {}

    def grid(self, configuration: Any) -> Grid:
        """DINO's mesh."""
        from warmstart.engines import dino

        return dino.grid(configuration.resolution, configuration.levels)

    def configuration_of(self, grid: Grid, where: str) -> Configuration:
        """The resolution and levels of which this is DINO's mesh.

        Raises
        ------
        UserError
            If it is another mesh.
        """
        resolution = grid.ds.attrs.get("resolution")
        if resolution is None or grid.ds.attrs.get("configuration") != "DINO":
            name = grid.ds.attrs.get("configuration", "unnamed")
            raise UserError(
                f"{where} is on the mesh '{name}'; expected a DINO mesh that says its resolution in degrees"
            )
        found = build(Configuration, {"resolution": float(resolution), "levels": grid.shape[0]}, where)
        self.grid(found).require_same(grid, where)
        return found

    def forcing(self, grid: Grid, parameters: Mapping[str, float]) -> xr.Dataset:
        """DINO's profiles of wind stress and restoring."""
        from warmstart.engines import dino

        return dino.forcing(grid, parameters)

    def phases(self, plan: SpinUp) -> tuple[Phase, ...]:
        """Adjust, accelerate, settle."""
        until: Any = None if plan.until == "years" else plan.until
        resolution = plan.configuration.resolution
        return spinup_phases(plan.years, plan.settle_years, until, plan.acceleration, resolution=resolution)

    def trial_phases(self, years: int, configuration: Any) -> tuple[Phase, ...]:
        """A month synchronous, then accelerated."""
        return verify_phases(years, resolution=configuration.resolution)

    def cycle_phases(self, years: int, configuration: Any) -> tuple[Phase, ...]:
        """As of a verification; at the end the run says where its tracers would come to rest."""
        *first, last = self.trial_phases(years, configuration)
        return (*first, last.model_copy(update={"newton_step": True}))

    def retried(self, phases: Sequence[Phase], configuration: Any) -> tuple[Phase, ...]:
        """The same with shorter time steps."""
        return cautious(phases, configuration.resolution)

    def command(self, device: str) -> list[str]:
        """Python with this package's ``__main__``.

        Examples
        --------
        >>> ENGINE.command("cpu")[1:]
        ['-m', 'warmstart.engines.veros']
        """
        on = [] if device == "cpu" else ["--device", device]
        return [sys.executable, "-m", __name__, *on]

    def recognise(self, path: Path, header: Header | None) -> Kind | None:
        """Veros's output or restart, or the folder of a run."""
        if header is None:
            return super().recognise(path, header)
        if {"xt", "yt", "zt"} <= set(header.dims) and {"temp", "salt", "u", "v"} & set(header.variables):
            return OUTPUT
        if "core" not in header.groups:
            return None
        return RESTART if "warmstart" in header.groups else BARE if "snapshot" in header.groups else None

    def open_grid(self, paths: Sequence[Path], kind: Kind) -> Grid:
        """The mesh of a snapshot or of averages, or that of the run that a restart is of."""
        from warmstart.engines.veros import averages

        if kind is BARE:
            raise UserError(
                f"{paths[0]} is a restart of Veros: it holds arrays without positions, depths or units; give the snapshot or "
                "the averages of the run (.nc)"
            )
        return averages.open_grid(paths[0]) if kind is OUTPUT else super().open_grid(paths, kind)

    def open_state(self, paths: Sequence[Path], kind: Kind, grid: Grid, diagnostics: bool) -> xr.Dataset:
        """The states of a snapshot or of averages, of a run, or of a restart of DINO."""
        from warmstart.engines.veros import averages

        path = only(paths, self.title)
        return (
            averages.open_state(path, grid)
            if kind is OUTPUT
            else super().open_state(paths, kind, grid, diagnostics)
        )

    def given(self, state: xr.Dataset) -> tuple[str, ...]:
        """Temperature and salinity, and the velocities both or not at all."""
        return (*self.required, *OPTIONAL) if all(name in state for name in OPTIONAL) else self.required

    def write_restart(self, state: xr.Dataset, grid: Grid, path: Path, options: Mapping[str, Any]) -> Written:
        """Split the velocities, derive density and vertical velocity; tendencies and turbulence start from zero."""
        from warmstart.engines.manifest import Fields
        from warmstart.engines.veros.arrays import restart_from_state

        given = self.given(state)
        restart_from_state(state[list(given)].load(), grid, path)
        if given == self.required:
            fields = Fields(given=given, derived=("rho", "Nsqr"), zeroed=(*OPTIONAL, "psi", "w", *ZEROED))
        else:
            fields = Fields(given=given, derived=DERIVED, zeroed=ZEROED)
        return Written((path,), fields)

    def read_restart(self, path: Path, grid: Grid) -> xr.Dataset:
        """The newest time level of a restart, with the sea level that fits its flow."""
        import xarray as xr

        from warmstart.engines.veros.arrays import NEWEST, from_veros, read_restart, require_grid
        from warmstart.engines.veros.diagnostics import state_arrays

        fields, _ = read_restart(path)
        require_grid(fields, grid.shape, path)
        newest = {n: from_veros(fields[n][..., NEWEST]) for n in ("temp", "salt", "u", "v", "w")}
        arrays = state_arrays(newest, grid)
        tables = [v for v in self.variables.values() if v.name in arrays]
        return xr.Dataset({v.name: (v.dims, arrays[v.name], v.attrs) for v in tables})


ENGINE: Any = Veros()
