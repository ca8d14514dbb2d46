"""The sampler draws from the law of the denoiser; shown where that law is known."""

from functools import partial

import pytest
import torch
from azula.denoise import GaussianDenoiser
from azula.guidance.cfg import CFGDenoiser
from azula.linalg.covariance import FullCovariance
from azula.noise import VESchedule
from azula.sample import DDPMSampler, HeunSampler, xEABSampler

from warmstart.errors import UserError
from warmstart.generator.network.sampler import guided, levels, single_thread, solve
from warmstart.generator.noise import Stream
from warmstart.generator.settings import SamplingConfig, resolve

DIM = 6

#: Relative error of the mean and of the covariance that each method makes on the law of :func:`gaussian`.
KNOWN = {
    ("adams-bashforth", 16): (0.0047, 0.020),
    ("adams-bashforth", 24): (0.0047, 0.0038),
    ("dpm-solver", 16): (0.0048, 0.046),
    ("dpm-solver", 24): (0.0048, 0.023),
    ("dpm-solver", 32): (0.0047, 0.013),
    ("heun", 35): (0.00021, 0.24),
    ("heun", 511): (0, 0.0096),
    ("dpm-solver-2s", 39): (0.00094, 0.058),
    ("ddpm", 1000): (4.2e-05, 0.0054),
}


def gaussian():
    """A law in six dimensions with a power-law spectrum and a mean of the same size."""
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, dtype=torch.float64))[0]
    std = torch.arange(1, DIM + 1, dtype=torch.float64) ** -1.0
    covariance = rotation @ torch.diag(std**2) @ rotation.T
    return torch.linspace(-1, 1, DIM, dtype=torch.float64), covariance, FullCovariance(rotation, std**2)


def exact(mean, factored):
    """azula's denoiser of a Gaussian law, as a function of the noise level."""
    denoiser = GaussianDenoiser(mean, factored, VESchedule(1.0, torch.e))  # log sigma is the time

    def denoise(z, sigma):
        return denoiser(z, torch.log(sigma[0])).mean

    return denoise


class Units:
    """A source of noise that is not random: example i has 1 in the i-th number that a sample ever draws, else 0."""

    def __init__(self, examples):
        self.examples, self.used = examples, 0

    def __call__(self):
        noise = torch.zeros(self.examples, DIM, dtype=torch.float64)
        for j in range(DIM):
            if self.used + j < self.examples:
                noise[self.used + j, j] = 1
        self.used += DIM
        return noise


def law(denoise, config):
    """Mean and covariance of what a method draws: for a Gaussian law it is an affine map of all the noise it uses."""
    count = Units(0)
    solve(denoise, torch.zeros(1, DIM, dtype=torch.float64), config, lambda: count().new_zeros(1, DIM))
    units = Units(count.used + DIM + 1)  # the last example has no noise at all
    drawn = solve(denoise, units(), config, units)
    linear = drawn[:-1] - drawn[-1]
    return drawn[-1], linear.T @ linear


@pytest.mark.parametrize("method, steps", KNOWN)
def test_mean_and_covariance_of_a_gaussian_law_are_reproduced_to_the_known_error(method, steps):
    """Both bounds: a method that is suddenly better than it can be is another method."""
    mean, covariance, factored = gaussian()
    found, spread = law(exact(mean, factored), SamplingConfig(method=method, steps=steps))
    errors = (
        float(torch.linalg.norm(found - mean) / torch.linalg.norm(mean)),
        float(torch.linalg.norm(spread - covariance) / torch.linalg.norm(covariance)),
    )
    assert errors == pytest.approx(KNOWN[method, steps], rel=0.1, abs=1e-9)


@pytest.mark.parametrize(
    "method, order", [("adams-bashforth", 3), ("dpm-solver", 2), ("heun", 2), ("dpm-solver-2s", 2)]
)
def test_twice_the_evaluations_come_closer_by_the_order_of_the_method(method, order):
    """Without churn, noise levels even in the logarithm, against the exact flow of a normal law with deviation 1/2."""
    errors = []
    for steps in (65, 129):
        config = SamplingConfig(method=method, steps=steps, rho=None, sigma_min=0.01, churn=0)
        sigma = [float(s) for s in levels(config) if s > 0]
        # the last step of the two-stage methods, to 0, is of first order: it is taken off
        last = 1.0 if method in ("heun", "dpm-solver-2s") else 0.0
        z = float(
            solve(lambda z, s: z / (1 + 4 * s[:, None] ** 2), torch.ones(1, 1, dtype=torch.float64), config)
        )
        exact = sigma[0] * ((0.25 + sigma[-1] ** 2) / (0.25 + sigma[0] ** 2)) ** 0.5
        errors.append(abs(z - exact * (1 / (1 + 4 * sigma[-1] ** 2) if last else 1.0)))
    assert errors[0] / errors[1] > 0.8 * 2**order


def test_heun_without_churn_and_adams_bashforth_are_those_of_azula():
    mean, _, factored = gaussian()
    schedule = VESchedule(0.01, 20.0)
    noise = torch.randn(4, DIM, dtype=torch.float64)
    common = {"sigma_min": 0.01, "sigma_max": 20.0, "rho": None}
    theirs = xEABSampler(
        GaussianDenoiser(mean, factored, schedule), order=3, steps=12, silent=True, dtype=noise.dtype
    )
    ours = solve(exact(mean, factored), noise, SamplingConfig(method="adams-bashforth", steps=12, **common))
    torch.testing.assert_close(ours, theirs(20 * noise), rtol=1e-10, atol=1e-10)
    # azula's stops at the last noise level, ours goes on to the clean latent
    theirs = HeunSampler(GaussianDenoiser(mean, factored, schedule), steps=12, silent=True, dtype=noise.dtype)
    ours = solve(exact(mean, factored), noise, SamplingConfig(method="heun", steps=25, churn=0, **common))
    clean = exact(mean, factored)(theirs(20 * noise), torch.full((4,), 0.01, dtype=torch.float64))
    torch.testing.assert_close(ours, clean, rtol=1e-10, atol=1e-10)


def test_ancestral_sampling_is_that_of_azula_with_the_same_noise(monkeypatch):
    mean, _, factored = gaussian()
    config = SamplingConfig(method="ddpm", steps=20)
    sigma = levels(config)
    table = type(
        "Table", (), {"__call__": lambda self, t: (torch.ones_like(t), sigma[(20 - t * 20).round().long()])}
    )
    ours = solve(exact(mean, factored), Stream(1).normal((DIM,)), config, source_after_first(1))
    source = source_after_first(1)
    monkeypatch.setattr(torch, "randn_like", lambda x: source())
    denoiser = GaussianDenoiser(mean, factored, table())
    theirs = DDPMSampler(denoiser, steps=20, silent=True, dtype=torch.float64)(80 * Stream(1).normal((DIM,)))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def source_after_first(seed):
    """What a sample draws once its first noise is taken."""
    source = partial(Stream(seed).normal, (DIM,))
    source()
    return source


def test_guidance_is_that_of_azula():
    """azula's weight counts from the conditional answer, ours from the unconditional one."""
    conditional, free = (lambda z, s: 0.5 * z), (lambda z, s: 0.1 * z)

    class Named(torch.nn.Module):
        schedule = VESchedule()

        def forward(self, z, t, given):
            return type("Answer", (), {"mean": (conditional if given else free)(z, t)})

    z, t = torch.randn(3, DIM), torch.tensor(0.5)
    theirs = CFGDenoiser(Named())(
        z, t, positive={"given": True}, negative={"given": False}, guidance=0.7
    ).mean
    torch.testing.assert_close(guided(conditional, free, 1.7)(z, t), theirs)
    assert guided(conditional, free, 1.0) is conditional
    torch.testing.assert_close(guided(conditional, free, 0.0)(z, t), free(z, t))


def test_guidance_moves_the_mean_of_a_gaussian_law_as_it_should():
    """Two laws of equal covariance: the guided law is the one with the mean extrapolated."""
    mean, covariance, factored = gaussian()
    config = SamplingConfig(method="dpm-solver", steps=200, sigma_max=500.0)
    denoise = guided(exact(mean, factored), exact(0.5 * mean, factored), 3.0)
    found, spread = law(denoise, config)
    torch.testing.assert_close(found, 2 * mean, rtol=5e-3, atol=5e-3)
    torch.testing.assert_close(spread, covariance, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("method", ["adams-bashforth", "dpm-solver", "heun", "dpm-solver-2s", "ddpm"])
def test_a_sample_does_not_depend_on_its_companions(method):
    mean, _, factored = gaussian()
    config = SamplingConfig(method=method, steps=21)

    def run(seeds):
        sources = [partial(Stream(seed).normal, (DIM,)) for seed in seeds]
        together = lambda: torch.cat([source() for source in sources])  # noqa: E731
        return solve(exact(mean, factored), together(), config, together)

    torch.testing.assert_close(run([4, 5, 6])[1], run([5])[0], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(run([5]), run([6]))


@pytest.mark.parametrize("method", ["adams-bashforth", "dpm-solver", "heun", "dpm-solver-2s", "ddpm"])
def test_the_number_of_evaluations_is_the_one_asked_for(method):
    calls = []

    def denoise(z, sigma):
        calls.append(float(sigma[0]))
        return 0 * z

    solve(denoise, torch.ones(1, 1), SamplingConfig(method=method, steps=17), lambda: torch.ones(1, 1))
    assert len(calls) == 17
    assert max(calls) <= 80 * 2**0.5 + 1e-3


def test_the_published_settings_belong_to_the_method():
    gencast = SamplingConfig(method="dpm-solver-2s")
    assert (gencast.steps, gencast.churn, gencast.churn_noise, gencast.sigma_min) == (39, 2.5, 1.05, 0.03)
    found = levels(gencast)
    assert len(found) == 21 and float(found[19]) == pytest.approx(0.03) and found[20] == 0
    cosine = levels(SamplingConfig(method="ddpm"))
    assert len(cosine) == 1001 and float(cosine[0]) == pytest.approx(80) and cosine[-1] == 0
    # the schedule that DINO-Fusion runs (diffusers, squaredcos_cap_v2): sigma after half of its steps
    half = torch.cos(torch.tensor(0.508 / 1.008 * torch.pi / 2)) / torch.cos(
        torch.tensor(0.008 / 1.008 * torch.pi / 2)
    )
    assert float(cosine.flip(0)[500]) == pytest.approx(float((1 / half**2 - 1) ** 0.5), rel=0.03)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"method": "euler"}, "sampling.method.*'ddpm'.*got 'euler'"),
        ({"steps": 1}, "sampling.steps"),
        ({"steps": "many"}, "sampling.steps"),
        ({"method": "heun", "steps": 24}, "an odd number, for example 25"),
        ({"method": "dpm-solver-2s", "steps": 40}, "an odd number"),
        ({"sigma_min": 90}, "sigma_min must be below sigma_max"),
        ({"sigma_min": -1}, "sampling.sigma_min"),
        ({"churn": 3}, "adams-bashforth has no churn"),
        ({"guidance": -1}, "sampling.guidance"),
        ({"evaluations": 3}, "sampling.evaluations"),
        ("ddpm", "sampling"),
        ({"method": ["heun"]}, "sampling.method"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused(asked, message):
    with pytest.raises(UserError, match=message):
        resolve({"sampling": asked})


def test_a_method_that_needs_noise_says_so():
    with pytest.raises(UserError, match="ddpm adds noise"):
        solve(lambda z, s: z, torch.ones(1, 1), SamplingConfig(method="ddpm"))


def test_noise_of_a_sample_depends_on_its_seed_only():
    first = Stream(7).normal((5,))[0]
    torch.randn(100)
    assert torch.equal(Stream(7).normal((5,))[0], first)
    assert not torch.equal(Stream(8).normal((5,))[0], first)
    source = partial(Stream(7).normal, (5,))
    assert torch.equal(source()[0], first) and not torch.equal(source()[0], first)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), single_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError("stop")
    assert torch.get_num_threads() == before
