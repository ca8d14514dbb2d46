"""Figures: units on every axis, depth downwards, signed fields symmetric, numbers those of the physics."""

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib._pylab_helpers import Gcf

from warmstart.ocean.basin import basin
from warmstart.ocean.grid import Grid
from warmstart.physics import transport
from warmstart.plot import figures, panels, style


@pytest.fixture(scope="module")
def ocean() -> tuple[xr.Dataset, Grid]:
    return basin(nx=8, ny=14, nz=5)


def drawn(field: xr.DataArray, other: xr.DataArray, grid: Grid) -> tuple[list, np.ndarray]:
    axes = style.canvas(1, 5)[1]
    kind = panels.PanelKind("temperature", figures.section, [("a", field), ("b", other)], "thermal")
    return axes, panels.panels(axes[:3], axes[3:], kind, grid)


@pytest.mark.parametrize("shift", [0.7, -3.0, 0.0])
def test_the_difference_panel_is_symmetric_about_zero_whatever_the_sign_of_the_difference(ocean, shift):
    state, grid = ocean
    axes, bounds = drawn(state.thetao + shift, state.thetao, grid)
    np.testing.assert_array_equal(bounds, -bounds[::-1])
    assert 0.0 in bounds
    assert bounds[-1] > abs(shift)  # a uniform difference lies inside the scale, not beyond it
    mesh = axes[2].collections[0]
    assert mesh.norm.vmin == -mesh.norm.vmax


def test_two_states_share_their_colours(ocean):
    state, grid = ocean
    axes, _ = drawn(state.thetao, state.thetao + 5.0, grid)
    np.testing.assert_array_equal(
        axes[0].collections[0].norm.boundaries, axes[1].collections[0].norm.boundaries
    )


def test_every_axis_says_its_units(ocean):
    state, grid = ocean
    axes, _ = drawn(state.thetao.assign_attrs(units="degC"), state.thetao, grid)
    assert axes[0].get_ylabel() == "depth [m]"
    assert [ax.get_title(loc="left") for ax in axes[3:]] == ["°C", "K"]
    assert figures.profile(state.so, grid).get_xlabel() == "salinity [g kg⁻¹]"
    year = xr.DataArray([0.0, 1.0], dims="time", attrs={"units": "d", "long_name": "time"})
    assert figures.series(year, year).get_xlabel() == "time [days]"
    alone = figures.map_xy(state.zos, grid)
    assert [ax.get_title(loc="left") for ax in alone.figure.axes] == ["sea surface height [m]", "m"]


def test_depth_points_down_and_the_upper_kilometre_takes_half_the_height(ocean):
    state, grid = ocean
    ax = figures.section(state.thetao, grid)
    heights = ax.transAxes.inverted().transform(
        ax.transData.transform([(0.0, d) for d in (0.0, 1000.0, 4000.0)])
    )[:, 1]
    np.testing.assert_allclose(heights, [1.0, 0.5, 0.0], atol=1e-9)


def test_latitudes_are_written_with_their_hemisphere(ocean):
    state, grid = ocean
    ax = figures.section(state.thetao, grid)
    ax.figure.draw_without_rendering()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["60°S", "30°S", "0°", "30°N", "60°N"]


def test_means_weight_by_volume_and_never_see_land(ocean):
    """A mean over cells instead of volume, or over the fill value of land, breaks the identity."""
    state, grid = ocean
    level = grid.volume.sum(("y", "x"))
    profile = figures.horizontal_mean(state.thetao, grid)
    np.testing.assert_allclose(
        float((profile * level).sum() / level.sum()), float(grid.mean(state.thetao)), rtol=1e-12
    )
    row = grid.volume.sum("x")
    zonal = figures.zonal_mean(state.thetao, grid)
    np.testing.assert_allclose(
        float((zonal * row).sum() / row.sum()), float(grid.mean(state.thetao)), rtol=1e-12
    )
    assert zonal.isnull().equals(row == 0)


def test_the_drawn_profile_is_the_computed_one(ocean):
    state, grid = ocean
    (line,) = [x for x in figures.profile(state.thetao, grid).lines if len(x.get_xdata()) == grid.shape[0]]
    np.testing.assert_array_equal(line.get_xdata(), figures.horizontal_mean(state.thetao, grid).values)
    np.testing.assert_array_equal(line.get_ydata(), grid.gdept_1d.values)


def test_a_series_leaves_missing_values_out_instead_of_breaking_the_line(ocean):
    time = xr.DataArray([0.0, 1.0, 2.0], dims="time", attrs={"units": "1"})
    ax = figures.series(time.copy(data=[1.0, np.nan, 3.0]), time)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.0, 2.0])


def test_land_is_not_coloured_as_if_it_were_sea(ocean):
    state, grid = ocean
    ax = figures.map_xy(state.zos.fillna(0.0), grid)
    hidden = np.ma.getmaskarray(ax.collections[0].get_array()).reshape(grid.shape[1:])
    np.testing.assert_array_equal(hidden, grid.tmask.isel(z=0).values == 0)


def test_streamfunctions_draw_in_classes_symmetric_about_zero(ocean):
    state, grid = ocean
    for ax in (
        figures.overturning(transport.overturning(state, grid), grid),
        figures.streamfunction_map(transport.barotropic_streamfunction(state, grid), grid),
    ):
        bounds = ax.collections[0].norm.boundaries
        np.testing.assert_array_equal(bounds, -bounds[::-1])


def test_a_field_without_variation_or_values_still_gets_classes():
    for field in (xr.DataArray([2.0, 2.0]), xr.DataArray([np.nan])):
        for symmetric in (False, True):
            assert (np.diff(style.levels([field], symmetric)) > 0).all()


def test_a_contact_sheet_has_a_panel_for_each_field_and_one_scale(ocean):
    state, grid = ocean
    with style.style():
        figure = panels.sheet(
            [(f"{i}", state.thetao + i) for i in range(6)], grid, figures.section, "thermal"
        )
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["0", "1", "2", "3", "4", "5", "°C"]
    assert len({tuple(ax.collections[0].norm.boundaries) for ax in figure.axes[:-1]}) == 1


def test_figures_leave_no_trace_in_pyplot_or_the_global_style(ocean):
    state, grid = ocean
    before = dict(matplotlib.rcParams)
    figures.section(state.thetao, grid)
    assert dict(matplotlib.rcParams) == before
    assert not Gcf.figs


def test_the_same_figure_is_the_same_text_and_refers_to_nothing_outside(ocean):
    state, grid = ocean
    one, two = (style.svg(figures.section(state.thetao, grid).figure, "name", dpi=40) for _ in range(2))
    assert one == two
    assert "http" not in one
    assert "xmlns" not in one


def test_identifiers_of_two_figures_on_a_page_do_not_collide(ocean):
    import re

    state, grid = ocean
    texts = [
        style.svg(figures.section(state.thetao, grid).figure, name, dpi=40) for name in ("first", "second")
    ]
    ids = [set(re.findall(r'\sid="([^"]+)"', text)) for text in texts]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, known in zip(texts, ids, strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', text)) <= known


@pytest.mark.parametrize(
    ("units", "written"),
    [("m2 s-2", "m² s⁻²"), ("degC", "°C"), ("1e-3", "g kg⁻¹"), ("1", ""), ("K/century", "K/century")],
)
def test_units_are_written_for_readers(units, written):
    assert style.pretty_units(units) == written
