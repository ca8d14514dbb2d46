"""What is tried: for each reader the files it gets, what is done to them, and the commands that read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .sandbox import Input

#: Text that is no unit, no name, no number.
TEXT = st.one_of(
    st.sampled_from([
        "", " ", "\0", "a" * 300, "ü\u202e\u2028", "nan", "inf", "-", "1e999", "abc", "0,1", '"', "'", "%40", "\\", "{}", "[]",
        "None", "true", "../..", "~", "$HOME", "a\nb", "\x1b[31m", "GREAT", "zero", "1 2", "1e-3", "K", "m/s", "degC", "%", "\ud800",
    ]),
    st.text(max_size=12),
)  # fmt: skip
PLAIN = TEXT.filter(lambda s: "\0" not in s and not any("\ud800" <= c <= "\udfff" for c in s))
#: What YAML and JSON may hold where something else is expected.
VALUES = st.one_of(
    st.sampled_from([
        None, True, False, 0, 1, -1, 10**30, 2**63, 2**64, -(2**63) - 1, 1e308, float("inf"), float("nan"), 1e-320, 0.5, [], {},
        [[]], [1, 2], {"a": 1}, {"a": {"b": [1]}}, "2000-01-01", [None], ["a"] * 50, [0.4, 0.05], ["0.05 Pa", "0.4 Pa"], 10**5, "rest",
        "nearest", "predicted", "equilibrium", ["x", 1], "\0", "a" * 300, -5, 3.7, "1e400", [1e308, -1e308], {1: 2}, {None: 1},
    ]),
    st.integers(), st.floats(), PLAIN,
)  # fmt: skip
NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 3, 1e30, -1e30, float("nan"), float("inf"), 273.15, 1e-30, 99999999.0, 10000101.0]
)
PLACE = st.floats(0, 1, exclude_max=True)


def _bytes(kinds: tuple[str, ...]) -> st.SearchStrategy[tuple[str, float, Any]]:
    one = [
        st.tuples(st.sampled_from([f"{k} flip" for k in kinds]), PLACE, st.integers(0, 7)),
        st.tuples(st.sampled_from([f"{k} set" for k in kinds]), PLACE, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just(f"{kinds[0]} cut"), PLACE, st.none()),
        st.tuples(st.sampled_from([f"{k} zero" for k in kinds]), PLACE, st.sampled_from([1, 4, 8, 64, 512, 4096])),
        st.tuples(st.just(f"{kinds[0]} insert"), PLACE, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just(f"{kinds[0]} drop"), PLACE, st.sampled_from([1, 4, 8, 64, 512])),
    ]  # fmt: skip
    return st.one_of(*one)


BINARY = st.lists(_bytes(("any", "head", "meta", "meta")), min_size=1, max_size=4).map(tuple)
WHOLE = st.sampled_from(
    [
        b"",
        b"\0",
        b"CDF\x01",
        b"\x89HDF\r\n\x1a\n",
        b"\x1f\x8b",
        b"<html>",
        b"CDF\x05" + b"\xff" * 60,
        b"\xff" * 999,
    ]
)


def damaged(path: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """Bytes of a binary file changed, cut off, packed, replaced."""
    return st.one_of(
        st.tuples(st.just("change"), st.just(path), BINARY),
        st.tuples(st.just("change"), st.just(path), BINARY),
        st.tuples(st.just("change"), st.just(path), BINARY),
        st.tuples(st.just("write"), st.just(path), st.one_of(WHOLE, st.binary(max_size=200))),
        st.tuples(st.just("pack"), st.just(path), st.sampled_from([0.3, 0.9, 1.0])),
        st.tuples(st.just("folder"), st.just(path)),
    )


UNITS = st.sampled_from([
    "months since 2000-01-01", "hour since 0000-01-01", "years since 0001-01-01", "days since 0000-00-00", "days since", "since",
    "seconds since 1-1-1", "fortnights since 1900-01-01", "days since 99999999-01-01", "day as %Y%m%d.%f", "seconds since 0001-01-01",
    "common_years since 1-1-1", "K", "degF", "m", "1", "", "%", "psu", "celsius", "kelvin", "Celsius * 2", "days since 2000-02-30",
    "days since -4000-01-01", "microseconds since 1850-01-01", "a" * 5000, "\0", "K\0",
])  # fmt: skip
ATTRIBUTE = st.one_of(
    st.tuples(st.just("units"), st.one_of(UNITS, PLAIN)),
    st.tuples(st.sampled_from(["scale_factor", "add_offset", "_FillValue", "missing_value", "valid_range"]),
              st.one_of(PLAIN, NUMBERS, st.just(np.array([1.0, 2.0])), st.just(0))),
    st.tuples(st.sampled_from(["calendar", "bounds", "cell_methods", "coordinates", "online_operation", "dtype", "long_name", "standard_name",
                               "grid_mapping", "ancillary_variables", "_Unsigned", "units_metadata", "role", "positive"]),
              st.one_of(PLAIN, st.sampled_from(["360_day", "360d", "none", "proleptic_gregorian", "julian", "thetao", "bool", "time: mean",
                                                "timedelta64[ns]", "true"]),
                        NUMBERS, st.just(np.array([1, 2, 3], "i4")), st.just(["a", "b"]))),
    st.tuples(st.just("units"), st.one_of(NUMBERS, st.just(np.array([1, 2], "i4")), st.just(["degC", "K"]))),
)  # fmt: skip
GLOBALS = st.tuples(
    st.sampled_from([
        "member", "warmstart_version", "for_other_tools", "DOMAIN_number_total", "DOMAIN_number", "DOMAIN_size_global", "CfgName",
        "DOMAIN_position_first", "DOMAIN_halo_size_start", "generator", "seed", "periodic_x", "resolution", "configuration", "verdict", "member_format",
        "parameter_ranges", "skipped", "config_hash", "command", "created", "production", "mip_era", "variable_id", "Iperio", "NFold", "grid", "years",
        "distance_threshold", "title", "history", "engine", "drift_K_per_century", "predicted_spread_thetao", "given", "Conventions", "states", "reference",
    ]),
    st.one_of(PLAIN, NUMBERS, st.sampled_from([2, 4, 10**6]), st.just(np.array([1, 2, 3], "i4")), st.just(["a", "b"]), st.just("{"), st.just("[1")),
)  # fmt: skip
TYPES = st.sampled_from(["text", "S1", "i1", "i8", "u1", "f4", "u8", "i2", "f8"])
SHAPES = st.sampled_from(["scalar", "first", "reverse", "more", "one", "none", "longer", "huge", "unlimited"])


def structure(
    path: str, names: list[str], dims: list[str], time: str | None = None
) -> st.SearchStrategy[tuple[Any, ...]]:
    """A NetCDF file with another structure."""
    name, dim = st.sampled_from(names), st.sampled_from(dims)
    one = [
        st.tuples(st.just("drop"), name),
        st.tuples(st.just("rename"), name, st.one_of(name, st.just("other"), st.sampled_from(dims))),
        st.tuples(st.just("attribute"), name, ATTRIBUTE).map(lambda t: (t[0], t[1], *t[2])),
        st.tuples(st.just("attribute"), name, ATTRIBUTE).map(lambda t: (t[0], t[1], *t[2])),
        st.tuples(st.just("lose"), name, st.just("units")),
        st.tuples(st.just("global"), GLOBALS).map(lambda t: (t[0], *t[1])),
        st.tuples(st.just("retype"), name, TYPES),
        st.tuples(st.just("fill"), name, NUMBERS, st.sampled_from([0.001, 0.5, 1.0])),
        st.tuples(st.just("shape"), name, SHAPES),
        st.tuples(st.just("dimension"), dim, st.sampled_from(["other", "t", "z", "x", "sample", "member", "a b", "ü"])),
        st.tuples(st.just("records"), dim, st.sampled_from([0, 1, 3])),
        st.tuples(st.just("new"), st.sampled_from(["time", "year", "member", "split", "phase", "seed", "thetao", "so", "start", "metric", "tmask", *dims]),
                  st.sampled_from([(), ("time",), ("x",), ("z", "y", "x"), ("sample",)]), st.one_of(NUMBERS, st.just("train"))),
        st.tuples(st.just("group"), st.sampled_from(["grid", "series"])),
    ]  # fmt: skip
    if time:
        odd = st.one_of(UNITS, PLAIN)
        one += [st.tuples(st.just("attribute"), st.just(time), st.just("units"), odd)] * 2
        one += [
            st.tuples(st.just("attribute"), st.just(time), st.just("calendar"), st.sampled_from(["standard", "noleap", "none", "366d", "360_day", "mars"])),
            st.tuples(st.just("fill"), st.just(time), NUMBERS, st.just(1.0)),
            st.tuples(st.just("shape"), st.just(time), SHAPES),
            st.tuples(st.just("retype"), st.just(time), TYPES),
        ]  # fmt: skip
    form = st.sampled_from(
        ["NETCDF4", "NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
    )
    if path.endswith(".zarr"):
        return st.tuples(st.just("zarr"), st.just(path), st.lists(st.one_of(*one), min_size=1, max_size=3).map(tuple))  # fmt: skip
    return st.tuples(st.just("netcdf"), st.just(path), st.lists(st.one_of(*one), min_size=1, max_size=3).map(tuple), form)  # fmt: skip


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n"
    for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)
LINES = st.one_of(
    PLAIN,
    st.sampled_from([
        "years: 1000000000000000000000000000000", "years: 9223372036854775808", "years: 2001-02-30", 'start: "\\0"', f"start: {'a' * 300}", "members: 1_0",
        "- a", "? [a]: b", "!!python/object/apply:os.system [ls]", "&a [*a]", "a: *b", "<<: {years: 3}", "<<: 3", "years: 0x10", "years: 1:30",
        "{" * 200, "\tyears: 3", "years: .inf", "ranges: {a: [1]}", "fixed: [1, 2]", "--- a", "%YAML 9", "metrics: 3", "years: !!timestamp x", "years: !!int x",
        "years: !!binary '*'", "? ? ? a", "years: 2000-13-45", "years: 1e5", "seed: 99999999999999999999", "years: 9" + "9" * 5000, "engine: nemo",
        "a: " + "[" * 3000 + "]" * 3000, "a: " + "{a: " * 1500 + "}" * 1500, "ranges: {wind_stress_south: [0.1 Pa**(1/0), 0.2]}",
    ]),
)  # fmt: skip
EDITS = st.sampled_from(["insert", "replace", "drop", "repeat", "join", "word", "value", "value", "value"])


def lines(path: str, odd: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Lines of a text file changed."""
    one = st.tuples(EDITS, st.integers(0, 500), odd)
    return st.tuples(st.just("text"), st.just(path), st.lists(one, min_size=1, max_size=3).map(tuple))


TREE = st.lists(
    st.tuples(st.lists(st.integers(0, 40), min_size=1, max_size=4).map(tuple),
              st.sampled_from(["set", "set", "set", "drop", "rename", "add"]), VALUES),
    min_size=1, max_size=3,
).map(lambda changes: tuple((w, k, str(v)[:50] if k == "rename" else v) for w, k, v in changes))  # fmt: skip


def yaml(path: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """A YAML file changed by structure, by line, by byte, or replaced by something hostile."""
    return st.one_of(
        st.tuples(st.just("tree"), st.just(path), TREE),
        st.tuples(st.just("tree"), st.just(path), TREE),
        lines(path, LINES),
        st.tuples(st.just("write"), st.just(path), st.sampled_from([
            b"", b"\0", b"\xff\xfe", b"a", b"[]", b"3", b"a: [", b"\xef\xbb\xbfa: 1", b"a: \x01", BOMB.encode(), b"[" * 5000, b"{a: " * 5000, b"- " * 3000,
            b"&a [*a]", b"a: &a {b: *a}", b"# \n" * 200000, b"? " * 2000, b"a: " + b"9" * 20000, b"x" * 3_000_000, b'"' + b"\\x41" * 500000,
        ])),
        st.tuples(st.just("change"), st.just(path), st.lists(_bytes(("any",)), min_size=1, max_size=4).map(tuple)),
        st.tuples(st.just("folder"), st.just(path)),
    )  # fmt: skip


NAMELISTS = st.one_of(
    PLAIN,
    st.sampled_from([
        'cn_exp = "DINO', "rn_trp = %40", 'nn_aei_ijk_t = "a"', "nn_aei_ijk_t = 0,1", "rn_trp(1:3) = 1, 2, 3", "rn_trp(:) = 1", "rn_trp(99999999) = 1.",
        "rn_trp(1,99999999) = 1.", "rn_trp = 999999999*1.0", "rn_trp = 3*", "rn_trp = *3", "&namusr_def", "&namusr_def rn_trp = 3 /", "/", "$end", "&end", "&",
        "rn_trp%a%b = 3", "rn_trp = nan", "rn_trp = inf", "rn_trp = -1d400", "rn_trp = .maybe.", "rn_trp = (1, 2)", "rn_trp = (1,", "rn_trp =", "= 3", "rn_trp",
        "rn_trp = z'ff'", "rn_trp = 'a''b'", "rn_trp = 4 0", "rn_trp = 1.0e", "! " + "x" * 100000, "rn_trp = " + " " * 4000 + "3", "rn_trp = '" + "a" * 5000 + "'",
        "rn_avt0 = -1e-5", "rn_avt0 = 0", "rn_Ue = 1e300", "rn_Le = 1e300", "ln_ldfeiv = 3", "ln_ldfeiv = 'yes'", "nn_aei_ijk_t = 1e400", "nn_aei_ijk_t = .true.",
        "rn_trp(0) = 1", "rn_trp(-5:5) = 1", "rn_trp(1)%x(2)%y = 3", "rn_srp = 'x'", "rn_srp = , , 1", "rn_trp = 1, , , 2", "rn_trp; rn_srp", "nn_aei_ijk_t =",
        "#", "&namrun nn_it000 = 'x' /", "nn_date0 = 'today'", "rn_trp = 0x10", "rn_tstar_n = b'101'", "rn_trp(1.5) = 2", "rn_trp(a) = 2", "rn_trp(1:2:0) = 2",
    ]),
)  # fmt: skip


def namelist(path: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """A Fortran namelist changed by line or byte, or replaced."""
    return st.one_of(
        lines(path, NAMELISTS),
        lines(path, NAMELISTS),
        st.tuples(st.just("repeat"), st.just(path), st.just("&namusr_def\n"), st.sampled_from(["! comment\n", "rn_trp = 1.0\n", " ", "(", "'", "a%", "rn_trp = " + " " * 4000 + "3\n"]),
                  st.sampled_from([1000, 200000]), st.just("rn_trp = -40.\n/\n")),
        st.tuples(st.just("write"), st.just(path), st.sampled_from([
            b"", b"\0", b"&a", b"&a /", b"&namusr_def rn_trp = -40. /", b"\xff\xfe&\0a", b"\xef\xbb\xbf&namusr_def\nrn_trp = -40.\n/", b"&" * 2000, b"&a " * 500,
        ])),
        st.tuples(st.just("change"), st.just(path), st.lists(_bytes(("any",)), min_size=1, max_size=4).map(tuple)),
    )  # fmt: skip


CELLS = st.one_of(
    PLAIN,
    st.sampled_from(["abc", "zero", "GREAT", "1e999", "nan", "-inf", "", "9" * 400, "99999999999999999999", "1.5", "True", '"', '"a', "# x: 1", "sample", "PASS", "metric", "0x10",
                     "# rows: 3", "# skipped: 3", "# skipped: [1]", "# grid: 3", "# rows: " + "[" * 3000, "# rows: 1e400", "# : 3", "# a", "a" * 200000]),
)  # fmt: skip


def table(path: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """A CSV changed by cell, line or byte, or replaced."""
    one = st.tuples(st.sampled_from(["cell", "cell", "cell", "insert", "drop", "repeat", "replace", "value", "join"]), st.integers(0, 5000), CELLS)  # fmt: skip
    return st.one_of(
        st.tuples(st.just("text"), st.just(path), st.lists(one, min_size=1, max_size=3).map(tuple)),
        st.tuples(st.just("text"), st.just(path), st.lists(one, min_size=1, max_size=3).map(tuple)),
        st.tuples(st.just("write"), st.just(path), st.sampled_from([b"", b"\n", b"\0", b"a,b\n1,2\n", b"\xff\xfe", b",\n" * 50000, b'"' * 9999, b"# rows: 0\n", b"start,metric,value,unit,note\n1"])),
        st.tuples(st.just("change"), st.just(path), st.lists(_bytes(("any",)), min_size=1, max_size=4).map(tuple)),
    )  # fmt: skip


EXPRESSION = st.one_of(
    st.lists(st.sampled_from(["0.3", "Pa", "+", "-", "*", "/", "**", "^", "(", ")", " ", "{}", "1/0", "0", "1e400", "m", "degC", "K", "3", "e", ",", ";", "=", "'", "dyn", "cm2", "%",
                              "s-1", "W m-2 K-1", "m2 s-1", "kilo", "µ", "²", "1e-3", "[", "]", "lambda", "__import__", "e5", "E", "nan", "inf", "_", ".", "offset:"]),
             min_size=1, max_size=6).map("".join),
    st.sampled_from(["0.3 Pa +", "0.3 {}", "0.3 Pa**0", "0.3 Pa**(1/0)", "0.3 Pa**9999999", "0.3 Pa**Pa", "0.3 2**2**2**2**2**2", "0.3" + " " * 4000 + "Pa", "0.3" + " " * 4000, "9" * 5000,
                     "0.3 " + "(" * 3000, "0.3 Pa" * 1000, "0.3 degC*Pa", "0.3 Pa;Pa", "0.3Pa", "300 mPa", "3 dyn/cm2", "0.3 N m-2", "0.3 N/m**2", "٣ Pa", "0.3 Ｐa", "1e-5 m2 s-1 ", "0.3 a" * 99,
                     "0." + "3" * 3000 + " Pa", "0.3 Pa-9999999999", "0.3 m**1e9", "0.3 10**10**10 Pa", "0.3 y" + "y" * 5000, "0.3 Pa # x", "0.3\nPa", "+-3", "1__0 Pa", "0.3 import os"]),
    TEXT,
)  # fmt: skip
NAMES = st.sampled_from(
    ["wind_stress_south", "restoring_temperature_north", "heat_restoring", "vertical_diffusivity", "bottom_drag",
     "restoring_salinity_north", "seasonal_amplitude_north", "lateral_viscosity_factor", "eddy_diffusivity"]
)  # fmt: skip
PATHS = st.one_of(
    st.sampled_from([
        "no-such.nc", "a" * 300, "a" * 300 + "/b", "/".join(["a" * 200] * 30), "states.nc/inside", "folder", "empty", "text.nc", "text.txt", "dangling", "loop", "ü\u202e.nc",
        "states.nc\n", " ", "-", "--", "*", "folder/", "./states.nc", "folder/../states.nc", "states.nc/", "/proc/self/mem", "/dev/null", "/proc", "http://example.org/a.nc", "s3://a/b",
        "~", "%s", "{0}", "\x1b[31m.nc", "a\tb", "CON", "states.nc::$DATA", "[bold]x[/]", "namelist_x", "x.nml", "x.yaml", "x.csv", "x.h5", "x.zarr", "text.yaml", "text.csv", "text.h5",
        "text.nml", "fifo-not", "\ud800",
    ]),
    PLAIN.filter(lambda s: s.strip("./") != "" and not s.startswith("/")),
)  # fmt: skip
ODD_FILES = (
    ("write", "text.nc", b"no NetCDF"), ("write", "text.txt", b"hello"), ("write", "text.yaml", b"hello"), ("write", "text.csv", b"hello"), ("write", "text.h5", b"hello"),
    ("write", "text.nml", b"hello"), ("write", "namelist_x", b"&namusr_def\n/\n"), ("folder", "folder"), ("write", "empty", b""), ("link", "dangling", "nowhere"), ("link", "loop", "loop"),
)  # fmt: skip
#: Values of an option that wants a number.
COUNTS = st.one_of(
    st.sampled_from(["0", "-1", "1e3", "99999999999999999999", "nan", "inf", "", " ", "1.5", "٣", "0x10", "1_0", "abc", "-0", "9" * 5000]),
    PLAIN,
)  # fmt: skip
#: Places of a section or a box.
PLACES = st.lists(st.one_of(st.sampled_from([0.0, 10.0, 50.0, -60.0, 60.0, 360.0, -1e9, 1e300, 90.0, 91.0, 5000.0]), st.floats()), min_size=1, max_size=7).map(
    lambda found: ",".join(f"{v:g}" for v in found)
)  # fmt: skip
STATE = ["thetao", "so", "uo", "vo", "zos", "seed", "wind_stress_south", "/grid/tmask", "/grid/e3t_0", "/grid/gphit", "/grid/glamt", "/grid/e1t", "/grid/gdept_1d", "/grid/umask"]  # fmt: skip
DIMS = ["sample", "time", "z", "y", "x"]
OUTPUT = ["toce", "soce", "ssh", "time_counter", "time_counter_bnds"]
RESTART = ["tn", "sn", "un", "vn", "sshn", "kt", "ndastp", "adatrj", "ntime", "rdt", "nav_lat", "time_counter", "tb", "en", "nav_lev"]  # fmt: skip
MESH = ["tmask", "umask", "e1t", "e2t", "glamt", "gphit", "e3t_0", "e3t_1d", "gdept_1d", "mbathy", "nav_lev", "e3w_0", "fmask", "gphif"]  # fmt: skip
NEMO_DIMS = ["time_counter", "nav_lev", "y", "x", "deptht"]
VEROS = ["temp", "salt", "u", "v", "xt", "xu", "yt", "yu", "zt", "zw", "Time", "dzt", "ht", "hu", "hv"]
STORE = ["thetao", "so", "uo", "zos", "member", "split", "phase", "year", "drift", "verdict", "bottom_drag", "wind_stress_south", "/grid/tmask", "/grid/e3t_0", "/grid/e1t"]  # fmt: skip
MEMBER = ["thetao", "so", "zos", "year", "phase", "bottom_drag", "/grid/tmask", "/grid/e3t_0", "/series/year", "/series/thetao_deep", "/series/channel_transport"]  # fmt: skip
FEW = ("--only", "thetao_mean,inversions,heat_content,mixed_layer_mean")


@st.composite
def _input(
    draw: Any,
    reader: str,
    bases: tuple[str, ...],
    edits: st.SearchStrategy[Any],
    commands: tuple[tuple[str, ...], ...],
) -> Input:
    edit = draw(edits)
    done = tuple(edit) if edit and isinstance(edit[0], tuple) else (edit,)
    return Input(reader, bases, done, draw(st.sampled_from(commands)))


def _of(
    reader: str, bases: tuple[str, ...], edits: st.SearchStrategy[Any], *commands: tuple[str, ...]
) -> st.SearchStrategy[Input]:
    return _input(reader, bases, edits, commands)


def _option(
    reader: str,
    bases: tuple[str, ...],
    values: st.SearchStrategy[Any],
    commands: list[Callable[[Any], tuple[str, ...]]],
) -> st.SearchStrategy[Input]:
    """Odd values of options: the command is made of the value."""
    return st.tuples(values, st.sampled_from(commands)).map(
        lambda pair: Input(reader, bases, ODD_FILES if reader == "paths" else (), pair[1](pair[0]))
    )


def _check(*paths: str) -> tuple[str, ...]:
    return ("check", *paths, *FEW, "-o", "out.csv")


_OWN = (("info", "states.nc"), _check("states.nc"), ("check", "states.nc", "-o", "out.nc"), ("check", "states.nc", "--published", "-o", "out.csv"),
        _check("control.nc", "--reference", "states.nc"), ("report", "states.nc", "-o", "out.html"), ("generate", "generator", "--parameters", "states.nc", "-o", "out.nc"),
        ("generate", "generator", "--from", "states.nc", "--age", "50", "-o", "out.nc"), ("report", "control.nc", "--control", "states.nc", "-o", "out.html"),
        ("restart", "states.nc", "-o", "out"), ("restart", "states.nc", "--engine", "nemo", "-o", "out"), ("python", "open_state", "states.nc"))  # fmt: skip
_OWN_BASES = ("states.nc", "control.nc", "generator")
_RESTARTED = "nemo/a/DINO_00005760_restart.nc"
_NEMO = (("info", _RESTARTED), ("info", "nemo"), _check(_RESTARTED), ("dataset", "nemo", "-o", "out.zarr"), ("restart", _RESTARTED, "--engine", "nemo", "-o", "out"),
         ("python", "open_state", _RESTARTED), ("generate", "generator", "--from", _RESTARTED, "-o", "out.nc"), ("report", _RESTARTED, "-o", "out.html"))  # fmt: skip
_T, _U = "output/DINO_1m_grid_T.nc", "output/DINO_1m_grid_U.nc"
_OUT = (("info", _T), ("info", "output"), _check(_T), _check(_T, _U), ("check", _T, _U, "--published", "-o", "out.csv"), ("python", "open_state", _T), ("dataset", "output", "-o", "out.zarr"))  # fmt: skip
_MESHED = (("info", "output/mesh_mask.nc"), _check(_T), _check(_T, "--grid", "output/mesh_mask.nc"), ("restart", "classic/states.nc", "--engine", "nemo", "--grid", "output/mesh_mask.nc", "--regrid", "-o", "out"))  # fmt: skip
_STORE = (("info", "store.zarr"), _check("store.zarr"), _check("states.nc", "--reference", "store.zarr"), ("report", "store.zarr", "-o", "out.html"), ("train", "store.zarr", "train.yaml", "-o", "out"))  # fmt: skip
_GENERATOR = (("generate", "generator", "-o", "out.nc"), ("generate", "generator", "--set", "wind_stress_south=0.2", "-n", "2", "-o", "out.nc"), ("info", "generator"), ("report", "generator", "-o", "out.html"),
              ("generate", "generator", "--from", "early.nc", "-o", "out.nc"))  # fmt: skip
_TEMPLATE = (("restart", "classic/states.nc", "--engine", "nemo", "--template", "classic/template.nc", "--grid", "classic/mesh_mask.nc", "-o", "out"),)  # fmt: skip
_RUNS = (("info", "runs"), ("dataset", "runs", "-o", "out.zarr"), ("report", "runs", "-o", "out.html"))
_COLLECTION = (*[tuple("collection" if word == "runs" else word for word in command) for command in _RUNS], ("info", "collection/member_001.nc"), _check("collection/member_001.nc"), _check("collection"),
               ("report", "collection/member_001.nc", "-o", "out.html"), ("python", "finished", "collection"))  # fmt: skip
_VEROS = (("info", "veros.nc"), _check("veros.nc"), ("check", "veros.nc", "-o", "out.nc"), ("python", "open_state", "veros.nc"), ("report", "veros.nc", "-o", "out.html"))  # fmt: skip
_CMIP = (
    ("info", "cmip/thetao.nc"),
    _check("cmip/thetao.nc", "cmip/so.nc"),
    ("python", "open_state", "cmip/thetao.nc"),
    ("info", "cmip"),
)
_PIECE = "pieces/DINO_00005760_restart_0001.nc"
_PIECES = (("info", _PIECE), ("info", "pieces"), _check("pieces/DINO_00005760_restart_0000.nc"), ("python", "open_state", _PIECE), ("dataset", "pieces", "-o", "out.zarr"),
           ("restart", _PIECE, "--engine", "nemo", "--template", _PIECE, "-o", "out"), ("restart", "nemo/a/DINO_00005760_restart.nc", "--engine", "nemo", "--template", _PIECE, "-o", "out"))  # fmt: skip
_LISTED = tuple(
    ("python", call, plan)
    for call in ("load_plan", "remember_plan")
    for plan in ("tabled.yaml", "listed.yaml")
)
_FINISHED = (("verify", "finished", "--engine", "nemo", "-o", "out.nc"), ("info", "finished"))


def _inside_zarr() -> st.SearchStrategy[Any]:
    changes = st.lists(_bytes(("any",)), min_size=1, max_size=3).map(tuple)
    numbers = st.integers(0, 10_000)
    return st.one_of(
        st.tuples(st.just("inside"), st.just("store.zarr"), numbers, st.just(""), st.just("change"), changes),
        st.tuples(st.just("inside"), st.just("store.zarr"), numbers, st.just(""), st.just("remove")),
        st.tuples(st.just("inside"), st.just("store.zarr"), numbers, st.just("zarr.json"), st.just("tree"), TREE),
        st.tuples(st.just("inside"), st.just("store.zarr"), numbers, st.just("zarr.json"), st.just("tree"), TREE),
        st.tuples(st.just("inside"), st.just("store.zarr"), numbers, st.just(""), st.just("write"), st.sampled_from([b"", b"{}", b"null", b"[" * 5000, b"\xff" * 100])),
        st.tuples(st.just("folder"), st.just("store.zarr/grid")),
        st.tuples(st.just("remove"), st.sampled_from(["store.zarr/thetao", "store.zarr/grid", "store.zarr/member", "store.zarr/split", "store.zarr/phase", "store.zarr/grid/tmask"])),
    )  # fmt: skip


_TENSOR = st.one_of(
    st.tuples(st.just("safetensors"), st.just("generator/weights.safetensors"), st.lists(st.tuples(st.integers(0, 300), st.sampled_from(["drop", "rename", "shape", "dtype", "data_offsets", "top"]),
              st.sampled_from(["a" * 300, [0], [-1], [2**63], [1, 1, 1], "F64", "BF16", "XX", None, [0, 0], [0, 10**12], [5, 3], {}, [], 3, "\0"])), min_size=1, max_size=2).map(tuple)),
    st.tuples(st.just("arrays"), st.just("generator/weights.safetensors"), st.lists(st.one_of(
        st.tuples(st.integers(0, 300), st.sampled_from(["drop", "flat", "cut", "empty", "more"]), st.none()),
        st.tuples(st.integers(0, 300), st.just("fill"), st.sampled_from([0.0, float("nan"), 1e30, -1.0, 1e-300, 1e5])),
        st.tuples(st.integers(0, 300), st.just("type"), st.sampled_from(["i4", "f8", "f2", "u1", "?"]))), min_size=1, max_size=2).map(tuple)),
)  # fmt: skip
_HDF = st.tuples(st.just("hdf5"), st.just("restarts/000.h5"), st.lists(st.one_of(
    st.tuples(st.integers(0, 200), st.sampled_from(["group", "cut", "empty", "text"]), st.none()),
    st.tuples(st.integers(0, 200), st.sampled_from(["scalar", "attribute"]), st.sampled_from([0, 10**6, -5, float("nan"), "text", "{", "\u00fc"])),
    st.tuples(st.integers(0, 200), st.just("type"), st.sampled_from(["i1", "S3", "f4", "c16"])),
    st.tuples(st.integers(0, 200), st.just("fill"), st.sampled_from([float("nan"), 1e30]))), min_size=1, max_size=2).map(tuple))  # fmt: skip

_SETTINGS = st.tuples(st.just("netcdf"), st.just("veros.nc"), st.tuples(st.tuples(st.just("global"), st.just("setup_settings"), st.one_of(
    PLAIN, st.tuples(st.sampled_from(["identifier", "radius", "enable_cyclic_x", "eq_of_state_type", "omega"]), VALUES).map(lambda pair: _json({pair[0]: pair[1]}))))))  # fmt: skip
_DOMAIN = st.tuples(st.just("netcdf"), st.just(_PIECE), st.tuples(st.tuples(st.just("global"), st.sampled_from(["DOMAIN_number_total", "DOMAIN_number", "DOMAIN_size_global", "DOMAIN_position_first", "DOMAIN_position_last", "DOMAIN_halo_size_start", "DOMAIN_halo_size_end"]),
    st.one_of(NUMBERS, PLAIN, st.sampled_from([-1, 5, 10**6, 2**31 - 1]), st.lists(st.sampled_from([-5, 0, 1, 3, 8, 9, 12, 10**6]), min_size=1, max_size=3).map(lambda found: np.array(found, "i4"))))))  # fmt: skip

READERS: dict[str, st.SearchStrategy[Input]] = {
    "states, bytes": _of("states, bytes", _OWN_BASES, damaged("states.nc"), *_OWN),
    "states, structure": _of("states, structure", _OWN_BASES, structure("states.nc", STATE, DIMS), *_OWN),
    "restart of NEMO, bytes": _of("restart of NEMO, bytes", ("nemo", "generator"), damaged(_RESTARTED), *_NEMO),
    "restart of NEMO, structure": _of("restart of NEMO, structure", ("nemo", "generator"), structure(_RESTARTED, RESTART, NEMO_DIMS, "time_counter"), *_NEMO),
    "output of NEMO, bytes": _of("output of NEMO, bytes", ("output",), damaged(_T), *_OUT),
    "output of NEMO, structure": _of("output of NEMO, structure", ("output",), structure(_T, OUTPUT, NEMO_DIMS, "time_counter"), *_OUT),
    "mesh, bytes": _of("mesh, bytes", ("output", "classic"), damaged("output/mesh_mask.nc"), *_MESHED),
    "mesh, structure": _of("mesh, structure", ("output", "classic"), structure("output/mesh_mask.nc", MESH, NEMO_DIMS), *_MESHED),
    "template, bytes": _of("template, bytes", ("classic",), damaged("classic/template.nc"), *_TEMPLATE),
    "template, structure": _of("template, structure", ("classic",), structure("classic/template.nc", RESTART, NEMO_DIMS, "time_counter"), *_TEMPLATE),
    "store": _of("store", ("store.zarr", "states.nc", "train.yaml"), _inside_zarr(), *_STORE),
    "store, structure": _of("store, structure", ("store.zarr", "states.nc", "train.yaml"), structure("store.zarr", STORE, DIMS), *_STORE, ("python", "spread", "store.zarr")),
    "member files": _of("member files", ("collection", "states.nc"), st.one_of(damaged("collection/member_001.nc"), structure("collection/member_001.nc", MEMBER, ["time", "z", "y", "x"]), structure("collection/member_001.nc", MEMBER, ["time", "z", "y", "x"]),
        yaml("collection/blow_ups.yaml"), st.tuples(st.just("move"), st.just("collection/member_000.nc"), st.sampled_from(["member_abc.nc", "member_.nc", "member_007.nc", "member_000_cold.nc", "other.nc"]))), *_COLLECTION),
    "output of Veros": _of("output of Veros", ("veros.nc",), st.one_of(damaged("veros.nc"), structure("veros.nc", VEROS, ["Time", "xt", "yt", "zt", "xu"]), structure("veros.nc", VEROS, ["Time", "xt", "yt", "zt", "xu"]), _SETTINGS), *_VEROS),
    "output of CMIP6": _of("output of CMIP6", ("cmip",), st.one_of(damaged("cmip/thetao.nc"), structure("cmip/thetao.nc", ["thetao", "time"], ["time", "lev", "y", "x"], "time")), *_CMIP),
    "pieces of a restart": _of("pieces of a restart", ("pieces", "nemo"), st.one_of(damaged(_PIECE), structure(_PIECE, RESTART, NEMO_DIMS), _DOMAIN, _DOMAIN), *_PIECES),
    "control of a verification": _of("control of a verification", ("control.nc", "good.nc"), structure("control.nc", [*STATE, "year", "phase"], DIMS), ("python", "control", "control.nc")),
    "listed members": _of("listed members", ("tabled.yaml", "listed.yaml", "members.csv"), st.one_of(table("members.csv"), yaml("listed.yaml"), yaml("tabled.yaml")), *_LISTED),
    "weights": _of("weights", ("generator", "early.nc"), st.one_of(_TENSOR, damaged("generator/weights.safetensors")), *_GENERATOR),
    "generator": _of("generator", ("generator", "early.nc"), st.one_of(yaml("generator/config.yaml"), yaml("generator/config.yaml"), damaged("generator/normalizer.nc"),
        structure("generator/normalizer.nc", ["thetao_mean", "so_std", "zos_mean", "/grid/tmask", "/grid/e1t"], ["z", "y", "x"]), st.tuples(st.just("remove"), st.sampled_from(["generator/config.yaml", "generator/normalizer.nc", "generator/README.md"])),
        st.tuples(st.just("change"), st.just("generator/README.md"), BINARY)), *_GENERATOR),
    "plan": _of("plan", ("plan.yaml",), yaml("plan.yaml"), ("python", "load_plan", "plan.yaml"), ("python", "remember_plan", "plan.yaml")),
    "training configuration": _of("training configuration", ("train.yaml", "store.zarr"), yaml("train.yaml"), ("plan", "train.yaml"), ("plan", "train.yaml", "--shape", "3", "20", "20"), ("python", "train_config", "train.yaml")),
    "thresholds": _of("thresholds", ("thresholds.yaml", "states.nc"), yaml("thresholds.yaml"), _check("states.nc", "--thresholds", "thresholds.yaml")),
    "parameters": _of("parameters", ("parameters.yaml", "generator"), yaml("parameters.yaml"), ("generate", "generator", "--parameters", "parameters.yaml", "-o", "out.nc"), ("info", "parameters.yaml")),
    "manifest": _of("manifest", ("restarts",), yaml("restarts/restarts.yaml"), ("info", "restarts"), ("python", "read_manifest", "restarts"), ("verify", "restarts", "--engine", "nemo", "-o", "out.nc")),
    "request of a verification": _of("request of a verification", ("restarts", "verify_runs"), yaml("verify_runs/verify.yaml"), ("python", "claim", "verify_runs")),
    "runs": _of("runs", ("runs",), st.one_of(yaml("runs/plan.yaml"), yaml("runs/member_000/status.yaml"), yaml("runs/member_000/job.yaml"), damaged("runs/member_000/series.nc"), damaged("runs/member_000/states.nc"),
        structure("runs/member_000/states.nc", ["thetao", "so", "year", "phase", "bottom_drag", "/grid/tmask"], DIMS), structure("runs/member_000/series.nc", ["year", "thetao_deep", "channel_transport"], ["time"]),
        st.tuples(st.just("move"), st.just("runs/member_000"), st.sampled_from(["member_abc", "member_", "member_-1", "member_001.nc", "member_99999999999999999999"]))), *_RUNS),
    "job": _of("job", ("job.yaml",), yaml("job.yaml"), ("python", "load_job", "job.yaml")),
    "namelist": _of("namelist", ("nemo", "generator", "classic"), st.one_of(namelist("nemo/a/namelist_cfg"), namelist("nemo/a/namelist_cfg"), namelist("nemo/a/namelist_ref")),
        ("info", "nemo"), ("python", "namelist", "nemo/a"), ("python", "namelist", "nemo/a/namelist_cfg"), ("generate", "generator", "--parameters", "nemo/a/namelist_cfg", "-o", "out.nc"), ("dataset", "nemo", "-o", "out.zarr"),
        ("restart", "classic/states.nc", "--engine", "nemo", "--grid", "classic/mesh_mask.nc", "--namelist", "nemo/a/namelist_cfg", "-o", "out")),
    "metrics": _of("metrics", ("metrics.csv", "states.nc"), table("metrics.csv"), _check("states.nc", "--reference", "metrics.csv"), ("report", "metrics.csv", "-o", "out.html"), ("info", "metrics.csv")),
    "metrics in NetCDF": _of("metrics in NetCDF", ("metrics.nc", "states.nc"), st.one_of(damaged("metrics.nc"), structure("metrics.nc", ["value", "unit", "verdict", "metric", "sample", "hard", "description"], ["metric", "sample"])),
        _check("states.nc", "--reference", "metrics.nc"), ("info", "metrics.nc")),
    "verification": _of("verification", ("verify.nc", "verify.csv"), st.one_of(table("verify.csv"), damaged("verify.nc"), structure("verify.nc", ["start", "day", "thetao_deep", "distance", "snapshot_year", "channel_transport"], ["start", "time", "snapshot"])),
        ("report", "verify.nc", "-o", "out.html"), ("report", "verify.csv", "-o", "out.html"), ("info", "verify.nc"), ("info", "verify.csv")),
    "finished runs": _of("finished runs", ("finished",), st.one_of(damaged("finished/generated/DINO_00002880_restart.nc"), structure("finished/generated/DINO_00002880_restart.nc", RESTART, NEMO_DIMS, "time_counter"),
        structure("finished/mesh_mask.nc", MESH, NEMO_DIMS)), *_FINISHED),
    "restart of Veros": _of("restart of Veros", ("restarts",), st.one_of(_HDF, damaged("restarts/000.h5")), ("info", "restarts/000.h5"), ("python", "read_restart", "restarts/000.h5")),
    "--set": _option("--set", ("generator",), st.tuples(NAMES, EXPRESSION), [
        lambda v: ("python", "parse", *v), lambda v: ("generate", "generator", "--set", f"{v[0]}={v[1]}".replace("\0", ""), "-o", "out.nc")]),
    "overrides": _option("overrides", ("train.yaml", "generator"), st.tuples(st.sampled_from(["training.steps", "network.widths", "seed", "a.b.c", "", ".", "residual", "mean.model", "training", "description"]), st.one_of(LINES, PLAIN)), [
        lambda v: ("python", "train_config", "train.yaml", f"{v[0]}={v[1]}"), lambda v: ("generate", "generator", "--sampling", f"steps={v[1]}".replace("\0", ""), "-o", "out.nc"),
        lambda v: ("generate", "generator", "--conserve", f"so={v[1]}".replace("\0", ""), "-o", "out.nc"), lambda v: ("generate", "generator", "--sampling", v[1].replace("\0", ""), "-o", "out.nc")]),
    "parameters in Python": _option("parameters in Python", ("generator",), st.one_of(VALUES, st.dictionaries(NAMES, VALUES, max_size=2)), [lambda v: ("python", "generate", _json(v))]),
    "options": _option("options", ("generator", "states.nc", "early.nc", "classic", "train.yaml"), COUNTS, [
        lambda v: ("generate", "generator", "--seed", v, "-o", "out.nc"), lambda v: ("generate", "generator", "--from", "early.nc", "--age", v, "-o", "out.nc"), lambda v: ("generate", "generator", "--device", v, "-o", "out.nc"),
        lambda v: ("plan", "train.yaml", "--shape", v, "20", "20"), lambda v: ("plan", "train.yaml", "--gpu-memory", v), lambda v: ("check", "states.nc", "--only", v, "-o", "out.csv"), lambda v: ("restart", "states.nc", "--engine", v, "-o", "out"),
        lambda v: ("restart", "classic/states.nc", "--engine", "nemo", "--grid", "classic/mesh_mask.nc", "--date", v, "-o", "out"), lambda v: ("report", "states.nc", "--title", v, "-o", "out.html"), lambda v: ("verify", "no-such", "--years", v, "-o", "out.nc"),
        lambda v: ("restart", "states.nc", "--method", v, "-o", "out"), lambda v: ("simulate", "no-such.yaml", "--until", v, "-o", "out"), lambda v: (v, "states.nc"), lambda v: ("info", v), lambda v: ("--" + v,)]),
    "sections and boxes": _option("sections and boxes", ("states.nc",), st.one_of(PLACES, EXPRESSION.filter(lambda s: "\0" not in s and not any("\ud800" <= c <= "\udfff" for c in s))), [
        lambda v: (*_check("states.nc"), "--section", f"s={v}"), lambda v: (*_check("states.nc"), "--box", f"b={v}"), lambda v: (*_check("states.nc"), "--section", v), lambda v: ("check", "states.nc", "--only", "section_s", "--section", f"s={v}", "-o", "out.nc"),
        lambda v: ("check", "states.nc", "--only", "box_b_thetao", "--box", f"b={v}", "-o", "out.csv")]),
    "paths": _option("paths", ("generator", "states.nc", "restarts", "train.yaml", "classic", "store.zarr"), PATHS, [
        lambda v: ("info", v), lambda v: ("check", v), lambda v: ("check", "states.nc", "--grid", v), lambda v: ("check", "states.nc", "--reference", v), lambda v: ("check", "states.nc", "--thresholds", v), lambda v: ("report", v, "-o", "out.html"),
        lambda v: ("report", "states.nc", "--control", v, "-o", "out.html"), lambda v: ("generate", v, "-o", "out.nc"), lambda v: ("generate", "generator", "--parameters", v, "-o", "out.nc"), lambda v: ("generate", "generator", "--from", v, "-o", "out.nc"),
        lambda v: ("restart", v, "-o", "out"), lambda v: ("restart", "states.nc", "--engine", "nemo", "--template", v, "-o", "out"), lambda v: ("restart", "states.nc", "--engine", "nemo", "--grid", v, "-o", "out"), lambda v: ("restart", "classic/states.nc", "--engine", "nemo", "--namelist", v, "-o", "out"),
        lambda v: ("dataset", v, "-o", "out.zarr"), lambda v: ("dataset", "nemo", v, "-o", "out.zarr"), lambda v: ("train", v, "train.yaml", "-o", "out"), lambda v: ("train", "store.zarr", v, "-o", "out"), lambda v: ("plan", v), lambda v: ("verify", v, "-o", "out.nc"),
        lambda v: ("verify", v, "--engine", "nemo", "-o", "out.nc"), lambda v: ("simulate", v, "-o", "out"), *[lambda v, f=f: ("python", "open_path", f, v) for f in ("open_state", "open_grid", "open_dataset", "load", "check", "check grid", "check reference", "check thresholds",
        "dataset", "restart", "restart template", "report", "generate", "verify", "plan", "namelist")]]),
    "output names": _option("output names", ("states.nc", "generator", "restarts", "runs", "classic"), st.one_of(st.sampled_from(["out" + "a" * 300, "out" + "a" * 251, "out/deep/er", "out\n.csv", "out ü.nc", "out.csv.csv", "out\x1b[31m", "out.NC", "out.", "out.zarr", "out\ud800"]),
        PLAIN.filter(lambda s: "/" not in s).map(lambda s: "out" + s)), [
        lambda v: ("check", "states.nc", *FEW, "-o", v), lambda v: ("report", "states.nc", "-o", v + ".html"), lambda v: ("report", "states.nc", "-o", v), lambda v: ("generate", "generator", "-o", v), lambda v: ("restart", "states.nc", "-o", v), lambda v: ("dataset", "runs", "-o", v),
        lambda v: ("restart", "classic/states.nc", "--engine", "nemo", "--grid", "classic/mesh_mask.nc", "-o", v), lambda v: ("verify", "restarts", "--engine", "nemo", "-o", v)]),
}  # fmt: skip


def _json(value: Any) -> str:
    import json

    return json.dumps(value, default=str)
