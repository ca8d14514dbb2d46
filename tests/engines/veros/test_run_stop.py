"""When a run ends, and what a signal leaves: everything is the real thing but the ocean, whose law is written down here."""

import signal

import numpy as np
import pytest
import xarray as xr
import yaml

from warmstart.engines import dino
from warmstart.engines.base import Job
from warmstart.engines.veros import run
from warmstart.engines.veros.arrays import LEVELS, fields_of_state, from_veros, read_restart
from warmstart.engines.veros.phases import spinup_phases
from warmstart.engines.veros.run_state import opened
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.basin import finish
from warmstart.ocean.constants import DAY

GRID = dino.grid(10.0, 6)
STEP = 2.0**-17  #: by which the ocean warms [K]: sums of it have no rounding


class Ocean:
    """Water at rest that warms by the same in every step; a signal comes during the calls that `signals` names."""

    def __init__(self, warming=0.0, signals=()):
        level = xr.DataArray(np.arange(GRID.shape[0]), dims="z") + 0 * GRID.gdept_0
        self.state = finish(xr.Dataset({"thetao": 16.0 - level, "so": 35.0 + 0 * level}), GRID)
        self.warming, self.signals, self.calls = warming, signals, 0

    def theta(self, values, dt_momentum, dt_tracer):
        return {"dt": dt_tracer}

    def initial(self):
        return self.unpack(fields_of_state(self.state, GRID))

    def unpack(self, fields):
        return {
            name: tuple(np.asarray(fields[name])[..., i] for i in range(3)) if name in LEVELS else values
            for name, values in fields.items()
        }

    def pack(self, carry):
        return {n: np.stack(v, axis=-1) if isinstance(v, tuple) else v for n, v in carry.items()}

    def advance(self, carry, theta, steps):
        self.calls += 1
        if self.calls in self.signals:
            signal.raise_signal(signal.SIGTERM)
        wet = carry["temp"][1] != 0
        warmer = tuple(np.where(wet, level + steps * self.warming, 0.0) for level in carry["temp"])
        return carry | {"temp": warmer, "time": carry["time"] + steps * theta["dt"]}


@pytest.fixture
def go(monkeypatch):
    """Run, or continue, the job of a folder with an ocean; what it does to the handling of signals is undone."""
    before = signal.getsignal(signal.SIGTERM)

    def begin(folder, ocean, phases):
        job = Job(
            engine="veros", configuration={"resolution": 10.0, "levels": 6}, parameters=parameters.defaults(),
            start="rest", folder=folder, phases=phases,
        )  # fmt: skip
        monkeypatch.setattr(run, "build_step", lambda job: ocean)
        with opened(job, lambda event, **content: None) as end:
            assert end is None
            return run.Run(job, lambda event, **content: None).execute()

    yield begin
    signal.signal(signal.SIGTERM, before)


def results(folder):
    """Series and states of a finished run, and its status."""
    series, states = (files.open_dataset(folder / f"{name}.nc").load() for name in ("series", "states"))
    return series, states, yaml.safe_load((folder / "status.yaml").read_text())


def test_a_spinup_until_equilibrium_ends_when_it_is_there_and_settles_at_once(tmp_path, go):
    """Nothing moves: after the 200 years that a verdict needs and 50 in which it is kept, the 20 years of settling follow."""
    assert go(tmp_path / "run", Ocean(), spinup_phases(3000, 20, "equilibrium", resolution=4)) == 0
    series, states, status = results(tmp_path / "run")
    assert series.year.values.tolist() == list(range(271)), "the series has each year once"
    assert states.year.values.tolist() == [10, 50, 100, 200, 255, 260, 265, 270]
    assert states.phase.values.tolist() == ["transient"] * 4 + ["equilibrium"] * 4
    assert (status["state"], status["years"], status["verdict"]) == ("finished", 270.0, "equilibrium")
    assert not (tmp_path / "run" / "snapshots").exists() and not (tmp_path / "run" / "checkpoint.h5").exists()


def test_a_spinup_until_near_needs_half_as_long(tmp_path, go):
    assert go(tmp_path / "run", Ocean(), spinup_phases(3000, 0, "near", resolution=4)) == 0
    assert float(results(tmp_path / "run")[0].year[-1]) == 100.0


def test_a_spinup_that_drifts_runs_to_its_cap(tmp_path, go):
    """0.14 K a century: the states show it, and so does the status."""
    phases = spinup_phases(300, 0, "equilibrium", resolution=4)
    assert go(tmp_path / "run", Ocean(warming=STEP), phases) == 0
    series, _, status = results(tmp_path / "run")
    assert float(series.year[-1]) == status["years"] == 300.0
    starts = [0.0, *(phase.until_day for phase in phases)]
    steps = sum((p.until_day - start) * DAY / p.dt_tracer for p, start in zip(phases, starts, strict=False))
    final = from_veros(read_restart(tmp_path / "run" / "restart.h5")[0]["temp"][..., 1])
    np.testing.assert_array_equal(final[GRID.tmask.values > 0].max(), 16.0 + steps * STEP)
    assert status["drift_K_per_century"] == pytest.approx(100 * STEP * steps / 300, rel=0.05)
    assert status["verdict"] != "equilibrium"


def test_signals_lose_no_row_and_change_no_bit(tmp_path, go):
    """In the middle of a year, and in the very step that ends one: stopped and continued, the results are the same."""
    phases = spinup_phases(3, 2, resolution=4)
    assert go(tmp_path / "whole", Ocean(warming=STEP), phases) == 0
    codes = []
    # call 1 compiles, call 2 makes two steps, call 3 the rest of the year
    for call in (3, 3, 2, 5, 2, 3, None):
        codes.append(go(tmp_path / "stopped", Ocean(warming=STEP, signals=(call,)), phases))
        if codes[-1] == 0:
            break
        assert (tmp_path / "stopped" / "checkpoint.h5").exists()
    assert codes[:-1] == [run.TERMINATED] * (len(codes) - 1) and codes[-1] == 0 and len(codes) > 4
    for whole, stopped in zip(
        results(tmp_path / "whole")[:2], results(tmp_path / "stopped")[:2], strict=True
    ):
        xr.testing.assert_equal(whole, stopped)
    assert results(tmp_path / "stopped")[0].year.values.tolist() == [0, 1, 2, 3, 4, 5]
    whole, stopped = (read_restart(tmp_path / n / "restart.h5")[0] for n in ("whole", "stopped"))
    for name in whole:
        assert np.array_equal(whole[name], stopped[name]), name
