"""The north fold: each place on Earth is counted once, whatever layout of rows and whatever the mesh says of itself."""

import logging

import numpy as np
import pytest
import xarray as xr

from nemo_layouts import repeat_columns, write
from tripolar import NX, World
from warmstart.engines.nemo.mesh import open_grid
from warmstart.io.files import open_grid as open_own
from warmstart.io.files import write_dataset
from warmstart.ocean.fold import Fold
from warmstart.physics.balance import divergence, kinetic_energy, largest_divergence
from warmstart.physics.budgets import heat_content, volume_mean
from warmstart.physics.cgrid import at_north_face, east_transport, north_transport
from warmstart.physics.transport import barotropic_streamfunction, heat_transport, overturning

LAYOUTS = [(pivot, beyond) for pivot in "TF" for beyond in (True, False)]


def opened(folder, world, said, counts=False):
    """The mesh of a world in the layout of a version: with repeated columns and ``jperio``, with ``NFold``, or saying nothing."""
    variables = world.variables(counts)
    if world.beyond:
        variables = repeat_columns(variables)
    attrs = {}
    if said == "attributes" and world.beyond:
        variables["jperio"] = ((), np.int32({"T": 4, "F": 6}[world.pivot]))
    elif said == "attributes":
        attrs = {"NFold": 1, "NFtype": world.pivot}
    return open_grid(write(folder / "mesh_mask.nc", variables, version="3.6", attrs=attrs | {"Iperio": 1}))


@pytest.mark.parametrize(("pivot", "beyond"), LAYOUTS)
@pytest.mark.parametrize("said", ["attributes", "nothing", "counts"])
def test_sums_count_each_place_on_earth_once_and_nothing_is_warned_of(pivot, beyond, said, tmp_path, caplog):
    world = World(pivot, beyond)
    with caplog.at_level(logging.WARNING):
        grid = opened(tmp_path, world, said, counts=said == "counts")
    assert not caplog.records and grid.shape == world.shape
    assert grid.fold == Fold(pivot, beyond)
    wet, once = grid.tmask.values > 0, world.once("T")
    volume = (grid.e1t * grid.e2t).values * grid.e3t_0.values * wet
    assert (wet & ~once).any() or (pivot == "F" and not beyond)
    assert float(grid.volume.sum()) == pytest.approx(volume[:, once].sum(), rel=1e-13)
    assert float(grid.column_area.sum()) == pytest.approx(
        (grid.e1t * grid.e2t).values[wet.any(0) & once].sum(), rel=1e-13
    )
    tracer = world.tracer()
    state = xr.Dataset({"thetao": (("z", "y", "x"), np.where(wet, tracer, np.nan), {"units": "degC"})})
    content = (tracer * volume)[:, once].sum()
    assert float(volume_mean(state, grid, "thetao")) == pytest.approx(
        content / volume[:, once].sum(), rel=1e-12
    )
    assert float(heat_content(state, grid)) == pytest.approx(1026.0 * 3991.86795711963 * content, rel=1e-12)


@pytest.mark.parametrize(("pivot", "beyond"), LAYOUTS)
def test_water_is_conserved_across_the_fold(pivot, beyond, tmp_path):
    world = World(pivot, beyond)
    grid = opened(tmp_path, world, "attributes")
    fields = {
        n: np.where(grid.mask(p).values, world.velocity(p), np.nan) for n, p in (("uo", "U"), ("vo", "V"))
    }
    state = xr.Dataset({n: (("z", "y", "x"), v, {"units": "m s-1"}) for n, v in fields.items()})
    # what leaves a cell enters another: over all places nothing is left
    out = divergence(state, grid) * grid.column_area
    scale = float(abs(out).sum())
    assert scale > 0 and abs(float(out.sum())) < 1e-11 * scale
    # and the repeated cells say the same of their place as those that they repeat, where all their faces are in the file
    for point, transport in (("U", east_transport(state, grid)), ("V", north_transport(state, grid))):
        by_place = {}
        for (j, i), place in np.ndenumerate(world.place[point]):
            by_place.setdefault(int(place), set()).add(round(abs(float(transport[0, j, i])), 6))
        assert all(len(values) == 1 for values in by_place.values())
    energy = sum(
        (np.nan_to_num(fields[n]) ** 2 * (grid.ds[f"e1{p}"] * grid.ds[f"e2{p}"]).values * grid.ds[f"e3{p}_0"].values)[:, world.once(p.upper())].sum()
        for n, p in (("uo", "u"), ("vo", "v"))
    )  # fmt: skip
    assert float(kinetic_energy(state, grid)) == pytest.approx(
        0.5 * energy / float(grid.volume.sum()), rel=1e-12
    )
    assert float(largest_divergence(state, grid)) == float(
        abs(divergence(state, grid)).where(grid.column_area > 0).max()
    )


@pytest.mark.parametrize(("pivot", "beyond"), [("T", False), ("F", False)])
def test_the_cell_north_of_the_last_row_lies_across_the_fold(pivot, beyond, tmp_path):
    world, longer = World(pivot, beyond), World(pivot, True)
    grid = opened(tmp_path, world, "attributes")
    field = xr.DataArray(world.tracer(), dims=("z", "y", "x"))
    expected = 0.5 * (world.tracer()[:, -1] + longer.tracer()[:, -1])
    np.testing.assert_allclose(at_north_face(field, grid).isel(y=-1).values, expected)


@pytest.mark.parametrize(("pivot", "beyond"), LAYOUTS)
def test_what_is_altered_at_the_fold_is_made_the_same_at_both_places(pivot, beyond):
    world, fold = World(pivot, beyond), Fold(pivot, beyond)
    for point, field in (("T", world.tracer()), ("U", world.velocity("U")), ("V", world.velocity("V"))):
        spoilt = np.where(fold.unique(world.shape[1:], point), field, 99.0)
        kept = np.isin(world.place[point], [1000 * 2 * 7 + NX]) if (point, pivot) == ("T", "T") else False
        np.testing.assert_array_equal(
            np.where(kept, 0, fold.restored(spoilt, point)), np.where(kept, 0, field)
        )


def test_the_mesh_s_own_count_decides_where_it_differs_from_the_rule(tmp_path):
    world = World("T", False)
    variables = world.variables(counts=True)
    columns = variables["tmaskutil"][1][0]
    j, i = np.argwhere((columns > 0) & (np.arange(8)[:, None] > 5))[0]
    columns[j, i] = 0
    grid = open_grid(write(tmp_path / "mesh_mask.nc", variables, version="3.6", attrs={"Iperio": 1}))
    assert float(grid.area[j, i]) == 0.0 and not bool(grid.unique("T")[j, i])


def test_a_mesh_without_repeated_cells_holds_no_count_and_one_with_keeps_it_in_its_file(tmp_path):
    plain = opened(tmp_path, World("T", True), "attributes")
    path = write_dataset(tmp_path / "own.nc", xr.Dataset(), plain)
    again = open_own(path)
    assert float(again.volume.sum()) == float(plain.volume.sum()) and again.fold == plain.fold
    xr.testing.assert_equal(again.unique("U"), plain.unique("U"))
    variables = {n: v for n, v in World("F", False).variables().items() if n != "vmask"}
    folder = tmp_path / "f"
    folder.mkdir()
    closed = {n: (d, v[..., :-1, :] if "y" in d else v) for n, (d, v) in variables.items()}
    assert (
        "tmaskutil"
        not in open_grid(write(folder / "mesh_mask.nc", closed, version="3.6", attrs={"Iperio": 1})).ds
    )


@pytest.mark.parametrize(("pivot", "beyond"), LAYOUTS)
def test_the_streamfunction_is_one_number_at_each_place_across_the_fold(pivot, beyond, tmp_path):
    world = World(pivot, beyond)
    variables = world.variables()
    for name, first in (("tmask", 1), ("umask", 1), ("vmask", 1)):
        variables[name][1][:, :, :first], variables[name][1][:, :, first:] = 0, 1
    grid = open_grid(write(tmp_path / "mesh_mask.nc", variables, version="3.6", attrs={"Iperio": 1}))
    given = np.where(
        world.place["F"] // 1000 > 1, 1e6 * world.value("F", 8), 0.0
    )  # 0 along the southern coast
    south = np.concatenate([0 * given[:1], given[:-1]])
    flow = {"uo": -(given - south), "vo": given - np.roll(given, 1, axis=1)}
    state = xr.Dataset()
    for name, p, e in (("uo", "u", "e2u"), ("vo", "v", "e1v")):
        depth = (grid.ds[f"e3{p}_0"] * grid.ds[f"{p}mask"]).sum("z")
        u = xr.DataArray(flow[name], dims=("y", "x")) / (grid.ds[e] * depth.where(depth > 0))
        state[name] = (
            u.expand_dims(z=grid.shape[0]).where(grid.ds[f"{p}mask"] > 0).assign_attrs(units="m s-1")
        )
    assert float(abs(divergence(state, grid)).max()) < 1e-12
    apart = barotropic_streamfunction(state, grid).values - given / 1e6
    np.testing.assert_allclose(apart[1:], apart[1, 0], atol=1e-9)


def test_a_mesh_that_says_nothing_and_knows_no_places_is_known_by_its_sea(tmp_path):
    world = World("T", True)
    variables = {n: v for n, v in world.variables().items() if n[:4] not in ("glam", "gphi")}
    j, i = np.indices(world.shape[1:])
    for p in "tuvf":  # a regular mesh, as somebody may have written over it
        variables |= {
            f"glam{p}": (("T", "y", "x"), 36.0 * i[None]),
            f"gphi{p}": (("T", "y", "x"), 10.0 * j[None] - 40),
        }
    grid = open_grid(write(tmp_path / "mesh_mask.nc", variables, version="3.6", attrs={"Iperio": 1}))
    assert grid.fold == Fold("T", True)


@pytest.mark.parametrize(("pivot", "beyond"), LAYOUTS)
def test_transports_across_rows_count_each_face_once(pivot, beyond, tmp_path):
    world = World(pivot, beyond)
    grid = opened(tmp_path, world, "attributes")
    wet = {p: grid.mask(p).values for p in "TV"}
    tracer = np.where(wet["T"], world.tracer(), np.nan)
    vo = np.where(wet["V"], world.velocity("V"), np.nan)
    dims = ("z", "y", "x")
    state = xr.Dataset({"thetao": (dims, tracer, {"units": "degC"}), "vo": (dims, vo, {"units": "m s-1"})})
    flux = np.nan_to_num(vo) * grid.e1v.values * grid.e3v_0.values * world.once("V")
    below = np.cumsum(flux.sum(axis=2)[::-1], axis=0)[::-1] / 1e6
    np.testing.assert_allclose(overturning(state, grid).values, -below, rtol=1e-12, atol=1e-15)
    face = np.nan_to_num(at_north_face(xr.DataArray(world.tracer(), dims=dims), grid).values)
    expected = 1026.0 * 3991.86795711963 * (flux * face).sum(axis=(0, 2))
    np.testing.assert_allclose(heat_transport(state, grid).values, expected, rtol=1e-12, atol=1.0)
