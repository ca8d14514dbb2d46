"""The equation of state equals its published formula and is one function for numpy, xarray and torch."""

import numpy as np
import pytest
import xarray as xr

from warmstart.ocean import eos


def published(t, s, z):
    """NEMO manual, nameos ln_seos: d = -a0(1 + .5 l1 Ta + m1 z)Ta + b0(1 - .5 l2 Sa - m2 z)Sa - nu Ta Sa, DINO's numbers."""
    ta, sa = t - 10.0, s - 35.0
    return (
        -0.165 * (1.0 + 0.5 * 0.06 * ta + 1.497e-4 * z) * ta
        + 0.76554 * (1.0 - 0.5 * 0.0 * sa - 0.0 * z) * sa
        - 0.0 * ta * sa
    )


POINTS = np.random.default_rng(0).uniform([-2, 33, 0], [31, 38, 5000], (500, 3)).T


def test_density_equals_the_published_formula():
    np.testing.assert_allclose(eos.density_anomaly(*POINTS), published(*POINTS), rtol=1e-13, atol=1e-13)


def test_reference_values_computed_by_hand():
    # Ta=10, z=0: -0.165*(1+0.3)*10; Sa=1: +0.76554; Ta=-8, z=4000: +0.165*(1-0.24+0.5988)*8
    assert eos.density_anomaly(20.0, 35.0, 0.0) == pytest.approx(-2.145)
    assert eos.density_anomaly(10.0, 36.0, 3000.0) == pytest.approx(0.76554)
    assert eos.density_anomaly(2.0, 35.0, 4000.0) == pytest.approx(1.793616)


def test_one_function_for_numpy_xarray_and_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = eos.density_anomaly(*POINTS)
    arrays = eos.density_anomaly(*(xr.DataArray(p, dims="i") for p in POINTS))
    tensors = eos.density_anomaly(*(torch.from_numpy(p.copy()).requires_grad_() for p in POINTS))
    assert isinstance(arrays, xr.DataArray) and isinstance(tensors, torch.Tensor) and tensors.requires_grad
    np.testing.assert_array_equal(arrays.values, expected)
    np.testing.assert_allclose(tensors.detach().numpy(), expected, rtol=1e-14)
