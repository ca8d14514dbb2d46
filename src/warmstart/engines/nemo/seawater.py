"""Which temperature and salinity a run of NEMO has: conservative and absolute by TEOS-10, or potential and practical.

States hold potential temperature. What is conservative says so by its name, its attributes, or the ``&nameos`` of the run beside it, and is
converted with the package ``gsw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.engines.nemo import namelist
from warmstart.errors import UserError

#: Names of conservative temperature in files, best first.
CONSERVATIVE = ("bigthetao", "toce_con", "CT", "ct", "conservative_temperature", "consT")
#: Names of absolute salinity in files.
ABSOLUTE = ("so_abs", "soce_abs", "SA", "absolute_salinity")
#: Names under which NEMO writes its own temperature and salinity, whichever they are: attributes of these are those of XIOS's tables.
PROGNOSTIC = (
    "toce", "toce_inst", "toce_e3t", "tn", "votemper", "soce", "soce_inst", "soce_e3t", "sn", "vosaline",
)  # fmt: skip
#: Switches of ``&nameos``, and ``nn_eos`` of NEMO 3.6.
SWITCHES = {"ln_teos10": "teos10", "ln_eos80": "eos80", "ln_seos": "seos"}
OLD_SWITCH = {-1: "teos10", 0: "eos80", 1: "seos"}


def equation_of(run: str | Path) -> str | None:
    """Tell the equation of state of a run from its namelists.

    Parameters
    ----------
    run : its folder, or its ``namelist_cfg``.

    Returns
    -------
    ``"teos10"``, ``"eos80"`` or ``"seos"``; None where no namelist says it.

    Examples
    --------
    >>> equation_of("no-such-folder")
    """
    run = Path(run)
    path = run / namelist.CFG if run.is_dir() else run
    return _equation(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=64)
def _equation(path: Path, changed: int) -> str | None:
    """The equation of state that a namelist chooses; read once for each time it was `changed`."""
    try:
        return equation_in(namelist.read(path))
    except UserError:
        return None


def equation_in(groups: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Tell which equation of state namelists choose.

    Parameters
    ----------
    groups : the namelists, from :func:`warmstart.engines.nemo.namelist.read`.

    Returns
    -------
    As :func:`equation_of`; None also where they choose several.

    Examples
    --------
    >>> equation_in({"nameos": {"ln_seos": True}})
    'seos'
    """
    entries = groups.get("nameos", {})
    chosen = [name for switch, name in SWITCHES.items() if entries.get(switch) is True]
    if not chosen and entries.get("nn_eos") in OLD_SWITCH:
        return OLD_SWITCH[entries["nn_eos"]]
    return chosen[0] if len(chosen) == 1 else None


def is_conservative(name: str, attrs: Mapping[Any, Any], equation: str | None) -> bool:
    """Whether a variable of a file is conservative temperature; `equation` is that of the run (:func:`equation_of`).

    Examples
    --------
    >>> is_conservative("thetao", {"standard_name": "sea_water_conservative_temperature"}, None)
    True
    >>> is_conservative("toce", {}, "teos10"), is_conservative("thetao", {}, "teos10")
    (True, False)
    """
    said = f"{attrs.get('standard_name', '')} {attrs.get('long_name', '')}".lower()
    return name in CONSERVATIVE or "conservative" in said or (name in PROGNOSTIC and equation == "teos10")


def is_practical(name: str, attrs: Mapping[Any, Any]) -> bool:
    """Whether a salinity beside a conservative temperature is practical all the same; without a word it is that of the model, absolute."""
    return name not in PROGNOSTIC and "practical" in str(attrs.get("standard_name", "")).lower()


def potential_temperature(conservative: np.ndarray, salinity: np.ndarray) -> np.ndarray:
    """Potential temperature by TEOS-10.

    Parameters
    ----------
    conservative : Conservative Temperature [degC].
    salinity : Absolute Salinity [g kg-1], of the same shape.

    Returns
    -------
    [degC], NaN where either is.

    Raises
    ------
    UserError
        If the package ``gsw`` is not there.

    Examples
    --------
    >>> potential_temperature(np.array([25.0, 25.0]), np.array([36.0, 5.0])).round(3).tolist()
    [25.031, 23.943]
    """
    gsw = _gsw("conservative temperature")
    return np.asarray(gsw.pt_from_CT(salinity, conservative))


def conservative_temperature(potential: np.ndarray, salinity: np.ndarray) -> np.ndarray:
    """The inverse of :func:`potential_temperature`.

    Examples
    --------
    >>> conservative_temperature(np.array([25.03126]), np.array([36.0])).round(4).tolist()
    [25.0]
    """
    gsw = _gsw("the temperature of a run with TEOS-10")
    return np.asarray(gsw.CT_from_pt(salinity, potential))


def absolute_salinity(
    practical: np.ndarray, depth: np.ndarray, lon: np.ndarray, lat: np.ndarray
) -> np.ndarray:
    """Absolute Salinity [g kg-1] of practical salinity at a place; arrays that broadcast together, depth positive down [m]."""
    gsw = _gsw("conservative temperature")
    return np.asarray(gsw.SA_from_SP(practical, gsw.p_from_z(-depth, lat), lon, lat))


def _gsw(what: str) -> Any:
    try:
        import gsw
    except ModuleNotFoundError as error:
        raise UserError(f"{what} needs the package gsw; install warmstart[teos10]") from error
    return gsw
