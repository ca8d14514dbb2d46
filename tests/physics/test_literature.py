"""Published definitions: the peers' own results on real NEMO files, their formulas in plain numpy, and their known flaws.

``published_expected.json`` holds what the peers' own functions (``metrics.py`` and ``utils.py`` of nemo-spinup-evaluation
0.3.0, ``metrics.py`` and ``ICLRw-tables.py`` of DINO-Fusion) give on the restarts, with the files read by netCDF4 and nothing
of this package; ten digits.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from nemo_plain import NEMO, needs_nemo, read
from warmstart.errors import UserError
from warmstart.ocean.basin import basin
from warmstart.physics import column, density, literature, transport
from warmstart.verbs.check import check

EXPECTED = json.loads(Path(__file__).with_name("published_expected.json").read_text())
V42, V50 = "v42_4deg_leapfrog/DINO_00005760_restart.nc", "v50_4deg_leapfrog/DINO_00023040_restart.nc"


@functools.cache
def table(case):
    result = check(NEMO / case, grid=NEMO / EXPECTED[case]["mesh"], published=True)
    return result.set_index("metric").value


@functools.cache
def plain(case):
    return read(NEMO / case), read(NEMO / EXPECTED[case]["mesh"])


@needs_nemo
@pytest.mark.parametrize("case", EXPECTED)
def test_published_numbers_are_those_of_the_peers_own_functions(case):
    values = table(case)
    assert set(values.index) == set(EXPECTED[case]["values"])
    for name, expected in EXPECTED[case]["values"].items():
        assert values[name] == pytest.approx(expected, rel=1e-9, abs=1e-12), name


@needs_nemo
@pytest.mark.parametrize("case", EXPECTED)
def test_published_numbers_follow_from_the_formulas_in_plain_numpy(case):
    f, m = plain(case)
    values = table(case)
    area, z = m.e1t * m.e2t, f.nav_lev.astype(float)
    volume = area * m.e3t_0 * m.tmask
    tropics = np.abs(m.gphit) < 30
    k = np.abs(z - 500).argmin()
    weight = area * m.e3t_0.sum(0) * m.tmask[k] * tropics
    assert values["nemo_spinup_evaluation_temperature_500m_30NS"] == pytest.approx(
        (f.tn[k] * weight).sum() / weight.sum(), rel=1e-9
    )
    bottom = ~((z < 3000)[:, None, None] & tropics)
    deep = (np.abs(z - 1750) < 1250)[:, None, None] & tropics
    for name, box in (("BWbox", bottom), ("DWbox", deep)):
        mean = (f.tn * volume)[box].sum() / volume[box].sum()
        assert values[f"nemo_spinup_evaluation_temperature_{name}"] == pytest.approx(mean, rel=1e-9)
    drake = (f.un * m.umask * m.e2u * m.e3u_0)[:, :, 0].sum() / 1e6
    assert values["nemo_spinup_evaluation_ACC_Drake"] == pytest.approx(drake, rel=1e-9)
    level = 0.5 * (f.sshn + np.roll(f.sshn, -1, 0))
    e3v = m.e3v_0 * (1 + level * m.vmask[0] / (m.e3v_0.sum(0) + 1 - m.vmask[0]))
    psi = np.cumsum((f.vn * e3v).sum(0) * m.e1v * m.vmask[0], 1) / 1e6
    north = np.abs(m.gphit - 20) < 20
    assert values["nemo_spinup_evaluation_NASTG_BSF_max"] == pytest.approx(psi[north].max(), rel=1e-9)


@needs_nemo
def test_the_density_check_counts_cells_of_the_file_with_land_in_the_denominator():
    f, m = plain(V42)
    rho = np.where(f.rhop == 0, np.nan, f.rhop)
    with np.errstate(invalid="ignore"):
        share = (rho[:-1] - rho[1:] > 1e-5).sum() / rho.size
    assert table(V42)["nemo_spinup_evaluation_check_density_from_file"] == pytest.approx(share)
    assert m.tmask.sum() < 0.9 * rho.size


@needs_nemo
def test_the_csv_has_the_columns_header_and_digits_of_nemo_spinup_evaluation(tmp_path):
    folder = NEMO / "v42_4deg_leapfrog"
    path, restart = tmp_path / "metrics.csv", NEMO / V42
    check(restart, grid=folder / "mesh_mask.nc", published=True, reference=restart, output=path)
    lines = path.read_text().splitlines()
    assert lines[0] == "# Metric Evaluation" and lines[3] == f"# Restart File: {restart}"
    names = (
        "check_density_from_file,check_density_computed,temperature_500m_30NS_metric,temperature_BWbox_metric,"
        "temperature_DWbox_metric,ACC_Drake_metric,ACC_Drake_metric_2,NASTG_BSF_max"
    )
    both = [f"{prefix}{n}" for prefix in ("", "ref_", "diff_") for n in names.split(",")]
    frame = pd.read_csv(path, comment="#", dtype=str)
    assert list(frame.columns) == ["timestamp", *both]
    assert frame.loc[0, "check_density_from_file"] == "0.001012"
    assert frame.loc[0, "temperature_500m_30NS_metric"] == "11.522241"
    assert frame.loc[0, "diff_NASTG_BSF_max"] == "0.000000"
    summary = pd.read_csv(tmp_path / "metrics_summary.csv", comment="#")
    assert list(summary.columns) == ["metric", "mae", "rmse"] and len(summary) == 8


@needs_nemo
def test_output_of_a_year_has_one_row_a_month_and_says_what_cannot_be_computed(tmp_path):
    folder = NEMO / "v50_4deg_leapfrog"
    files = [folder / f"DINO_1m_00040101_00041230_grid_{p}_0000.nc" for p in "TUV"]
    path = tmp_path / "metrics.csv"
    check(files, grid=folder / "mesh_mask.nc", published=True, output=path)
    frame = pd.read_csv(path, comment="#")
    assert len(frame) == 12 and frame.timestamp[0].startswith("0004-01")
    assert frame.columns[-1] == "check_density_computed" and set(frame.check_density_from_file) == {
        "Error: needs rhop"
    }
    t, m = read(files[0]), read(folder / "mesh_mask.nc")
    u = read(files[1])
    assert frame.ACC_Drake_metric[3] == pytest.approx(
        (u.vozocrtx[3] * m.umask * m.e2u * m.e3u_0)[:, :, 0].sum() / 1e6, abs=1e-6
    )
    volume = m.e1t * m.e2t * m.e3t_0 * m.tmask
    box = (np.abs(m.gdept_1d - 1750) < 1250)[:, None, None] & (np.abs(m.gphit) < 30) & (m.tmask > 0)
    temperature = (
        t.votemper[3].astype(float)[box] / t.vovvle3t[3].astype(float)[box]
    )  # content, not temperature
    mean = (temperature * volume[box]).sum() / volume[box].sum()
    assert frame.temperature_DWbox_metric[3] == pytest.approx(mean, abs=2e-6)
    with pytest.raises(UserError, match="time axes differ"):
        check(
            files, grid=folder / "mesh_mask.nc", published=True, output=tmp_path / "b.csv",
            reference=NEMO / V50,
        )  # fmt: skip


def test_published_numbers_of_an_analytic_ocean_follow_from_the_formulas_in_plain_numpy(ocean, ocean_grid):
    """As of the real files above, where there are none: with noise, so that every cell counts for itself."""
    rng = np.random.default_rng(3)
    noise = {n: ocean[n] + 0.3 * rng.standard_normal(ocean[n].shape) for n in ("thetao", "uo", "vo", "zos")}
    noise["so"] = ocean.so - 0.2 * rng.random(ocean.so.shape)
    state, m = ocean.assign(noise), ocean_grid.ds.copy(deep=True)
    m["umask"][0, 0, 0] = 1  # one of the formulas looks at this corner alone
    ocean_grid = type(ocean_grid)(m)
    t, s, u, v, level = (np.nan_to_num(state[n].values) for n in ("thetao", "so", "uo", "vo", "zos"))
    lat, z, tmask = np.abs(m.gphit.values), m.gdept_1d.values[:, None, None], m.tmask.values
    area = (m.e1t * m.e2t).values
    volume = area * m.e3t_0.values * tmask
    rho = density.polynomial_density(xr.DataArray(t), xr.DataArray(s)).values * tmask
    full = np.where(rho == 0, np.nan, rho)
    rows = np.arange(lat.shape[0])[:, None] + 0 * lat
    k = np.abs(m.gdept_1d.values - 500).argmin()
    column = area * m.e3t_0.values.sum(0) * tmask[k] * (lat < 30)
    meridian = (u * m.umask.values * m.e2u.values * m.e3u_0.values)[:, :, 0]
    higher = 0.5 * (level + np.roll(level, -1, 1))[:, 0]
    corner = m.umask.values[:, 0, 0][:, None]  # as committed
    stretched = 1 + higher * corner / (m.e3u_0.values.sum(0)[:, 0] + 1 - corner)
    north = 0.5 * (level + np.roll(level, -1, 0))
    open_v = m.vmask.values[0]
    deep = m.e3v_0.values.sum(0) + 1 - open_v
    psi = (
        np.cumsum((v * m.e3v_0.values).sum(0) * (1 + north * open_v / deep) * m.e1v.values * open_v, 1) / 1e6
    )
    with np.errstate(invalid="ignore"):
        denser, lighter = full[:-1] - full[1:] > 1e-5, rho[1:] - rho[:-1] < 0

    def mean(values, box):
        return (values * volume)[box & (volume > 0)].sum() / volume[box].sum()

    expected = {
        "nemo_spinup_evaluation_check_density_computed": denser.sum() / full.size,
        "nemo_spinup_evaluation_temperature_500m_30NS": (t[k] * column).sum() / column.sum(),
        "nemo_spinup_evaluation_temperature_BWbox": mean(t, ~((z < 3000) & (lat < 30))),
        "nemo_spinup_evaluation_temperature_DWbox": mean(t, (np.abs(z - 1750) < 1250) & (lat < 30)),
        "nemo_spinup_evaluation_ACC_Drake": meridian.sum() / 1e6,
        "nemo_spinup_evaluation_ACC_Drake_2": (meridian * stretched).sum() / 1e6,
        "nemo_spinup_evaluation_NASTG_BSF_max": psi[np.abs(m.gphit.values - 20) < 20].max(),
        "dino_fusion_density_errors": 100 * (volume[1:] * lighter).sum() / volume.sum(),
    }
    for name, value in expected.items():
        found = float(getattr(literature, name)(state, ocean_grid))
        assert found == pytest.approx(value, rel=1e-10) and found != 0, name
    for variable, values in (("thetao", t), ("so", s)):
        for by_index, where in ((False, lat), (True, rows)):
            options = {"variable": variable, "by_index": by_index}
            bottom, between = (
                float(f(state, ocean_grid, **options))
                for f in (literature.dino_fusion_BWbox, literature.dino_fusion_DWbox)
            )
            assert bottom == pytest.approx(mean(values, ~((z < 1500) & (where < 30))), rel=1e-12)
            assert between == pytest.approx(mean(values, (z < 1500) & (z > 500) & (where < 30)), rel=1e-12)
    rhop = state.assign(rhop=(("z", "y", "x"), full))
    from_file = literature.nemo_spinup_evaluation_check_density_from_file(rhop, ocean_grid)
    assert float(from_file) == pytest.approx(denser.sum() / full.size, rel=1e-12)


# ---------------------------------------------------------------- what is wrong with them, shown


def upside_down(grid):
    """A column of fresh, light water under salt."""
    so = 40.0 - 0.5 * xr.DataArray(np.arange(grid.shape[0]), dims="z") + 0 * grid.gdept_0
    return xr.Dataset({"thetao": 0 * so + 10.0, "so": so}).where(grid.tmask > 0)


def test_an_ocean_upside_down_scores_less_than_one_because_land_is_counted(ocean_grid):
    state = upside_down(ocean_grid)
    wet = ocean_grid.tmask.values > 0
    pairs, cells = (wet[1:] & wet[:-1]).sum(), wet.size
    score = float(literature.nemo_spinup_evaluation_check_density_computed(state, ocean_grid))
    assert score == pytest.approx(pairs / cells) and score < 0.75
    assert float(column.inversions(state, ocean_grid)) == 1.0


def test_the_second_drake_transport_does_not_feel_the_sea_level_the_corrected_one_does(ocean, ocean_grid):
    raised = ocean.assign(zos=ocean.zos * 0 + 40.0)
    second = literature.nemo_spinup_evaluation_ACC_Drake_2
    assert float(second(raised, ocean_grid)) == float(second(ocean, ocean_grid))
    deeper = float(transport.throughflow(raised, ocean_grid, free_surface=True))
    depth = (ocean_grid.e3u_0 * ocean_grid.umask).sum("z")
    flow = (ocean.uo * ocean_grid.e2u * ocean_grid.e3u_0).sum("z") / 1e6
    expected = (flow * (1 + 40.0 / depth.where(depth > 0))).sum("y").mean("x")
    assert deeper == pytest.approx(float(expected)) and 120 * 1.005 < deeper < 120 * 1.03


def test_whole_column_weights_favour_deep_columns_when_their_thickness_differs():
    state, grid = basin(nx=8, ny=16, nz=6)
    ds = grid.ds.copy(deep=True)
    west = xr.DataArray(np.arange(8) < 4, dims="x")
    ds["e3t_0"] = xr.where(west, 3.0, 1.0) * ds.e3t_0
    ds["e3t_0"] = ds.e3t_0.transpose("z", "y", "x")
    thetao = (xr.where(west, 10.0, 20.0) + 0 * grid.gdept_0).transpose("z", "y", "x")
    warm = state.assign(thetao=thetao.where(grid.tmask > 0))
    from warmstart.physics import census

    stretched = type(grid)(ds)
    weighted = float(literature.nemo_spinup_evaluation_temperature_500m_30NS(warm, stretched))
    fair = float(census.temperature_500m(warm, stretched))
    assert weighted == pytest.approx((3 * 3 * 10 + 4 * 20) / (3 * 3 + 4))  # column 0 is land
    assert fair == pytest.approx((3 * 10 + 4 * 20) / 7)


def test_rows_taken_for_degrees_select_another_ocean(ocean, ocean_grid):
    by_degree = float(literature.dino_fusion_DWbox(ocean, ocean_grid))
    by_row = float(literature.dino_fusion_DWbox(ocean, ocean_grid, by_index=True))
    assert abs(by_degree - by_row) > 0.3


def test_states_without_density_say_so(ocean, ocean_grid):
    with pytest.raises(UserError, match="rhop"):
        literature.nemo_spinup_evaluation_check_density_from_file(ocean, ocean_grid)


def test_the_polynomial_is_teos10_at_the_surface():
    gsw = pytest.importorskip("gsw", reason="gsw is not installed")
    t, s = np.meshgrid(np.linspace(-1, 30, 20), np.linspace(33, 38, 11))
    found = density.polynomial_density(xr.DataArray(t), xr.DataArray(s))
    np.testing.assert_allclose(found, gsw.rho(s, t, 0.0), atol=5e-3)


def test_water_of_one_density_is_nowhere_lighter_than_the_cell_above(ocean_grid):
    still = xr.Dataset({"thetao": 0 * ocean_grid.gdept_0 + 10.0, "so": 0 * ocean_grid.gdept_0 + 35.0})
    assert float(literature.dino_fusion_density_errors(still.where(ocean_grid.tmask > 0), ocean_grid)) == 0.0
