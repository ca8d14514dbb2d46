"""Run a job: phases, records, snapshots, checkpoints, one retry after a blow-up."""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart.engines import dino
from warmstart.engines import series as series_
from warmstart.engines.base import Job, Phase, load_job
from warmstart.engines.veros import diagnostics, environment, run_state
from warmstart.engines.veros.arrays import shifted, write_restart
from warmstart.engines.veros.run_state import FAILED, Progress, Report, opened, read_start
from warmstart.equilibrium import acceleration
from warmstart.equilibrium.acceleration import Acceleration
from warmstart.equilibrium.correction import late_rates
from warmstart.equilibrium.verdict import Verdict, has_arrived, judge
from warmstart.io import files, outputs
from warmstart.io.config import dump_yaml, read_yaml
from warmstart.ocean import parameters
from warmstart.ocean.constants import DAY, YEAR
from warmstart.ocean.grid import Grid

if TYPE_CHECKING:
    import xarray as xr

    from warmstart.engines.veros.step import PureStep

log = logging.getLogger(__name__)
MAX_SPEED = 20.0  #: a velocity beyond is a blow-up [m s-1]
CALL_SECONDS = 5.0  #: wall time of one call of the compiled loop, after which signals are looked at
TERMINATED = 143  #: exit code
#: What a run asks to be done: inputs of the step and number of steps; at the end, what blew up.
Requests = Generator[tuple[dict[str, Any], int], None, dict[str, Any] | None]


def emit(event: str, **content: Any) -> None:
    """Print one JSON object on standard output, which is what a parent process reads."""
    sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
    sys.stdout.flush()


def run_job(path: str | Path, report: Report = emit) -> int:
    """Run or continue a job.

    Parameters
    ----------
    path : the YAML file of a :class:`warmstart.engines.base.Job`.
    report : called with an event name and keywords.

    Returns
    -------
    Exit code: 0 finished, 3 blown up twice, 143 stopped by SIGTERM or Ctrl-C after a checkpoint; before anything is
    computed the signal itself ends the process.

    Raises
    ------
    UserError
        If the job is invalid, or its folder holds another job.
    """
    job = load_job(path)
    with opened(job, report) as end:
        if end is not None:
            return end
        environment.configure()
        return Run(job, report).execute()


class Run:
    """A job in progress.

    Parameters
    ----------
    job : what to do.
    report : called with an event name and keywords.
    """

    def __init__(self, job: Job, report: Report) -> None:
        self.job, self.folder, self.report = job, job.folder, report
        self.grid: Grid = dino.grid(job.configuration.resolution, job.configuration.levels)
        self.progress = Progress()
        self.carry: dict[str, Any] = {}
        self.stopping = False
        self.since = (time.monotonic(), time.process_time())
        self.saved = self.said = time.monotonic()
        self.step_seconds = math.inf
        self.target = 0  #: steps of the present phase at the next stop
        self.code = 0
        volume = self.grid.volume.values
        self.levels = acceleration.Levels(self.grid.gdept_1d.values, volume.sum(axis=(1, 2)))

    def execute(self) -> int:
        """Run to the end, to a failure, or to a signal; return the exit code."""
        self.step = build_step(self.job)
        for theta, steps in self.requests():
            self._advance(theta, steps)
            if self.stopping and self.progress.steps < self.target:
                self.save()
                return TERMINATED
        return self.code

    def idle(self) -> dict[str, Any]:
        """Inputs of a step that nobody takes."""
        return self.step.theta(self.job.parameters, 1.0, 1.0)

    def requests(self) -> Requests:
        """Ask for the steps to be done, each time inputs and number; whoever does them updates carry and progress."""
        self._resume()
        while True:
            blown = yield from self._phase_requests()
            if blown is None:
                self._finish()
                return None
            if not self._retry(blown):
                self.code = FAILED
                return blown

    def _stop_in_order(self, *_: Any) -> None:
        self.stopping = True

    def _resume(self) -> None:
        """Start from the checkpoint if there is one."""
        found = run_state.load(self.folder)
        if found is None:
            self._begin()
        else:
            fields, self.progress = found
            self.carry = self.step.unpack(fields)
            self.report("resumed", year=self._run_day(self._day()) / YEAR, years=self.job.years)
        self._write_status("running")

    def _begin(self) -> None:
        """Take the initial state and look at it."""
        rest = self.job.start == "rest"
        self.carry = self.step.initial() if rest else self.step.unpack(read_start(self.job))
        self._observe(self.job.phases[0], 0.0)

    def _phases(self) -> tuple[Phase, ...]:
        """The phases of the present attempt."""
        return self.job.phases if self.progress.attempt == 1 else self.job.cautious_phases

    def _phase_start(self, index: int) -> float:
        return self.job.phases[index - 1].until_day if index else 0.0

    def _day(self) -> float:
        """Day of the plan; where a phase ended early, the plan is ahead of the run."""
        p = self.progress
        if p.phase >= len(self.job.phases):
            return self.job.phases[-1].until_day
        return self._phase_start(p.phase) + p.steps * self._phases()[p.phase].dt_tracer / DAY

    def _run_day(self, day: float) -> float:
        """Day since the start of the run."""
        return day - self.progress.early_days

    def _phase_requests(self) -> Requests:
        """Requests of all phases that are left; returns a description of a blow-up, or None."""
        phases = self._phases()
        while self.progress.phase < len(phases):
            phase, start = phases[self.progress.phase], self._phase_start(self.progress.phase)
            theta = self.step.theta(self.job.parameters, phase.dt_momentum, phase.dt_tracer)
            if phase.acceleration is not None and not self.progress.steps:
                self._aim(phase.acceleration)
            for stop in phase.stops(start):
                if stop <= self._day():
                    continue
                self.target = round((stop - start) * DAY / phase.dt_tracer)
                yield theta, self.target - self.progress.steps
                blown = self._observe(phase, stop)
                if blown:
                    return blown
                if self.progress.parts and not stop % YEAR:
                    self._add_part(stop)
                elif phase.acceleration is not None and phase.ends_stretch(start, stop):
                    self._extrapolate(phase.acceleration, stop, phase.until or "equilibrium")
                if phase.until is not None and self._has_arrived(phase.until):
                    self.progress.early_days += phase.until_day - stop
                    break
                if time.monotonic() - self.saved >= self.job.checkpoint_seconds:
                    self.save()
            self.progress.phase, self.progress.steps = self.progress.phase + 1, 0
        return None

    def _aim(self, how: Acceleration) -> None:
        """Shift the deep ocean to the profile that is expected at equilibrium, if one is given."""
        if how.expected and not self.progress.shifts:
            profile = np.concatenate([self.progress.rows[-1][name] for name in series_.PROFILES])
            shift = acceleration.bounded(np.array(how.expected) - profile, self.levels)
            self._shift(shift / how.ramp_years, how.ramp_years, self._day(), None)

    def _extrapolate(self, how: Acceleration, day: float, until: str) -> None:
        """Measure the years since the last extrapolation and shift the deep ocean, unless it is calm."""
        past = [s["stretch"] for s in self.progress.shifts if s["stretch"]]
        rows = self._rows()
        adjusted = rows[0]["day"] + (how.stretch_years - how.window_years) * YEAR
        rows = [row for row in rows if row["day"] >= adjusted and row["day"] > 0]
        profiles = np.array([np.concatenate([row[name] for name in series_.PROFILES]) for row in rows])
        stretch = acceleration.measure(np.array([row["day"] for row in rows]) / YEAR, profiles)
        calm = bool(self.progress.shifts) and acceleration.is_calm(stretch, self.levels, until)
        if not calm and len(past) < how.most:
            history = [acceleration.Stretch(*(np.array(v) for v in s.values())) for s in past]
            mixing = self.job.parameters["vertical_diffusivity"]
            relaxation = how.relaxation_years or acceleration.relaxation_years(mixing)
            shift = acceleration.next_shift([*history, stretch], self.levels, relaxation)
            self._shift(shift / how.ramp_years, how.ramp_years, day, stretch.as_dict())

    def _shift(self, part: np.ndarray, parts: int, day: float, stretch: dict[str, Any] | None) -> None:
        """Begin to add a profile, in parts, to temperature and salinity and note it."""
        deep = parts * self.levels.deep_mean(part)
        self.progress.shifts.append({"day": self._run_day(day), "deep": deep, "stretch": stretch})
        self.progress.parts = [part.tolist()] * parts
        self.report("shift", year=self._run_day(day) / YEAR, years=self.job.years, deep=deep)
        self._add_part(day)

    def _add_part(self, day: float) -> None:
        """Add the next part of a shift."""
        part = np.array(self.progress.parts.pop())
        self.carry = self.step.unpack(shifted(self.step.pack(self.carry), part, self.grid))
        self.progress.shifts[-1]["day"] = self._run_day(day)
        self.progress.disturbed += 1

    def _rows(self) -> list[dict[str, Any]]:
        """The series since the last extrapolation."""
        last = self.progress.shifts[-1]["day"] if self.progress.shifts else -1.0
        return [row for row in self.progress.rows if row["day"] > last]

    def _has_arrived(self, until: str) -> bool:
        """Whether the years since the last extrapolation are long enough and have that verdict; looked at each decade."""
        rows = self._rows()
        if not rows or rows[-1]["day"] % (10 * YEAR):
            return False
        return has_arrived(series_.series_dataset(rows), until)

    def _advance(self, theta: dict[str, Any], steps: int) -> None:
        """Do `steps` steps, in calls short enough to answer a signal."""
        import jax

        while steps and not self.stopping:
            first = math.isinf(self.step_seconds)
            n = min(steps, 2 if first else max(1, int(CALL_SECONDS / self.step_seconds)))
            if first:  # compile before the clock starts
                jax.block_until_ready(self.step.advance(self.carry, theta, 0))
                heed_signals(self._stop_in_order)
            before = time.monotonic()
            self.carry = jax.block_until_ready(self.step.advance(self.carry, theta, n))
            self.step_seconds = max((time.monotonic() - before) / n, 1e-6)
            self.progress.steps += n
            steps -= n

    def _observe(self, phase: Phase, day: float) -> dict[str, Any] | None:
        """Add a row, keep a state, report progress; return a description if the run has blown up."""
        fields, real = diagnostics.newest(self.carry), self._run_day(day)
        row = series_.series_row(fields, self.grid)
        finite = all(math.isfinite(row[n]) for n in ("thetao_mean", "so_mean", "kinetic_energy"))
        if not (finite and row["speed_max"] <= MAX_SPEED):
            return {
                "year": real / YEAR,
                "phase": phase.name,
                "attempt": self.progress.attempt,
                "dt_momentum": phase.dt_momentum,
                "dt_tracer": phase.dt_tracer,
                "speed_max": row["speed_max"] if math.isfinite(row["speed_max"]) else None,
                "parameters": dict(self.job.parameters),
            }
        if phase.records(day):
            how = {"stretch": self.progress.disturbed, "dt_tracer": phase.dt_tracer}
            self.progress.rows.append({"day": real, **row, **how, **series_.profiles(fields, self.grid)})
        # after a shift a state is no stage of a spin-up any more
        if phase.keeps(day) and (phase.label == "equilibrium" or not self.progress.shifts):
            arrays = diagnostics.state_arrays(fields, self.grid)
            run_state.save_snapshot(self.folder, real, arrays, phase.label)
        if time.monotonic() - self.said >= 1.0:
            self.said = time.monotonic()
            self.report("progress", year=real / YEAR, years=self.job.years, attempt=self.progress.attempt)
        return None

    def _retry(self, blown: dict[str, Any]) -> bool:
        """Report a blow-up and begin again with smaller time steps; False if that has been tried."""
        self.progress.blow_ups.append(blown)
        self.report("blow-up", **blown)
        message = f"blown up in year {blown['year']:g} at {blown['dt_momentum']:g} s / {blown['dt_tracer'] / DAY:g} day"
        log.warning("%s: %s", self.folder, message)
        smaller = self.job.cautious_phases != self.job.phases
        if self.progress.attempt > 1 or not smaller:
            self._write_status("failed", message=f"{message}; parameters {self.job.parameters}")
            self.report("failed", folder=str(self.folder), message=message)
            return False
        wall, cpu = self._spent()
        run_state.clear(self.folder)
        blown_up = self.progress.blow_ups
        self.progress = Progress(attempt=2, blow_ups=blown_up, wall_seconds=wall, cpu_seconds=cpu)
        self.since = (time.monotonic(), time.process_time())
        self._begin()
        self.save()
        return True

    def _spent(self) -> tuple[float, float]:
        """Wall and CPU seconds of all processes so far."""
        wall, cpu = time.monotonic() - self.since[0], time.process_time() - self.since[1]
        return self.progress.wall_seconds + wall, self.progress.cpu_seconds + cpu

    def save(self) -> None:
        """Write the checkpoint and the status."""
        self.progress.wall_seconds, self.progress.cpu_seconds = self._spent()
        self.since = (time.monotonic(), time.process_time())
        run_state.save(self.folder, self.step.pack(self.carry), self.progress)
        self._write_status("running")
        self.saved = time.monotonic()

    def _finish(self) -> None:
        """Write states, series, restart and status, then drop the checkpoint."""
        values = self.job.parameters
        # what changes no result changes no hash
        config = self.job.model_dump(mode="json", exclude={"folder", "checkpoint_seconds", "name", "split"})
        command = f"python -m warmstart.engines.veros {self.folder / 'job.yaml'}"
        labels = {"member_name": self.job.name, "split": self.job.split}
        series = series_.series_dataset(self.progress.rows)
        found = judge(series)
        attrs = files.provenance(config=config, command=command)
        attrs |= {key: label for key, label in labels.items() if label is not None} | found.attributes()
        snapshots = run_state.load_snapshots(self.folder)
        if snapshots:
            states = parameters.attach(diagnostics.states_dataset(snapshots), values).assign_attrs(attrs)
            if self._phases()[-1].newton_step:
                self._write_newton_step(states, attrs)
            states = states.merge(dino.forcing(self.grid, values))
            files.write_dataset(self.folder / "states.nc", states, self.grid, overwrite=True)
        series = parameters.attach(series, values).assign_attrs(attrs)
        files.write_dataset(self.folder / "series.nc", series, overwrite=True)
        day, folder = self._run_day(self._day()), self.folder
        write_restart(folder / "restart.h5", self.step.pack(self.carry), {"day": day, "parameters": values})
        self._write_status("finished", found)
        run_state.clear(folder)
        self.report(
            "finished", year=day / YEAR, years=self.job.years, folder=str(folder), verdict=found.verdict
        )

    def _write_newton_step(self, states: xr.Dataset, attrs: dict[str, Any]) -> None:
        """Write where temperature and salinity would come to rest in the circulation of the end."""
        import xarray as xr

        from warmstart.engines.veros.newton_step import newton_step

        phase, rates = self._phases()[-1], late_rates(states)
        steps = (phase.dt_momentum, phase.dt_tracer)
        moved = newton_step(self.step, self.carry, self.job.parameters, steps, rates)
        out = xr.Dataset(
            {name: (("z", "y", "x"), values, rates[name].attrs) for name, values in moved.items()}
        )
        out = out.where(self.grid.tmask > 0).assign({f"rate_{name}": rates[name] for name in moved})
        files.write_dataset(
            self.folder / "newton_step.nc", out.assign_attrs(attrs), self.grid, overwrite=True
        )

    def _write_status(self, state: str, found: Verdict | None = None, message: str = "") -> None:
        wall, cpu = self._spent()
        status = {
            "state": state,
            "years": self._run_day(self._day()) / YEAR,
            **(found.summary() if found else {"drift_K_per_century": None, "verdict": None}),
            "attempts": self.progress.attempt,
            "blow_ups": self.progress.blow_ups,
            "shifts": [
                {"year": s["day"] / YEAR, "deep_K": round(s["deep"], 4)} for s in self.progress.shifts
            ],
            "wall_seconds": round(wall, 1),
            "cpu_seconds": round(cpu, 1),
            "warmstart_version": outputs.version(),
        }
        path = self.folder / "status.yaml"
        former = read_yaml(path) if path.exists() else {}
        known = former if "warmstart_version" in former else None
        dump_yaml(status | ({"message": message} if message else {}), path, former=known)


def heed_signals(stop: Callable[..., None]) -> None:
    """From now on a signal calls `stop`, for an end after a checkpoint; until here, while nothing was computed, it ends the process.

    A handler of Python waits for the call in which the signal comes, and compiling is one call of a minute or more.
    """
    signal.signal(signal.SIGTERM, stop)
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    ):  # a process that is an engine; another keeps its Ctrl-C
        signal.signal(signal.SIGINT, stop)


def build_step(job: Job) -> PureStep:
    """Set the engine up; imports JAX and Veros."""
    from warmstart.engines.veros.setup import make_setup
    from warmstart.engines.veros.step import PureStep

    c = job.configuration
    # the setup's own parameters and steps do not matter: the step takes them as inputs
    return PureStep(make_setup(c.resolution, c.levels, parameters.defaults(), 1800.0, 1800.0))
