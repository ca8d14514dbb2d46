"""Training: reads what it may, continues where it was killed, writes what it says."""

import json
import re
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
import yaml
from safetensors.numpy import load_file, save_file

from small_ensemble import MEMBERS, TINY
from warmstart.errors import UserError
from warmstart.generator import training as loop
from warmstart.generator.checkpoint import load
from warmstart.generator.examples import Examples, rows
from warmstart.generator.settings import ResidualConfig, resolve
from warmstart.generator.space import fit
from warmstart.generator.training import Team
from warmstart.io import files
from warmstart.ocean.basin import basin
from warmstart.regression.layout import Layout
from warmstart.verbs import train
from warmstart.verbs.generate import generate
from warmstart.verbs.plan import count


def test_the_folder_holds_what_the_documentation_says(trained):
    names = {p.name for p in trained.iterdir()}
    assert names == {
        "weights.safetensors",
        "config.yaml",
        "normalizer.nc",
        "README.md",
        "train.jsonl",
        ".warmstart",
    }
    assert not list(trained.parent.glob(".*"))  # nothing is left beside it


def test_only_training_members_are_learned_from(trained):
    """Test members of the store hold NaN: reading them would have raised."""
    saved = load(trained).config
    assert saved.training_members == tuple(i for i in range(MEMBERS) if i % 8 not in (3, 7))
    assert saved.scores["validation"]["members"] == [3, 11]


def test_the_card_states_ranges_scores_and_limits(trained):
    card = (trained / "README.md").read_text()
    for phrase in (
        "`wind_stress_south` | 0.0",
        "Pa",
        "climatology",
        "Static inversions",
        "K per century",
        "CC-BY-4.0",
        "ws.generate(",
    ):
        assert phrase in card


def test_the_log_has_a_line_for_every_validation(trained):
    lines = [json.loads(line) for line in (trained / "train.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert all(np.isfinite([line["loss"], line["validation_loss"]]).all() for line in lines)


def test_a_saved_generator_is_the_one_in_memory(ensemble_store, trained, tmp_path):
    again = load(trained)
    first = generate(again, {}, n=2)
    second = generate(trained, {}, n=2)
    xr.testing.assert_equal(first, second)
    assert first.attrs["generator"] == second.attrs["generator"]


KILLED = """
import os, signal, sys
from warmstart.generator import training as loop
from warmstart.verbs.train import train
advance = loop._advance
def deadly(state, *rest):
    advance(state, *rest)
    if state.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
loop._advance = deadly
train(sys.argv[1], sys.argv[2], sys.argv[3])
"""


def test_a_killed_training_continues_to_the_same_bits(ensemble_store, trained, tmp_path):
    config, output = tmp_path / "config.yaml", tmp_path / "generator"
    config.write_text(yaml.safe_dump(TINY))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(ensemble_store), str(config), str(output)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    assert (tmp_path / ".generator.training" / loop.STATE).exists()
    train.train(ensemble_store, config, output)
    for name in ("weights.safetensors", "train.jsonl"):
        assert (output / name).read_bytes() == (trained / name).read_bytes()


def test_an_unfinished_training_of_something_else_is_not_discarded(ensemble_store, tmp_path, monkeypatch):
    def stop(*rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_advance", stop)
    with pytest.raises(KeyboardInterrupt):
        train.train(ensemble_store, TINY, tmp_path / "generator")
    with pytest.raises(UserError, match="unfinished training with another configuration"):
        train.train(ensemble_store, TINY, tmp_path / "generator", sets=["seed=1"])


def test_a_note_of_an_unfinished_training_that_was_cut_short_is_reported(
    ensemble_store, tmp_path, monkeypatch
):
    def stop(*rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_advance", stop)
    with pytest.raises(KeyboardInterrupt):
        train.train(ensemble_store, TINY, tmp_path / "generator")
    work = tmp_path / ".generator.training"
    assert "request.json.tmp" not in {p.name for p in work.iterdir()}
    note = work / "request.json"
    note.write_text(note.read_text()[:100])
    with pytest.raises(
        UserError, match=r"request\.json.*delete .*\.generator\.training to train from the start"
    ):
        train.train(ensemble_store, TINY, tmp_path / "generator")


def test_a_training_that_breaks_down_says_at_which_step_and_leaves_nothing(ensemble_store, tmp_path):
    with pytest.raises(
        UserError, match=r"broke down at step \d: .* lower training\.learning_rate \(1e\+30\)"
    ):
        train.train(ensemble_store, TINY, tmp_path / "generator", sets=["training.learning_rate=1e30"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", ["gaussian", "none"])
def test_the_residual_can_be_chosen(ensemble_store, tmp_path, model):
    made = train.train(ensemble_store, TINY, tmp_path / "generator", sets=[f"residual.model={model}"])
    assert made.denoiser is None
    states = generate(made, {}, n=2)
    same = bool(
        (states.thetao.isel(sample=0) == states.thetao.isel(sample=1))
        .where(states.thetao[0].notnull(), True)
        .all()
    )
    assert same == (model == "none")


def test_maps_themselves_can_be_diffused(ensemble_store, tmp_path):
    made = train.train(
        ensemble_store, TINY, tmp_path / "generator", sets=["residual.coordinates=grid", "training.steps=2"]
    )
    assert made.coordinates.shape == made.layout.shape
    assert np.isfinite(generate(made, {}).thetao).sum() == (made.grid.tmask > 0).sum()


def learn(model, steps):
    """Losses of a few steps on two residuals that differ in their sign."""
    config = resolve(
        {
            "residual": {"model": model},
            "network": {"widths": [12], "embedding": 16},
            "training": {"batch": 16, "warmup": 5, "learning_rate": 3e-3, "mixing": 1, "noise_std": 0.5},
        }
    )
    layout = Layout(basin(nx=5, ny=6, nz=2)[1])
    pattern = np.random.default_rng(0).standard_normal(int(layout.mask.sum()))
    residuals = np.stack([pattern, -pattern])
    coordinates = fit({"parameters": residuals}, layout, ResidualConfig())
    examples = Examples(
        residuals, np.arange(2), np.zeros((2, 0)), np.zeros((2, 0, 6)), np.zeros(0), np.zeros((0, *residuals.shape)),
        {"parameters": np.zeros((1, *residuals.shape))}, {"parameters": np.ones((1, 2))},
    )  # fmt: skip
    generator = SimpleNamespace(
        config=SimpleNamespace(config=config, forcing=(), inputs=(), ages=()),
        coordinates=coordinates["parameters"],
        all_coordinates=coordinates,
    )
    prepared, alone = SimpleNamespace(generator=generator, examples=examples), Team()
    state = loop._initial(prepared, config, alone)
    objective = loop._objective(state, prepared, config)
    losses = []
    for _ in range(steps):
        loop._advance(state, objective, prepared, alone)
        losses.append(state.last_loss)
    return losses


@pytest.mark.parametrize("model, steps, share", [("diffusion", 120, 0.8), ("one-pass", 250, 0.93)])
def test_the_loss_falls_when_the_residuals_have_structure(model, steps, share):
    """Residuals with two values only: a network that learns nothing keeps the loss of the normal law."""
    losses = learn(model, steps)
    assert np.mean(losses[-steps // 3 :]) < share * np.mean(losses[:5])


def test_a_deterministic_network_can_not_know_the_sign():
    """Of two equally likely residuals the expected one is 0: the loss stays that of the answer 0."""
    losses = learn("deterministic", 40)
    assert np.mean(losses[-30:]) == pytest.approx(np.mean(losses[:5]), rel=0.3)


def test_counted_parameters_are_those_of_the_network(generator):
    saved = generator.config
    counted = count(saved.config, generator.grid.shape).parameters
    real = sum(p.numel() for p in generator.denoiser.net.parameters())
    per_input = saved.config.network.embedding  # the count assumes 8 inputs and 5 profiles
    per_profile = 9 * saved.config.network.widths[0]
    assert counted - real == per_input * (8 - len(saved.inputs)) + per_profile * (5 - len(saved.forcing))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sets": ["training.stepz=3"]}, "stepz"),
        ({"sets": ["residual.model=magic"]}, "residual.model"),
        ({"sets": ["residual.amplitude=-1"]}, "residual.amplitude.*greater than or equal to 0"),
        ({"sets": ["residual.amplitude=.inf"]}, "residual.amplitude.*finite number"),
        ({"sets": ["training.learning_rate=.inf"]}, "training.learning_rate.*finite number"),
        ({"sets": ["training.steps=["]}, r"--set training\.steps=\[: '\[' is no value"),
        ({"sets": ["shape=[18, 49, 13]"]}, r"mesh of \(5, 14, 9\) levels.*is for \(18, 49, 13\)"),
        (
            {"sets": ["condition.parameters=[bottom_drag, rainfall]"]},
            r"condition.parameters names rainfall, which .* does not hold; it holds wind_stress_south",
        ),
        ({"sets": ["condition.parameters=[bottom_drag]"]}, "bottom_drag, the same in all training members"),
        ({"sets": ["condition.forcing=[ice]"]}, r"condition.forcing names ice.*it holds wind_stress"),
        ({"sets": ["training.device=cuda"]}, "PyTorch sees no GPU"),
        ({"store": "missing.zarr"}, "does not exist"),
        ({"output": "no-such-folder/generator"}, "does not exist"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(ensemble_store, tmp_path, change, message):
    request = {"store": ensemble_store, "config": TINY, "output": tmp_path / "generator"} | change
    if "output" in change:
        request["output"] = tmp_path / change["output"]
    with pytest.raises(UserError, match=message):
        train.train(**request)
    assert not list(tmp_path.iterdir())


def test_named_parameters_only_are_learned_from(ensemble_store, tmp_path):
    made = train.train(
        ensemble_store, TINY, tmp_path / "generator",
        sets=["condition.parameters=[wind_stress_south]", "residual.model=none"],
    )  # fmt: skip
    assert made.config.inputs == ("wind_stress_south",)
    with pytest.raises(UserError, match="knows nothing of vertical_diffusivity"):
        generate(made, {"vertical_diffusivity": 1e-4})


def test_without_initial_states_nothing_is_learned_of_them(ensemble_store, tmp_path):
    made = train.train(
        ensemble_store, TINY, tmp_path / "generator",
        sets=["condition.initial_state=false", "training.steps=2"],
    )  # fmt: skip
    assert made.spinup is None and tuple(made.laws) == ("parameters",)
    assert np.isfinite(generate(made, {}).thetao).any()


def test_two_processes_train_like_one(ensemble_store, trained, tmp_path):
    """torchrun shares every batch between the processes: the losses are those of one process, up to rounding."""
    config, output = tmp_path / "config.yaml", tmp_path / "generator"
    config.write_text(yaml.safe_dump(TINY))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "warmstart",
        "train", str(ensemble_store), str(config), "-o", str(output),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (
        [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        for folder in (trained, output)
    )
    for name in ("loss", "validation_loss"):
        np.testing.assert_allclose([r[name] for r in two], [r[name] for r in one], rtol=1e-4)
    xr.testing.assert_allclose(generate(trained, {}).thetao, generate(output, {}).thetao, atol=1e-3)


def test_a_batch_that_processes_can_not_share_is_refused(monkeypatch):
    from warmstart.generator.training import team

    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="a multiple of 3"), team("cpu", 8):
        pass


def test_an_existing_output_is_not_replaced(ensemble_store, trained):
    with pytest.raises(UserError, match="exists"):
        train.train(ensemble_store, TINY, trained)


def test_a_generator_refuses_another_mesh(trained):
    with pytest.raises(UserError, match="another grid"):
        load(trained, grid=basin(nx=9, ny=14, nz=6)[1])
    assert load(trained, grid=files.open_grid(trained / "normalizer.nc")).grid.periodic_x


@pytest.mark.parametrize("name", ["config.yaml", "normalizer.nc"])
def test_a_checkpoint_that_was_cut_short_is_reported(trained, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load(copy)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_damaged_weights_are_reported(trained, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    weights = copy / "weights.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        weights.unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        load(copy)


@pytest.mark.parametrize("mixing", [1, 2, 3])
def test_combined_residuals_keep_the_condition_of_the_one_that_leads(mixing):
    """With weights of either sign the expected combination would be 0, and the network could learn no mean."""
    nothing = np.zeros((4, 0))
    examples = Examples(
        np.ones((4, 5)), np.arange(4), nothing, np.zeros((4, 0, 1)), np.zeros(0), np.zeros((0, 4, 5)),
        {"parameters": np.zeros((1, 4, 5))}, {"parameters": np.ones((1, 4))},
    )  # fmt: skip
    made = rows(examples, np.random.default_rng(0), 2000, mixing)
    leading = np.array([row.weights[0] for row in made])
    assert (leading > 0).all() and np.mean([row.weights.sum() for row in made]) > 0.7
    np.testing.assert_allclose([(row.weights**2).sum() for row in made], 1.0, rtol=1e-12)


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of a generator, to be damaged."""
    return shutil.copytree(trained, tmp_path / "copy")


def rewrite(folder, name, change):
    """Change one array of the weights."""
    path = folder / "weights.safetensors"
    arrays = load_file(path)
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    save_file(arrays, path)


@pytest.mark.parametrize(
    "name",
    [
        "forcing", "mean.offset", "mean.basis", "mean.coefficients", "mean.posterior", "mean.part", "mixed_layer.offset",
        "transports.residuals", "residual.basis", "residual.parameters.scale", "residual.state.scale", "spinup.features",
        "spinup.centre", "spinup.both.0.weights", "spinup.state.1.features_centre", "spinup.both.1.joint.inputs",
    ],
)  # fmt: skip
def test_an_array_of_another_shape_is_refused_by_name(copied, name):
    for change in (lambda a: a[..., :-1], lambda a: a[None]):
        rewrite(copied, name, change)
        with pytest.raises(UserError, match=rf"weights\.safetensors: {re.escape(name)} has the shape"):
            load(copied)


def test_a_forcing_that_lacks_an_input_is_refused(copied):
    rewrite(copied, "forcing", lambda a: a[:-1])
    with pytest.raises(UserError, match=r"forcing has the shape 2 x .*; expected 3 x "):
        load(copied)


@pytest.mark.parametrize("name", ["mean.basis", "residual.both.scale", "net.head.layer.weight"])
def test_weights_that_are_not_finite_are_refused_by_name(copied, name):
    def spoil(array):
        array.flat[0] = np.nan
        return array

    rewrite(copied, name, spoil)
    with pytest.raises(UserError, match=rf"weights\.safetensors: {re.escape(name)} is not finite"):
        load(copied)


def test_the_normaliser_is_part_of_what_names_a_generator(copied, trained):
    path, former = copied / "normalizer.nc", load(copied).hash
    assert former == load(trained).hash
    with files.open_dataset(path) as opened:
        ds, grid = opened.load(), files.open_grid(path)
    with pytest.raises(UserError, match="is a part of"):
        files.write_dataset(path, ds.assign(so_std=ds.so_std * 1.1), grid, overwrite=True)
    path.unlink()
    (copied / ".warmstart").unlink()  # no longer one thing of which no part is replaced
    files.write_dataset(path, ds.assign(so_std=ds.so_std * 1.1), grid)
    assert load(copied).hash != former
    path.unlink()
    files.write_dataset(path, ds.assign(so_std=ds.so_std * 0), grid)
    with pytest.raises(UserError, match=r"normalizer\.nc: expected \d+ finite means and positive"):
        load(copied)


@pytest.mark.parametrize("world", [1, 2])
def test_each_process_holds_the_noise_of_its_own_examples_and_draws_what_one_would(world):
    whole = np.random.default_rng(3)
    expected = whole.standard_normal((2, 4, 5, 3))
    for rank in range(world):
        draw = np.random.default_rng(3)
        found = loop._noise(draw, 4, (5, 3), slice(rank, None, world))
        np.testing.assert_array_equal(found, expected[:, rank::world].astype("float32"))
        assert draw.bit_generator.state == whole.bit_generator.state
