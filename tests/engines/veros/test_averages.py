"""Output of any set-up of Veros: turned over, on its own mesh, and what is missing said in one sentence."""

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import warmstart as ws
from veros_files import DZ, NY, write_snapshot
from warmstart.errors import UserError
from warmstart.physics.cgrid import at_south, at_west, east_transport, north_transport
from warmstart.verbs.check import check
from warmstart.verbs.info import info


@pytest.mark.parametrize("metrics", [True, False])
def test_a_snapshot_is_a_state_with_the_surface_first_on_the_mesh_that_it_carries(tmp_path, metrics):
    path, fields, masks, cell = write_snapshot(tmp_path / "mine.snapshot.nc", metrics=metrics)
    grid, state = ws.open_grid(path), ws.open_state(path)
    for name, veros in (("thetao", "temp"), ("so", "salt"), ("uo", "u"), ("vo", "v")):
        expected = np.where(masks[veros], fields[veros], np.nan)[:, ::-1]
        np.testing.assert_array_equal(state[name].values, expected)
        np.testing.assert_array_equal(state[name].isel(z=0, time=1).values, expected[1, 0])
        np.testing.assert_array_equal(state[name].isel(z=[2, 0], y=3).values, expected[:, [2, 0], 3])
    volume = cell * DZ[:, None, None] * masks["temp"]
    assert float(grid.volume.sum()) == pytest.approx(volume.sum(), rel=1e-12)
    assert float(grid.mean(state.thetao).isel(time=0)) == pytest.approx(
        (fields["temp"][0] * volume).sum() / volume.sum(), rel=1e-12
    )
    assert grid.periodic_x and grid.gdept_1d.values.tolist() == pytest.approx([20.0, 110.0, 400.0, 1150.0])
    assert state.year.values.tolist() == [1.0, 2.0] and state.attrs["equation_of_state"] == "veros 3"
    # what leaves one cell enters its neighbour
    out = east_transport(state, grid) + north_transport(state, grid)
    out = out - at_west(east_transport(state, grid), grid) - at_south(north_transport(state, grid))
    assert abs(float(out.isel(time=0).sum())) < 1e-9 * float(abs(out.isel(time=0)).sum())


def test_check_and_info_take_it_and_a_hole_at_sea_is_seen(tmp_path):
    path, _, masks, _ = write_snapshot(tmp_path / "mine.snapshot.nc", records=1)
    assert check(path, only=["missing_values", "mask_violations"]).value.tolist() == [0, 0]
    with netCDF4.Dataset(path, "r+") as ds:
        ds["temp"][(0, *np.argwhere(masks["temp"])[3])] = -1e18
    assert check(path, only=["missing_values"]).value.tolist() == [1]
    assert "Veros output" in info(path)


def test_conservative_temperature_of_veros_is_converted(tmp_path):
    gsw = pytest.importorskip("gsw")
    path, fields, masks, _ = write_snapshot(tmp_path / "mine.snapshot.nc", equation=5)
    state, wet = ws.open_state(path), masks["temp"]
    expected = gsw.pt_from_CT(fields["salt"][0], fields["temp"][0])[::-1]
    np.testing.assert_allclose(state.thetao.values[0][wet[::-1]], expected[wet[::-1]], rtol=1e-12)
    assert state.attrs["equation_of_state"] == "teos10"


def test_what_is_missing_is_said_in_one_sentence(tmp_path):
    plane = write_snapshot(tmp_path / "plane.nc", units="km")[0]
    with pytest.raises(UserError, match=r"lies on a plane \(xt in km\)"):
        ws.open_state(plane)
    part = write_snapshot(tmp_path / "part.nc", drop=("u", "v"))[0]
    with pytest.raises(UserError, match="of the mesh of Veros u, v are missing; give a snapshot"):
        ws.open_state(part)
    with h5py.File(tmp_path / "x.restart.h5", "w") as file:
        file.create_group("core")["temp"] = np.zeros((3, 3))
        file.create_group("snapshot")
    for door in (ws.open_state, ws.open_grid):
        with pytest.raises(UserError, match=r"is a restart of Veros: .* give the snapshot"):
            door(tmp_path / "x.restart.h5")
    with netCDF4.Dataset(tmp_path / "energy.nc", "w") as ds:
        ds.createVariable("k_m", "f8", ())[...] = 1.0
    with pytest.raises(UserError, match=r"energy.nc holds no state \(k_m\); expected"):
        ws.open_state(tmp_path / "energy.nc")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: ds.assign_coords(xt=("xt", -ds.xt.values, ds.xt.attrs)), "xt is no axis"),
        (lambda ds: ds.assign_coords(yu=("yu", list("abcde"))), "yu is no axis"),
        (lambda ds: ds.assign_coords(zw=("zw", [np.nan, 1.0, 2.0, 3.0])), "zw is no axis"),
        (lambda ds: ds.isel(zt=slice(0, 0)).drop_encoding(), "zt is no axis"),
        (lambda ds: ds.isel(Time=slice(0, 0)), "temp has the sizes .*'Time': 0"),
        (lambda ds: ds.assign(ht=("yt", np.ones(NY))), "ht has the sizes"),
        (lambda ds: ds.assign(u=ds.u.transpose("Time", "yt", "zt", "xu")), "u has the sizes"),
        (lambda ds: ds.assign_attrs(setup_settings='{"eq_of_state_type": "a"}'), "eq_of_state_type in setup_settings is 'a'"),
        (lambda ds: ds.assign_attrs(setup_settings='{"radius": NaN}'), "radius in setup_settings is nan"),
        (lambda ds: ds.assign_attrs(setup_settings='{"enable_cyclic_x": "yes"}'), "cannot read the mesh of"),
        (lambda ds: ds.assign_coords(Time=("Time", ["a", "b"])), "Time is not a number for each record"),
        (lambda ds: ds.assign_coords(Time=("Time", [1.0, 2.0], {"units": "s"})), "Time is in s; expected days"),
        (lambda ds: ds.drop_vars("salt").assign_attrs(setup_settings='{"eq_of_state_type": 5}'), "no salt lies beside it"),
    ],
)  # fmt: skip
def test_what_no_veros_writes_is_refused_in_a_sentence(tmp_path, change, says):
    path = write_snapshot(tmp_path / "mine.snapshot.nc")[0]
    with xr.open_dataset(path, decode_times=False) as ds:
        change(ds.load()).to_netcdf(tmp_path / "other.snapshot.nc")
    with pytest.raises(UserError, match=says):
        ws.open_state(tmp_path / "other.snapshot.nc")
