"""The guides of others do what their authors say, and no more: they pull, they do not make exact."""

from functools import partial

import numpy as np
import pytest
import torch

from warmstart.errors import UserError
from warmstart.generator.network import guides
from warmstart.generator.network.sampler import levels, solve
from warmstart.generator.noise import Stream
from warmstart.generator.settings import SamplingConfig, resolve
from warmstart.generator.space import Coordinates
from warmstart.ocean.basin import basin
from warmstart.ocean.eos import density_anomaly
from warmstart.physics.convection import inversions
from warmstart.regression.layout import Layout
from warmstart.regression.normalizer import Normalizer


@pytest.fixture(scope="module")
def case():
    """Maps as latents: white noise in every cell, about the state of the analytic basin."""
    state, grid = basin(nx=8, ny=12, nz=5)
    layout = Layout(grid)
    normalizer = Normalizer(layout, np.zeros(layout.shape[0]), np.ones(layout.shape[0]))
    coordinates = Coordinates(layout, np.zeros((0, int(layout.mask.sum()))), np.full(layout.shape[0], 0.5))
    return layout, normalizer, coordinates, layout.to_wet(normalizer.standardise(layout.pack(state)[0]))


def white(z, sigma):
    return z / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def profile(z, layout):
    return np.array([np.abs(c[m].mean()) for c, m in zip(z.numpy(), layout.mask, strict=True) if m.any()])


def test_the_pull_is_the_published_one(case):
    """beta sums to 3.02 over the thousand steps, and is 0.041 at the end."""
    layout, _, coordinates, _ = case
    pull = guides.zero_mean(coordinates)
    ones = torch.as_tensor(layout.mask * 1.0)[None]
    at_the_end = 1 - pull(ones, 0.0)[ones > 0]
    torch.testing.assert_close(at_the_end, torch.full_like(at_the_end, 0.041))
    # the schedule starts below the noise that DINO-Fusion starts with, where the pull is 0.001
    betas = [float(1 - pull(ones, float(s))[ones > 0][0]) for s in levels(SamplingConfig(method="ddpm"))[1:]]
    assert sum(betas) == pytest.approx(3.02, abs=0.03)


def test_the_pull_takes_the_mean_of_a_level_and_leaves_its_pattern(case):
    layout, _, coordinates, _ = case
    z = torch.as_tensor(layout.mask * (1.0 + Stream(0).normal(layout.shape)[0].numpy()))[None]
    pulled = z
    for _ in range(400):
        pulled = guides.zero_mean(coordinates)(pulled, 0.0)
    assert profile(pulled[0], layout).max() < 1e-6
    change = (z - pulled)[0].numpy()
    for moved, mask in zip(change, layout.mask, strict=True):
        assert not mask.any() or np.ptp(moved[mask]) < 1e-12


def test_samples_with_the_pull_have_smaller_mean_profiles(case):
    layout, _, coordinates, _ = case
    config = SamplingConfig(method="ddpm")
    free, pulled = (
        solve(white, Stream(1).normal(layout.shape), config, partial(Stream(2).normal, layout.shape), after)[
            0
        ]
        for after in (None, guides.zero_mean(coordinates))
    )
    assert profile(pulled, layout).mean() < 0.5 * profile(free, layout).mean()
    assert profile(pulled, layout).max() > 0


@pytest.mark.parametrize("method", ["adams-bashforth", "dpm-solver-2s"])
def test_samples_guided_by_stratification_have_weaker_inversions(case, method):
    """Weaker, not fewer: a gradient ends where the excess is small, and leaves a part of it (why columns are mixed instead)."""
    layout, normalizer, coordinates, mean = case
    config = SamplingConfig(method=method)
    factor = 2.0
    guided = guides.stratification(white, coordinates, normalizer, mean, factor)

    grid = layout.grid
    wet, top = grid.tmask.values > 0, grid.gdepw_0.values

    def excess(denoise):
        z = solve(denoise, Stream(3).normal(layout.shape), config, partial(Stream(4).normal, layout.shape))[0]
        fields = normalizer.restore(layout.from_wet(mean + factor * coordinates.decode(z.numpy())))
        t, s = (np.nan_to_num(fields[layout.slices[n]]) for n in ("thetao", "so"))
        above = density_anomaly(t[:-1], s[:-1], top[1:]) - density_anomaly(t[1:], s[1:], top[1:])
        strength = np.sqrt((np.where(wet[:-1] & wet[1:], above, 0.0).clip(min=0) ** 2).mean())
        return strength, inversions(t, s, top, wet)

    (free, count), (steered, left) = excess(white), excess(guided)
    assert count > 20 and steered < 0.5 * free
    assert left > 0


def test_a_stable_state_is_not_steered(case):
    layout, normalizer, coordinates, mean = case
    still = lambda z, sigma: 0 * z  # noqa: E731
    z, sigma = Stream(0).normal(layout.shape), torch.ones(1, dtype=torch.float64)
    assert not guides.stratification(still, coordinates, normalizer, mean, 1.0)(z, sigma).any()


def test_the_pull_between_steps_belongs_to_ddpm(case):
    with pytest.raises(UserError, match="guide zero-mean acts between the steps of ddpm, not of heun"):
        resolve({"sampling": {"method": "heun", "guide": "zero-mean"}})
    with pytest.raises(UserError, match="dpm-solver takes nothing between its steps"):
        solve(white, torch.zeros(1, 1, 1, 1), SamplingConfig(method="dpm-solver"), None, lambda z, s: z)
