"""plan: what is counted without numbers is what a computer with numbers does."""

import pytest
from torch.profiler import ProfilerActivity, profile
from typer.testing import CliRunner

from warmstart.cli import app
from warmstart.errors import UserError
from warmstart.generator.settings import resolve
from warmstart.io.config import read_yaml
from warmstart.verbs.plan import count, plan

FOUR_DEGREES = (18, 49, 13)
NETWORKS = {
    "shipped": {},
    "attention": {"widths": [16, 24, 32], "blocks": [1, 2, 1], "attention": 4, "halve": "all"},
}


@pytest.mark.parametrize("network, precision", [("shipped", "float32"), ("attention", "bfloat16")])
def test_counting_agrees_with_a_real_forward_and_backward_pass(network, precision):
    config = resolve({"network": NETWORKS[network], "training": {"precision": precision}})
    for train in (True, False):
        assert count(config, FOUR_DEGREES, 2, train) == count(config, FOUR_DEGREES, 2, train, real=True)


def test_recomputing_keeps_less_and_computes_more():
    kept, again = (
        count(resolve({"network": NETWORKS["attention"] | {"recompute": flag}}), FOUR_DEGREES, 4)
        for flag in (False, True)
    )
    assert again.saved < 0.6 * kept.saved and again.peak < kept.peak
    assert 1.1 < again.flops / kept.flops < 1.4


def test_the_peak_is_that_of_the_allocator():
    """torch's own record of every allocation: weights and inputs are there, too, which the count leaves out."""
    config = resolve({"network": NETWORKS["attention"]})
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        counted = count(config, FOUR_DEGREES, 4, real=True)
    events = (e for e in record.profiler.kineto_results.events() if e.name() == "[memory]")
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    assert peak - 4 * counted.parameters == pytest.approx(counted.peak, rel=0.15)


def test_the_operations_of_a_convolution_are_two_for_each_weight_and_cell():
    """One scale, one block: five convolutions of 3 x 3 cells, counted by hand."""
    config = resolve({"network": {"widths": [8], "embedding": 8}, "condition": {"initial_state": False}})
    levels, rows, columns = 2, 6, 4
    channels, maps, static, cells = 4 * levels + 1, 5, 5, rows * columns
    weights = [(channels + maps + static) * 8, *[(8 + static) * 8, 8 * 8] * 2, 8 * channels]
    by_hand = sum(2 * 9 * w * cells for w in weights)
    embedding = 2 * (32 + 8 + 2) * 8 + 2 * 8 * 8 + 2 * 2 * 8 * 24
    assert count(config, (levels, rows, columns), train=False).flops == by_hand + embedding


@pytest.mark.parametrize(
    "name, shape, fits",
    [
        ("dino-4deg", (18, 49, 13), "yes"),
        ("dino-1deg", (36, 199, 62), "yes"),
        ("dino-quarter", (36, 797, 242), "yes"),
        ("dino-sixteenth", (36, 3200, 960), "yes"),
    ],
)
def test_the_examples_fit_the_gpu_they_are_made_for(request, name, shape, fits):
    path = request.config.rootpath / "examples" / f"{name}.yaml"
    assert tuple(read_yaml(path)["shape"]) == shape
    table = plan(path, memory=80)
    assert table["trains on a GPU of 80 GB"].startswith(fits)
    assert table["samples on a GPU of 80 GB"].startswith("yes")
    assert len(path.read_text().splitlines()) <= 40


def test_a_gpu_that_is_too_small_is_said_to_be():
    config = {"network": {"widths": [64, 96]}, "residual": {"coordinates": "grid"}, "training": {"batch": 64}}
    small = plan(config, (36, 199, 62), memory=2)["trains on a GPU of 2 GB"]
    assert small.startswith("no: a batch of 64 needs ") and "up to" in small
    tiny = plan(config, (36, 797, 242), memory=0.1)
    assert tiny["trains on a GPU of 0.1 GB"].startswith("no: one example alone needs")
    assert tiny["samples on a GPU of 0.1 GB"].startswith("no: needs")


def test_the_command_line_prints_the_table_and_refuses_what_is_wrong(request, tmp_path):
    runner, example = CliRunner(), str(request.config.rootpath / "examples" / "dino-4deg.yaml")
    shown = runner.invoke(app, ["plan", example, "--gpu-memory", "16"])
    assert shown.exit_code == 0, shown.output
    assert "trains on a GPU of 16 GB" in shown.output and "network parameters" in shown.output
    nowhere = tmp_path / "nowhere.yaml"
    nowhere.write_text("seed: 1\n")
    for arguments, message in (
        ([str(nowhere)], "names no grid"),
        ([example, "--shape", "18", "0", "13"], "three positive numbers"),
        ([example, "--gpu-memory", "-1"], "-1.0 GB; expected a positive number"),
        ([example, "--gpu-memory", "inf"], "inf GB; expected a positive number"),
        ([str(tmp_path / "none.yaml")], "does not exist"),
    ):
        failed = runner.invoke(app, ["plan", *arguments])
        assert isinstance(failed.exception, UserError) and message in str(failed.exception)


def test_a_mesh_larger_than_any_ocean_model_s_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="no ocean model has more than"):
        plan({"network": {"widths": [8, 8]}}, (10**20, 20, 20))
