"""``python -m diffusing_column JOB.yaml …``: run jobs, one after the other, and say how far they are."""

import fcntl
import json
import sys
import time

import numpy as np
import xarray as xr

from diffusing_column import DAY, ENGINE, STEP, YEAR, as_state, read, save
from warmstart.engines.base import load_job
from warmstart.errors import UserError
from warmstart.io import files, outputs
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.ocean import parameters
from warmstart.ocean.variables import said

RESTORING = 1.0 / (30 * DAY)  #: of the surface [s-1]


class Ocean:
    """Columns and how they change in a step."""

    def __init__(self, job):
        self.job, self.grid = job, ENGINE.grid(job.configuration)
        p, latitude = job.parameters, np.deg2rad(self.grid.gphit.values)
        self.wet = {n: self.grid.mask(t.point).values for n, t in ENGINE.variables.items()}
        surface = np.zeros(self.grid.shape[0])
        surface[0] = 1.0
        shape = np.cos(latitude)
        #: source, damping at the surface and everywhere of each variable
        self.terms = {
            "thetao": (RESTORING * p["column_temperature"] * shape, RESTORING, 0.0),
            "dye": (RESTORING * (0.5 + 0.5 * shape), RESTORING, p["dye_decay"]),
        }
        self.inverse = {n: np.linalg.inv(self._matrix(p, surface, *t[1:])) for n, t in self.terms.items()}
        self.surface = surface

    def _matrix(self, p, surface, damped, decay):
        thickness = self.grid.e3t_1d.values
        flux = p["column_diffusivity"] / np.diff(self.grid.gdept_1d.values)
        matrix = np.diag(np.append(flux, 0.0) + np.append(0.0, flux)) - np.diag(flux, 1) - np.diag(flux, -1)
        return np.eye(thickness.size) + STEP * (
            matrix / thickness[:, None] + np.diag(decay + damped * surface)
        )

    def rest(self):
        return {n: np.zeros(wet.shape) for n, wet in self.wet.items()}

    def step(self, fields):
        new = {}
        for name, values in fields.items():
            source = STEP * self.surface[:, None, None] * self.terms[name][0]
            moved = np.einsum("zk,kyx->zyx", self.inverse[name], values + source)
            new[name] = np.where(self.wet[name], moved, 0.0)
        return new

    def row(self, fields):
        state, grid = as_state(fields, self.grid), self.grid
        row = {f"{n}_mean": float(grid.mean(state[n])) for n in ENGINE.variables}
        row["thetao_deep"] = float(grid.mean(state.thetao, grid.box(depth=(500.0, np.inf))))
        return row


UNITS = {"thetao_mean": "degC", "thetao_deep": "degC", "dye_mean": "1"}


def run(path):
    """Run a job to its end."""
    job, began = load_job(path), time.monotonic()
    with (job.folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ocean = Ocean(job)
        fields = ocean.rest() if job.start == "rest" else read(job.start)
        rows, states, day = [], [], 0.0

        def look(phase):
            if phase.records(day):
                rows.append({"year": day / YEAR, **ocean.row(fields)})
            if phase.keeps(day):
                kept = as_state(fields, ocean.grid).expand_dims("time")
                states.append(kept.assign_coords(year=("time", [day / YEAR]), phase=("time", [phase.label])))

        look(job.phases[0])
        for phase in job.phases:
            for stop in phase.stops(day):
                while day < stop:
                    fields, day = ocean.step(fields), day + STEP / DAY
                look(phase)
            tell("progress", job, day)
        finish(job, ocean, rows, states, fields, time.monotonic() - began)
        tell("finished", job, day)


def finish(job, ocean, rows, states, fields, seconds):
    """Write what a run leaves behind."""
    drift = 100 * (rows[-1]["thetao_deep"] - rows[-2]["thetao_deep"]) / (rows[-1]["year"] - rows[-2]["year"])
    verdict = "equilibrium" if abs(drift) < 0.01 else "near" if abs(drift) < 1.0 else "drifting"
    attrs = files.provenance() | said(ENGINE.variables) | {"verdict": verdict, "drift_K_per_century": drift}
    attrs |= {k: v for k, v in (("member_name", job.name), ("split", job.split)) if v}
    described = ENGINE.parameters
    series = xr.Dataset(
        {n: ("time", [row[n] for row in rows], {"units": unit, "long_name": n}) for n, unit in UNITS.items()},
        {"year": ("time", [row["year"] for row in rows])},
    )
    for name, ds in (("series", series), ("states", xr.concat(states, "time") if states else None)):
        if ds is not None:
            ds = parameters.attach(ds, job.parameters, described=described).assign_attrs(attrs)
            grid = ocean.grid if name == "states" else None
            files.write_dataset(job.folder / f"{name}.nc", ds, grid, overwrite=True)
    save(job.folder / "restart.h5", fields)
    status = {
        "state": "finished", "years": job.years, "drift_K_per_century": drift, "verdict": verdict, "attempts": 1,
        "blow_ups": [], "wall_seconds": round(seconds, 2), "warmstart_version": outputs.version(),
    }  # fmt: skip
    former = job.folder / "status.yaml"
    dump_yaml(status, former, former=read_yaml(former) if former.exists() else None)


def tell(event, job, day):
    """Report one event, a JSON object a line."""
    print(  # noqa: T201 (the supervisor reads it)
        json.dumps({"event": event, "year": day / YEAR, "years": job.years, "folder": str(job.folder)}),
        flush=True,
    )


if __name__ == "__main__":
    try:
        for path in sys.argv[1:]:
            run(path)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
