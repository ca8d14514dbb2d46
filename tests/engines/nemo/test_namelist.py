"""Fortran namelists as NEMO reads them, and copies with entries set."""

import f90nml
import pytest

from nemo_layouts import REAL, needs_real_files
from warmstart.engines.nemo.namelist import number, patch_namelist, read, read_namelist
from warmstart.errors import UserError

RUNS = REAL / "nemo_dino_runs_8deg"


def namelist(tmp_path, text, name="namelist_cfg"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_of_two_groups_of_one_name_the_first_counts_and_keeps_all_its_entries(tmp_path):
    path = namelist(tmp_path, "&a x = 1, y = 2 /\n&b z = 3 /\n&A x = 9, w = 4 /\n")
    assert read_namelist(path) == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}


def test_a_byte_order_mark_carriage_returns_and_tabs_lose_nothing(tmp_path):
    path = namelist(
        tmp_path, b"\xef\xbb\xbf&namdom\r\n\trn_Dt\t=\t5400.\t! step\r\n/\r\n&namrun nn_it000 = 1 /\r\n"
    )
    assert read_namelist(path) == {"namdom": {"rn_dt": 5400.0}, "namrun": {"nn_it000": 1}}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.5D-3", 1.5e-3), ("100.e+3", 1e5), (".5", 0.5), ("-5.", -5.0), ("2.5-3", 2.5e-3), ("+7", 7), ("1.E2", 100.0),
        (".TRUE.", True), (".f.", False), ("T", True), ("false", False), (".t", True),
        ("'it''s / & ! x'", "it's / & ! x"), ('"a ""b"""', 'a "b"'), ("''", ""),
        ("2*0.5, 3", [0.5, 0.5, 3]), ("1 2\n   3", [1, 2, 3]), ("'a', -1, .true., ''", ["a", -1, True, ""]),
        ("(1,2)", "(1,2)"), ("-inf", float("-inf")),
    ],
)  # fmt: skip
def test_every_form_of_a_value_is_read_as_fortran_does(tmp_path, written, value):
    path = namelist(
        tmp_path, f"&g ! a comment with a / and a ' in it\n  X = {written} ! and 'another / one\n  y = 1\n/\n"
    )
    found = read_namelist(path)["g"]
    assert found == {"x": value, "y": 1} and type(found["x"]) is type(value)


def test_the_last_value_of_an_entry_counts_and_no_value_changes_nothing(tmp_path):
    path = namelist(tmp_path, "&g x = 1, x = 2, y = , z = 3*, sn_cfctl%l_run = .true., a(2) = 5 /")
    assert read_namelist(path) == {"g": {"x": 2, "sn_cfctl%l_run": True, "a(2)": 5}}


def test_the_cfg_goes_before_the_ref_and_the_users_own_group_is_that_of_the_cfg_alone(tmp_path):
    namelist(
        tmp_path,
        "&namzdf rn_avm0 = 9., rn_avt0 = 1.2e-5 /\n&namusr_def rn_trp = -1., rn_srp = -2. /",
        "namelist_ref",
    )
    namelist(tmp_path, "&NAMZDF RN_AVM0 = 1.2e-4 /\n&namusr_def rn_trp = -40. /")
    assert read(tmp_path) == {
        "namzdf": {"rn_avm0": 1.2e-4, "rn_avt0": 1.2e-5},
        "namusr_def": {"rn_trp": -40.0},
    }


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("this is no namelist", "no &group"), ("", "no &group"), ("! &namrun is commented out /", "no &group"),
        ("&g\n x = 'open\n/\n", "line 2: a quote that is not closed"), ("&g\n x = 1\n", "line 1: &g is not ended"),
        ("&g x = 1\n&h y = 2 /", "&g is not ended"), ("&g\n 40 /", "line 2: expected an entry"),
        ("\n&g\n x = 1\n", "line 2: &g is not ended"),
        ("&g x = 999999*1 /", "more than"), ("&g = /", "expected an entry"),
    ],
)  # fmt: skip
def test_what_nemo_could_not_read_is_refused_with_its_line(tmp_path, text, match):
    path = namelist(tmp_path, text)
    with pytest.raises(UserError, match=match):
        read_namelist(path)


def test_a_missing_namelist_is_named(tmp_path):
    with pytest.raises(UserError, match="namelist_cfg does not exist"):
        read(tmp_path)


def test_long_blanks_and_many_comments_take_no_time(tmp_path):
    blank = " " * 4000
    text = "! a comment\n" * 200_000 + f"&g x ={blank}1{blank},{blank}y{blank}={blank}'a'{blank}/"
    assert read_namelist(namelist(tmp_path, text)) == {"g": {"x": 1, "y": "a"}}


def test_numbers_are_finite_numbers():
    groups = {"g": {"a": 1, "b": True, "c": "x", "d": float("nan"), "e": [1, 2]}}
    assert number(groups, "g", "zz", "A") == 1.0 and number(groups, "g", "zz") is None
    for name in "bcde":
        with pytest.raises(UserError, match=f"&g {name} = .*: expected a finite number"):
            number(groups, "g", name)


def test_a_patched_copy_differs_in_the_values_that_were_set_and_in_nothing_else(tmp_path):
    text = (
        "\ufeff! Mod\u00e8le\r\n&namrun   ! parameters\r\n   nn_it000 = 1   ! first\r\n   cn_exp='it''s', nn_it000 = 2\r\n/\r\n"
        "&namrun nn_it000 = 9 /\r\n&one x = 1 /"
    )
    path = namelist(tmp_path, text.encode() + b"! \xe9\n")  # a comment in Latin-1
    patch_namelist(
        path,
        tmp_path / "copy",
        {"namrun": {"nn_it000": 77, "nn_date0": 10701}, "one": {"y": True}, "new": {"z": "a"}},
    )
    new = (tmp_path / "copy").read_bytes()
    expected = text.replace("nn_it000 = 2\r\n/", "nn_it000 = 77\r\n   nn_date0 = 10701\n/").replace(
        "x = 1 /", "x = 1 \n   y = .true.\n/"
    )
    assert new == expected.encode() + b"! \xe9\n" + b'\n&new\n   z = "a"\n/\n'
    assert read_namelist(tmp_path / "copy")["namrun"] == {"nn_it000": 77, "cn_exp": "it's", "nn_date0": 10701}


def test_a_value_that_is_missing_is_put_in_its_place(tmp_path):
    patch_namelist(namelist(tmp_path, "&g x =\n y = 2 /"), tmp_path / "copy", {"g": {"X": 1.5}})
    assert (tmp_path / "copy").read_text() == "&g x = 1.5\n y = 2 /"


@needs_real_files
@pytest.mark.parametrize("name", ["namelist_cfg", "namelist_ref"])
def test_the_namelists_of_a_real_run_are_read_as_another_parser_reads_them(tmp_path, name):
    path = RUNS / "run_a" / name
    mine, other = read_namelist(path), f90nml.read(path)
    checked = 0
    for group, entries in other.items():
        for entry, value in entries.items():
            if entry in mine[group]:
                assert mine[group][entry] == value
                checked += 1
    assert checked > (600 if name == "namelist_ref" else 100)
    patch_namelist(path, tmp_path / "copy", {"namrun": {"nn_it000": 77}})
    assert f90nml.read(tmp_path / "copy")["namrun"]["nn_it000"] == 77


def test_a_copy_is_not_written_over_a_folder_nor_over_the_original(tmp_path):
    path = namelist(tmp_path, "&namrun\n nn_it000 = 1\n/\n")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", path):
        with pytest.raises(UserError):
            patch_namelist(path, target, {"nn_it000": 2})
    assert read_namelist(path)["namrun"]["nn_it000"] == 1 and not list((tmp_path / "folder").iterdir())


def test_a_copy_takes_the_place_of_no_folder_although_the_product_made_it(tmp_path):
    path = namelist(tmp_path, "&namrun\n nn_it000 = 1\n/\n")
    with pytest.raises(UserError, match="is a folder, and a file is to be written"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / ".warmstart").write_text("made by warmstart\n")
        patch_namelist(path, tmp_path / "made", {"namrun": {"nn_it000": 2}})
