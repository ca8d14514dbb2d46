"""The whole way on runs of NEMO alone: from their folders to a restart that NEMO starts from, with no DINO in it."""

import f90nml
import numpy as np
import pytest

import warmstart as ws
from nemo_layouts import REAL, mesh_variables, needs_real_files, ocean, restart_variables, write
from small_ensemble import TINY
from warmstart.engines.nemo.restart_file import write_restart
from warmstart.ocean.parameters import carried, parse
from warmstart.verbs.generate import wanted

STATE, GRID = ocean()
OWN = "level=namsbc/rn_level:W m-2"
NAMELIST = "&namrun nn_leapy = 30 /\n&namdom rn_Dt = 5400. /\n&namsbc rn_level = {level} /\n&nameos ln_eos80 = .true. /\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Six short runs from an equilibrium, each warmer by its level; the sea level of none is kept."""
    place = tmp_path_factory.mktemp("RUNS")
    for number, level in enumerate((0.0, 1.0, 2.0, 3.0, 4.0, 5.0)):
        run = place / f"run_{number}"
        run.mkdir()
        (run / "namelist_cfg").write_text(NAMELIST.format(level=level))
        write(run / "mesh_mask.nc", mesh_variables(GRID))
        rng = np.random.default_rng(number)
        for year in (1, 2):
            warmer = level * 0.3 * np.exp(-GRID.gdept_0 / 1000) + 0.01 * rng.standard_normal()
            state = STATE.assign(thetao=STATE.thetao + warmer)
            write(run / f"GYRE_{5760 * year:08d}_restart.nc", restart_variables(state, kt=5760 * year))
    return place


def test_runs_of_nemo_train_a_generator_whose_states_start_nemo(runs, tmp_path):
    ws.dataset(runs, tmp_path / "judged.zarr", parameter=[OWN])
    with pytest.raises(ws.UserError, match="--equilibrium all"):
        ws.train(tmp_path / "judged.zarr", TINY, tmp_path / "generator")
    ws.dataset(runs, tmp_path / "states.zarr", parameter=[OWN], equilibrium="all")
    ws.train(tmp_path / "states.zarr", TINY, tmp_path / "generator")

    with pytest.raises(ws.UserError, match=r"level not given: .*--set 'level=2.* W m-2'"):
        ws.generate(tmp_path / "generator", {})
    with pytest.raises(ws.UserError, match="level = 50"):
        ws.generate(tmp_path / "generator", {"level": 50})
    cold, warm = (
        ws.generate(tmp_path / "generator", {"level": level}, n=2, output=tmp_path / f"{level}.nc")
        for level in (0.5, 4.5)
    )
    risen = float(GRID.mean(warm.thetao.isel(sample=0)) - GRID.mean(cold.thetao.isel(sample=0)))
    expected = float(GRID.mean(1.2 * np.exp(-GRID.gdept_0 / 1000) + 0 * STATE.thetao))
    assert risen == pytest.approx(expected, rel=0.15), "4 levels of 0.3 K at the surface"
    assert warm.attrs["season"] == "01-01" and warm.attrs["equation_of_state"] == "eos80"
    assert carried(warm)["level"].namelist == ("namsbc", "rn_level") and warm.level.values.tolist() == [
        4.5,
        4.5,
    ]

    table = ws.check(tmp_path / "4.5.nc")
    assert len(table)
    user = runs / "run_0" / "namelist_cfg"
    ws.restart(
        tmp_path / "4.5.nc", tmp_path / "restarts", engine="nemo", namelist=user, grid=runs / "run_0" / "mesh_mask.nc",
        date=30701,
    )  # fmt: skip
    patched = f90nml.read(tmp_path / "restarts" / "restart_000.namelist_cfg")
    assert patched["namsbc"]["rn_level"] == 4.5 and patched["namrun"]["nn_it000"] == 180 * 16 + 1


def test_a_namelist_gives_a_generator_the_parameters_of_its_own(runs, tmp_path):
    ws.dataset(runs, tmp_path / "states.zarr", parameter=[OWN])
    described = carried(ws.open_state(tmp_path / "states.zarr"))
    assert wanted((), runs / "run_3", lambda line: None, described) == {"level": 3.0}
    asked = wanted(["level=2500 mW m-2"], runs / "run_3", lambda line: None, described)
    assert parse(asked["level"], described["level"]) == 2.5, "the unit is that of the parameter's own"


@needs_real_files
def test_three_real_runs_of_dino_go_the_whole_way(tmp_path, request):
    runs = REAL / "nemo_dino_runs_8deg"
    ws.dataset(runs, tmp_path / "states.zarr", equilibrium_from="1y")
    example = request.config.rootpath / "examples" / "nemo.yaml"
    ws.train(tmp_path / "states.zarr", example, tmp_path / "generator", sets=["training.steps=4"])
    asked = wanted((), runs / "run_b" / "namelist_cfg", lambda line: None)
    state = ws.generate(tmp_path / "generator", asked)
    assert state.attrs["season"] == "none: of 12 times of the year", "it learned from monthly means of a year"
    written = write_restart(
        state, tmp_path / "restart_in.nc", runs / "run_b" / "DINO_00005760_restart.nc", runs / "run_b" / "mesh_mask.nc",
        runs / "run_b" / "namelist_cfg",
    )  # fmt: skip
    assert written.date == 10101 and "started on 1 January" in written.remarks[0]
    patched = f90nml.read(tmp_path / "restart_in.namelist_cfg")
    assert patched["namusr_def"]["rn_ztau0"] == 0.2 and patched["namtra_eiv"]["nn_aei_ijk_t"] == 20
    summer = write_restart(
        state, tmp_path / "summer.nc", runs / "run_b" / "DINO_00005760_restart.nc", runs / "run_b" / "mesh_mask.nc",
        runs / "run_b" / "namelist_cfg", date=10701,
    )  # fmt: skip
    assert "nn_it000        = 1441" in summer.namelist


#: What DINO's own namelist says, of July 2025 and later.
DINO = """&namusr_def rn_e1_deg = 1.0, rn_ztau0 = 0.2, rn_trp = -40., rn_srp = -3.858e-3, rn_tstar_s = -0.5, rn_tstar_n = 5.,
   rn_tstar_eq = 27., rn_sstar_s = 35., rn_sstar_n = 35.1, rn_sstar_eq = 37.25 /
&namtra_ldf nn_aht_ijk_t = 20, rn_Ud = 0.027 /
&namtra_eiv ln_ldfeiv = .true., nn_aei_ijk_t = 21, rn_Ue = 0.03, rn_Le = 100.e+3 /
&namzdf rn_avm0 = 1.2e-4, rn_avt0 = 1.2e-5 /
"""


@pytest.mark.parametrize("name", ["dino-4deg", "dino-4deg-diffusion"])
def test_the_shipped_generators_take_dinos_own_namelist_as_it_is_and_say_the_difference(
    tmp_path, caplog, name
):
    from warmstart.generator.checkpoint import load
    from warmstart.generator.request import differing, request

    (tmp_path / "namelist_cfg").write_text(DINO)
    shipped, said = load(name), []
    asked = wanted((), tmp_path / "namelist_cfg", said.append)
    values, outside = request(shipped, asked, extrapolate=False)
    assert (
        outside == [] and values["vertical_viscosity"] == 1.2e-4 and values["vertical_diffusivity"] == 1.2e-5
    )
    assert differing(shipped, values) == [
        "vertical_viscosity = 0.00012 m2 s-1: all training members had 0.0002; the states are those of 0.0002"
    ]
    assert "all training members had 0.0002" in caplog.text and any("a cap only" in line for line in said)


def test_a_generated_state_records_in_what_it_differs_from_training_and_its_season(generator):
    state = ws.generate(generator, {"bottom_drag": 1.5e-6})
    assert state.attrs["differs_from_training"].startswith(
        "bottom_drag = 1.5e-06 s-1: all training members had 1e-06"
    )
    assert state.attrs["season"] == "01-01" and float(state.bottom_drag[0]) == 1.5e-6
    assert "differs_from_training" not in ws.generate(generator, {}).attrs
