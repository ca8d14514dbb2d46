"""Output of any set-up of Veros: turned over, on its own mesh, and what is missing said in one sentence."""

import json

import h5py
import netCDF4
import numpy as np
import pytest

import warmstart as ws
from warmstart.errors import UserError
from warmstart.physics.cgrid import at_south, at_west, east_transport, north_transport
from warmstart.verbs.check import check
from warmstart.verbs.info import info

NX, NY, RADIUS = 6, 5, 6370e3
DZ = np.array([900.0, 500.0, 150.0, 50.0])  # from the sea floor up
RNG = np.random.default_rng(4)


def write_snapshot(path, records=2, units="degrees_east", equation=3, metrics=True, drop=()):
    """A file as Veros writes it: levels from the sea floor up, axes of their own for each point, -1e18 on land."""
    xt, yt = 2.0 + 4.0 * np.arange(NX), -50.0 + 5.0 * np.arange(NY)
    axes = {"xt": xt, "xu": xt + 2.0, "yt": yt, "yu": yt + 2.5, "zw": np.cumsum(DZ) - DZ.sum()}
    axes["zt"] = axes["zw"] - np.array([0.5, 0.4, 0.4, 0.4]) * DZ  # in the middle of the lowest cell only
    floor = np.where(RNG.random((NY, NX)) < 0.3, 1, 0)  # the lowest level of the column
    dry = np.zeros((NY, NX), bool)
    dry[[0, -1]] = dry[2, 3] = True
    t = (np.arange(4)[:, None, None] >= floor) & ~dry
    masks = {"temp": t, "salt": t, "u": t & np.roll(t, -1, axis=2)}
    masks["v"] = t & np.concatenate([t[:, 1:], 0 * t[:, :1]], axis=1)
    dims = {
        "temp": ("zt", "yt", "xt"),
        "salt": ("zt", "yt", "xt"),
        "u": ("zt", "yt", "xu"),
        "v": ("zt", "yu", "xt"),
    }
    fields = {
        n: RNG.normal({"temp": 10.0, "salt": 35.0}.get(n, 0.0), 0.5, (records, 4, NY, NX)) for n in dims
    }
    with netCDF4.Dataset(path, "w") as ds:
        ds.setup_settings = json.dumps(
            {"identifier": "mine", "radius": RADIUS, "enable_cyclic_x": True, "eq_of_state_type": equation}
        )
        for n, v in axes.items():
            ds.createDimension(n, v.size)
            ds.createVariable(n, "f8", (n,))[:] = v
            ds[n].units = units if n[0] == "x" else "degrees_north" if n[0] == "y" else "m"
        ds.createDimension("Time", None)
        ds.createVariable("Time", "f8", ("Time",))[:] = 360.0 * (1 + np.arange(records))
        ds["Time"].units = "days"
        cell = (
            np.deg2rad(4.0)
            * RADIUS
            * np.cos(np.deg2rad(yt))[:, None]
            * np.deg2rad(5.0)
            * RADIUS
            * np.ones(NX)
        )
        if metrics:
            flat = {"dzt": (("zt",), DZ), "ht": (("yt", "xt"), (DZ[:, None, None] * t).sum(0))}
            flat |= {
                "hu": (("yt", "xu"), (DZ[:, None, None] * masks["u"]).sum(0)),
                "hv": (("yu", "xt"), (DZ[:, None, None] * masks["v"]).sum(0)),
            }
            for n, (d, v) in flat.items():
                ds.createVariable(n, "f8", d)[:] = v
        for n in set(fields) - set(drop):
            var = ds.createVariable(n, "f8", ("Time", *dims[n]), fill_value=-1e18)
            for r in range(records):
                var[r] = np.where(masks[n], fields[n][r], -1e18)
    return path, fields, masks, cell


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
