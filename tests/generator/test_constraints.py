"""Constraints are exact, conserve what they must, and leave alone what already satisfies them."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from warmstart.errors import UserError
from warmstart.generator.constraints import barotropic, bounds, chain, contents, stability
from warmstart.generator.constraints.constraint import FACTS
from warmstart.generator.constraints.contents import conserve, means
from warmstart.generator.quantities import QUANTITIES
from warmstart.generator.quantities.ageostrophy import ageostrophic, balancing
from warmstart.generator.quantities.mixed_layer import mixed
from warmstart.generator.quantities.transports import carried, carrying
from warmstart.ocean.basin import basin
from warmstart.ocean.variables import VARIABLES
from warmstart.physics import convection


@pytest.fixture(scope="module")
def case():
    return basin(nx=9, ny=16, nz=8)


def noisy(state, seed=0, size=3.0):
    rng = np.random.default_rng(seed)
    return state.assign(
        thetao=state.thetao + size * rng.standard_normal(state.thetao.shape),
        so=state.so + 0.2 * size * rng.standard_normal(state.so.shape),
    )


def count(state, grid):
    return convection.inversions(
        state.thetao.values, state.so.values, grid.gdepw_0.values, grid.tmask.values > 0
    )


def test_adjusted_columns_have_no_inversions(case):
    state, grid = case
    rough = noisy(state)
    assert count(rough, grid) > 100
    assert count(stability.stabilise(rough, grid)[0], grid) == 0


def test_adjustment_conserves_heat_and_salt_of_every_column(case):
    state, grid = case
    rough = noisy(state)
    mixed, _ = stability.stabilise(rough, grid)
    for name in ("thetao", "so"):
        before, after = ((s[name] * grid.e3t_0).sum("z").values for s in (rough, mixed))
        scale = (abs(rough[name]) * grid.e3t_0).sum("z").values
        assert (np.abs(after - before) <= 1e-12 * scale).all()


def test_adjustment_is_idempotent(case):
    state, grid = case
    once, _ = stability.stabilise(noisy(state), grid)
    twice, record = stability.stabilise(once, grid)
    xr.testing.assert_identical(twice, once)
    assert record["constraint_mixed_share"] == 0


def test_a_stable_state_is_not_touched(case):
    state, grid = case
    assert count(state, grid) == 0
    xr.testing.assert_identical(stability.stabilise(state, grid)[0], state)


def test_a_column_upside_down_becomes_one_mixed_layer(case):
    state, grid = case
    depth = grid.gdept_0
    wrong = state.assign(thetao=state.thetao * 0 + 5 + 20 * depth / depth.max(), so=state.so * 0 + 35)
    mixed, record = stability.stabilise(wrong, grid)
    column = mixed.thetao.isel(y=8, x=4).values
    weights = grid.e3t_0.isel(y=8, x=4).values
    assert (column == column[0]).all()
    assert column[0] == pytest.approx((wrong.thetao.isel(y=8, x=4).values * weights).sum() / weights.sum())
    assert record["constraint_mixed_share"] == pytest.approx(1)


def test_inversions_are_pairs_of_wet_cells_also_below_ice_and_over_a_rock():
    shape = (5, 1, 1)
    warm = np.array([9.0, 8.0, 6.0, 8.0, 6.0]).reshape(shape)
    salt, top = np.full(shape, 35.0), np.arange(5.0).reshape(shape) * 100
    wet = np.ones(shape, bool)
    assert convection.inversions(warm, salt, top, wet) == 1
    for dry, number in ((0, 1), (2, 0), (3, 0), (4, 1)):
        part = wet.copy()
        part[dry] = False
        assert convection.inversions(warm, salt, top, part) == number, dry


def test_only_the_unstable_part_of_a_column_is_mixed(case):
    state, grid = case
    wrong = state.copy(deep=True)
    wrong.thetao[2, 8, 4] = wrong.thetao[2, 8, 4] + 8.0
    mixed = stability.stabilise(wrong, grid)[0].thetao.isel(y=8, x=4).values
    original = wrong.thetao.isel(y=8, x=4).values
    assert mixed[1] != original[1] and mixed[2] != original[2]
    np.testing.assert_array_equal(mixed[4:], original[4:])


def transports(state, grid):
    u = (state.uo.fillna(0) * grid.e3u_0).sum("z").values * grid.e2u.values
    v = (state.vo.fillna(0) * grid.e3v_0).sum("z").values * grid.e1v.values
    west = np.roll(u, 1, axis=1) if grid.periodic_x else np.pad(u, ((0, 0), (1, 0)))[:, :-1]
    return u, v, u - west + v - np.pad(v, ((1, 0), (0, 0)))[:-1]


def from_streamfunction(grid, seed=0, channel=2e8):
    """Velocities of a streamfunction that is constant on each wall."""
    rng = np.random.default_rng(seed)
    open_u, open_v = ((grid.ds[f"{p}mask"] > 0).any("z").values for p in "uv")
    north_u = np.pad(open_u, ((0, 1), (0, 0)))[1:]
    east_v = np.roll(open_v, -1, axis=1)
    inner = open_u & north_u & open_v & east_v  # all four faces that meet at the F point are open
    ny = inner.shape[0]
    psi = np.where(inner, 1e8 * rng.standard_normal(inner.shape), 0.0)
    wet = grid.tmask.values[0] > 0
    north_of_channel = np.arange(ny) >= np.flatnonzero(wet.all(1)).max()
    psi = np.where(~inner & north_of_channel[:, None], channel, psi)
    u = -(psi - np.pad(psi, ((1, 0), (0, 0)))[:-1])
    v = psi - np.roll(psi, 1, axis=1)
    depth_u, depth_v = ((grid.ds[f"e3{p}_0"] * (grid.ds[f"{p}mask"] > 0)).sum("z").values for p in "uv")
    speed_u = np.divide(u, grid.e2u.values * depth_u, out=np.zeros_like(u), where=depth_u > 0)
    speed_v = np.divide(v, grid.e1v.values * depth_v, out=np.zeros_like(v), where=depth_v > 0)
    state = xr.Dataset({"uo": grid.umask * speed_u, "vo": grid.vmask * speed_v})
    return state.where(xr.Dataset({"uo": grid.umask, "vo": grid.vmask}) > 0)


@pytest.mark.parametrize("channel", [True, False])
def test_any_flow_becomes_free_of_divergence(channel):
    state, grid = basin(nx=9, ny=16, nz=8, channel=channel)
    rng = np.random.default_rng(0)
    rough = state.assign({n: state[n] + 0.1 * rng.standard_normal(state[n].shape) for n in ("uo", "vo")})
    closed, record = barotropic.close_barotropic(rough, grid)
    assert np.abs(transports(rough, grid)[2]).max() > 1e6
    assert np.abs(transports(closed, grid)[2]).max() < 1e-10 * np.abs(transports(closed, grid)[0]).max()
    assert record["constraint_barotropic_velocity"] > 1e-3
    for name in ("uo", "vo"):
        xr.testing.assert_equal(closed[name].isnull(), state[name].isnull())


def test_a_flow_from_a_streamfunction_is_kept_with_its_channel_transport(case):
    _, grid = case
    flow = from_streamfunction(grid)
    u, _, divergence = transports(flow, grid)
    assert np.abs(divergence).max() < 1e-6 * np.abs(u).max()
    closed, _ = barotropic.close_barotropic(flow, grid)
    np.testing.assert_allclose(closed.uo, flow.uo, atol=1e-12)
    rows = np.flatnonzero((grid.tmask.values[0] > 0).all(1))
    # the channel has walls on both sides at the meridian of the first column
    through = transports(closed, grid)[0][: rows.max() + 1, 0].sum()
    assert through == pytest.approx(u[: rows.max() + 1, 0].sum(), rel=1e-9)
    assert through == pytest.approx(-2e8, rel=1e-9)


def test_the_gradient_part_of_a_flow_is_removed_and_nothing_else(case):
    """Flow = streamfunction + gradient of a potential: the projection returns the first, its channel transport included."""
    _, grid = case
    flow = from_streamfunction(grid)
    potential = 1e3 * np.random.default_rng(1).standard_normal(grid.shape[1:])
    east = (np.roll(potential, -1, axis=1) - potential) / grid.e1u
    north = (np.pad(potential, ((0, 1), (0, 0)))[1:] - potential) / grid.e2v
    rough = flow.assign(uo=flow.uo + east, vo=flow.vo + north)
    closed, record = barotropic.close_barotropic(rough, grid)
    assert record["constraint_barotropic_velocity"] > 1e-4
    np.testing.assert_allclose(closed.uo, flow.uo, atol=1e-10)
    np.testing.assert_allclose(closed.vo, flow.vo, atol=1e-10)


def test_the_shear_of_the_flow_is_not_changed(case):
    state, grid = case
    rough = state.assign(uo=state.uo + 0.1 * np.random.default_rng(0).standard_normal(state.uo.shape))
    closed, _ = barotropic.close_barotropic(rough, grid)
    np.testing.assert_allclose(closed.uo.diff("z"), rough.uo.diff("z"), atol=1e-14)


def test_the_mean_sea_level_is_zero(case):
    state, grid = case
    flat, record = contents.levelling()(state.assign(zos=state.zos + 0.7), grid)
    assert float((flat.zos * grid.area).sum() / grid.area.sum()) == pytest.approx(0, abs=1e-14)
    assert record["constraint_sea_level"] == pytest.approx(0.7)


def test_values_out_of_bounds_are_clipped_and_counted(case):
    state, grid = case
    wild = state.copy(deep=True)
    wild.so[0, 8, 4] = -1.0
    kept, record = bounds.bound(wild, grid)
    assert float(kept.so[0, 8, 4]) == 0.0
    assert record["constraint_clipped_cells"] == 1


def test_every_number_of_a_record_is_documented(case):
    state, grid = case
    targets, depth = contents.contents_of(state, grid), np.zeros(grid.shape[1:])
    predicted = [mixed(depth), carrying(carried(state, grid))]
    all_of_them = chain.standard(targets, quantities=[*predicted, balancing(ageostrophic(state, grid), 0.5)])
    assert list(chain.apply(state, grid, all_of_them)[1]) == list(chain.records(all_of_them))


def test_each_constraint_keeps_what_those_before_it_have_made(case):
    """On a rough state with transports far from its own: what all of them are for holds at the end."""
    state, grid = case
    rng = np.random.default_rng(2)
    push = {n: state[n] + 0.01 * rng.standard_normal(grid.shape) for n in ("uo", "vo")}
    rough = noisy(state, size=0.7).assign(push).assign(zos=state.zos + 0.3)
    wanted = 2 * carried(barotropic.close_barotropic(rough, grid)[0], grid)
    predicted = [mixed(np.full(grid.shape[1:], 500.0)), carrying(wanted)]
    first = chain.apply(rough, grid, [barotropic.close_barotropic, stability.stabilise, *predicted])[0]
    assert count(first, grid) > 50, "transports make columns unstable: they have to come first"
    targets = {"thetao": 5.0, "so": 35.0, "zos": 0.0}
    following = [balancing(ageostrophic(state, grid), 0.5)]
    plain = chain.apply(rough, grid, chain.standard(targets))[0]
    whole = chain.apply(rough, grid, chain.standard(targets, None, [*predicted, *following]))[0]
    assert count(whole, grid) == 0
    assert means(whole, grid) == pytest.approx(targets, abs=1e-12)
    assert np.abs(transports(whole, grid)[2]).max() < 1e-10 * np.abs(transports(whole, grid)[0]).max()
    # what convection then takes away is not all that was carried
    errors = [np.linalg.norm(carried(s, grid) - wanted, axis=1) for s in (plain, whole)]
    assert (errors[1] < 0.85 * errors[0]).all()
    assert not whole.uo.equals(plain.uo)


def outside(state):
    """By how much temperature and salinity leave their bounds, summed."""
    ranges = {n: VARIABLES[n].bounds for n in ("thetao", "so")}
    return float(sum(abs(state[n] - state[n].clip(*limits)).sum() for n, limits in ranges.items()))


#: Numbers of a state that stay while a fact is kept.
SAME = {
    "land": lambda s, g: np.concatenate([s[n].isnull().values.ravel() for n in s.data_vars]),
    "heat content": lambda s, g: means(s, g)["thetao"],
    "salt content": lambda s, g: means(s, g)["so"],
    "mean sea level": lambda s, g: means(s, g)["zos"],
    "columns": lambda s, g: np.stack([(s[n] * g.e3t_0).sum("z").values for n in ("thetao", "so")]),
    "barotropic flow": lambda s, g: np.stack(transports(s, g)[:2]),
    "overturning": lambda s, g: np.nansum(s.vo.values * (g.e3v_0 * g.e1v).values * (g.vmask.values > 0), axis=2),
}  # fmt: skip
#: Numbers of a state that are 0 where a fact holds, and do not grow while it is kept.
NONE = {
    "bounds": lambda s, g: outside(s),
    "stability": count,
    "barotropic flow": lambda s, g: np.abs(transports(s, g)[2]).max() / np.abs(transports(s, g)[0]).max(),
}
#: Round-off beside the largest number.
ROUND_OFF = 1e-10


def lost(facts, before, after, grid):
    """Which facts a state had and another has not any more."""
    found = set()
    for fact in facts:
        if fact in SAME:
            old, new = (np.asarray(SAME[fact](s, grid), float) for s in (before, after))
            if np.abs(new - old).max() > ROUND_OFF * max(np.abs(old).max(), 1.0):
                found.add(fact)
        if fact in NONE and NONE[fact](after, grid) > NONE[fact](before, grid) + ROUND_OFF:
            found.add(fact)
    return found


def whole_chain(state, grid):
    """All constraints with all quantities, each with something to do."""
    wanted = {
        "mixed_layer": np.full(grid.shape[1:], 500.0),
        "transports": 2 * carried(barotropic.close_barotropic(state, grid)[0], grid),
        "currents": np.stack(list(ageostrophic(state, grid).values())) * 0.3,
    }
    shares = {"currents": 0.5}
    imposed = [q.impose(wanted[n], shares.get(n, 1.0)) for n, q in QUANTITIES.items()]
    return chain.standard({"thetao": 5.0, "so": 35.0, "zos": 0.1}, None, imposed)


def rough_ocean(channel):
    state, grid = basin(nx=9, ny=16, nz=8, channel=channel)
    rng = np.random.default_rng(2)
    push = {n: state[n] + 0.01 * rng.standard_normal(grid.shape) for n in ("uo", "vo")}
    rough = noisy(state, size=0.7).assign(push).assign(zos=state.zos + 0.3)
    rough.so[0, 8, 4] = 80.0
    return rough, grid


@pytest.mark.parametrize("channel", [True, False])
def test_every_pair_of_constraints_what_one_makes_those_after_it_keep_as_they_declare(channel):
    """In the order they run: nothing else is changed, nothing is lost that is declared to be kept, by each and by all between."""
    state, grid = rough_ocean(channel)
    constraints = whole_chain(state, grid)
    assert {f for c in constraints for f in (*c.makes, *c.keeps)} <= {*SAME, *NONE} == set(FACTS)
    states = [state]
    for constraint in constraints:
        states.append(constraint(states[-1], grid)[0])
    moved = [any(not a[n].equals(b[n]) for n in a) for a, b in pairwise(states)]
    assert all(moved), "each has something to do"
    for i, first in enumerate(constraints):
        for fact in first.makes:
            assert NONE.get(fact, lambda s, g: 0.0)(states[i + 1], grid) < ROUND_OFF, (i, fact)
            for j in range(i + 1, len(constraints)):
                if fact not in constraints[j].keeps:
                    break
                assert not lost([fact], states[i + 1], states[j + 1], grid), (i, j, fact)
    for i, constraint in enumerate(constraints):
        assert not lost(constraint.keeps, states[i], states[i + 1], grid), i
        for name in set(state.data_vars) - set(constraint.changes):
            assert states[i + 1][name].identical(states[i][name]), (i, name)
    # a content that is set on what was clipped may leave the bounds a little, and so may water that is moved
    for fact in set(FACTS) - {"bounds"}:
        makers = [i for i, c in enumerate(constraints) if fact in c.makes]
        assert all(fact in c.keeps for i in makers[-1:] for c in constraints[i + 1 :]), fact


@pytest.mark.parametrize(
    ("fact", "spoil"),
    [
        ("heat content", lambda s: s.assign(thetao=s.thetao + 1e-6)),
        ("salt content", lambda s: s.assign(so=s.so * (1 + 1e-7))),
        ("columns", lambda s: s.assign(so=s.so + 1e-6 * np.cos(s.thetao))),
        ("mean sea level", lambda s: s.assign(zos=s.zos + 1e-6)),
        ("stability", lambda s: s.assign(thetao=s.thetao.isel(z=slice(None, None, -1)))),
        ("bounds", lambda s: s.assign(so=s.so - 40)),
        ("land", lambda s: s.assign(so=s.so.fillna(0.0))),
        ("land", lambda s: s.assign(uo=s.uo.where(s.uo != s.uo.max()))),
        ("barotropic flow", lambda s: s.assign(uo=s.uo * (1 + 1e-6))),
        ("overturning", lambda s: s.assign(vo=s.vo + 1e-8)),
    ],
)
def test_a_constraint_that_declares_too_much_is_found_out(fact, spoil):
    state, grid = rough_ocean(True)
    good = chain.apply(state, grid, whole_chain(state, grid))[0]
    assert not lost(FACTS, good, good, grid)
    assert fact in lost([fact], good, spoil(good), grid)


def test_a_state_that_lacks_what_a_constraint_needs_is_refused(case):
    state, grid = case
    with pytest.raises(UserError, match="lacks so, which a constraint needs: share of the volume"):
        chain.apply(state.drop_vars("so"), grid, [stability.stabilise])


@pytest.mark.parametrize(
    ("constraint", "key"),
    [
        (stability.stabilise, "mixed"),
        (lambda state, grid: mixed(np.full(grid.shape[1:], 900.0))(state, grid), "convected"),
        (lambda state, grid: carrying(1.5 * carried(state, grid))(state, grid), "carried"),
        (lambda state, grid: conserve(state, grid, {"thetao": 5.0, "so": 34.0}), "conserved"),
    ],
    ids=["stabilise", "mixed", "carrying", "conserve"],
)
def test_a_record_says_by_how_much_the_water_changed_on_average_over_its_volume(case, constraint, key):
    state, grid = case
    rough = noisy(state)
    new, record = constraint(rough, grid)
    wet, volume = grid.tmask.values > 0, grid.volume.values
    for name, word in (("thetao", "temperature"), ("so", "salinity")):
        change = (new[name] - rough[name]).values[wet]
        expected = np.sqrt((change**2 * volume[wet]).sum() / volume[wet].sum())
        assert record[f"constraint_{key}_{word}"] == pytest.approx(expected, rel=1e-9) and expected > 0
        assert (new[name].isnull().values == ~wet).all()
    if key in ("mixed", "convected"):
        moved = (new.thetao != rough.thetao).values & wet
        assert record[f"constraint_{key}_share"] == pytest.approx(volume[moved].sum() / volume.sum())
    if key == "conserved":
        heat, salt = (float(((new[n] - rough[n]) * grid.volume).sum()) for n in ("thetao", "so"))
        assert record["constraint_heat"] == pytest.approx(1026.0 * 3991.86795711963 * heat, rel=1e-9)
        assert record["constraint_salt"] == pytest.approx(1.026 * salt, rel=1e-9)


@pytest.mark.parametrize("name", ["thetao", "uo", "zos"])
def test_a_state_that_is_not_finite_at_sea_is_refused(case, name):
    """A mean that takes NaN for 0 would set a content that is not there."""
    state, grid = case
    broken = state.copy(deep=True)
    broken[name][..., 8, 4] = np.nan
    with pytest.raises(UserError, match=f"{name} is not finite at"):
        chain.apply(broken, grid)


def test_a_state_of_another_mesh_is_refused(case):
    state, _ = case
    with pytest.raises(UserError, match=r"thetao has shape.*expected one state on the mesh"):
        chain.apply(state, basin(nx=10, ny=16, nz=8)[1])
    with pytest.raises(UserError, match="expected one state"):
        chain.apply(state.expand_dims("sample"), case[1])


def test_constraints_compose_in_any_number_and_order(case):
    """Each says what it moved, and only that."""
    state, grid = case
    rough = noisy(state).assign(zos=state.zos + 0.2)
    new, record = chain.apply(rough, grid, [contents.levelling(), stability.stabilise])
    assert set(record) == {
        "constraint_sea_level", "constraint_mixed_share", "constraint_mixed_temperature", "constraint_mixed_salinity",
    }  # fmt: skip
    assert count(new, grid) == 0 and record["constraint_sea_level"] == pytest.approx(0.2)
    same, nothing = chain.apply(rough, grid, [])
    assert nothing == {} and same is rough


def test_what_changes_the_water_comes_before_columns_are_made_stable_and_what_changes_currents_alone_after():
    def quantity(*changes):
        return SimpleNamespace(changes=changes)

    salt, flow, heat = quantity("so"), quantity("uo", "vo"), quantity("uo", "thetao")
    order = chain.standard({}, quantities=[flow, salt, heat])
    assert order.index(salt) < order.index(heat) < order.index(stability.stabilise) < order.index(flow)
