"""Baselines: what they claim to be, in the shape of generate."""

import baselines
import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import files

ASKED = {"wind_stress_south": 0.2, "vertical_diffusivity": 5e-5}


def test_the_nearest_member_is_a_simulated_state(ensemble_store):
    ds = files.open_dataset(ensemble_store)
    training = ds.isel(sample=np.flatnonzero((ds.split == "train") & (ds.phase == "equilibrium"))).load()
    wanted = training.isel(sample=5)
    asked = {n: float(wanted[n]) for n in ASKED}
    found = baselines.nearest(ensemble_store, asked, n=2)
    assert found.attrs["nearest_member"] == int(wanted.member)
    pool = training.isel(sample=np.flatnonzero(training.member == wanted.member))
    np.testing.assert_array_equal(found.thetao.values, pool.thetao.values.astype("float64"))


def test_regression_has_no_spread_and_climatology_no_parameters(generator, ensemble_store):
    mean = baselines.regression(generator, ASKED, n=2)
    np.testing.assert_array_equal(mean.thetao[0], mean.thetao[1])
    other = {"wind_stress_south": 0.35}
    assert not baselines.regression(generator, ASKED | other).thetao.equals(mean.thetao[:1])
    draws = baselines.climatology(ensemble_store, ASKED, n=10)
    xr.testing.assert_equal(draws.thetao, baselines.climatology(ensemble_store, ASKED | other, n=10).thetao)
    assert len(np.unique(draws.member[:9])) == 9  # every training member once, then the first again


def test_baselines_refuse_what_generate_refuses(generator, ensemble_store, tmp_path):
    for baseline, source in (
        (baselines.regression, generator),
        (baselines.climatology, ensemble_store),
        (baselines.nearest, ensemble_store),
    ):
        with pytest.raises(UserError, match="unknown parameter"):
            baseline(source, {"wind": 1.0})
        path = tmp_path / "states.nc"
        baseline(source, ASKED, output=path)
        assert files.open_dataset(path).attrs["baseline"] == baseline.__name__
        with pytest.raises(UserError, match="exists"):
            baseline(source, ASKED, output=path)
        path.unlink()
