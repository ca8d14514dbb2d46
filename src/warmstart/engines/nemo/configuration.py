"""What a NEMO run was made with: its parameters, equation of state, time step and calendar, and the entries that set them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmstart.engines.base import Said
from warmstart.engines.nemo import seawater
from warmstart.engines.nemo.namelist import CFG, fortran, number, read
from warmstart.engines.nemo.wind import IGNORED, NORTH, SOUTH, wind
from warmstart.errors import UserError
from warmstart.io.config import read_yaml
from warmstart.ocean import eos
from warmstart.ocean.parameters import PARAMETERS, Parameter, own, parse

Groups = Mapping[str, Mapping[str, Any]]

#: Parameters of a run in its own words, beside its namelists or instead of them.
FILE = "parameters.yaml"
#: Degree of longitude at the equator of NEMO's Earth [m].
DEGREE = 6371229.0 * math.pi / 180.0
#: ``nn_aei_ijk_t`` and ``nn_aht_ijk_t``: constant or a fixed profile; velocity times grid spacing; capped by the constant.
CONSTANT, SPACING, CAPPED = (0, 10), (20,), 21
#: Share by which two numbers may differ and count as the same.
SAME = 1e-6
#: What DINO has in its source for the parameters without an entry.
IN_SOURCE = {NORTH: 0.1, "seasonal_amplitude_north": 3.0, "seasonal_amplitude_south": 0.5}
#: What DINO has instead of the others.
INSTEAD = {
    "bottom_drag": "DINO's drag is quadratic, the parameter linear",
    "lateral_viscosity_factor": "DINO's lateral viscosity goes with the grid spacing (rn_Uv), the parameter with its cube",
}
_RULE = re.compile(r"^(?P<sign>-?)(?P<factors>[\w.]+(?:\s*[*/]\s*[\w.]+)*)$")
_NAMED = re.compile(r"^(?P<name>[^=:/]+)=(?P<group>[\w&]+)/(?P<entry>[\w%()]+)(?::(?P<units>.+))?$")
_SEOS = {"rn_t0": eos.T0, "rn_s0": eos.S0, "rn_a0": eos.A0, "rn_b0": eos.B0, "rn_lambda1": eos.LAMBDA1,
         "rn_lambda2": eos.LAMBDA2, "rn_mu1": eos.MU1, "rn_mu2": eos.MU2, "rn_nu": eos.NU}  # fmt: skip
_EQUATIONS = {
    "teos10": "TEOS-10 (conservative temperature, absolute salinity)",
    "eos80": "EOS-80 (potential temperature, practical salinity)",
}
#: Reference values of the equation of state that no namelist has to state.
_FIXED = {"rn_t0": eos.T0, "rn_s0": eos.S0}


@dataclass(frozen=True)
class Settings(Said):
    """What a run of NEMO was made with, as far as it says.

    Attributes
    ----------
    described : the parameters that are not in the table.
    equation : the equation of state, in words.
    code : the same as ``teos10``, ``eos80`` or ``seos``; empty where it is not known.
    """

    described: dict[str, Parameter]
    equation: str
    code: str


def named(text: str) -> Parameter:
    """Read what names an entry of a namelist a parameter.

    Parameters
    ----------
    text : ``name=group/entry:units``; units may be left out for pure numbers.

    Raises
    ------
    UserError
        If it is not of that form.

    Examples
    --------
    >>> named("wind=namusr_def/rn_ztau0:Pa").namelist
    ('namusr_def', 'rn_ztau0')
    """
    match = _NAMED.match(text.strip())
    if match is None:
        raise UserError(
            f"parameter '{text}': expected name=group/entry:units, for example wind=namusr_def/rn_ztau0:Pa"
        )
    name = match["name"].strip()
    if name in PARAMETERS:
        raise UserError(
            f"parameter '{text}': {name} is a parameter of the table, which comes from "
            f"{' '.join(PARAMETERS[name].namelist or ('no entry',))}; choose another name"
        )
    group = match["group"].strip("&").lower()
    return own(name, (match["units"] or "1").strip(), namelist=(group, match["entry"].lower()))


def settings(cfg: str | Path, name: Iterable[Parameter] = (), required: bool = True) -> Settings:
    """Read what a NEMO run was made with.

    Parameters are those of the table, as far as the namelists state them, and those that `name` names or ``parameters.yaml`` in the
    folder of the run gives; the latter go before the namelists. Only what is said is returned: no default stands in for an entry that is missing,
    because ``namusr_def`` has none outside the source code.

    Parameters
    ----------
    cfg : ``namelist_cfg``, or the folder of a run.
    name : entries that are parameters too; those of the table that are made of the same entries are left out.
    required : refuse a folder without ``namelist_cfg``; else nothing is known of it but ``parameters.yaml``.

    Raises
    ------
    UserError
        If a namelist is missing or damaged, a number in it is not finite or has a sign that NEMO does not run with, or an entry that
        `name` names is not there.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "namelist_cfg"
    >>> _ = path.write_text("&namusr_def rn_trp = -40. /")
    >>> settings(path).values
    {'heat_restoring': 40.0}
    """
    cfg, name = Path(cfg), list(name)
    folder = cfg if cfg.is_dir() else cfg.parent
    there = required or (folder / CFG).exists() or not cfg.is_dir()
    groups: Groups = read(cfg) if there else {}
    try:
        values, unknown, notes = _of_table(groups, folder, cfg.is_dir())
        used = {p.namelist for p in name}
        for known in [n for n in values if _entries_of(n) & used]:
            del values[known]
            notes.pop(known, None)
            unknown[known] = "its entries are parameters of their own"
        values |= {p.name: _named_value(p, groups) for p in name}
        described = {p.name: p for p in name}
    except UserError as error:
        raise UserError(f"{cfg}: {error}") from error
    if cfg.is_dir() and (folder / FILE).is_file():
        given, others = _given(folder / FILE)
        values, described = values | given, described | others
        unknown, notes = (
            {n: said for n, said in held.items() if n not in given} for held in (unknown, notes)
        )
    if not there:
        unknown = {n: f"the run has no {CFG}" for n in unknown if n not in values}
    return Settings(
        values, unknown, notes, described, _equation_of_state(groups), seawater.equation_in(groups) or ""
    )


def _of_table(
    groups: Groups, folder: Path, run: bool
) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    """Parameters of the table: values, what is unknown and why, notes."""
    values, unknown, notes = wind(folder, groups, run)
    for name, table in PARAMETERS.items():
        if name in (SOUTH, NORTH):
            continue
        value, why = None, _unused(name, groups)
        if table.namelist is None:
            why = "NEMO's DINO has no namelist entry for it"
        elif not why and name == "eddy_diffusivity":
            value, why = _eddies(groups, notes)
        elif not why:
            value, why = _evaluate(table, groups)
        if value is None:
            unknown[name] = why
        else:
            values[name] = value
    for name, value in list(values.items()):
        if PARAMETERS[name].scale == "log" and value < 0:
            group, rule = PARAMETERS[name].namelist or ("", "")
            raise UserError(f"&{group} {rule} makes {name} = {value:g}; expected a positive number")
        if PARAMETERS[name].scale == "log" and value == 0:
            unknown[name] = "it is 0"
            del values[name]
    order = list(PARAMETERS)
    return {n: values[n] for n in order if n in values}, {n: unknown[n] for n in order if n in unknown}, notes


def _entries_of(name: str) -> set[tuple[str, str]]:
    """Entries that a parameter of the table is made of."""
    table = PARAMETERS.get(name)
    if table is None or table.namelist is None:
        return set()
    group, rule = table.namelist
    return {(group, token.lower()) for token in re.findall(r"[A-Za-z]\w*", rule)}


def _unused(name: str, groups: Groups) -> str:
    """Why an entry, although there, says nothing about the run."""
    eddies = groups.get("namtra_eiv", {})
    if name == "eddy_diffusivity" and eddies.get("ln_ldfeiv") is not True:
        return "ln_ldfeiv is not set: no eddy-induced velocity"
    if name in ("salt_restoring", *(n for n in PARAMETERS if n.startswith("restoring_salinity"))) and (
        number(groups, "namusr_def", "rn_srp") == 0
    ):
        return "rn_srp = 0: salinity is not restored"
    return ""


def _eddies(groups: Groups, notes: dict[str, str]) -> tuple[float | None, str]:
    """The eddy coefficient at the equator [m2 s-1], None and why where it is not known; a note where it stands for something else."""
    kind = int(number(groups, "namtra_eiv", "nn_aei_ijk_t") or 0)
    value, why = _coefficient(groups, "namtra_eiv", kind, "rn_Ue", "rn_Le")
    if value is None:
        return None, why
    said = []
    if kind == CAPPED:
        said.append(
            f"nn_aei_ijk_t = 21: {value:g} m2/s is a cap only, the coefficient follows the flow; the parameter is its value at the equator"
        )
    elif kind in CONSTANT:
        said.append(f"nn_aei_ijk_t = {kind}: the same at all latitudes; the parameter falls with the cosine")
    along = _redi(groups)
    if along is not None and not math.isclose(along, value, rel_tol=1e-3):
        said.append(
            f"the diffusivity along isopycnals (rn_Ud) is {along:.4g} m2/s at the equator; the parameter stands for both"
        )
    if said:
        notes["eddy_diffusivity"] = "; ".join(said)
    return value, ""


def _redi(groups: Groups) -> float | None:
    """Diffusivity along isopycnals at the equator [m2 s-1], 0 where there is none; None where it is not known."""
    if groups.get("namtra_ldf", {}).get("ln_traldf_off") is True:
        return 0.0
    kind = int(number(groups, "namtra_ldf", "nn_aht_ijk_t") or 0)
    return _coefficient(groups, "namtra_ldf", kind, "rn_Ud", "rn_Ld")[0]


def _coefficient(groups: Groups, group: str, kind: int, speed: str, length: str) -> tuple[float | None, str]:
    """Velocity times length over 2, by the rule that NEMO's ``ldf_tra`` has for a kind; at the equator."""
    if (velocity := number(groups, group, speed)) is None:
        return None, f"&{group} lacks {speed}"
    if kind in SPACING:
        degrees = number(groups, "namusr_def", "rn_e1_deg")
        if degrees is None:
            return None, "the coefficient goes with the grid spacing, and &namusr_def lacks rn_e1_deg"
        return _rounded(velocity * degrees * DEGREE / 2), ""
    if kind in (*CONSTANT, CAPPED):
        size = number(groups, group, length)
        return (None, f"&{group} lacks {length}") if size is None else (_rounded(velocity * size / 2), "")
    return (
        None,
        f"the coefficient of kind {kind} varies in a way that is not the parameter's, or is read from a file",
    )


def _rounded(value: float) -> float:
    """Without the last digit, which depends on the order of factors."""
    return float(f"{value:.15g}") + 0.0


def _evaluate(table: Parameter, groups: Groups) -> tuple[float | None, str]:
    """The product of entries that a parameter is; None and the reason if one is missing or no number."""
    group, rule = table.namelist or ("", "")
    match = _RULE.match(rule)
    if match is None:
        raise ValueError(f"{table.name}: '{rule}' is no product of namelist entries")
    product, divide = -1.0 if match["sign"] else 1.0, False
    for token in re.findall(r"[\w.]+|[*/]", match["factors"]):
        if token in "*/":
            divide = token == "/"
            continue
        factor = float(token) if re.fullmatch(r"\d+(\.\d*)?", token) else number(groups, group, token)
        if factor is None:
            return None, f"&{group} lacks {token}"
        product = product / factor if divide else product * factor
    return _rounded(product), ""


def _named_value(parameter: Parameter, groups: Groups) -> float:
    group, entry = parameter.namelist or ("", "")
    value = number(groups, group, entry)
    if value is None:
        raise UserError(
            f"&{group} has no {entry}, which parameter {parameter.name} names; add it, or name another"
        )
    return value


def _given(path: Path) -> tuple[dict[str, float], dict[str, Parameter]]:
    """Parameters of a run from its ``parameters.yaml``: numbers, or text with a unit."""
    values, described = {}, {}
    for key, given in read_yaml(path).items():
        name = str(key)
        try:
            if name in PARAMETERS:
                values[name] = parse(given, name)
                continue
            match = re.match(r"^\s*(?P<number>\S+)\s*(?P<units>.*?)\s*$", str(given))
            described[name] = own(name, (match["units"] if match else "") or "1")
            values[name] = parse(match["number"] if match else given, described[name])
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return values, described


def _equation_of_state(groups: Groups) -> str:
    """Which equation of state the namelists choose, in words: ``S-EOS: rn_a0 0.165, …``, ``TEOS-10 (…)``; or why it is not known."""
    held = groups.get("nameos", {})
    several = [switch for switch in seawater.SWITCHES if held.get(switch) is True]
    if len(several) > 1:
        raise UserError(f"&nameos chooses {' and '.join(several)}; NEMO takes one")
    code = seawater.equation_in(groups)
    if code != "seos":
        return _EQUATIONS.get(code or "", "unknown: no namelist states it")
    found = {name: number(groups, "nameos", name) for name in _SEOS}
    numbers = {n: _FIXED.get(n) if v is None else v for n, v in found.items()}
    return "S-EOS: " + ", ".join(f"{n} {'unknown' if v is None else f'{v:g}'}" for n, v in numbers.items())


def is_package_equation(equation: str) -> bool:
    """Whether an equation of state is the one by which this package computes density: S-EOS with DINO's numbers.

    Examples
    --------
    >>> is_package_equation("TEOS-10 (conservative temperature, absolute salinity)")
    False
    """
    expected = "S-EOS: " + ", ".join(f"{name} {value:g}" for name, value in _SEOS.items())
    return equation == expected


@dataclass(frozen=True)
class Physics:
    """Entries that give a run the parameters of a state, and where a namelist differs from them.

    Attributes
    ----------
    entries : group to entry to value.
    differs : parameter to what the state has and the namelist, where they differ or the namelist does not say.
    missing : parameters that no entry sets, and what to know of them.
    """

    entries: dict[str, dict[str, Any]]
    differs: dict[str, str]
    missing: dict[str, str]

    def lines(self) -> list[str]:
        """Say it, a line a parameter."""
        set_ = [f"{name}: {text}" for name, text in self.differs.items()]
        return set_ + [f"{name}: not set, {text}" for name, text in self.missing.items()]


def physics(
    values: Mapping[str, float],
    described: Mapping[str, Parameter],
    spacing: float,
    groups: Groups | None = None,
    folder: Path | None = None,
) -> Physics:
    """List the entries that make a run with the parameters of a state.

    Parameters
    ----------
    values : parameters of the state.
    described : those that are not in the table.
    spacing : grid spacing at the equator [m].
    groups : namelists of the run that shall start, to compare with; None compares with nothing.
    folder : where they lie.

    Returns
    -------
    The entries, differences, and what has no entry.

    Examples
    --------
    >>> physics({"heat_restoring": 40.0}, {}, 4e5).entries
    {'namusr_def': {'rn_trp': -40.0}}
    """
    entries: dict[str, dict[str, Any]] = {}
    differs: dict[str, str] = {}
    missing: dict[str, str] = {}
    known: dict[str, float] = {}
    notes: dict[str, str] = {}
    if groups is not None:
        known, _, notes = _of_table(groups, folder or Path("no folder"), False)
    for name, value in values.items():
        wanted = _setting(name, value, described, spacing)
        if name == SOUTH and IGNORED in notes.get(SOUTH, "") and not _same(known[SOUTH], value):
            missing[name] = (
                f"this DINO has {known[SOUTH]:g} in its source, and rn_ztau0 {IGNORED} (the state has {value:g})"
            )
        if not wanted:
            if reason := _without_entry(name, value):
                missing[name] = reason
            continue
        for group, held in wanted.items():
            entries.setdefault(group, {}).update(held)
        if groups is None:
            continue
        mine = known.get(name)
        if mine is None and name in described and (place := described[name].namelist):
            mine = number(groups, *place)
        changed = _changed(wanted, groups)
        if mine is None or not _same(mine, value) or (name == "eddy_diffusivity" and changed):
            has = "does not state it" if mine is None else f"has {mine:g}"
            if name == "eddy_diffusivity" and name in notes:
                has += f" ({notes[name]})"
            differs[name] = f"the state has {value:g}, the namelist {has}; set: {_text(changed or wanted)}"
    return Physics(entries, differs, missing)


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME, abs_tol=1e-12)


def _changed(wanted: Groups, groups: Groups) -> dict[str, dict[str, Any]]:
    """Entries that a namelist has otherwise or lacks."""
    changed: dict[str, dict[str, Any]] = {}
    for group, held in wanted.items():
        for entry, value in held.items():
            old = groups.get(group, {}).get(entry.lower())
            numbers = [v for v in (old, value) if isinstance(v, int | float) and not isinstance(v, bool)]
            close = len(numbers) == 2 and math.isclose(*numbers, rel_tol=1e-4)
            if not close and (old != value or type(old) is not type(value)):
                changed.setdefault(group, {})[entry] = value
    return changed


def _setting(
    name: str, value: float, described: Mapping[str, Parameter], spacing: float
) -> dict[str, dict[str, Any]]:
    """The entries that give one parameter its value; none where there are none."""
    if name == "eddy_diffusivity":
        speed = float(f"{2 * value / spacing:.8g}")
        return {
            "namtra_eiv": {"ln_ldfeiv": True, "nn_aei_ijk_t": SPACING[0], "rn_Ue": speed},
            "namtra_ldf": {"nn_aht_ijk_t": SPACING[0], "rn_Ud": speed},
        }
    table = PARAMETERS.get(name) or described.get(name)
    if table is None or table.namelist is None:
        return {}
    group, rule = table.namelist
    return {group: {rule[1:]: -value} if rule.startswith("-") else {rule: value}}


def _without_entry(name: str, value: float) -> str:
    """What to know of a parameter that NEMO has no entry for; nothing where DINO has the same number in its source."""
    if name in IN_SOURCE:
        same = _same(IN_SOURCE[name], value)
        return "" if same else f"DINO's source has {IN_SOURCE[name]:g}, the state {value:g}"
    return f"{INSTEAD.get(name, 'no entry of a namelist is known for it')} (the state has {value:g})"


def _text(entries: Groups) -> str:
    def plain(value: Any) -> str:
        return f"{value:g}" if isinstance(value, float) else fortran(value)

    groups = (
        (group, ", ".join(f"{n} = {plain(v)}" for n, v in held.items())) for group, held in entries.items()
    )
    return "; ".join(f"&{group} {held}" for group, held in groups)
