"""The pure step is Veros's step, and one program serves every member."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("veros", reason="Veros is not installed")
pytestmark = pytest.mark.xdist_group("veros-step")
ROOT = Path(__file__).parents[3]


def last_line(*command, **env):
    """JSON that a program prints last, from a process of its own."""
    out = subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr[-3000:]
    return json.loads(out.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def facts():
    return last_line(Path(__file__).parent / "veros_program.py")


def test_the_pure_step_is_the_unmodified_veros_step_at_4_degrees():
    """60 steps from rest at 1800 s / 2 days, rounding alike, Veros's elliptic solver in both: equal to the last bit.

    Round-off alone, in another order of operations, grows to 1e-10 (and one ulp of temperature to 1e-6):
    ``benchmarks/engine_agreement.py``.
    """
    program, flags = (
        ROOT / "benchmarks" / "engine_agreement.py",
        "--xla_cpu_max_isa=AVX --xla_disable_hlo_passes=algsimp",
    )
    result = last_line(program, "--part", "same", "--steps", "60", XLA_FLAGS=flags)
    assert set(result["same rounding"]["60"]) == {"temp", "salt", "u", "v", "psi"}
    assert max(result["same rounding"]["60"].values()) <= 1e-12


def test_one_step_as_it_runs_is_veros_to_round_off(facts):
    """With its own direct solver and folded constants."""
    assert facts["one step against Veros"] < 1e-12


def test_a_run_does_not_depend_on_how_it_is_cut_into_calls(facts):
    assert facts["7 and 13 steps against 20"] == 0.0


def test_parameters_and_time_steps_need_no_new_program(facts):
    assert facts["programs compiled"] == 1
    assert facts["effect of the wind"] > 0.01
    assert facts["time after 20 steps"] == [20 * 172800.0, 20 * 86400.0]


def test_every_parameter_of_the_table_changes_the_flow(facts):
    assert facts["parameters without effect"] == []


def test_heat_and_salt_stay_where_no_flux_crosses_the_surface(facts):
    """And the same run with fluxes does change, or the test would see nothing."""
    assert max(map(abs, facts["change of mean T and S"])) < 1e-12
    assert abs(facts["change with fluxes"]) > 1e-6


def test_a_uniform_ocean_without_wind_stays_at_rest(facts):
    assert facts["speed of a uniform ocean"] < 1e-12


def test_members_side_by_side_are_members_alone(facts):
    assert max(facts["vmap against single"]) < 1e-10


def test_the_factorised_solver_equals_the_dense_one(facts):
    assert facts["sparse against dense solver"] < 1e-12


def test_the_mesh_of_the_package_is_the_mesh_of_veros(facts):
    assert max(facts["mesh against Veros"].values()) < 1e-12, facts["mesh against Veros"]


def test_tracing_leaves_veros_as_it_was(facts):
    assert facts["Veros is as it was"]
