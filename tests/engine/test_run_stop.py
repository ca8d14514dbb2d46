import pytest

from warmstart import parameters
from warmstart.engine.base import Job, spinup_phases
from warmstart.engine.veros import diagnose, run


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
    job = Job(
        engine="veros",
        configuration={"resolution": 10.0, "levels": 6},
        parameters=parameters.defaults(),
        start="rest",
        folder=tmp_path,
        phases=spinup_phases(3, 0),
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
        assert stopped._advance_phases() is None
        if not stopped.stopping:
            break
    assert stopped._day() == 1080.0
    assert [r["day"] for r in stopped.progress.rows] == [360.0, 720.0, 1080.0]
