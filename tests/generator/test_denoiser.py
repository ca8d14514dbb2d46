"""Preconditioning identities, and no gradient from land."""

import numpy as np
import pytest
import torch

from warmstart.generator.network.denoiser import Condition, Denoiser, preconditioning
from warmstart.generator.network.objective import denoising
from warmstart.generator.settings import ResidualConfig
from warmstart.generator.space import fit
from warmstart.ocean.basin import basin
from warmstart.regression.layout import Layout


class Answer(torch.nn.Module):
    """A network that answers the same map whatever it is asked."""

    def __init__(self, shape, value=1.0):
        super().__init__()
        self.map = torch.nn.Parameter(torch.full(shape, value))

    def forward(self, x, *condition):
        return self.map.expand(len(x), -1, -1, -1)


@pytest.fixture(scope="module", params=["eof", "vertical", "grid"])
def coordinates(request):
    _, grid = basin(nx=6, ny=8, nz=3)
    layout = Layout(grid)
    residuals = np.random.default_rng(0).standard_normal((5, int(layout.mask.sum())))
    return fit({"parameters": residuals}, layout, ResidualConfig(coordinates=request.param))["parameters"]


def condition(n):
    return Condition(torch.zeros(n, 2), torch.zeros(n, 0, 8), torch.ones(n, 4), torch.ones(n, 2))


def test_without_noise_the_denoiser_returns_its_input(coordinates):
    denoiser = Denoiser(Answer(coordinates.layout.shape), coordinates)
    z = torch.randn(2, *coordinates.shape, dtype=torch.float64)
    clean = denoiser(z, torch.full((2,), 1e-9, dtype=torch.float64), condition(2))
    torch.testing.assert_close(clean, z, rtol=0, atol=1e-7)


def test_a_network_that_answers_zero_is_the_denoiser_of_a_normal_law(coordinates):
    denoiser = Denoiser(Answer(coordinates.layout.shape, 0.0), coordinates)
    z, sigma = torch.randn(3, *coordinates.shape), torch.tensor([0.1, 1.0, 10.0])
    expected = z / (1 + sigma.reshape(-1, *[1] * (z.ndim - 1)) ** 2)
    torch.testing.assert_close(denoiser(z, sigma, condition(3)), expected)


def test_input_and_target_of_the_network_have_unit_variance():
    """Karras et al. (2022), appendix B.6: for data of unit variance, whatever the noise."""
    sigma = torch.logspace(-3, 3, 13, dtype=torch.float64)
    skip, out, scale = preconditioning(sigma)
    torch.testing.assert_close(scale**2 * (1 + sigma**2), torch.ones_like(sigma))
    # target = (data - skip (data + sigma noise)) / out
    torch.testing.assert_close(((1 - skip) ** 2 + (skip * sigma) ** 2) / out**2, torch.ones_like(sigma))


def test_the_loss_of_the_zero_network_is_one_for_normal_data(coordinates):
    denoiser = Denoiser(Answer(coordinates.layout.shape, 0.0), coordinates)
    torch.manual_seed(0)
    z, sigma = torch.randn(400, *coordinates.shape), torch.exp(torch.randn(400))
    with torch.no_grad():
        loss = denoising(denoiser, z, sigma, torch.randn_like(z), condition(400)).mean()
    assert float(loss) == pytest.approx(1, abs=0.1)


def test_land_has_exactly_no_gradient(coordinates):
    net = Answer(coordinates.layout.shape)
    z = torch.randn(4, *coordinates.shape)
    denoiser = Denoiser(net, coordinates)
    denoising(denoiser, z, torch.ones(4), torch.randn_like(z), condition(4)).sum().backward()
    wet = torch.as_tensor(coordinates.mask)
    assert not net.map.grad[~wet].any()
    assert net.map.grad[wet].any()


def test_encoding_undoes_decoding(coordinates):
    """Maps lose nothing of a residual; modes lose nothing of a latent."""
    rng = np.random.default_rng(1)
    if len(coordinates.basis):
        z = rng.standard_normal((3, *coordinates.shape))
        np.testing.assert_allclose(coordinates.encode(coordinates.decode(z)), z, atol=1e-10)
    else:
        residual = rng.standard_normal((3, int(coordinates.layout.mask.sum())))
        np.testing.assert_allclose(coordinates.decode(coordinates.encode(residual)), residual, atol=1e-10)


def test_vertical_modes_are_uncorrelated():
    _, grid = basin(nx=6, ny=8, nz=5)
    layout = Layout(grid)
    rng = np.random.default_rng(0)
    slow = rng.standard_normal((40, 1)) * np.linspace(1, 3, int(layout.mask.sum()))
    residuals = slow + 0.1 * rng.standard_normal((40, int(layout.mask.sum())))
    found = fit({"parameters": residuals}, layout, ResidualConfig(coordinates="vertical"))["parameters"]
    z = found.encode(residuals)[:, layout.slices["thetao"]].transpose(1, 0, 2, 3).reshape(5, -1)
    correlation = np.corrcoef(z)
    assert np.abs(correlation - np.diag(np.diag(correlation))).max() < 0.3
    assert (np.diff(found.scale[:10]) <= 1e-9).all()  # the leading ones first


def test_residuals_are_white_in_their_modes():
    _, grid = basin(nx=6, ny=8, nz=3)
    layout = Layout(grid)
    residuals = np.random.default_rng(0).standard_normal((9, int(layout.mask.sum()))) * 7
    z = fit({"both": residuals}, layout, ResidualConfig(variance=1.0))["both"].encode(residuals)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(z.shape[1]), atol=1e-10)
