"""Contents are set to round-off, and along what the prior says: the law that remains is the conditional one."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints import chain, contents
from warmstart.generator.constraints.contents import adjoint, conserve, covariance, means, responses_of
from warmstart.generator.space import Coordinates
from warmstart.ocean.basin import basin
from warmstart.physics import convection
from warmstart.regression.layout import Layout
from warmstart.regression.mean import eofs
from warmstart.regression.normalizer import Normalizer

MODES = 5


@pytest.fixture(scope="module")
def case():
    return basin(nx=8, ny=12, nz=5)


@pytest.fixture(scope="module", params=["eof", "grid"])
def prior(request, case):
    """A prior in the coordinates of the generator, and its units."""
    state, grid = case
    layout, rng = Layout(grid), np.random.default_rng(0)
    normalizer = Normalizer(
        layout, layout.pack(state)[0].mean((1, 2), where=layout.mask), 0.5 + rng.random(layout.shape[0])
    )
    if request.param == "grid":
        return Coordinates(
            layout, np.zeros((0, int(layout.mask.sum()))), 0.1 + rng.random(layout.shape[0])
        ), normalizer
    residuals = rng.standard_normal((40, MODES)) @ rng.standard_normal((MODES, int(layout.mask.sum())))
    basis, _, kept = eofs(residuals, layout.to_wet(layout.weights), 1.0)
    return Coordinates(layout, basis[:MODES], np.sqrt(kept[:MODES])), normalizer


def test_contents_are_met_to_round_off_whatever_the_prior(case, prior):
    state, grid = case
    targets = {"thetao": 5.123, "so": 34.9, "zos": 0.0}
    for responses in (None, responses_of(*prior)):
        new, record = conserve(state, grid, targets, responses)
        for name, target in targets.items():
            scale = means(abs(state[[name]]), grid)[name]
            assert means(new, grid)[name] == pytest.approx(target, abs=1e-13 * scale)
        volume = float(grid.volume.sum())
        assert record["constraint_heat"] == pytest.approx(
            1026.0 * 3991.86795711963 * volume * (5.123 - means(state, grid)["thetao"]), rel=1e-9
        )
        assert record["constraint_conserved_temperature"] > 0
        xr.testing.assert_equal(new.isnull(), state.isnull())


def test_a_response_moves_its_own_mean_by_one(case, prior):
    _, grid = case
    found = responses_of(*prior)
    assert set(found) == {"thetao", "so", "zos"}
    for name, response in found.items():
        assert means(response, grid)[name] == pytest.approx(1.0, rel=1e-9)
        assert response.attrs["spread"] > 0


def test_what_is_left_is_the_conditional_law_of_a_gaussian_prior(case, prior):
    """Matheron's rule: the projection P of the prior C is the covariance given the content; the plain projection is not."""
    coordinates, normalizer = prior
    layout, grid = coordinates.layout, coordinates.layout.grid
    rng = np.random.default_rng(1)
    weight = np.zeros(layout.shape)
    weight[layout.slices["thetao"]] = (grid.volume / grid.volume.sum()).values
    std = layout.to_wet(np.broadcast_to(normalizer.std[:, None, None], layout.shape))
    weight = layout.to_wet(weight) * std
    gain = covariance(coordinates, weight) / (weight @ covariance(coordinates, weight))
    latents = rng.standard_normal((3, *coordinates.shape))
    drawn = coordinates.decode(latents)
    expected = drawn + (0.3 - drawn @ weight)[:, None] * gain

    def project(responses):
        found = []
        for field in drawn:
            physical = normalizer.restore(layout.from_wet(field))
            state = layout.unpack(physical[None]).isel(sample=0)
            base = means(layout.unpack(normalizer.restore(np.zeros(layout.shape))[None]).isel(sample=0), grid)
            new, _ = conserve(state, grid, {"thetao": base["thetao"] + 0.3}, responses)
            found.append(layout.to_wet(normalizer.standardise(layout.pack(new)[0])))
        return np.array(found)

    weighted, plain = project(responses_of(coordinates, normalizer)), project(None)
    # a thousandth of the response is the same number everywhere
    assert np.linalg.norm(weighted - expected) < 5e-3 * np.linalg.norm(expected - drawn)
    assert np.linalg.norm(plain - expected) > 0.3 * np.linalg.norm(expected - drawn)


def test_the_adjoint_is_the_transpose_of_decoding(prior):
    coordinates, _ = prior
    rng = np.random.default_rng(2)
    latent = rng.standard_normal(coordinates.shape)
    gradient = rng.standard_normal(int(coordinates.layout.mask.sum()))
    if not len(coordinates.basis):
        latent = latent * coordinates.layout.mask
    np.testing.assert_allclose(
        (adjoint(coordinates, gradient) * latent).sum(), gradient @ coordinates.decode(latent), rtol=1e-10
    )


def test_a_prior_that_knows_nothing_of_a_content_leaves_it_to_the_plain_projection(case):
    """All training states have no mean sea level, so no mode has: the projection along the prior would divide by 0."""
    state, grid = case
    layout = Layout(grid)
    shape = np.zeros(layout.shape)
    shape[layout.slices["thetao"]] = 1.0
    basis = layout.to_wet(shape)[None]
    coordinates = Coordinates(layout, basis, np.ones(1))
    responses = responses_of(
        coordinates, Normalizer(layout, np.zeros(layout.shape[0]), np.ones(layout.shape[0]))
    )
    assert set(responses) == {"thetao"}
    new, _ = conserve(state, grid, {"thetao": 4.0, "so": 35.0, "zos": 0.1}, responses)
    assert means(new, grid) == pytest.approx({"thetao": 4.0, "so": 35.0, "zos": 0.1}, rel=1e-13)
    assert float((new.so - state.so).std()) == pytest.approx(0, abs=1e-13)


@pytest.mark.parametrize("prior", ["eof"], indirect=True)
def test_a_content_of_which_only_round_off_varies_moves_nothing_else(case, prior, caplog):
    """Patterns of no mean sea level, stored in half precision, have a mean of their round-off: that is no law."""
    coordinates, normalizer = prior
    layout, grid = coordinates.layout, coordinates.layout.grid
    level = layout.from_wet(coordinates.basis)
    surface = level[:, layout.slices["zos"]]
    area = np.where(layout.mask[layout.slices["zos"]], grid.area.values, 0.0)
    level[:, layout.slices["zos"]] -= (surface * area).sum((1, 2, 3), keepdims=True) / area.sum()
    rough = layout.to_wet(level * layout.mask).astype("float16").astype("float64")
    responses = responses_of(replace(coordinates, basis=rough), normalizer)
    assert "zos" not in responses
    state = case[0].assign(zos=case[0].zos + 1e-4)
    new, _ = conserve(state, grid, contents.contents_of(state, grid), responses)
    for name in ("thetao", "so", "uo", "vo"):
        xr.testing.assert_equal(new[name], state[name])
    assert float((new.zos - state.zos).std()) < 1e-12
    assert not caplog.records


def test_the_standard_constraints_together_close_all_budgets_and_leave_no_inversion(case, prior):
    """Each keeps what those before it have made: heat, salt and volume to 1e-12, stability, divergence."""
    state, grid = case
    rng = np.random.default_rng(3)
    rough = state.assign(
        thetao=state.thetao + rng.standard_normal(state.thetao.shape),
        so=state.so + 0.3 * rng.standard_normal(state.so.shape),
        zos=state.zos + 0.01,
        uo=state.uo + 0.1 * rng.standard_normal(state.uo.shape),
    )
    rough.so[0, 6, 4] = 80.0  # out of bounds: clipping it takes salt, which has to be given back elsewhere
    targets = contents.contents_of(rough, grid)
    new, record = chain.apply(rough, grid, chain.standard(targets, responses_of(*prior)))
    assert record["constraint_clipped_cells"] == 1 and record["constraint_salt"] > 0
    for name in ("thetao", "so"):
        assert means(new, grid)[name] == pytest.approx(targets[name], rel=1e-12)
    assert abs(means(new, grid)["zos"]) < 1e-14
    top, wet = grid.gdepw_0.values, grid.tmask.values > 0
    assert convection.inversions(new.thetao.values, new.so.values, top, wet) == 0
    again, moved = chain.apply(new, grid, chain.standard(targets, responses_of(*prior)))
    assert moved["constraint_mixed_share"] == 0 and moved["constraint_barotropic_velocity"] < 1e-14
    np.testing.assert_allclose(again.thetao, new.thetao, atol=1e-12)


def test_a_content_that_the_generator_hardly_ever_draws_is_set_with_a_warning(case, prior, caplog):
    state, grid = case
    responses = responses_of(*prior)
    near = means(state, grid)["thetao"] + responses["thetao"].attrs["spread"]
    conserve(state, grid, {"thetao": near}, responses)
    assert not caplog.records
    conserve(state, grid, {"thetao": near + 9 * responses["thetao"].attrs["spread"]}, responses)
    assert "10 standard deviations of the generator's law" in caplog.text


def test_a_state_with_the_right_contents_is_not_touched(case):
    state, grid = case
    new, record = conserve(state, grid, means(state, grid))
    xr.testing.assert_identical(new, state)
    assert record["constraint_heat"] == 0


@pytest.mark.parametrize(
    "targets, message",
    [
        ({"uo": 0.1}, "cannot conserve uo: expected means of thetao"),
        ({"thetao": float("nan")}, "is nan degC; expected"),
        ({"so": 350}, "is 350 1e-3; expected 0 to"),
        ({"so": "salty"}, "'salty'; expected a number"),
    ],
)
def test_contents_that_no_ocean_has_are_refused(case, targets, message):
    state, grid = case
    with pytest.raises(UserError, match=message):
        conserve(state, grid, targets)
