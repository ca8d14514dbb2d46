"""Parameters of a NEMO run from its namelists: ``namelist_cfg`` over ``namelist_ref``, as NEMO itself reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warmstart.engine.nemo.start import read_namelist
from warmstart.errors import UserError
from warmstart.parameters import PARAMETERS, Parameter

CFG, REF = "namelist_cfg", "namelist_ref"
#: ``nn_aei_ijk_t`` for which the eddy coefficient is rn_Ue rn_Le / 2: constant, fixed profile, or that at most.
CONSTANT_EDDIES = (0, 10, 21)
_RULE = re.compile(r"^(?P<sign>-?)(?P<factors>[\w.]+(?:\s*[*/]\s*[\w.]+)*)$")


def read(cfg: str | Path, ref: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Read a configuration's namelist over the reference namelist.

    Parameters
    ----------
    cfg : ``namelist_cfg``, or the folder of a run.
    ref : ``namelist_ref``; None takes the one beside `cfg`, or none.

    Returns
    -------
    Entries by group, names in lower case; those of `cfg` go before those of `ref`.

    Raises
    ------
    UserError
        If `cfg` does not exist or cannot be parsed.

    Examples
    --------
    >>> read("no-such-folder/namelist_cfg")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: namelist no-such-folder/namelist_cfg does not exist; give the namelist_cfg of the run
    """
    cfg = Path(cfg) / CFG if Path(cfg).is_dir() else Path(cfg)
    if ref is None and (cfg.parent / REF).is_file():
        ref = cfg.parent / REF
    groups: dict[str, dict[str, Any]] = {}
    for path in (ref, cfg):
        for group, entries in (read_namelist(path) if path is not None else {}).items():
            # NEMO reads the first group of a name only
            first = entries[0] if isinstance(entries, list) else entries
            groups.setdefault(group.lower(), {}).update({k.lower(): v for k, v in first.items()})
    return groups


def parameters(
    cfg: str | Path, ref: str | Path | None = None, required: bool = False
) -> tuple[dict[str, float], dict[str, str]]:
    """Read the parameters that a NEMO run was made with.

    Only what an entry says is returned, in the units of the parameters table: no default stands in for an entry that is
    missing, because ``namusr_def`` has none outside the source code.

    Parameters
    ----------
    cfg : ``namelist_cfg``, or the folder of a run.
    ref : ``namelist_ref``; None takes the one beside `cfg`, or none.
    required : refuse namelists that lack one of the entries.

    Returns
    -------
    values : parameter name to value.
    unknown : parameter name to the reason why it is not known.

    Raises
    ------
    UserError
        If a namelist is missing or damaged, or, with `required`, an entry is.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "namelist_cfg"
    >>> _ = path.write_text("&namusr_def rn_trp = -40. /")
    >>> parameters(path)[0]
    {'heat_restoring': 40.0}
    """
    groups = read(cfg, ref)
    values: dict[str, float] = {}
    unknown: dict[str, str] = {}
    for name, table in PARAMETERS.items():
        reason = _unused(name, groups)
        if table.namelist is None:
            unknown[name] = "NEMO's DINO has no namelist entry for it"
        elif reason:
            unknown[name] = reason
        else:
            value, missing = _evaluate(table, groups)
            if value is None:
                unknown[name] = missing
            else:
                values[name] = value
    lacking = {n: why for n, why in unknown.items() if PARAMETERS[n].namelist and "lacks" in why}
    if required and lacking:
        raise UserError(
            f"{cfg}: " + "; ".join(f"{why} ({n})" for n, why in lacking.items()) + "; add the entries"
        )
    return values, unknown


def _unused(name: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Why an entry, although there, says nothing about the run."""
    eddies, user = groups.get("namtra_eiv", {}), groups.get("namusr_def", {})
    if name == "eddy_diffusivity" and not eddies.get("ln_ldfeiv", False):
        return "ln_ldfeiv is not set: no eddy-induced velocity"
    if name == "eddy_diffusivity" and int(eddies.get("nn_aei_ijk_t", 0)) not in CONSTANT_EDDIES:
        return f"nn_aei_ijk_t = {eddies['nn_aei_ijk_t']}: the eddy coefficient varies with the grid or is read from a file"
    if name == "salt_restoring" and user.get("rn_srp", 1.0) == 0:
        return "rn_srp = 0: salinity is not restored"
    if name.startswith("restoring_salinity") and user.get("rn_srp", 1.0) == 0:
        return "rn_srp = 0: salinity is not restored"
    return ""


def _evaluate(table: Parameter, groups: Mapping[str, Mapping[str, Any]]) -> tuple[float | None, str]:
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
        if re.fullmatch(r"\d+(\.\d*)?", token):
            number: Any = float(token)
        else:
            number = groups.get(group, {}).get(token.lower())
        if number is None:
            return None, f"&{group} lacks {token}"
        if not isinstance(number, int | float) or isinstance(number, bool):
            return None, f"&{group} {token} is no number: {number!r}"
        product = product / number if divide else product * number
    return float(f"{product:.15g}") + 0.0, ""
