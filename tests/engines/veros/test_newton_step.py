"""The matrix of a frozen circulation keeps what a circulation keeps, and a step leads back to where a tracer came from."""

from pathlib import Path

import pytest
from test_step import last_line

pytest.importorskip("veros", reason="Veros is not installed")
pytestmark = pytest.mark.xdist_group("veros-step")


@pytest.fixture(scope="module")
def facts():
    return last_line(Path(__file__).parent / "newton_program.py")


def test_what_is_the_same_everywhere_is_not_moved_by_any_circulation(facts):
    assert facts["drift of a uniform tracer"] < 1e-9


def test_a_circulation_makes_no_tracer_and_loses_none(facts):
    """Without the surface the content of the whole ocean stays, whatever the tracer."""
    assert facts["change of content"] < 1e-9


def test_the_matrix_is_what_the_model_does_to_a_small_disturbance(facts):
    """Of all cells at once: no cell is felt beyond the distance at which others are probed."""
    assert facts["matrix against the model"] < 1e-9


def test_the_step_undoes_a_displacement(facts):
    """A tracer displaced from rest drifts by matrix and restoring; from that drift the step finds the displacement."""
    assert facts["way back of a displaced tracer"] < 1e-6


def test_without_a_drift_there_is_no_step(facts):
    assert facts["step without a drift"] == 0.0
