import pytest

from warmstart import parameters
from warmstart.engine.base import Job, spinup_phases
from warmstart.engine.veros import diagnose, run


class Still:
    """A step that changes nothing, at once."""

    def theta(self, *_):
        return {}

    def advance(self, carry, theta, steps):
        return carry


def still_run(folder, monkeypatch, phases, row):
    """A run of a step that changes nothing; each look at it gives `row`."""
    numbers = dict.fromkeys(diagnose.SERIES, 1.0)
    flat = {"thetao_profile": [1.0] * 6, "so_profile": [35.0] * 6}
    monkeypatch.setattr(diagnose, "newest", lambda carry: {})
    monkeypatch.setattr(diagnose, "series_row", lambda fields, grid: numbers | row())
    monkeypatch.setattr(diagnose, "profiles", lambda fields, grid: flat)
    monkeypatch.setattr(diagnose, "state_arrays", lambda fields, grid: {})
    job = Job(
        engine="veros",
        configuration={"resolution": 10.0, "levels": 6},
        parameters=parameters.defaults(),
        start="rest",
        folder=folder,
        phases=phases,
    )
    running = run.Run(job, lambda event, **content: None)
    running.step = Still()
    running.step_seconds = 1e-9
    for theta, steps in running._phase_requests():
        running._advance(theta, steps)
    return running


def test_a_spinup_until_equilibrium_ends_when_it_is_there_and_settles_at_once(tmp_path, monkeypatch):
    """Nothing moves: after the 200 years that a verdict needs and 50 in which it is kept, the 20 years of settling follow."""
    done = still_run(tmp_path, monkeypatch, spinup_phases(3000, 20, "equilibrium", resolution=4), dict)
    days = [r["day"] for r in done.progress.rows]
    assert days == [360.0 * year for year in range(1, len(days) + 1)], "the series has each year once"
    assert days[-1] == 360.0 * (260 + 20)
    assert done.progress.early_days == 360.0 * (3000 - 260)
    kept = sorted(float(path.stem.split("_")[1]) / 360 for path in (tmp_path / "snapshots").iterdir())
    assert kept == [10, 50, 100, 200, 265, 270, 275, 280]


def test_a_spinup_until_near_needs_half_as_long(tmp_path, monkeypatch):
    done = still_run(tmp_path, monkeypatch, spinup_phases(3000, 0, "near", resolution=4), dict)
    assert done.progress.rows[-1]["day"] == 360.0 * 110


def test_a_spinup_that_drifts_runs_to_its_cap(tmp_path, monkeypatch):
    count = iter(range(10000))
    done = still_run(
        tmp_path, monkeypatch, spinup_phases(300, 0, "equilibrium", resolution=4),
        lambda: {"thetao_deep": 1e-3 * next(count)},
    )  # fmt: skip
    assert done.progress.rows[-1]["day"] == 300 * 360.0
    assert done.progress.early_days == 0.0


class Slow:
    """A step whose every call is interrupted by a signal."""

    def __init__(self):
        self.run = None

    def theta(self, *_):
        return {}

    def advance(self, carry, theta, steps):
        self.run.stopping = self.run.stopping or steps > 0
        return carry


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run that gets a signal during each call; a call may end on the day of a row of the series."""
    row = dict.fromkeys(("thetao_mean", "so_mean", "kinetic_energy", "speed_max"), 1.0)
    monkeypatch.setattr(diagnose, "newest", lambda carry: {})
    monkeypatch.setattr(diagnose, "series_row", lambda fields, grid: row)
    monkeypatch.setattr(diagnose, "profiles", lambda fields, grid: {})
    job = Job(
        engine="veros",
        configuration={"resolution": 10.0, "levels": 6},
        parameters=parameters.defaults(),
        start="rest",
        folder=tmp_path,
        phases=spinup_phases(3, 0, resolution=4),
    )
    step = Slow()
    step.run = run.Run(job, lambda event, **content: None)
    step.run.step = step
    step.run.step_seconds = 1e-4  # the whole way to the next stop in one call
    return step.run


def test_a_signal_on_the_day_of_a_row_loses_no_row(stopped):
    """Stopped and continued until the end: the series has each year once."""
    for _ in range(20):
        stopped.stopping = False
        for theta, steps in stopped._phase_requests():
            stopped._advance(theta, steps)
            if stopped.stopping and stopped.progress.steps < stopped.target:
                break
        if not stopped.stopping:
            break
    assert stopped._day() == 1080.0
    assert [r["day"] for r in stopped.progress.rows] == [360.0, 720.0, 1080.0]
