"""A state becomes a restart: transports kept, nothing through walls, files that come back as they were."""

import h5py
import numpy as np
import pytest
import xarray as xr

from warmstart.engines import dino
from warmstart.engines.veros.arrays import (
    LEVELS,
    PLAIN,
    fields_of_state,
    from_veros,
    read_restart,
    restart_from_state,
    to_veros,
)
from warmstart.errors import UserError
from warmstart.ocean.basin import finish
from warmstart.physics.streamfunction import barotropic_streamfunction


@pytest.fixture(scope="module")
def grid():
    return dino.grid(10.0, 6)


@pytest.fixture(scope="module")
def state(grid):
    """A stratified ocean with noise in the velocity: divergent, and through no wall only because it is masked."""
    temperature, salinity = dino.initial_state(dino.mesh(10.0, 6))
    noise = np.random.default_rng(0).normal(scale=0.05, size=(2, *grid.shape))
    dims = ("z", "y", "x")
    fields = {"thetao": temperature, "so": salinity, "uo": 0.05 + noise[0], "vo": noise[1]}
    return finish(xr.Dataset({name: (dims, values) for name, values in fields.items()}), grid)


@pytest.fixture(scope="module")
def fields(state, grid, tmp_path_factory):
    path = restart_from_state(state, grid, tmp_path_factory.mktemp("restart") / "restart.h5")
    return read_restart(path)[0]


def transports(fields, grid):
    """Depth-integrated transport through U and V faces [m3 s-1]."""
    u, v = (from_veros(fields[name][..., 1]) for name in ("u", "v"))
    return (u * grid.e3u_0.values).sum(0) * grid.e2u.values, (v * grid.e3v_0.values).sum(0) * grid.e1v.values


def test_temperature_and_salinity_are_kept_to_the_last_bit(fields, state):
    for name, cf in (("temp", "thetao"), ("salt", "so")):
        for level in range(3):
            assert (from_veros(fields[name][..., level]) == np.nan_to_num(state[cf].values)).all()


def test_the_depth_mean_flow_has_no_divergence(fields, grid):
    u, v = transports(fields, grid)
    south = np.concatenate([np.zeros_like(v[:1]), v[:-1]])
    assert np.abs(u - np.roll(u, 1, axis=1) + v - south).max() < 1e-9 * np.abs(u).max()


def test_the_surface_does_not_move(fields, grid):
    w = from_veros(fields["w"][..., 1])
    assert np.abs(w[0]).max() < 1e-12 * np.abs(w).max()
    assert np.abs(w).max() > 0


def test_a_flow_without_divergence_keeps_its_transport_and_its_shear(fields, state, grid):
    """Once through the projection, a second passage changes nothing: the channel transport is the same everywhere."""
    u, v = (from_veros(fields[name][..., 1]) for name in ("u", "v"))
    psi = barotropic_streamfunction(u, v, grid)
    across = (u * grid.e3u_0.values).sum(0) * grid.e2u.values
    assert -(psi[1:] - psi[:-1]) == pytest.approx(across, abs=1e-9 * np.abs(across).max())
    through = across.sum(0)
    assert through == pytest.approx(through[0])
    assert through[0] == pytest.approx(psi[0, 0] - psi[-1, 0])
    shear, former = np.diff(u, axis=0), np.diff(np.nan_to_num(state.uo.values), axis=0)
    deep = grid.umask.values[1:] > 0
    assert shear[deep] == pytest.approx(former[deep], abs=1e-12)


def test_the_transport_of_a_uniform_channel_flow_is_its_velocity_times_its_section(grid):
    """A flow along the channel whose transport is the same in every column is kept exactly."""
    row = np.flatnonzero(grid.tmask.isel(z=0, x=0).values)[0]
    section = (grid.e3u_0.values * grid.umask.values).sum(0)[row] * grid.e2u.values[row]
    uo = np.zeros(grid.shape)
    uo[:, row] = 50e6 / section * grid.umask.values[:, row]
    psi = barotropic_streamfunction(uo, np.zeros(grid.shape), grid)
    assert psi[0, 0] - psi[-1, 0] == pytest.approx(50e6)
    assert np.diff(psi, axis=0)[row] == pytest.approx(-50e6)


def test_walls_share_one_value_of_the_streamfunction(fields, grid):
    psi = from_veros(fields["psi"][..., 1][..., None])[0]
    dry = grid.vmask.values[0] == 0
    step = psi - np.roll(psi, 1, axis=1)
    assert np.abs(step[dry]).max() < 1e-6
    assert np.abs(psi[-1]).max() == 0.0


def test_velocity_is_zero_on_land(fields, grid):
    for name, mask in (("u", "umask"), ("v", "vmask")):
        assert (from_veros(fields[name][..., 1])[grid.ds[mask].values == 0] == 0).all()


def test_everything_else_starts_from_zero_on_the_first_of_january(fields):
    for name in ("tke", "du", "dv", "dtemp", "dsalt", "dtke", "dpsi", "dpsin", "K_diss_v"):
        assert not fields[name].any(), name
    assert fields["time"] == 0.0


def test_a_stable_column_has_positive_stability(fields, grid):
    n2 = from_veros(fields["Nsqr"][..., 1])
    equator = np.abs(grid.gphit.values[:, 0]).argmin()
    assert (n2[1:, equator, 1:][grid.tmask.values[1:, equator, 1:] > 0] > 0).all()


def test_without_velocities_the_restart_is_at_rest(state, grid, tmp_path):
    path = restart_from_state(state.drop_vars(["uo", "vo"]), grid, tmp_path / "restart.h5")
    fields, _ = read_restart(path)
    assert not any(fields[name].any() for name in ("u", "v", "w", "psi"))


def test_veros_layout_and_back_is_the_identity():
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    assert (from_veros(to_veros(values)) == values).all()
    assert (to_veros(values)[:2] == to_veros(values)[-4:-2]).all(), "x is periodic"


def test_a_restart_holds_what_veros_reads(fields, tmp_path, state, grid):
    path = restart_from_state(state, grid, tmp_path / "restart.h5")
    with h5py.File(path) as file:
        assert set(file["core"]) >= {*LEVELS, *PLAIN, "taum1", "tau", "taup1", "Hd"} - {"B1_gm"}
        assert file["core/temp"].shape == (grid.shape[2] + 4, grid.shape[1] + 4, grid.shape[0], 3)


def test_vertical_velocity_of_a_flow_that_piles_up_is_upward(grid, state):
    """Water that flows in at the bottom of a column and out at its top rises through it."""
    row, column = 9, 3
    still = xr.zeros_like(state.uo).where(state.uo.isnull(), 0.0)
    uo, thickness = still.copy(deep=True), grid.e3u_0.values[:, row, column]
    for level, speed in ((-1, 0.1), (0, -0.1 * thickness[-1] / thickness[0])):
        uo[level, row, column - 1], uo[level, row, column] = speed, -speed
    vo = xr.zeros_like(state.vo).where(state.vo.isnull(), 0.0)
    w = from_veros(fields_of_state(state.assign(uo=uo, vo=vo), grid)["w"][..., 0])
    assert (w[1:, row, column] > 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.drop_vars("so"), "no so"),
        (lambda s: s.isel(x=slice(0, 3)), "has shape"),
        (lambda s: s.expand_dims("sample"), "select a sample"),
        (lambda s: s.assign(thetao=s.thetao * np.nan), "thetao is not finite at"),
    ],
)
def test_a_state_that_cannot_start_is_refused_and_nothing_is_written(state, grid, tmp_path, spoil, message):
    with pytest.raises(UserError, match=message):
        restart_from_state(spoil(state), grid, tmp_path / "restart.h5")
    assert not list(tmp_path.iterdir())


def test_a_damaged_restart_is_a_user_error(tmp_path, state, grid):
    path = restart_from_state(state, grid, tmp_path / "restart.h5")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="no Veros restart"):
        read_restart(path)
    with pytest.raises(UserError, match="does not exist"):
        read_restart(tmp_path / "other.h5")
