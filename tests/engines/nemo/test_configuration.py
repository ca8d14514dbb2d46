"""What a NEMO run was made with, and the entries that give another run the same."""

import netCDF4
import numpy as np
import pytest

from nemo_layouts import REAL, mesh_variables, needs_real_files, ocean, write
from warmstart.engines.dino import wind_stress
from warmstart.engines.nemo.configuration import (
    DEGREE,
    _equation_of_state,
    is_package_equation,
    named,
    physics,
    settings,
)
from warmstart.engines.nemo.namelist import patch_namelist, read
from warmstart.engines.nemo.seawater import equation_of
from warmstart.errors import UserError
from warmstart.ocean.parameters import PARAMETERS, defaults, own

RUNS = REAL / "nemo_dino_runs_8deg"
CFG = """
!-----------------------------------------------------------------------
&namusr_def    !   User defined :   DINO configuration
!-----------------------------------------------------------------------
   rn_e1_deg            =      4.0        ! Resolution in degrees of longitude (Mercator grid)
      rn_ztau0          =    0.15         ! Magnitude of the wind forcing [Pa]
      rn_trp            =    -40.         ! Retroaction term (must be negative) on T*.
         rn_tstar_s     =    -0.5         ! Retroaction value on T at the southern boundary
         rn_tstar_n     =     5.0
         rn_tstar_eq    =     27.
      !rn_srp            =      0.         ! Restoring term (must be negative) on salinity.
      rn_srp            =     -3.858E-3
         rn_sstar_s     =     35.
         rn_sstar_n     =     35.1
         rn_sstar_eq    =     37.25
   ln_Iperio        =   .true.            ! i-periodicity
/
&namtra_ldf
      nn_aht_ijk_t    = 20
      rn_Ud        = 0.027
/
&namtra_eiv    !   eddy induced velocity param.                         (default: OFF)
   ln_ldfeiv   = .true.    ! use eddy induced velocity parameterization
      nn_aei_ijk_t    = 21          !  space/time variation of eddy coefficient:
      rn_Ue        = 0.03           !  lateral diffusive velocity [m/s]
      rn_Le        = 100.e+3        !  lateral diffusive length   [m]
/
&namzdf        !   vertical physics                                     (default: NO selection)
   rn_avm0     =    1.2e-4     !  vertical eddy viscosity   [m2/s]
/
"""
REF = "&namzdf rn_avm0 = 9.e-4, rn_avt0 = 1.2e-5 /\n&namtra_eiv ln_ldfeiv = .false. /\n"
STATE, GRID = ocean()


@pytest.fixture
def run(tmp_path):
    (tmp_path / "namelist_cfg").write_text(CFG)
    (tmp_path / "namelist_ref").write_text(REF)
    return tmp_path


def write_wind(path, south, north=0.1):
    """Output with DINO's wind, 0 on land as IOIPSL writes it."""
    latitude = GRID.gphit.values
    profile = wind_stress(latitude, {"wind_stress_south": south, "wind_stress_north": north})
    stress = np.where(GRID.tmask.values[0] > 0, profile, 0.0)[None].astype("float32")
    write(path, {"sozotaux": (("T", "y", "x"), stress)})
    with netCDF4.Dataset(path, "a") as nc:
        nc["nav_lat"][:] = latitude
    return path


def test_every_entry_of_dino_arrives_with_its_unit_and_sign_and_the_cfg_goes_before_the_ref(run):
    made = settings(run)
    assert made.values == {
        "wind_stress_south": 0.15,
        "restoring_temperature_south": -0.5, "restoring_temperature_north": 5.0, "restoring_temperature_equator": 27.0,
        "restoring_salinity_south": 35.0, "restoring_salinity_north": 35.1, "restoring_salinity_equator": 37.25,
        "heat_restoring": 40.0, "salt_restoring": 3.858e-3, "eddy_diffusivity": 1500.0,
        "vertical_viscosity": 1.2e-4, "vertical_diffusivity": 1.2e-5,
    }  # fmt: skip
    assert set(made.values) | set(made.unknown) == set(PARAMETERS) and not set(made.values) & set(
        made.unknown
    )
    assert "0.1 Pa" in made.unknown["wind_stress_north"]


def test_the_reference_values_of_the_table_are_dinos_where_its_own_group_has_them(run):
    assert len(settings(run).values) > 8
    (run / "namelist_cfg").write_text(CFG.replace("0.15", "0.2"))
    for name, value in settings(run).values.items():
        if PARAMETERS[name].namelist and PARAMETERS[name].namelist[0] == "namusr_def":
            assert value == defaults()[name]


def test_the_wind_of_the_output_decides_which_dino_it_was(run):
    assert "assumed" in settings(run).notes["wind_stress_south"]
    write_wind(run / "DINO_1m_grid_T.nc", 0.15, 0.12)
    made = settings(run)
    assert made.values["wind_stress_south"] == pytest.approx(0.15, abs=1e-6)
    assert made.values["wind_stress_north"] == pytest.approx(0.12, abs=1e-6)
    write_wind(run / "DINO_1m_grid_T.nc", 0.2)
    for place in (run, run / "namelist_cfg"):
        made = settings(place)
        assert made.values["wind_stress_south"] == pytest.approx(0.2, abs=1e-6), "DINO before July 2025"
        assert "rn_ztau0 = 0.15 is not used" in made.notes["wind_stress_south"]


def test_the_wind_is_found_by_the_latitudes_of_tracer_points_where_a_file_names_them_so(run):
    write_wind(run / "DINO_1m_grid_T.nc", 0.15, 0.12)
    with netCDF4.Dataset(run / "DINO_1m_grid_T.nc", "a") as nc:
        nc.renameVariable("nav_lat", "gphit")
    made = settings(run)
    assert made.values["wind_stress_north"] == pytest.approx(0.12, abs=1e-6)
    assert "assumed" not in made.notes["wind_stress_south"]


def test_a_namelist_that_was_changed_after_the_run_says_what_the_next_one_gets(run):
    write_wind(run / "DINO_1m_grid_T.nc", 0.3)
    assert settings(run).values["wind_stress_south"] == pytest.approx(0.3, abs=1e-6), "what it ran with"
    assert settings(run / "namelist_cfg").values["wind_stress_south"] == 0.15, "this DINO uses the entry"


def test_another_wind_than_dinos_is_no_parameter(run):
    path = write_wind(run / "DINO_1m_grid_T.nc", 0.2)
    with netCDF4.Dataset(path, "a") as nc:
        nc["sozotaux"][...] = nc["sozotaux"][...] * 1.5
    made = settings(run)
    assert (
        "wind_stress_south" not in made.values and "not DINO's profile" in made.unknown["wind_stress_south"]
    )
    path.unlink()
    (run / "namelist_cfg").write_text(CFG.replace("rn_e1_deg", "nn_forcingtype = 2, rn_e1_deg"))
    assert "nn_forcingtype = 2" in settings(run).unknown["wind_stress_south"]


@pytest.mark.parametrize(("said", "value"), [("0.2_wp", 0.2), ("rn_ztau0", 0.15)])
def test_the_source_beside_a_run_decides_where_there_is_no_output(run, said, value):
    folder = run / "EXP00"
    folder.mkdir()
    (folder / "namelist_cfg").write_text(CFG)
    (run / "MY_SRC").mkdir()
    (run / "MY_SRC" / "usrdef_sbc.F90").write_text(
        f"         znds_wnd_val    = (/0._wp, {said}, -0.1_wp, -0.02_wp, -0.1_wp, 0.1_wp, 0._wp /)\n"
    )
    made = settings(folder)
    assert made.values["wind_stress_south"] == value and "usrdef_sbc.F90" in made.notes["wind_stress_south"]


def test_nemo_4_0_knows_the_former_dino_alone(run):
    write(run / "mesh_mask.nc", mesh_variables(GRID, "4.0"), "4.0")
    made = settings(run)
    assert made.values["wind_stress_south"] == 0.2 and "4.0" in made.notes["wind_stress_south"]


def test_an_entry_that_is_missing_is_unknown(run):
    (run / "namelist_cfg").write_text(CFG.replace("rn_trp", "!rn_trp").replace("rn_ztau0", "!rn_ztau0"))
    made = settings(run)
    assert made.unknown["heat_restoring"] == "&namusr_def lacks rn_trp"
    assert made.unknown["wind_stress_south"] == "&namusr_def lacks rn_ztau0"


@pytest.mark.parametrize(
    ("old", "new", "lost", "why"),
    [
        ("-3.858E-3", "0.", ["salt_restoring", "restoring_salinity_north"], "salinity is not restored"),
        ("nn_aei_ijk_t    = 21", "nn_aei_ijk_t = -20", ["eddy_diffusivity"], "read from a file"),
        ("ln_ldfeiv   = .true.", "ln_ldfeiv = .false.", ["eddy_diffusivity"], "no eddy-induced velocity"),
        ("rn_avm0     =    1.2e-4", "rn_avm0 = 0.", ["vertical_viscosity"], "it is 0"),
    ],
)
def test_an_entry_that_says_nothing_about_the_run_gives_no_parameter(run, old, new, lost, why):
    (run / "namelist_cfg").write_text(CFG.replace(old, new))
    made = settings(run)
    for name in lost:
        assert name not in made.values and why in made.unknown[name]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.2e-4", "-1.2e-4"), ("1.2e-4", "NaN"), ("1.2e-4", "Infinity"), ("1.2e-4", "'a'"), ("1.2e-4", "1., 2."), ("-40.", "40."),
        ("0.03 ", "-0.03 "), ("0.15", "nan"), ("= 21", "= 'a'"), ("0.027", "inf"), ("27.", "nan"),
    ],
)  # fmt: skip
def test_numbers_that_nemo_does_not_run_with_are_refused(run, old, new):
    (run / "namelist_cfg").write_text(CFG.replace(old, new))
    with pytest.raises(UserError, match=r"expected a (finite|positive) number"):
        settings(run)


def test_eddies_by_the_grid_spacing_are_the_parameter_and_a_cap_says_that_it_is_one(run):
    assert "cap only" in settings(run).notes["eddy_diffusivity"]
    assert "6005 m2/s" in settings(run).notes["eddy_diffusivity"], "along isopycnals"
    (run / "namelist_cfg").write_text(
        CFG.replace("= 21", "= 20").replace("0.03 ", "0.0045 ").replace("0.027", "0.0045")
    )
    made = settings(run)
    assert (
        made.values["eddy_diffusivity"]
        == pytest.approx(0.0045 * 4 * DEGREE / 2)
        == pytest.approx(1000, rel=1e-3)
    )
    assert "eddy_diffusivity" not in made.notes


def test_any_entry_may_be_named_a_parameter_and_takes_the_place_of_the_tables(run):
    made = settings(run, name=[named("wind=namusr_def/rn_ztau0:Pa"), named("kappa=namzdf/rn_avt0:m2 s-1")])
    assert made.values["wind"] == 0.15 and made.described["wind"].units == "Pa"
    assert made.values["kappa"] == 1.2e-5 and "vertical_diffusivity" not in made.values
    assert "wind_stress_south" not in made.values and "wind_stress_south" not in made.notes
    for text, match in (
        ("wind", "expected name=group/entry"),
        ("heat_restoring=a/b", "choose another name"),
        ("a b=c/d", "no name"),
    ):
        with pytest.raises(UserError, match=match):
            named(text)
    with pytest.raises(UserError, match="&namusr_def has no rn_nothing, which parameter x names"):
        settings(run, name=[named("x=namusr_def/rn_nothing")])
    with pytest.raises(UserError, match=r"ln_Iperio|ln_iperio"):
        settings(run, name=[named("x=namusr_def/ln_Iperio")])


def test_a_run_may_say_its_parameters_itself(run):
    (run / "parameters.yaml").write_text("wind_stress_south: 0.3 Pa\nlevel: 3\nheat: 5 W m-2\n")
    made = settings(run)
    assert made.values["wind_stress_south"] == 0.3 and made.values["heat_restoring"] == 40.0
    assert made.values["level"] == 3.0 and made.described["heat"].units == "W m-2"
    (run / "namelist_cfg").unlink()
    alone = settings(run, required=False)
    assert alone.values == {"wind_stress_south": 0.3, "level": 3.0, "heat": 5.0}
    assert alone.unknown["heat_restoring"] == "the run has no namelist_cfg" and "unknown" in alone.equation
    with pytest.raises(UserError, match="does not exist"):
        settings(run)
    (run / "parameters.yaml").write_text("level: high\n")
    with pytest.raises(UserError, match=r"parameters.yaml: level: 'high' is not a number"):
        settings(run, required=False)


def test_the_equation_of_state_is_said_with_its_numbers():
    seos = {"ln_seos": True, "rn_a0": 0.165, "rn_b0": 0.76554, "rn_lambda1": 0.06, "rn_lambda2": 0.0, "rn_mu1": 1.497e-4,
            "rn_mu2": 0.0, "rn_nu": 0.0}  # fmt: skip
    assert is_package_equation(_equation_of_state({"nameos": seos}))
    other = _equation_of_state({"nameos": seos | {"rn_lambda1": 0.05952}})
    assert "rn_lambda1 0.05952" in other and not is_package_equation(other)
    assert _equation_of_state({"nameos": {"ln_eos80": True}}).startswith("EOS-80")
    assert _equation_of_state({"nameos": {"nn_eos": -1}}).startswith("TEOS-10")
    assert _equation_of_state({}).startswith("unknown")
    with pytest.raises(UserError, match="NEMO takes one"):
        _equation_of_state({"nameos": {"ln_eos80": True, "ln_seos": True}})


def test_the_physics_of_a_state_set_in_a_namelist_are_the_parameters_that_are_read_from_it(run):
    values = defaults() | {"wind_stress_south": 0.31, "eddy_diffusivity": 700.0, "salt_restoring": 5e-3}
    made = physics(values, {}, 4 * DEGREE, read(run), run)
    patch_namelist(run / "namelist_cfg", run / "copy", made.entries)
    again = settings(run / "copy")
    for name, value in again.values.items():
        assert value == pytest.approx(values[name], rel=1e-6), name
    assert not physics(values, {}, 4 * DEGREE, read(run / "copy"), run).differs
    assert set(made.differs) == {
        "wind_stress_south", "vertical_diffusivity", "vertical_viscosity", "eddy_diffusivity", "salt_restoring",
    }  # fmt: skip
    assert made.differs["vertical_viscosity"] == (
        "the state has 0.0002, the namelist has 0.00012; set: &namzdf rn_avm0 = 0.0002"
    )
    assert set(made.missing) == {"bottom_drag", "lateral_viscosity_factor"}, (
        "the seasons are those of DINO's source"
    )
    assert "wind_stress_north" in physics({"wind_stress_north": 0.15}, {}, 4e5).missing


def test_a_dino_that_ignores_the_wind_entry_is_not_said_to_be_set(run):
    write_wind(run / "DINO_1m_grid_T.nc", 0.2)
    made = physics({"wind_stress_south": 0.3}, {}, 4e5, read(run), run)
    assert "rn_ztau0 is not used" in made.missing["wind_stress_south"]


def test_a_parameter_of_the_users_own_goes_back_to_its_entry(run):
    mine = {"wind": own("wind", "Pa", namelist=("namusr_def", "rn_ztau0")), "level": own("level")}
    made = physics({"wind": 0.3, "level": 2.0}, mine, 4e5, read(run), run)
    assert (
        made.entries == {"namusr_def": {"rn_ztau0": 0.3}}
        and "wind" in made.differs
        and "level" in made.missing
    )


@needs_real_files
@pytest.mark.parametrize(
    ("run", "stress", "north", "cap"),
    [("a", 0.1, 3.0, 1000.0), ("b", 0.2, 5.0, 1500.0), ("c", 0.3, 1.0, 2000.0)],
)
def test_real_runs_of_dino_have_the_wind_that_was_asked_of_them(run, stress, north, cap):
    made = settings(RUNS / f"run_{run}")
    assert made.values["wind_stress_south"] == stress and made.values["wind_stress_north"] == 0.1
    assert made.values["restoring_temperature_north"] == north and made.values["eddy_diffusivity"] == cap
    assert "from the wind stress" in made.notes["wind_stress_south"] and is_package_equation(made.equation)


@needs_real_files
def test_the_former_dino_shows_in_its_real_output(tmp_path):
    (tmp_path / "namelist_cfg").write_text("&namusr_def rn_ztau0 = 0.1 /")
    for path in (REAL / "nemo_dino" / "v42_4deg_leapfrog").glob("*grid_U*"):
        (tmp_path / path.name).symlink_to(path)
    assert settings(tmp_path).values["wind_stress_south"] == 0.2


@pytest.mark.parametrize(
    ("entries", "equation"),
    [
        ("ln_teos10 = .true.", "teos10"),
        ("ln_eos80 = .true., ln_seos = .false.", "eos80"),
        ("ln_seos = .true., nn_eos = -1", "seos"),
        ("nn_eos = -1", "teos10"),
        ("nn_eos = 0", "eos80"),
        ("nn_eos = 1", "seos"),
        ("nn_eos = 2", None),
        ("ln_teos10 = .true., ln_seos = .true.", None),
        ("rn_a0 = 0.1655", None),
    ],
)
def test_the_equation_of_state_is_the_one_switch_that_is_on_or_the_number_of_3_6(tmp_path, entries, equation):
    assert equation_of(tmp_path) is None
    path = tmp_path / "namelist_cfg"
    path.write_text(f"&nameos\n {entries}\n/\n")
    assert equation_of(tmp_path) == equation_of(path) == equation
