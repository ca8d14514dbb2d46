"""Sections: every path between two ends carries the difference of the streamfunction."""

import itertools

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.physics import section, transport


def nearest(grid, lon, lat):
    """The F point nearest a place, on this regular mesh."""
    i = int(np.abs((grid.glamf.isel(y=0).values - lon + 180) % 360 - 180).argmin())
    return dict(y=int(np.abs(grid.gphif.isel(x=0).values - lat).argmin()), x=i)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((20.0, -30.0), (20.0, 30.0)),  # north
        ((45.0, 40.0), (5.0, -35.0)),  # south-west
        ((5.0, 20.0), (45.0, 20.0)),  # east
        ((45.0, 20.0), (10.0, 35.0)),  # north-west
        ((48.0, -55.0), (4.0, -50.0)),  # across the seam of the channel
    ],
)
def test_the_transport_is_the_difference_of_the_streamfunction(ocean, ocean_grid, ocean_psi, start, end):
    a, b = (ocean_psi.isel(nearest(ocean_grid, *point)) for point in (start, end))
    found = section.transport_across(ocean, ocean_grid, start, end)
    # U = -dpsi/dy: eastward flow, to the right of the way north, lowers it
    assert float(found) == pytest.approx(float(a - b) / 1e6, abs=1e-9)
    assert float(section.transport_across(ocean, ocean_grid, end, start)) == pytest.approx(
        -float(found), abs=1e-9
    )


def test_a_section_from_bank_to_bank_is_the_transport_of_the_channel(ocean, ocean_grid):
    across = section.transport_across(ocean, ocean_grid, (20.0, -69.0), (20.0, 69.0))
    assert float(across) == pytest.approx(float(transport.channel_transport(ocean, ocean_grid)), rel=1e-9)


def test_a_hole_beside_a_section_does_not_matter_and_one_on_it_does(ocean, ocean_grid):
    ends = ((20.0, -69.0), (20.0, 69.0))
    on = section.find_section(ocean_grid, *ends).east != 0
    for where, known in ((~on, True), (on, False)):
        holed = ocean.assign(uo=ocean.uo.where(~(where & (ocean_grid.gphiu < 0))))
        assert bool(section.transport_across(holed, ocean_grid, *ends).notnull()) == known


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ((20.0, -95.0), (20.0, 0.0), "no longitude and latitude"),
        ((200.0, 0.0), (20.0, 0.0), "outside of the mesh"),
        ((20.0, 0.0), (20.1, 0.1), "one corner of the mesh"),
    ],
)
def test_ends_that_make_no_section_are_refused(ocean_grid, start, end, why):
    with pytest.raises(UserError, match=why):
        section.find_section(ocean_grid, start, end)


def test_halves_of_a_section_add_up(ocean, ocean_grid):
    ends = [(5.0, 40.0), (25.0, 5.0), (45.0, -30.0)]
    parts = [section.transport_across(ocean, ocean_grid, a, b) for a, b in itertools.pairwise(ends)]
    whole = section.transport_across(ocean, ocean_grid, ends[0], ends[2])
    xr.testing.assert_allclose(parts[0] + parts[1], whole)
