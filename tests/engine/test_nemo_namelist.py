"""Parameters from namelists: what the entries say, and nothing else."""

import pytest

from warmstart.engine.nemo.namelist import parameters, read
from warmstart.errors import UserError
from warmstart.parameters import PARAMETERS, defaults

CFG = """
!-----------------------------------------------------------------------
&namusr_def    !   User defined :   DINO configuration
!-----------------------------------------------------------------------
   rn_e1_deg            =      1.0        ! Resolution in degrees of longitude (Mercator grid)
      rn_ztau0          =    0.1          ! Magnitude of the wind forcing [Pa]
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
&namsbc_flx    !   surface boundary condition : flux formulation        (ln_flx =T)
   cn_dir      = './'      !  root directory for the fluxes data location
   sn_emp      = 'emp_1deg'              ,        -1         ,  'emp'    , .true.      , .true. , 'yearly'  , ''               , ''       , ''
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


@pytest.fixture
def run(tmp_path):
    (tmp_path / "namelist_cfg").write_text(CFG)
    (tmp_path / "namelist_ref").write_text(REF)
    return tmp_path


def test_every_entry_of_dino_arrives_with_its_unit_and_sign_and_the_cfg_goes_before_the_ref(run):
    values, unknown = parameters(run)
    assert values == {
        "restoring_temperature_south": -0.5, "restoring_temperature_north": 5.0, "restoring_temperature_equator": 27.0,
        "restoring_salinity_south": 35.0, "restoring_salinity_north": 35.1, "restoring_salinity_equator": 37.25,
        "heat_restoring": 40.0, "salt_restoring": 3.858e-3, "eddy_diffusivity": 1500.0,
        "vertical_viscosity": 1.2e-4, "vertical_diffusivity": 1.2e-5,
    }  # fmt: skip
    assert values | unknown == {**values, **unknown} and set(values) | set(unknown) == set(PARAMETERS)
    assert all(unknown[n] == "NEMO's DINO has no namelist entry for it" for n in unknown)


def test_the_reference_values_of_the_table_are_those_of_dino(run):
    values, _ = parameters(run)
    for name in values:
        if PARAMETERS[name].namelist[0] == "namusr_def":
            assert values[name] == defaults()[name]


def test_an_entry_that_is_missing_is_unknown_and_refused_where_it_is_needed(run):
    (run / "namelist_cfg").write_text(CFG.replace("rn_trp", "!rn_trp"))
    values, unknown = parameters(run)
    assert "heat_restoring" not in values and unknown["heat_restoring"] == "&namusr_def lacks rn_trp"
    with pytest.raises(UserError, match=r"&namusr_def lacks rn_trp \(heat_restoring\); add the entries"):
        parameters(run, required=True)


@pytest.mark.parametrize(
    ("old", "new", "lost", "why"),
    [
        ("-3.858E-3", "0.", ["salt_restoring", "restoring_salinity_north"], "salinity is not restored"),
        ("nn_aei_ijk_t    = 21", "nn_aei_ijk_t = 20", ["eddy_diffusivity"], "varies with the grid"),
        ("ln_ldfeiv   = .true.", "ln_ldfeiv = .false.", ["eddy_diffusivity"], "no eddy-induced velocity"),
        ("rn_trp            =    -40.", "rn_trp = 'x'", ["heat_restoring"], "is no number"),
    ],
)
def test_an_entry_that_says_nothing_about_the_run_gives_no_parameter(run, old, new, lost, why):
    (run / "namelist_cfg").write_text(CFG.replace(old, new))
    values, unknown = parameters(run)
    for name in lost:
        assert name not in values and why in unknown[name]


def test_missing_and_damaged_namelists_are_named(tmp_path):
    with pytest.raises(UserError, match="namelist_cfg does not exist"):
        read(tmp_path)
    (tmp_path / "namelist_cfg").write_text("this is no namelist")
    with pytest.raises(UserError, match="namelist_cfg is no namelist"):
        read(tmp_path)
