"""generate: the same seed is the same state, and nothing out of range slips through."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from small_ensemble import truth
from warmstart.errors import UserError
from warmstart.generator.constraints.contents import means
from warmstart.io import files
from warmstart.ocean import parameters
from warmstart.ocean.basin import basin
from warmstart.physics.convection import inversions
from warmstart.physics.geostrophy import thermal_wind_residual
from warmstart.verbs.generate import generate, wanted
from warmstart.verbs.train import train

ASKED = {"wind_stress_south": "0.2 Pa", "vertical_diffusivity": 5e-5}


def test_a_sample_depends_on_its_seed_only(generator):
    batch = generate(generator, ASKED, n=4, seed=0)
    alone = generate(generator, ASKED, n=1, seed=3)
    xr.testing.assert_identical(batch.isel(sample=[3]).drop_attrs(), alone.drop_attrs())
    assert not batch.thetao[0].equals(batch.thetao[1])


def test_the_number_of_threads_changes_no_bit(generator):
    before = torch.get_num_threads()
    try:
        states = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            states.append(generate(generator, ASKED, n=2))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    xr.testing.assert_equal(*states)


def test_states_have_no_violation_of_masks_and_no_inversion(generator):
    """Of a law so wide that columns are drawn unstable, which those of this ensemble are not."""
    wide = {given: replace(law, amplitude=60 * law.amplitude) for given, law in generator.laws.items()}
    states, grid = generate(replace(generator, laws=wide), ASKED, n=3), generator.grid
    assert (states.constraint_mixed_share > 0.1).any(), "no state had an inversion to be taken away"
    for name, point in (("thetao", "T"), ("so", "T"), ("uo", "U"), ("vo", "V")):
        wet = grid.mask(point).values
        assert (states[name].notnull().values == wet).all()
    for i in range(3):
        one = states.isel(sample=i)
        assert inversions(one.thetao.values, one.so.values, grid.gdepw_0.values, grid.tmask.values > 0) == 0


def test_the_mean_of_the_samples_is_near_the_truth(generator):
    """Twelve members of a linear law: the states for new parameters are known."""
    states = generate(generator, ASKED, n=8)
    state, grid = basin(nx=9, ny=14, nz=5)
    values = parameters.resolve(ASKED)
    expected = truth(state, grid, values)
    error = float(np.sqrt(((states.thetao.mean("sample") - expected.thetao) ** 2).mean()))
    assert error < 0.3


def test_a_share_of_balance_changes_the_currents_and_says_by_how_much(generator):
    """The same draw: the water stays, the currents follow it."""
    settings = generator.config.config
    shares = settings.quantities | {"currents": 0.5}
    config = generator.config.model_copy(
        update={"config": settings.model_copy(update={"quantities": shares})}
    )
    drawn, balanced = generate(generator, ASKED), generate(replace(generator, config=config), ASKED)
    assert "constraint_balanced_velocity" not in drawn.attrs
    assert balanced.attrs["constraint_balanced_velocity"][0] > 0
    for name in ("thetao", "so", "zos"):
        np.testing.assert_array_equal(balanced[name].values, drawn[name].values)
    grid = generator.grid
    residuals = [float(thermal_wind_residual(s, grid)[0]) for s in (drawn, balanced)]
    assert residuals[1] < residuals[0]


def test_currents_are_balanced_towards_a_regression_where_parameters_are_given(ensemble_store, tmp_path):
    """Which is stored with the generator; with a state alone it is the expected state that says what is ageostrophic."""
    settings = {"residual": {"model": "gaussian"}, "quantities": {"currents": 0.5}}
    trained = train(ensemble_store, settings, tmp_path / "generator")
    plain = replace(trained, quantities={n: q for n, q in trained.quantities.items() if n != "currents"})
    state, _ = basin(nx=9, ny=14, nz=5)
    young = state + 0.7 * (truth(state, trained.grid, parameters.resolve(ASKED)) - state)
    for asked, same in (
        ({"parameters": ASKED}, False),
        ({"parameters": ASKED, "initial": young, "age": 50}, False),
        ({"initial": young, "age": 50}, True),
    ):
        found, other = generate(trained, **asked), generate(plain, **asked)
        assert found.uo.equals(other.uo) == same
        assert found.thetao.equals(other.thetao)


def test_the_file_says_where_it_came_from(generator, tmp_path):
    path = tmp_path / "states.nc"
    generate(generator, ASKED, n=2, seed=5, output=path)
    ds = files.open_dataset(path)
    assert ds.seed.values.tolist() == [5, 6]
    assert ds.attrs["generator"] == generator.hash
    assert {"warmstart_version", "command", "config_hash", "seed"} <= set(ds.attrs)
    assert float(ds.wind_stress_south[0]) == 0.2
    assert float(ds.bottom_drag[0]) == parameters.defaults()["bottom_drag"]
    assert ds.attrs["constraint_mixed_temperature"].shape == (2,)
    assert set(ds.data_vars) - {*parameters.PARAMETERS} == {"thetao", "so", "uo", "vo", "zos"}
    assert files.open_grid(path).fingerprint == generator.grid.fingerprint
    assert ds.attrs["predicted_spread_thetao"] > 0


def test_the_expected_state_is_the_middle_of_the_draws_and_knows_their_spread(generator, tmp_path):
    """It takes no noise; its spread by level is that of many draws about it."""
    path = tmp_path / "expected.nc"
    state = generate(generator, ASKED, expected=True, output=path)
    assert state.sizes["sample"] == 1 and "seed" not in state.coords
    assert files.open_dataset(path).attrs["expected"] == "yes"
    draws = generate(generator, ASKED, n=48)
    middle, scatter = draws.thetao.mean("sample"), draws.thetao.std("sample")
    wet = np.isfinite(middle)
    standard_error = float(scatter.where(wet).mean()) / np.sqrt(48)
    assert float(np.abs(middle - state.thetao[0]).where(wet).mean()) < 3 * standard_error
    area = (generator.grid.volume / generator.grid.e3t_0).values * wet.values
    found = np.sqrt((np.nan_to_num(scatter.values) ** 2 * area).sum((1, 2)) / area.sum((1, 2)))
    np.testing.assert_allclose(state.spread_thetao.values, found, rtol=0.35)
    assert state.spread_thetao.dims == ("z",) and state.spread_thetao.attrs["units"] == "degC"
    assert "spread_zos" not in state


def test_an_expected_state_asks_for_no_number_of_samples(generator):
    for wrong in ({"n": 2}, {"seed": 3}):
        with pytest.raises(UserError, match="one state is expected and none is drawn"):
            generate(generator, ASKED, expected=True, **wrong)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"wind_stress_south": 0.6}, "wind_stress_south = 0.6 Pa; trained on"),
        ({"wind_stress_sooth": 0.2}, "did you mean wind_stress_south"),
        ({"wind_stress_south": "0.2 K"}, "cannot convert"),
        ({"bottom_drag": 3e-6}, "bottom_drag = 3e-06 s-1; trained on 1e-06 only"),
        ({"wind_stress_south": float("nan")}, "not a finite number"),
    ],
)
def test_what_was_not_trained_on_is_refused(generator, tmp_path, asked, message):
    with pytest.raises(UserError, match=message):
        generate(generator, asked, output=tmp_path / "states.nc")
    assert not list(tmp_path.iterdir())


def test_an_extrapolation_is_done_only_on_request_and_labelled(generator, caplog):
    with caplog.at_level(logging.WARNING):
        states = generate(generator, {"wind_stress_south": 0.6}, extrapolate=True)
    assert "wind_stress_south = 0.6 Pa" in states.attrs["extrapolated"]
    assert "extrapolating" in caplog.text


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"vertical_diffusivity": -1e-5}, "vertical_diffusivity: '-1e-05' is not positive"),
        ({"vertical_diffusivity": 0}, "vertical_diffusivity: '0' is not positive"),
        ({"wind_stress_south": 1e300}, r"wind_stress_south = 1e\+300 Pa; .*so far that no state follows"),
        ({"vertical_diffusivity": 1e300}, "so far that no state follows"),
    ],
)
def test_what_has_no_state_is_refused_even_as_an_extrapolation(generator, asked, message):
    with pytest.raises(UserError, match=message):
        generate(generator, asked, extrapolate=True)


def test_an_existing_output_is_refused_before_sampling(generator, tmp_path):
    path = tmp_path / "states.nc"
    path.write_text("mine")
    with pytest.raises(UserError, match="exists"):
        generate(generator, ASKED, output=path)
    assert path.read_text() == "mine"


def test_a_dropped_condition_and_guidance_are_consistent(generator):
    """Guidance of weight 1 computed the long way is the conditional denoiser."""
    guided = generate(generator, ASKED, sampling={"guidance": 1.0 + 1e-12})
    np.testing.assert_allclose(guided.thetao, generate(generator, ASKED).thetao, atol=1e-6)
    assert guided.attrs["network_evaluations"] == 16


@pytest.mark.parametrize(
    "sampling",
    [
        {"method": "dpm-solver", "steps": 16},
        {"method": "heun", "steps": 17},
        {"method": "dpm-solver-2s"},
        {"method": "ddpm", "steps": 50},
        {"method": "ddpm", "steps": 50, "guide": "zero-mean"},
        {"guide": "stratification"},
        {"guidance": 1.5},
    ],
)
def test_every_sampler_draws_from_the_same_checkpoint(generator, sampling):
    """Another sample of nearly the same law, which again depends on its seed only."""
    batch = generate(generator, ASKED, n=3, seed=2, sampling=sampling)
    alone = generate(generator, ASKED, seed=4, sampling=sampling)
    xr.testing.assert_identical(batch.isel(sample=[2]).drop_attrs(), alone.drop_attrs())
    default = generate(generator, ASKED, n=3, seed=2)
    # no state of this ensemble has an inversion to be steered away from
    assert batch.thetao.equals(default.thetao) == (sampling == {"guide": "stratification"})
    spread = float(default.thetao.std("sample").mean())
    assert float(abs(batch.thetao.mean("sample") - default.thetao.mean("sample")).mean()) < 4 * spread
    assert batch.attrs["sampler"] == sampling.get("method", "adams-bashforth")


def test_contents_asked_for_are_those_of_every_state(generator):
    states = generate(generator, ASKED, n=3, conserve={"so": 35.3, "thetao": 6.5, "zos": 0.2})
    free = generate(generator, ASKED, n=3)
    for i in range(3):
        found = means(states.isel(sample=i), generator.grid)
        assert found["so"] == pytest.approx(35.3, rel=1e-12)
        assert found["thetao"] == pytest.approx(6.5, rel=1e-12)
        assert found["zos"] == pytest.approx(0.2, rel=1e-12)
        assert abs(means(free.isel(sample=i), generator.grid)["zos"]) < 1e-12
        one = states.isel(sample=i)
        wet = generator.grid.tmask.values > 0
        assert inversions(one.thetao.values, one.so.values, generator.grid.gdepw_0.values, wet) == 0
    assert (states.constraint_salt != 0).all()
    assert (abs(free.constraint_salt) < 1e-12 * abs(states.constraint_salt)).all(), "nothing but round-off"
    assert states.attrs["conserved_so"] == 35.3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sampling": {"method": "euler"}}, "sampling: method.*'heun'"),
        ({"sampling": {"method": "heun", "steps": 16}}, "an odd number, for example 17"),
        ({"sampling": {"steps": 0}}, "steps.*greater than or equal to 2"),
        ({"sampling": {"guidance": 1e9}}, "guidance: .*less than or equal to 100"),
        ({"sampling": {"guidance": float("inf")}}, "guidance: .*finite number"),
        ({"sampling": {"rho": 1e6}}, "rho: .*less than or equal to 100"),
        ({"sampling": {"rho": float("inf")}}, "rho: .*finite number"),
        ({"sampling": {"sigma_max": float("inf")}}, "sigma_max: .*finite number"),
        ({"sampling": {"sigma_max": 1e30}}, "sigma_max: .*less than or equal to 10000"),
        ({"sampling": {"sigma_min": 1e-300}}, "sigma_min: .*greater than or equal to 0.000001"),
        ({"sampling": {"method": "heun", "churn_noise": 1e9}}, "churn_noise: .*less than or equal to 2"),
        ({"sampling": {"evaluations": 20}}, "evaluations.*Known keys: method, steps"),
        ({"conserve": {"heat": 1.0}}, "cannot conserve heat: expected means of thetao"),
        ({"conserve": {"so": 350.0}}, "350 1e-3; expected"),
        ({"conserve": {"so": 49.9}}, "ranges from .* to .*; expected 0 to 50. Ask for a mean nearer"),
        ({"device": "tpu"}, "device is 'tpu'; expected cpu or cuda"),
    ],
)
def test_a_sampler_or_content_that_cannot_be_is_refused(generator, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        generate(generator, ASKED, output=tmp_path / "states.nc", **options)
    assert not list(tmp_path.iterdir())


def test_what_is_shipped_draws_in_one_pass_or_by_any_sampler():
    once = generate("dino-4deg")
    assert "sampler" not in once.attrs and bool(
        np.isfinite(once.thetao.where(once.thetao.notnull(), 0)).all()
    )
    diffused = generate("dino-4deg-diffusion", sampling={"method": "dpm-solver", "steps": 8})
    assert diffused.attrs["sampler"] == "dpm-solver" and diffused.attrs["network_evaluations"] == 8
    assert set(once.data_vars) == set(diffused.data_vars)
    with pytest.raises(
        UserError, match=r"no sampler to change: its residual is one-pass.*dino-4deg-diffusion"
    ):
        generate("dino-4deg", sampling={"method": "heun"})


def test_a_seed_that_no_stream_of_noise_takes_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="expected less than 2"):
        generate("dino-4deg", n=2, seed=2**63 - 1)


def test_a_file_without_states_gives_no_parameters(tmp_path):
    state, grid = basin(nx=6, ny=8, nz=4)
    values = {name: np.zeros(0) for name in parameters.PARAMETERS}
    none = parameters.attach(state.expand_dims("sample").isel(sample=slice(0, 0)), values, "sample")
    with pytest.raises(UserError, match="holds no state, and so no values of its parameters"):
        wanted([], files.write_dataset(tmp_path / "none.nc", none, grid), print)
