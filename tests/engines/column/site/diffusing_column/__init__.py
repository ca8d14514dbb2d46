"""A toy ocean model: columns in which temperature and a dye diffuse downwards; it has no salt, no flow and no sea level.

It is a package of its own that the tests put on the path: warmstart knows it by its entry point alone.
"""

import sys
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import xarray as xr
from pydantic import Field

from warmstart.engines.base import Kind, Phase, Written
from warmstart.engines.jobs import JobEngine
from warmstart.engines.manifest import Fields
from warmstart.errors import UserError
from warmstart.io.config import Config
from warmstart.ocean.basin import mesh
from warmstart.ocean.parameters import Parameter
from warmstart.ocean.variables import VARIABLES, Variable

DAY, YEAR = 86400.0, 360
STEP = 10 * DAY  #: [s]
PROGNOSTIC = ("thetao", "dye")


class Columns(Config):
    """How many columns, rows and levels, and how deep."""

    columns: int = Field(ge=4, le=100)
    rows: int = Field(ge=4, le=100)
    levels: int = Field(ge=3, le=100)
    depth: float = Field(default=1000.0, gt=0.0)


DYE = Variable("dye", "", "concentration of dye", "1", "T", True, (-0.1, 1.5), cmap="dense")


class Column(JobEngine):
    """The toy."""

    name = "column"
    title = "the diffusing column"
    variables: ClassVar = {"thetao": VARIABLES["thetao"], "dye": DYE}
    required = PROGNOSTIC
    parameters: ClassVar = {
        p.name: p
        for p in (
            Parameter("column_diffusivity", "m2 s-1", 5e-3, 2e-3, 1e-2, "log", "Vertical diffusivity."),
            Parameter("column_temperature", "degC", 20.0, 15.0, 25.0, "linear", "Temperature that the surface is restored to."),
            Parameter("dye_decay", "s-1", 2e-9, 1e-9, 1e-8, "log", "Rate at which dye decays."),
        )
    }  # fmt: skip
    configuration = Columns
    starts = ("rest",)

    def grid(self, configuration):
        c = configuration
        lon, lat = np.linspace(0.0, 30.0, c.columns), np.linspace(-60.0, 60.0, c.rows)
        bottom = np.full((c.rows, c.columns), c.levels)
        bottom[2:-2, 0] = bottom[[0, -1]] = 0
        attrs = {"configuration": "columns", "engine": "column", "rigid_lid": 1}
        made = mesh(lon, lat, c.depth * np.linspace(0, 1, c.levels + 1) ** 1.5, bottom, True, **attrs)
        return made

    def configuration_of(self, grid, where):
        if grid.ds.attrs.get("configuration") != "columns":
            raise UserError(f"{where} is on another mesh than columns")
        levels, rows, columns = grid.shape
        depth = float(grid.gdepw_1d[-1] + grid.e3t_1d[-1])
        return Columns(columns=columns, rows=rows, levels=levels, depth=round(depth, 6))

    def phases(self, plan):
        if plan.until != "years" or plan.acceleration is not None:
            raise UserError(
                "the diffusing column runs for the years of its plan; leave until and acceleration out"
            )
        return self._lasting(plan.years, "spinup", kept=(plan.years / 2,)) + self._lasting(
            plan.years + plan.settle_years, "settle", every=plan.settle_years / 4, label="equilibrium"
        ) * bool(plan.settle_years)

    def _lasting(self, years, name, kept=(), every=None, label="transient"):
        days = tuple(YEAR * year for year in kept)
        often = None if every is None else YEAR * every
        return (
            Phase(
                name=name, until_day=YEAR * years, dt_momentum=STEP, dt_tracer=STEP, snapshot_days=days,
                snapshot_every_days=often, label=label,
            ),
        )  # fmt: skip

    def trial_phases(self, years, configuration):
        (run,) = self._lasting(years, "run", every=1)
        return (run.model_copy(update={"record_days": 10.0, "snapshot_days": (0.0, 30.0)}),)

    def command(self, device):
        if device != "cpu":
            raise UserError("the diffusing column runs on a CPU only")
        return [sys.executable, "-m", "diffusing_column"]

    def recognise(self, path, header):
        if header is not None and header.attrs.get("model") == self.name:
            return Kind("restart", ("states",), self.title)
        return super().recognise(path, header)

    def write_restart(self, state, grid, path, options):
        save(path, {n: np.nan_to_num(state[n].values.astype("float64")) for n in PROGNOSTIC})
        return Written((Path(path),), Fields(given=PROGNOSTIC, derived=(), zeroed=()))

    def read_restart(self, path, grid):
        return as_state(read(path), grid)


def save(path, fields):
    """Write a restart: the fields as they are, to the last bit."""
    with h5py.File(path, "w") as file:
        file.attrs["model"] = Column.name
        for name, values in fields.items():
            file.create_dataset(name, data=values, track_times=False)


def read(path):
    """The fields of a restart."""
    with h5py.File(path, "r") as file:
        return {name: file[name][()] for name in PROGNOSTIC}


def as_state(fields, grid):
    """Fields as a state."""
    tables = Column.variables
    return xr.Dataset(
        {
            name: (t.dims, np.where(grid.mask(t.point).values, fields[name], np.nan), t.attrs)
            for name, t in tables.items()
        }
    )


ENGINE = Column()
