"""Moving states between grids: constants, contents, linear fields, walls and transports."""

import numpy as np
import pytest
import xarray as xr

from nemo_files import DATA
from warmstart.engines import dino
from warmstart.engines.nemo.mesh import open_grid
from warmstart.errors import UserError
from warmstart.io import files
from warmstart.ocean.basin import basin, finish, mesh
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.convection import inversions
from warmstart.physics.interpolation import (
    fill,
    integrate_columns,
    limited_slopes,
    linear_weights,
    overlap_lengths,
)
from warmstart.physics.regrid import _moved, _shared_areas, regrid
from warmstart.physics.transport import throughflow

STATE, COARSE = basin(nx=11, ny=15, nz=6)
FINE = basin(nx=21, ny=31, nz=9)[1]
MASKS = {"thetao": "tmask", "so": "tmask", "uo": "umask", "vo": "vmask", "zos": "tmask"}
METHODS = ("bilinear", "conservative")


def common_volume(source, target):
    """Volume of each cell that is sea on both meshes, of both meshes [m3]."""
    areas = _shared_areas(source, target)
    of_target = _moved(np.ones(source.shape), areas, source, target)[1]
    return _moved(np.ones(target.shape), areas.T.tocsr(), target, source)[1], of_target


def noisy(grid, seed=0):
    rng = np.random.default_rng(seed)
    fields = {"thetao": 10 + rng.normal(size=grid.shape), "so": 35 + 0.1 * rng.normal(size=grid.shape)}
    return finish(xr.Dataset({n: (("z", "y", "x"), v) for n, v in fields.items()}), grid)


def whole(state, grid):
    """Whether every sea point, and no land point, has a value."""
    return all(
        np.array_equal(
            np.isfinite(state[n].values), (grid.ds[m].values > 0)[(0 if n == "zos" else slice(None))]
        )
        for n, m in MASKS.items()
        if n in state
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "target", [FINE, basin(nx=6, ny=9, nz=4)[1], dino.grid(10.0, 6)], ids=["fine", "coarse", "dino"]
)
def test_a_constant_stays_that_constant_and_the_sea_is_full(method, target):
    state = (
        xr.zeros_like(STATE)
        .where(STATE.notnull())
        .assign(thetao=0 * STATE.thetao + 7.3, so=0 * STATE.so + 34.9)
    )
    moved = regrid(state, COARSE, target, method)
    assert whole(moved, target)
    assert np.nanmax(np.abs(moved.thetao - 7.3)) < 1e-13 and np.nanmax(np.abs(moved.so - 34.9)) < 1e-12
    assert np.nanmax(np.abs(moved.uo)) < 1e-18 and np.nanmax(np.abs(moved.zos)) == 0


def edges(grid):
    """Edges of the cells: longitude [degrees], sine of latitude, depth [m]; from the coordinates of the mesh alone."""
    lon, lat, depth = grid.glamt.values[0], grid.gphit.values[:, 0], grid.gdepw_1d.values
    x, y = (
        np.concatenate([[1.5 * a[0] - a[1] / 2], (a[1:] + a[:-1]) / 2, [1.5 * a[-1] - a[-2] / 2]])
        for a in (lon, lat)
    )
    return x, np.sin(np.deg2rad(y)), np.append(depth, depth[-1] + grid.e3t_1d.values[-1])


def pieces(source, target):
    """All pieces into which the edges of both meshes cut the sphere: cells of each, flat, and volumes, of those in both seas."""
    both = [np.union1d(a, b) for a, b in zip(edges(source), edges(target), strict=True)]
    sizes = [np.diff(edge) for edge in both]
    volume = 6.371e6**2 * np.einsum("k,j,i->kji", sizes[2], sizes[1], np.deg2rad(sizes[0]))
    cells, common = [], np.ones(volume.shape, bool)
    for grid in (source, target):
        nz, ny, nx = grid.shape
        x, y, z = (
            np.searchsorted(own, (edge[1:] + edge[:-1]) / 2) - 1
            for own, edge in zip(edges(grid), both, strict=True)
        )
        inside = np.ix_((z >= 0) & (z < nz), (y >= 0) & (y < ny), (x >= 0) & (x < nx))
        index = np.full(volume.shape, -1)
        index[inside] = np.ravel_multi_index(
            np.ix_(z[(z >= 0) & (z < nz)], y[(y >= 0) & (y < ny)], x[(x >= 0) & (x < nx)]), grid.shape
        )
        common &= (index >= 0) & (grid.tmask.values.ravel()[index] > 0)
        cells.append(index)
    return cells[0][common], cells[1][common], volume[common]


@pytest.mark.parametrize("target", [FINE, basin(nx=6, ny=9, nz=4)[1]], ids=["fine", "coarse"])
def test_the_conservative_way_keeps_the_heat_of_the_common_volume(target):
    """The volume cut into pieces by hand, on the sphere: a piece at 65N is narrower than one at the equator."""
    state = noisy(COARSE)
    moved = regrid(state, COARSE, target, "conservative", stable=False)
    of_source, of_target, volume = pieces(COARSE, target)
    for name in ("thetao", "so"):
        heat = (state[name].values.ravel()[of_source] * volume).sum()
        kept = (moved[name].values.ravel()[of_target] * volume).sum()
        assert abs(kept / heat - 1) < 1e-12
    for found, index, grid in zip(
        common_volume(COARSE, target), (of_source, of_target), (COARSE, target), strict=True
    ):
        np.testing.assert_allclose(
            found.ravel(), np.bincount(index, volume, found.size), rtol=1e-9, atol=1e-9 * volume.max()
        )
        assert found.shape == grid.shape


def test_a_cell_that_holds_whole_cells_has_their_mean_over_areas_on_the_sphere():
    fine, coarse = (
        mesh(np.arange(step / 2, 360, step), np.arange(-75 + step / 2, 75, step), np.array([0.0, 100.0]),
             np.ones((int(150 / step), int(360 / step)), int), True)
        for step in (5.0, 15.0)
    )  # fmt: skip
    state = noisy(fine)
    moved = regrid(state, fine, coarse, "conservative", stable=False)
    area = np.diff(np.sin(np.deg2rad(np.arange(-75, 80, 5))))[:, None] * np.ones(72)
    blocks = lambda values: values.reshape(10, 3, 24, 3).sum((1, 3))  # noqa: E731
    for name in ("thetao", "so"):
        expected = blocks(state[name].values[0] * area) / blocks(area)
        np.testing.assert_allclose(moved[name].values[0], expected, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_columns_keep_their_content_when_only_the_levels_change(method):
    target = basin(nx=11, ny=15, nz=10)[1]
    state = noisy(COARSE)
    moved = regrid(state, COARSE, target, method, stable=False)
    (before, floor), (after, other) = (
        [((f * g.e3t_0 * g.tmask).fillna(0).sum("z")).values for f in (s.thetao, xr.ones_like(g.e3t_0))]
        for s, g in ((state, COARSE), (moved, target))
    )
    same = (np.abs(floor - other) < 1e-6) & (floor > 0)
    assert same.sum() > 100
    assert np.abs(after[same] / before[same] - 1).max() < 1e-12


def test_integrals_over_any_layers_add_up_to_those_of_the_cells():
    rng = np.random.default_rng(1)
    values, thickness = rng.normal(size=(7, 5)), rng.uniform(1, 9, size=(7, 5))
    top = np.cumsum(thickness, 0) - thickness
    faces = np.sort(rng.uniform(0, 1, size=(12, 5)), axis=0) * thickness.sum(0)
    faces[0], faces[-1] = 0, thickness.sum(0)
    integral, covered = integrate_columns(
        values, top, thickness, thickness > 0, np.stack([faces[:-1], faces[1:]])
    )
    assert np.allclose(integral.sum(0), (values * thickness).sum(0), rtol=1e-12, atol=1e-12)
    assert np.allclose(covered, np.diff(faces, axis=0), rtol=1e-12, atol=1e-12)


def test_limited_profiles_make_no_new_extremes():
    rng = np.random.default_rng(2)
    values, thickness = rng.normal(size=(9, 200)), rng.uniform(1, 9, size=(9, 200))
    slope = limited_slopes(values, thickness, thickness > 0)
    for edge in (values - slope / 2, values + slope / 2):
        low = np.minimum(np.minimum(values[:-2], values[2:]), values[1:-1])
        high = np.maximum(np.maximum(values[:-2], values[2:]), values[1:-1])
        assert (edge[1:-1] >= low - 1e-12).all() and (edge[1:-1] <= high + 1e-12).all()
    linear = np.cumsum(thickness, 0) - thickness / 2
    assert np.allclose(limited_slopes(linear, thickness, thickness > 0)[1:-1], thickness[1:-1], rtol=0.5)


def test_a_profile_is_flat_in_the_first_and_the_last_wet_cell_of_a_column():
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 9.0])[:, None]
    wet = np.array([False, True, True, True, True, False])[:, None]
    assert limited_slopes(values, np.ones((6, 1)), wet)[:, 0].tolist() == [0, 0, 1, 1, 0, 0]
    assert limited_slopes(-values, np.ones((6, 1)), wet)[:, 0].tolist() == [0, 0, -1, -1, 0, 0]


def test_a_field_linear_in_latitude_and_longitude_is_exact_away_from_land():
    linear = lambda g: (0.2 * g.gphit + 0.1 * g.glamt + 0 * g.gdept_0).transpose("z", "y", "x")  # noqa: E731
    state = finish(xr.Dataset({"thetao": linear(COARSE), "so": 35 + 0 * linear(COARSE)}), COARSE)
    moved = regrid(state, COARSE, FINE, stable=False)
    off = np.abs(moved.thetao - linear(FINE)).where(FINE.tmask > 0)
    lon, lat = FINE.glamt.values[0], FINE.gphit.values[:, 0]
    inside = ((lon > 8) & (lon < 42))[None, :] & (np.abs(lat) < 45)[:, None]
    assert np.isfinite(off.values[0][inside]).all()
    assert np.nanmax(off.values[:, inside]) < 1e-12


def test_a_shear_linear_in_the_position_of_its_points_is_exact_away_from_land():
    """U and V at their own points: half a cell east of T, or north of it."""
    target = basin(nx=21, ny=31, nz=6)[1]
    h = COARSE.e3t_1d.values
    profile = np.linspace(1.0, -1.0, 6)
    profile = xr.DataArray(profile - (profile * h).sum() / h.sum(), dims="z")
    shear = lambda g, p: (0.01 * profile * (g.ds[f"glam{p}"] + 2 * g.ds[f"gphi{p}"])).transpose("z", "y", "x")  # noqa: E731
    state = finish(STATE[["thetao", "so"]].assign(uo=shear(COARSE, "u"), vo=shear(COARSE, "v")), COARSE)
    moved = regrid(state, COARSE, target)
    lon, lat = target.glamt.values[0], target.gphit.values[:, 0]
    inside = ((lon > 8) & (lon < 42))[None, :] & (np.abs(lat) < 40)[:, None]
    for name, point in (("uo", "u"), ("vo", "v")):
        off = np.abs((moved[name] - shear(target, point)).diff("z")).values[:, inside]
        assert off.max() < 1e-11 * float(abs(state[name]).max()), name


def test_there_and_back_loses_less_on_a_finer_grid():
    errors = []
    for nx, ny in ((9, 12), (17, 25), (36, 52)):
        other = basin(nx=nx, ny=ny, nz=6)[1]
        back = regrid(regrid(STATE, COARSE, other), other, COARSE)
        square = ((back.thetao - STATE.thetao) ** 2).fillna(0) * COARSE.volume
        errors.append(float(square.sum() / COARSE.volume.sum()) ** 0.5)
    assert 0 < errors[2] < 0.7 * errors[1] < 0.5 * errors[0]


def test_the_same_grid_gives_the_same_state():
    assert regrid(STATE, COARSE, Grid(COARSE.ds.copy())).identical(STATE)


@pytest.mark.parametrize("method", METHODS)
def test_columns_are_stable_afterwards_and_mixing_keeps_their_heat(method):
    state = noisy(COARSE)
    loose, moved = (regrid(state, COARSE, FINE, method, stable=s) for s in (False, True))
    count = lambda s: inversions(s.thetao.values, s.so.values, FINE.gdepw_0.values, FINE.tmask.values > 0)  # noqa: E731
    assert count(loose) > 0 == count(moved)
    heat = [((s.thetao * FINE.e3t_0).fillna(0).sum("z")).values for s in (loose, moved)]
    assert np.allclose(*heat, rtol=1e-12)


def test_the_transport_through_the_channel_and_the_walls_stay(ocean, ocean_grid):
    target = basin(nx=16, ny=40, nz=7)[1]
    moved = regrid(ocean, ocean_grid, target)
    assert float(throughflow(moved, target)) == pytest.approx(float(throughflow(ocean, ocean_grid)), rel=1e-9)
    u = (moved.uo * target.e3u_0 * target.e2u).fillna(0).sum("z").values
    v = (moved.vo * target.e3v_0 * target.e1v).fillna(0).sum("z").values
    divergence = u - np.roll(u, 1, axis=1) + v - np.concatenate([np.zeros_like(v[:1]), v[:-1]])
    assert np.abs(divergence).max() < 1e-6 * np.abs(u).max()
    assert np.nanmax(np.abs(moved.uo)) < 3 * np.nanmax(np.abs(ocean.uo))


def globe(west, columns):
    """An ocean around the globe, with one continent, warmer on one side, whose columns begin at a meridian."""
    lon, lat = west + (np.arange(columns) + 0.5) * 360 / columns, np.linspace(-60, 60, 25)
    bottom = np.full((lat.size, columns), 4)
    bottom[[0, -1]], bottom[10:, (lon % 360 > 20) & (lon % 360 < 40)] = 0, 0
    grid = mesh(lon, lat, np.linspace(0, 4000, 5), bottom, True)
    warm = (10 + 5 * np.cos(np.deg2rad(grid.glamt)) + 0 * grid.gdept_0).transpose("z", "y", "x")
    return finish(xr.Dataset({"thetao": warm, "so": 35 + 0 * warm}), grid), grid


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("west", [-180, -100, 180, 540])
def test_a_globe_has_the_same_field_wherever_its_columns_begin(west, method, caplog):
    state, source = globe(0, 72)
    wanted, target = globe(west, 72)
    moved = regrid(state, source, target, method, stable=False)
    assert np.nanmax(np.abs(moved.thetao - wanted.thetao)) < 1e-10
    assert not caplog.records


def test_a_sea_with_walls_is_found_in_longitudes_counted_from_another_meridian():
    state, source = basin(nx=11, ny=15, nz=6, channel=False)
    turned = Grid(source.ds.assign({n: source.ds[n] - 360 for n in ("glamt", "glamu", "glamv", "glamf")}))
    target = basin(nx=21, ny=31, nz=9, channel=False)[1]
    for method in METHODS:
        there, here = (regrid(state, s, target, method, stable=False) for s in (turned, source))
        assert np.nanmax(np.abs(there.thetao - here.thetao)) < 1e-10


@pytest.mark.parametrize(("coarse", "fine"), [(4.0, 2.0), (4.0, 1.0), (2.0, 1.0)])
def test_the_seam_of_the_channel_lies_over_the_sea_beyond_the_other_end(coarse, fine):
    source, target = dino.grid(coarse, 12), dino.grid(fine, 12)
    covered = common_volume(source, target)[1][0] > 0
    lat, wet = target.gphit.values, target.tmask.values[0] > 0
    channel = (lat > -64 + coarse) & (lat < -46 - coarse)
    assert covered[wet & channel].all()
    # the walls of the coarser sector stand nearer to each other
    beyond = target.glamt.values > source.glamt.values[0, -1] + coarse / 2
    assert not covered[beyond & (lat > -40)].any()


@pytest.mark.parametrize(("coarse", "fine"), [(4.0, 2.0), (4.0, 1.0), (2.0, 1.0)])
def test_no_part_of_either_sea_counts_twice(coarse, fine):
    one, other = dino.grid(coarse, 12), dino.grid(fine, 12)
    for shared, whole_sea in zip(
        common_volume(one, other), (common_volume(g, g)[0] for g in (one, other)), strict=True
    ):
        assert (shared <= whole_sea * (1 + 1e-12)).all()
    there, back = common_volume(one, other), common_volume(other, one)[::-1]
    assert there[0].sum() == pytest.approx(there[1].sum(), rel=1e-12)
    assert there[0].sum() == pytest.approx(back[0].sum(), rel=0.01)


def test_a_share_of_the_sea_that_had_to_be_filled_is_told_once(caplog):
    state, source = basin(nx=11, ny=15, nz=6, channel=False)
    half = Grid(source.ds.assign({n: source.ds[n] + 25 for n in ("glamt", "glamu", "glamv", "glamf")}))
    regrid(xr.concat([state, state], "sample"), half, FINE, "conservative")
    assert len(caplog.records) == 1
    assert "% of the target's sea has no sea of the source in its place" in caplog.text
    share = float(caplog.records[0].getMessage().split()[0])
    assert 35 < share < 60


def test_the_sea_level_has_no_mean_and_values_in_the_channel_s_seam(ocean, ocean_grid):
    target = basin(nx=13, ny=30, nz=7)[1]
    zos = (ocean.zos + 0.7 + 0.01 * ocean_grid.gphit).where(ocean_grid.tmask.isel(z=0) > 0)
    moved = regrid(ocean.assign(zos=zos), ocean_grid, target)
    assert abs(float((moved.zos.fillna(0) * target.area).sum() / target.area.sum())) < 1e-13
    assert whole(moved, target)


def test_holes_are_filled_along_the_level_first_and_from_above_where_a_level_knows_nothing():
    values = np.full((2, 3, 4), np.nan)
    values[0, 1, 0], wet = 5.0, np.ones((2, 3, 4), bool)
    filled = fill(values, wet, periodic=True)
    assert (filled == 5.0).all()
    values[0], values[1, 0, 0] = np.arange(12.0).reshape(3, 4), -1.0
    filled = fill(values, wet, periodic=False)
    assert np.array_equal(filled[0], values[0]) and (filled[1] == -1.0).all()


def test_filling_does_not_cross_land_while_there_is_another_way():
    values = np.full((1, 3, 5), np.nan)
    values[0, :, 0], values[0, :, 4] = 1.0, 9.0
    wet = np.ones((1, 3, 5), bool)
    wet[0, :, 2] = False  # a wall
    filled = fill(values, wet, periodic=False)
    assert (
        (filled[0, :, 1] == 1.0).all() and (filled[0, :, 3] == 9.0).all() and np.isnan(filled[0, :, 2]).all()
    )


def test_weights_are_shares():
    x, y = np.array([0.0, 1.0, 3.0]), np.linspace(-1, 4, 11)
    assert np.allclose(linear_weights(x, y).sum(1), 1)
    wrapped = linear_weights(x, np.array([3.5]), period=4.0)
    assert np.allclose(wrapped.toarray(), [[0.5, 0, 0.5]])
    lengths = overlap_lengths(np.array([0.0, 1.0, 3.0]), np.array([-1.0, 0.5, 2.0, 5.0]))
    assert np.allclose(lengths.sum(0), [1, 2]) and lengths.sum() == pytest.approx(3)


def test_several_states_keep_their_parameters_coordinates_and_profiles():
    states = xr.concat([STATE, STATE + 0.1], "sample").assign_coords(seed=("sample", [3, 4]))
    profile = xr.DataArray(np.tile(COARSE.gphit.values[:, 0], (2, 1)), dims=("sample", "y"))
    states = states.assign(wind_stress_south=("sample", [0.1, 0.2]), forcing_wind_stress=profile)
    moved = regrid(states, COARSE, FINE)
    assert moved.sizes["sample"] == 2 and moved.seed.values.tolist() == [3, 4]
    assert moved.wind_stress_south.values.tolist() == [0.1, 0.2]
    assert np.allclose(moved.forcing_wind_stress, FINE.gphit.values[:, 0], atol=1e-9)
    alone = regrid(STATE + 0.1, COARSE, FINE)
    assert np.array_equal(moved.thetao.isel(sample=1), alone.thetao, equal_nan=True)
    assert moved.thetao.attrs["units"] == VARIABLES["thetao"].units


def test_what_cannot_be_moved_is_refused():
    bent = FINE.ds.copy(deep=True)
    bent["glamt"] = bent.glamt + 0.1 * bent.gphit
    with pytest.raises(UserError, match="curvilinear"):
        regrid(STATE, COARSE, Grid(bent))
    for name in ("gphit", "glamt"):
        folded = FINE.ds.copy(deep=True)
        folded[name].values[:] = np.where(folded[name] > 40, 80 - folded[name], folded[name])
        with pytest.raises(UserError, match="the target mesh is curvilinear"):
            regrid(STATE, COARSE, Grid(folded))
    for name in ("thetao", "so"):
        with pytest.raises(UserError, match=f"the state holds no {name}"):
            regrid(STATE.drop_vars(name), COARSE, FINE)
    with pytest.raises(UserError, match="expected 'bilinear'"):
        regrid(STATE, COARSE, FINE, "cubic")
    with pytest.raises(UserError, match="not finite at"):
        regrid(STATE.assign(thetao=STATE.thetao.where(STATE.thetao < 10)), COARSE, FINE)
    with pytest.raises(UserError, match="expected the same"):
        regrid(STATE, FINE, COARSE)
    state, source = basin(nx=11, ny=15, nz=6, channel=False)
    away = Grid(source.ds.assign({n: source.ds[n] + 100 for n in ("glamt", "glamu", "glamv", "glamf")}))
    with pytest.raises(UserError, match="do not overlap"):
        regrid(state, away, FINE, "conservative")


@pytest.mark.skipif(not DATA.is_dir(), reason="the real NEMO meshes are not here (../shared/data/nemo_dino)")
@pytest.mark.parametrize(
    "mesh", ["v42_4deg_leapfrog/mesh_mask.nc", "v50_4deg_leapfrog/mesh_mask.nc", "v50_2deg_rk3/mesh_mask.nc",
             "v50_1deg_rk3/mesh_mask.nc", "v42_1deg/mesh_mask.nc.gz"],
)  # fmt: skip
def test_veros_to_every_real_mesh_of_nemo_and_back(mesh, tiny_runs):
    source, target = files.open_grid(tiny_runs / "member_000" / "states.nc"), open_grid(DATA / mesh)
    with files.open_dataset(tiny_runs / "member_000" / "states.nc") as ds:
        state = ds.isel(time=-1).load()
    moved = regrid(state, source, target)
    assert whole(moved, target)
    assert float(throughflow(moved, target)) == pytest.approx(float(throughflow(state, source)), rel=1e-9)
    assert (
        inversions(moved.thetao.values, moved.so.values, target.gdepw_0.values, target.tmask.values > 0) == 0
    )
    assert float(target.mean(moved.thetao)) == pytest.approx(float(source.mean(state.thetao)), abs=0.3)
    back = regrid(moved, target, source)
    assert whole(back, source)
    assert np.nanmax(np.abs(back.thetao - state.thetao)) < 3.0
