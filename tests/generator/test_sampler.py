"""The sampler draws from the law of the denoiser; shown where that law is known."""

import pytest
import torch
from azula.denoise import GaussianDenoiser
from azula.linalg.covariance import FullCovariance
from azula.noise import VESchedule

from warmstart.generator.config import SamplingConfig
from warmstart.generator.sampler import draw, single_thread, solve

DIM = 6


def gaussian():
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, dtype=torch.float64))[0]
    std = torch.arange(1, DIM + 1, dtype=torch.float64) ** -1.0
    covariance = rotation @ torch.diag(std**2) @ rotation.T
    return torch.linspace(-1, 1, DIM, dtype=torch.float64), covariance, FullCovariance(rotation, std**2)


@pytest.mark.parametrize("method, tolerance", [("adams-bashforth", 5e-3), ("dpm-solver", 3e-2)])
def test_mean_and_covariance_of_a_gaussian_law_are_reproduced(method, tolerance):
    """For a Gaussian law the solver is an affine map of the noise: its mean and covariance are known without sampling."""
    mean, covariance, factored = gaussian()
    config = SamplingConfig(method=method, steps=24)
    schedule = VESchedule(config.sigma_min, config.sigma_max)
    exact = GaussianDenoiser(mean, factored, schedule)

    def denoise(z, sigma):
        span = torch.log(torch.tensor(config.sigma_max / config.sigma_min, dtype=torch.float64))
        return exact(z, torch.log(sigma[0] / config.sigma_min) / span).mean

    offset = solve(denoise, torch.zeros(1, DIM, dtype=torch.float64), config)[0]
    linear = solve(denoise, torch.eye(DIM, dtype=torch.float64), config) - offset
    error = torch.linalg.norm(linear.T @ linear - covariance) / torch.linalg.norm(covariance)
    assert torch.linalg.norm(offset - mean) / torch.linalg.norm(mean) < tolerance
    assert error < 2 * tolerance


def test_more_evaluations_come_closer():
    """Catches a wrong order of the solver or noise levels that do not end at the same place."""
    errors = []
    for steps in (16, 32):
        config = SamplingConfig(steps=steps)
        z = solve(
            lambda z, s: z * 0.25 / (0.25 + s[:, None] ** 2), torch.ones(1, 1, dtype=torch.float64), config
        )
        exact = (0.25 + config.sigma_min**2) ** 0.5 * config.sigma_max / (0.25 + config.sigma_max**2) ** 0.5
        errors.append(abs(float(z) - exact))
    assert errors[1] < errors[0] / 4


def test_noise_of_a_sample_depends_on_its_seed_only():
    first = draw(7, (5,))
    torch.randn(100)
    assert torch.equal(draw(7, (5,)), first)
    assert not torch.equal(draw(8, (5,)), first)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), single_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError("stop")
    assert torch.get_num_threads() == before
