"""A mistake or a damaged file is a sentence, wherever it shows: on opening, on reading, in a unit, in a table, without an extra."""

import subprocess
import sys

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr

import warmstart as ws
from nemo_layouts import mesh_variables, ocean, write, write_output
from test_cli import run
from warmstart import cli
from warmstart.errors import LONGEST, UserError, require_path
from warmstart.io import files
from warmstart.io.config import parse_yaml, read_yaml
from warmstart.ocean.basin import basin
from warmstart.ocean.parameters import parse
from warmstart.scores.metric_table import COLUMNS, read_metrics
from warmstart.verbs.check import check
from warmstart.verbs.info import info

STATE, GRID = basin(nx=10, ny=16, nz=6)


@pytest.fixture
def states(tmp_path):
    return files.write_dataset(tmp_path / "states.nc", STATE, GRID)


def zero_chunks(path, name):
    """Damage the compressed values of one variable, none of the structure: what is wrong shows when they are read."""
    import h5py

    with h5py.File(path) as file:
        data = file[name]
        places = [data.id.get_chunk_info(i) for i in range(data.id.get_num_chunks())]
    content = bytearray(path.read_bytes())
    for place in places:
        content[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)


def test_a_damaged_chunk_is_named_when_it_is_read(states):
    zero_chunks(states, "thetao")
    with (
        files.open_dataset(states) as ds,
        pytest.raises(UserError, match=r"cannot read thetao of .*states\.nc"),
    ):
        ds["thetao"].load()
    with files.open_dataset(states) as ds:
        assert ds["so"].load().equals(STATE.so)
    for use in (check, info, lambda path: ws.report([path], path.with_name("page.html"))):
        with pytest.raises(UserError, match=r"cannot read thetao of .*states\.nc"):
            use(states)


def test_a_damaged_chunk_of_nemo_is_named_when_it_is_read(tmp_path):
    sea, mesh = ocean()
    write(tmp_path / "mesh_mask.nc", mesh_variables(mesh))
    fields = {n: np.nan_to_num(sea[v].values)[None] for n, v in (("toce", "thetao"), ("soce", "so"))}
    plain = write_output(tmp_path / "plain.nc", fields, np.array([30.0]), 30.0, calendar="360_day",
                         units={"toce": "degC", "soce": "1e-3"})  # fmt: skip
    packed = tmp_path / "DINO_1m_grid_T.nc"
    with xr.open_dataset(plain, decode_times=False) as ds:
        ds.to_netcdf(packed, encoding={"soce": {"zlib": True}})
    zero_chunks(packed, "soce")
    with pytest.raises(UserError, match=r"cannot read soce of .*grid_T\.nc"), ws.open_state(packed) as ds:
        ds.load()


def test_a_damaged_or_missing_part_of_a_store_is_named(tmp_path):
    path = tmp_path / "store.zarr"
    STATE.expand_dims("sample").to_zarr(path, consolidated=False)
    GRID.ds.to_zarr(path, group="grid", mode="a", consolidated=False)
    next(p for p in (path / "thetao").rglob("*") if p.is_file() and p.name != "zarr.json").write_bytes(
        b"no zstd"
    )
    with pytest.raises(UserError, match=r"cannot read thetao of .*store\.zarr"):
        files.open_dataset(path)["thetao"].load()
    (path / "so" / "zarr.json").write_text("[" * 5000)
    with pytest.raises(UserError, match="cannot read"):
        files.open_dataset(path)


def test_a_file_that_declares_more_than_it_holds_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "huge.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("z", 10**6)
        nc.createDimension("x", 10**6)
        nc.createVariable("thetao", "f8", ("z", "x"), zlib=True)
    with files.open_dataset(path) as ds, pytest.raises(UserError, match="more than the file can hold"):
        ds["thetao"].load()
    with netCDF4.Dataset(path, "a") as nc:
        nc.createDimension("time", 2 * 10**9)
        nc.createVariable("time", "f8", ("time",), zlib=True)
    with pytest.raises(UserError, match="more than the file can hold"):
        files.open_dataset(path)
    (tmp_path / "zarr").mkdir()
    zarr.create_array(tmp_path / "zarr", name="thetao", shape=(10**6, 10**6), chunks=(1000, 1000), dtype="f8",
                      dimension_names=("z", "x"))  # fmt: skip
    zarr.open_group(tmp_path / "zarr", mode="a")
    with pytest.raises(UserError, match="more than the file can hold"):
        files.open_dataset(tmp_path / "zarr")["thetao"].load()


def rewritten(path, change):
    with netCDF4.Dataset(path, "a") as nc:
        change(nc)
    return path


def test_text_where_numbers_belong_and_odd_attributes_are_said(tmp_path, states):
    def attributes(nc):
        nc["thetao"].units = np.array([1, 2], "i4")
        nc["so"].setncattr("long_name", 3)

    with pytest.raises(UserError, match=r"thetao .*\[1 2\]"):
        check(rewritten(states, attributes))

    def scale(nc):
        nc["thetao"].units = "degC"
        nc["thetao"].scale_factor = "ten"

    with pytest.raises(UserError, match="cannot read"):
        check(rewritten(states, scale))
    text = tmp_path / "text.nc"
    with netCDF4.Dataset(text, "w") as nc:
        for name, size in zip("zyx", GRID.shape, strict=True):
            nc.createDimension(name, size)
        nc.createVariable("thetao", "S1", ("z", "y", "x"))[:] = b"w"
    with pytest.raises(UserError, match="thetao holds text; expected numbers"):
        check(text, GRID)


@pytest.mark.parametrize(
    "text",
    ["0.3 Pa +", "0.3 {}", "0.3 Pa**0", "0.3 Pa**(1/0)", "0.3 Pa**Pa", "0.3 2**2**2**2**2", "0.3 (Pa", "0.3 Pa**99999", "0.3 lambda", "9" * 5000,
     "0.3 Pa" + " Pa" * 999, "0.3 __import__", "0.3\0Pa", "0.3 Pa;Pa", "0.3" + " " * 4000 + "m", "1e999"],
)  # fmt: skip
def test_what_is_no_product_of_units_is_refused(text):
    with pytest.raises(UserError, match="wind_stress_south") as caught:
        parse(text, "wind_stress_south")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [("0.3 N m-2", "wind_stress_south", 0.3), ("0.3 N/m**2", "wind_stress_south", 0.3), ("3 dyn/cm2", "wind_stress_south", 0.3), ("0.3 kg/m/s2", "wind_stress_south", 0.3),
     ("0.3 N·m⁻²", "wind_stress_south", 0.3), ("0.3 kg (m s2)-1", "wind_stress_south", 0.3), ("40 W/(m2 K)", "heat_restoring", 40.0), ("40 W m^-2 K^-1", "heat_restoring", 40.0),
     ("3e-6 1/s", "bottom_drag", 3e-6), ("3e-6 /s", "bottom_drag", 3e-6), ("0.2 cm²/s", "vertical_diffusivity", 2e-5), ("5 °C", "restoring_temperature_north", 5.0),
     ("  0.3   Pa  ", "wind_stress_south", 0.3), ("0.3" + " " * 90 + "Pa", "wind_stress_south", 0.3)],
)  # fmt: skip
def test_units_in_every_usual_spelling_convert(text, name, value):
    assert parse(text, name) == pytest.approx(value, rel=1e-12)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: " + "[" * 5000, "nested deeper"), ("a: " + "{b: " * 60 + "1" + "}" * 60, "nested deeper"), (BOMB, "values"), ("a: &a [*a]", "holds itself"), ("a: 1" + "0" * 30, "too large"),
     ("a: 9223372036854775808", "too large"), ("a: " + "9" * 5000, "is not valid"), ('a: "\\0"', "NUL"), ("a: " + "x" * 200_000, "a text of"), ("a: 2001-13-45", "month"),
        ("a: !!timestamp x", "not valid"),
     ("a: !!python/object/apply:os.system [ls]", "python"), ("? {b: 1}\n: 2", "unhashable"), ("a: b: c", "not valid"), ("# x\n" * 2_000_000, "characters")],
    ids=str,
)  # fmt: skip
def test_yaml_that_nobody_means_is_refused_in_a_short_sentence(text, words):
    with pytest.raises(UserError, match=words) as caught:
        parse_yaml(text, "plan.yaml")
    assert len(str(caught.value)) < 600


def test_yaml_may_use_aliases_and_the_largest_numbers(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {b: 9223372036854775807}\nc: [*a, *a]\n")
    assert read_yaml(path) == {"a": {"b": 2**63 - 1}, "c": [{"b": 2**63 - 1}] * 2}


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [("value", "abc", "value is 'abc'; expected a number"), ("sample", "zero", "sample is 'zero'"), ("sample", "9" * 40, "sample is"), ("verdict", "GREAT", "'GREAT' is no verdict"),
     ("hard", "perhaps", "hard is 'perhaps'"), ("reference_low", "low", "reference_low is 'low'")],
)  # fmt: skip
def test_a_table_of_metrics_with_an_odd_cell_names_it(tmp_path, column, cell, words):
    path = tmp_path / "metrics.csv"
    check(STATE, GRID, only=["inversions", "heat_content"], output=path)
    good = read_metrics(path)
    lines = path.read_text().splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith(f"{COLUMNS[0]},"))
    cells = lines[head + 1].split(",")
    cells[lines[head].split(",").index(column)] = cell
    lines[head + 1] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=words):
        read_metrics(path)
    assert good.verdict.tolist() == check(STATE, GRID, only=["inversions", "heat_content"]).verdict.tolist()


@pytest.mark.parametrize(
    "path", ["a" * 300, "b/" + "a" * 300 + "/c", "/".join(["a" * 200] * 30), "a\0b", "\ud800"]
)
def test_what_cannot_be_a_path_is_refused_by_every_door(path):
    for use in (require_path, files.open_dataset, ws.open_state, ws.open_grid, check, info, read_yaml, read_metrics, ws.load,
                lambda p: ws.restart(p, "out"), lambda p: ws.report([p], "out.html"), lambda p: ws.dataset(p, "out.zarr"),
                lambda p: check(STATE, GRID, thresholds=p), lambda p: check(STATE, GRID, reference=p)):  # fmt: skip
        with pytest.raises(UserError) as caught:
            use(path)
        assert len(str(caught.value)) < 700


def test_a_message_is_never_longer_than_a_screen():
    assert len(str(UserError("x" * 10**7))) <= LONGEST
    assert str(UserError("a\x1b[31m\0b\nc")) == "a\\x1b[31m\\x00b\nc"


@pytest.mark.parametrize("given", [["wind_stress_south"], "wind_stress_south=0.3", 3, [0.3]], ids=str)
def test_parameters_that_are_no_mapping_are_refused(given):
    with pytest.raises(UserError, match="expected names with values"):
        ws.generate("no-such-generator", given)


BLOCKED = """
import importlib.machinery, sys
found = importlib.machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in {blocked!r} else found(name, path, target)
importlib.machinery.PathFinder.find_spec = find_spec
sys.argv = ["warmstart", *{args!r}]
from warmstart import cli
cli.main()
"""
EXTRAS = {
    "generator": ("torch", "azula", "safetensors"), "report": ("matplotlib", "cmocean", "jinja2", "markupsafe", "markdown_it"),
    "veros": ("veros", "jax", "jaxlib", "dask", "distributed", "h5netcdf"), "teos10": ("gsw",),
}  # fmt: skip
VERBS = {
    "simulate": ("veros", ["simulate", "plan.yaml", "-o", "out"]), "train": ("generator", ["train", "store.zarr", "train.yaml", "-o", "out"]),
    "generate": ("generator", ["generate", "dino-4deg", "-o", "out.nc"]), "verify": ("veros", ["verify", "restarts", "-o", "out.nc"]),
    "report": ("report", ["report", "states.nc", "-o", "out.html"]), "demo": ("generator", ["demo", "-o", "out"]), "plan": ("generator", ["plan", "train.yaml"]),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_core_install_says_which_extra_a_verb_needs(verb, tmp_path, states):
    extra, args = VERBS[verb]
    (tmp_path / "plan.yaml").write_text(
        "configuration: {resolution: 10, levels: 6}\nmembers: 1\nseed: 1\nyears: 300\n"
    )
    (tmp_path / "train.yaml").write_text("shape: [6, 16, 10]\n")
    before = sorted(p.name for p in tmp_path.iterdir())
    script = BLOCKED.format(blocked={n for names in EXTRAS.values() for n in names}, args=args)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert f"pip install 'warmstart[{extra}]'" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_core_install_checks_and_describes(tmp_path, states):
    blocked = {n for names in EXTRAS.values() for n in names}
    for args in (["check", "states.nc", "-o", "out.csv"], ["info", "states.nc"]):
        script = BLOCKED.format(blocked=blocked, args=args)
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr


def test_a_fault_of_the_program_has_an_exit_code_of_its_own_and_a_traceback_on_request(monkeypatch, capsys):
    def broken(path):
        raise KeyError("of the program")

    monkeypatch.setattr("warmstart.verbs.info.info", broken)
    code, _, err = run(monkeypatch, capsys, "info", "x.nc")
    assert (
        code == cli.UNEXPECTED == 70
        and "fault of warmstart" in err
        and "Traceback" not in err
        and err.count("\n") == 1
    )
    monkeypatch.setenv(cli.DEBUG, "1")
    code, _, err = run(monkeypatch, capsys, "info", "x.nc")
    assert code == 70 and "Traceback" in err


def test_a_heap_that_would_be_read_for_ever_is_refused(states):
    """References of a NetCDF-4 file lie in a heap; where its objects are zeros, the library goes round in it for ever."""
    content = bytearray(states.read_bytes())
    heap = content.find(b"GCOL\x01")
    content[heap + 16 : heap + 1024] = bytes(1008)
    states.write_bytes(content)
    for use in (files.open_dataset, info, check):
        with pytest.raises(UserError, match="a table of references in it is overwritten"):
            use(states)


def test_a_mesh_with_holes_is_refused_by_name(tmp_path, states):
    def holes(nc):
        nc["grid"]["gphit"][2, 3] = np.nan

    with pytest.raises(UserError, match="the mesh variable gphit is no length or place at 1 points"):
        check(rewritten(states, holes))
