"""Meshes of all versions are the same grid: laws on synthetic files, numbers on real ones."""

import gzip
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from nemo_layouts import (
    REAL,
    mesh_variables,
    needs_real_files,
    ocean,
    repeat_columns,
    write,
    write_pieces,
)
from warmstart.engines.nemo.dimensions import arrange
from warmstart.engines.nemo.header import recognise
from warmstart.engines.nemo.mesh import _nearest, find, open_grid, split
from warmstart.errors import UserError
from warmstart.ocean.grid import HORIZONTAL, MASKS, THREE_D, VERTICAL

STATE, GRID = ocean()
NAMES = (*HORIZONTAL, *THREE_D, *MASKS, *VERTICAL)


def same(found, names=NAMES, tolerance=1e-12):
    for name in names:
        np.testing.assert_allclose(
            found.ds[name].values, GRID.ds[name].values, rtol=tolerance, atol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("version", ["4.2", "5.0"])
def test_a_mesh_of_4_2_or_5_is_read_as_it_is(tmp_path, version):
    grid = open_grid(write(tmp_path / "mesh_mask.nc", mesh_variables(GRID, version), version))
    same(grid)
    assert grid.periodic_x and grid.fingerprint == GRID.fingerprint
    assert str(recognise(tmp_path / "mesh_mask.nc")).startswith(f"NEMO mesh_mask (version: {version}")


def test_columns_repeated_by_4_0_are_taken_off(tmp_path):
    path = write(tmp_path / "mesh_mask.nc", repeat_columns(mesh_variables(GRID, "4.0")), "4.0")
    grid = open_grid(path)
    same(grid)
    assert grid.periodic_x and recognise(path).version == "4.0"


def test_3_6_has_only_profiles_and_the_bottom_cells_and_does_not_say_that_it_is_cyclic(tmp_path):
    path = write(tmp_path / "mesh_mask.nc", repeat_columns(mesh_variables(GRID, "3.6")), "3.6")
    grid = open_grid(path)
    wet = GRID.tmask.values > 0
    np.testing.assert_allclose(grid.e3t_0.values[wet], GRID.e3t_0.values[wet], rtol=1e-12)
    np.testing.assert_allclose(float(grid.volume.sum()), float(GRID.volume.sum()), rtol=1e-12)
    same(grid, (*MASKS, "bathymetry", "gdept_1d", "ff_f"))
    assert grid.periodic_x and recognise(path).version == "3.6"


def test_the_mesh_of_3_6_may_lie_in_several_files(tmp_path):
    variables = mesh_variables(GRID, "3.6")
    masks = {n: v for n, v in variables.items() if "mask" in n}
    level = {n: v for n, v in variables.items() if n.startswith(("e3", "gdep", "mbathy"))}
    rest = {n: v for n, v in variables.items() if n not in masks and n not in level}
    files = [
        write(tmp_path / f"{n}.nc", v, "3.6")
        for n, v in (("mask", masks), ("mesh_zgr", level), ("mesh_hgr", rest))
    ]
    assert float(open_grid(files).volume.sum()) == pytest.approx(float(GRID.volume.sum()), rel=1e-12)
    write(tmp_path / "other_mask.nc", {"nothing": masks["tmask"]}, "3.6")
    assert sorted(split(tmp_path)) == sorted(files), "the files that hold a part of it, and no other"
    for path in files:
        path.rename(tmp_path / "away")
        assert split(tmp_path) == []
        (tmp_path / "away").rename(path)
    with pytest.raises(UserError, match=r"lacks .*e1t.* mesh_hgr, mesh_zgr and mask together"):
        open_grid(files[:2])


def test_a_domain_cfg_without_masks_and_depths_gives_the_same_grid(tmp_path):
    path = write(tmp_path / "domain_cfg.nc", mesh_variables(GRID, "5.0", domain=True))
    same(open_grid(path))
    assert recognise(path).name == "domain_cfg"


@pytest.mark.parametrize(("cuts", "halo"), [((2, 1), 0), ((2, 3), 0), ((2, 2), 1)])
def test_pieces_merge_to_the_whole_and_their_halos_count_for_nothing(tmp_path, cuts, halo):
    paths = write_pieces(tmp_path, "mesh_mask", mesh_variables(GRID), cuts, halo)
    for path in (paths[0], paths[-1], paths[::-1]):
        same(open_grid(path))
    assert find(tmp_path) == paths
    paths[1].unlink()
    with pytest.raises(UserError, match=r"mesh_mask_\*.nc: of \d pieces 1 are missing \(0001\)"):
        open_grid(paths[0])


def test_a_process_without_sea_that_nemo_left_out_leaves_land_with_positive_metrics(tmp_path):
    paths = write_pieces(tmp_path, "mesh_mask", mesh_variables(GRID), (GRID.shape[1], 1))
    import netCDF4

    for number, path in enumerate(paths[1:]):  # row 0 is land
        with netCDF4.Dataset(path, "a") as nc:
            nc.setncatts({"DOMAIN_number": number, "DOMAIN_number_total": len(paths) - 1})
        path.rename(tmp_path / f"cut_{number:04d}.nc")
    grid = open_grid(tmp_path / "cut_0000.nc")
    same(grid, (*MASKS, "bathymetry"))
    assert all(float(grid.ds[n].min()) > 0 for n in ("e1t", "e2t", "e1f", "e3t_0"))


def plainly_nearest(values, hole):
    """Each hole has the value of the nearest other cell along x, the first of two, then along y."""
    for axis in (-1, -2):
        rows = np.moveaxis(np.where(hole, np.nan, values), axis, -1).copy()
        for row in rows.reshape(-1, rows.shape[-1]):
            good = np.flatnonzero(np.isfinite(row))
            if good.size:
                row[:] = [row[good[np.abs(good - i).argmin()]] for i in range(row.size)]
        values = np.moveaxis(rows, -1, axis)
        hole = np.isnan(values)
    return values


@pytest.mark.parametrize("share", [0.2, 0.7, 0.97])
def test_each_hole_has_the_value_of_the_nearest_cell(share):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2, 17, 23))
    hole = rng.uniform(size=values.shape) < share
    hole[:, 4], hole[:, 9, 0], hole[:, 9, 1:] = True, False, True
    assert np.array_equal(_nearest(values, hole), plainly_nearest(values, hole), equal_nan=True)


def test_a_wide_mesh_with_holes_is_filled_in_time_that_grows_with_its_columns():
    values = np.random.default_rng(4).normal(size=(8, 20_000))
    hole = np.zeros(values.shape, bool)
    hole[:, 5_000:9_000] = True
    tracemalloc.start()  # all pairs of columns would take 3 GB
    filled = _nearest(values, hole)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(filled[:, 6_999], values[:, 4_999])
    assert peak < 50 * values.nbytes


def test_dimensions_in_another_order_are_known_by_their_names_and_strange_names_by_their_order(tmp_path):
    path = write(tmp_path / "mesh_mask.nc", mesh_variables(GRID))
    with xr.open_dataset(path, decode_times=False) as ds:
        ds.encoding.pop("unlimited_dims", None)
        ds.load().transpose("time_counter", "y", "x", "nav_lev", ...).to_netcdf(
            tmp_path / "turned_mesh_mask.nc"
        )
        strange = {"x": "a", "y": "b", "nav_lev": "c", "time_counter": "d"}
        ds.rename_dims(strange).drop_vars(["nav_lev", "time_counter"], errors="ignore").to_netcdf(
            tmp_path / "named_mesh_mask.nc"
        )
    same(open_grid(tmp_path / "turned_mesh_mask.nc"))
    same(open_grid(tmp_path / "named_mesh_mask.nc"))


@pytest.mark.parametrize(
    ("dims", "shape", "moved"),
    [
        (("y", "x"), (3, 4), (0, 1)),
        (("x", "y"), (4, 3), (1, 0)),  # by their names
        (("x", "y"), (3, 4), (0, 1)),  # names that are swapped: the sizes decide
        (("a", "b"), (3, 4), (0, 1)),
    ],
)
def test_dimensions_are_those_of_their_names_unless_the_sizes_fit_their_order(dims, shape, moved):
    values = np.arange(12.0).reshape(shape)
    found = arrange(xr.Variable(dims, values), ("y", "x"), "f", {"y": 3, "x": 4})
    assert found.dims == ("time", "y", "x")
    np.testing.assert_array_equal(found.values, values.transpose(moved)[None])
    both = arrange(xr.Variable(("time_counter", *dims), values[None]), ("y", "x"), "f", {"y": 3, "x": 4})
    np.testing.assert_array_equal(both.values, found.values)


def test_a_gzipped_mesh_is_read_and_a_truncated_one_refused(tmp_path):
    path = write(tmp_path / "mesh_mask.nc", mesh_variables(GRID))
    packed = tmp_path / "packed.nc.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    same(open_grid(packed))
    packed.write_bytes(packed.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"cannot read .*packed.nc.gz.*cut off"):
        open_grid(packed)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_64BIT_OFFSET"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_mesh_is_refused_in_every_format(tmp_path, form, share):
    path = write(tmp_path / "mesh_mask.nc", mesh_variables(GRID), form=form)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share) // 8 * 8])
    with pytest.raises(UserError, match=r"cannot read .*cut off or no NetCDF file"):
        open_grid(path)


def test_what_is_no_mesh_says_what_it_lacks(tmp_path):
    from nemo_layouts import restart_variables

    path = write(tmp_path / "restart.nc", restart_variables(STATE))
    with pytest.raises(UserError, match=r"restart.nc is no mesh of NEMO: it lacks glamt"):
        open_grid(path)
    for name in ("a_mesh_mask.nc", "b_mesh_mask.nc"):
        write(tmp_path / name, mesh_variables(GRID))
    with pytest.raises(UserError, match="holds several meshes"):
        find(tmp_path)


#: Wet cells, volume [m3] and mean depth [m] that the models themselves gave.
MEASURED = {
    "nemo_dino/v50_4deg_leapfrog/mesh_mask.nc": (20940, 2.5026e17, 3882),
    "nemo_dino/v50_4deg_leapfrog/domain_cfg_out.nc": (20940, 2.5026e17, 3882),
    "nemo_dino/v50_4deg_leapfrog_2proc/mesh_mask_0001.nc": (20940, 2.5026e17, 3882),
    "nemo_dino/v50_4deg_rk3/mesh_mask.nc": (20940, 2.5026e17, 3882),
    "nemo_dino/v42_4deg_leapfrog/mesh_mask.nc": (20947, 2.5074e17, 3884),
    "nemo_dino/v50_2deg_rk3/mesh_mask.nc": (86863, 2.5894e17, 3865),
    "nemo_dino/v50_1deg_rk3/mesh_mask.nc": (342130, 2.5340e17, 3799),
    "nemo_dino/v42_1deg/mesh_mask.nc.gz": (342133, 2.5342e17, 3799),
    "nemo_dino/dino_fusion_1deg/DINO_1deg_mesh_mask.nc": (416150, 3.0800e17, 3850),
}


@needs_real_files
@pytest.mark.parametrize("name", MEASURED)
def test_wet_cells_volume_and_depth_of_every_real_mesh_of_dino_are_those_measured(name):
    cells, volume, depth = MEASURED[name]
    grid = open_grid(REAL / name)
    total = float(grid.volume.sum())
    assert int(grid.tmask.sum()) == cells
    assert total == pytest.approx(volume, rel=1e-4)
    assert total / float(grid.area.sum()) == pytest.approx(depth, abs=0.5)
    assert grid.periodic_x and not grid.tmask.values[-1].any()


@needs_real_files
@pytest.mark.parametrize("version", ["3.6", "4.0", "4.2.0", "5.0"])
def test_the_basin_of_gyre_is_closed_in_every_version(version):
    folder = REAL / "nemo_gyre" / version
    grid = open_grid(folder / "mesh_mask.nc")
    assert not grid.periodic_x
    assert int(grid.tmask.sum()) == (1000 if version == "3.6" else 1800)
    assert recognise(folder / "mesh_mask.nc").version == version
    if (folder / "domain_cfg_out.nc").exists():
        assert open_grid(folder / "domain_cfg_out.nc").fingerprint == grid.fingerprint


@needs_real_files
def test_masks_of_faces_and_corners_of_a_real_mesh_follow_from_its_cells():
    from warmstart.io.netcdf import open_file

    with open_file(REAL / "nemo_dino" / "v50_4deg_rk3" / "mesh_mask.nc") as ds:
        grid = open_grid(REAL / "nemo_dino" / "v50_4deg_rk3" / "mesh_mask.nc")
        for name in ("tmask", "umask", "vmask", "fmask"):
            assert (grid.ds[name].values == (ds[name].values[0] > 0.5)).all()


def test_copies_of_columns_count_once_also_where_their_longitudes_are_a_turn_away(tmp_path):
    variables = repeat_columns(mesh_variables(GRID, "3.6"))
    for name in ("glamt", "glamu", "glamv", "glamf"):
        dims, values = variables[name]
        values = values.copy()
        values[..., 0] -= 360.0
        variables[name] = dims, values
    path = write(tmp_path / "mesh_mask.nc", variables, "3.6")
    grid = open_grid(path)
    assert grid.shape == GRID.shape and grid.periodic_x
    np.testing.assert_allclose(grid.glamt, GRID.glamt, rtol=1e-6)
