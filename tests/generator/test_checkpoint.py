"""A generator as a folder, and further networks of one within it."""

import shutil

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from safetensors.numpy import load_file, save_file

import warmstart as ws
from warmstart.errors import UserError
from warmstart.generator.checkpoint import shipped


def test_a_further_network_shares_all_else_and_is_the_generator_that_stands_alone(trained, tmp_path):
    whole, base = tmp_path / "base-other", tmp_path / "base"
    for folder in (whole, base):
        shutil.copytree(trained, folder)
    arrays = load_file(whole / "weights.safetensors")
    net = {n: (a + 0.01).astype(a.dtype) for n, a in arrays.items() if n.startswith("net.")}
    assert net
    save_file(arrays | net, whole / "weights.safetensors")
    (base / "other").mkdir()
    shutil.copy(base / "config.yaml", base / "other")
    save_file(net, base / "other" / "weights.safetensors")
    asked = {"wind_stress_south": 0.2, "vertical_diffusivity": 5e-5}
    alone, shared, first = (ws.generate(f, asked, n=2) for f in (whole, base / "other", base))
    assert all(np.array_equal(alone[n], shared[n], equal_nan=True) for n in alone.data_vars)
    assert not np.array_equal(first.thetao, shared.thetao, equal_nan=True)
    assert (shared.attrs["generator_name"], first.attrs["generator_name"]) == ("base-other", "base")
    shutil.copytree(base / "other", tmp_path / "torn")
    with pytest.raises(UserError, match=r"normalizer\.nc missing"):
        ws.load(tmp_path / "torn")


def test_both_shipped_generators_load_by_name_and_share_what_is_theirs():
    assert list(shipped()) == ["dino-4deg", "dino-4deg-diffusion"]
    first, second = (ws.load(name) for name in shipped())
    np.testing.assert_array_equal(first.mean.basis, second.mean.basis)
    assert (first.name, second.name) == ("dino-4deg", "dino-4deg-diffusion")
    assert (first.config.config.residual.model, second.config.config.residual.model) == (
        "one-pass",
        "diffusion",
    )
