"""DINO-Fusion's recipe: half the levels, no parameters unless asked, the same state for the same seed."""

import dino_fusion
import numpy as np
import pytest
import torch
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.basin import basin
from warmstart.regression.layout import Layout


@pytest.fixture(scope="module", params=[False, True], ids=["unconditional", "parameters"])
def model(request, ensemble_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe") / "model"
    dino_fusion.train(ensemble_store, folder, with_parameters=request.param, steps=2, batch=2)
    return folder


def test_states_depend_on_their_seed_and_on_parameters_only_where_told(model):
    known = bool(dino_fusion.load(model).config.ranges)
    first = dino_fusion.generate(model, {"wind_stress_south": 0.1}, n=2, steps=3)
    again = dino_fusion.generate(model, {"wind_stress_south": 0.1}, n=1, seed=1, steps=3)
    other = dino_fusion.generate(model, {"wind_stress_south": 0.3}, n=1, seed=1, steps=3)
    xr.testing.assert_equal(first.isel(sample=[1]), again)
    assert again.thetao.equals(other.thetao) != known
    assert not {"uo", "vo"} & set(first.data_vars)


def test_land_is_nan_and_values_stay_between_the_extremes_of_training(model):
    states = dino_fusion.generate(model, {}, steps=3)
    loaded = dino_fusion.load(model)
    wet = loaded.layout.grid.tmask.values > 0
    assert (states.thetao.notnull().values[0] == wet).all()
    span = loaded.layout.slices["thetao"]
    assert states.thetao.max() <= loaded.high[span].max() + 1e-9
    assert states.thetao.min() >= loaded.low[span].min() - 1e-9


def test_levels_between_are_interpolated_in_their_index():
    layout = Layout(basin(nx=6, ny=8, nz=5)[1], dino_fusion.VARIABLES)
    full = np.repeat(np.arange(5.0)[:, None], 2, 1).T.ravel()
    fields = np.concatenate([full, [7.0]])[:, None, None] * np.ones((11, 8, 6))
    np.testing.assert_allclose(dino_fusion._every_level(fields[dino_fusion._kept(layout)], layout), fields)


def test_the_schedule_is_the_squared_cosine_of_a_thousand_steps():
    alphas = dino_fusion.alphas()
    assert len(alphas) == 1000
    assert float(alphas[499]) == pytest.approx(0.5, abs=0.02)
    assert torch.all(alphas[1:] < alphas[:-1])


def test_a_folder_that_was_cut_short_is_refused(model, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    weights = copy / dino_fusion.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        dino_fusion.load(copy)
