"""The wind of a DINO run: what its output shows, what its source says, or what its namelist means in that version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.engines.dino import wind_stress
from warmstart.engines.nemo import header
from warmstart.engines.nemo.namelist import number
from warmstart.engines.nemo.subdomains import NemoFile, close, open_sources
from warmstart.errors import UserError
from warmstart.io import lazy_arrays
from warmstart.io.netcdf import read_header

SOUTH, NORTH = "wind_stress_south", "wind_stress_north"
#: Wind stress at 45S that DINO before July 2025 has in its source, whatever ``rn_ztau0`` says [Pa].
FORMER = 0.2
IGNORED = "is not used"
#: Forcing types of DINO with this wind.
TYPES = (4, 5)
#: Names of the zonal wind stress in output and leapfrog restarts.
STRESS = ("sozotaux", "utau", "tauuo", "utau_b")
#: Largest deviation of a profile from DINO's that is rounding [Pa].
TOLERANCE = 2e-4
LATITUDES = ("nav_lat", "nav_lat_grid_T", "nav_lat_grid_U", "gphit", "y", "lat")
SOURCE = "usrdef_sbc.F90"
_NODES = re.compile(r"znds_wnd_val\s*=\s*\(/\s*[^,/]+,\s*(?P<south>[^,/]+?)\s*,")


def wind(
    folder: Path, groups: Mapping[str, Mapping[str, Any]], run: bool = True
) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    """Tell the wind stress of a run.

    DINO uses ``rn_ztau0`` as the wind stress at 45S since July 2025; before, it read the entry and used 0.2 Pa. What decides, in
    this order: the wind stress in the run's output or leapfrog restarts; the source ``usrdef_sbc.F90`` beside the run; a mesh or restart of NEMO 3.6 or 4.0,
    for which only the former DINO exists; else the present DINO is assumed, and said.

    Parameters
    ----------
    folder : of the run, or of its namelist.
    groups : its namelists.
    run : whether the question is what the run in `folder` was made with; False asks what the namelists mean for the next one, which may
        have been changed since: then output only tells the version of DINO.

    Returns
    -------
    values : ``wind_stress_south`` and ``wind_stress_north`` as far as they are known [Pa].
    unknown : the others, and why.
    notes : how the value was found, by parameter.

    Examples
    --------
    >>> values, unknown, notes = wind(Path("no-such-folder"), {"namusr_def": {"rn_ztau0": 0.1}})
    >>> values
    {'wind_stress_south': 0.1}
    """
    forcing = number(groups, "namusr_def", "nn_forcingtype")
    fixed = {NORTH: "DINO's source has it, 0.1 Pa, and no namelist entry"}
    if forcing is not None and int(forcing) not in TYPES:
        why = f"nn_forcingtype = {forcing:g}: another wind than the parameter's"
        return {}, {SOUTH: why, NORTH: why}, {}
    found = _measured(folder)
    stated = number(groups, "namusr_def", "rn_ztau0")
    if found is not None:
        path, south, north = found
        if south is None or north is None:
            why = f"the wind stress in {path.name} is not DINO's profile"
            return {}, {SOUTH: why, NORTH: why}, {}
        said = f"from the wind stress in {path.name}"
        if stated is not None and abs(stated - south) > TOLERANCE:
            if abs(south - FORMER) < TOLERANCE:
                said += f", as in DINO before July 2025: rn_ztau0 = {stated:g} {IGNORED} (if it was changed after that run, set {SOUTH} yourself)"
            elif run:
                said += f"; rn_ztau0 = {stated:g} is not what it ran with"
            else:
                south = stated
                said = f"rn_ztau0, which this DINO uses: {path.name} has another wind than DINO's own"
        return {SOUTH: south, NORTH: north}, {}, {SOUTH: said}
    source, constant = _source(folder)
    if constant is not None:
        return {SOUTH: constant}, fixed, {SOUTH: f"a number in {source}; rn_ztau0 {IGNORED}"}
    if source is None and (version := _former(folder)):
        said = f"DINO of NEMO {version} has it in its source; rn_ztau0 {IGNORED}"
        return {SOUTH: FORMER}, fixed, {SOUTH: said}
    if stated is None:
        return {}, {SOUTH: "&namusr_def lacks rn_ztau0"} | fixed, {}
    said = f"rn_ztau0, which {source} uses"
    if source is None:
        said = (
            f"rn_ztau0, as in DINO since July 2025 (assumed); before, DINO used {FORMER} Pa whatever rn_ztau0 said: "
            f"if yours is older, set {SOUTH} yourself"
        )
    return {SOUTH: stated}, fixed, {SOUTH: said}


def _measured(folder: Path) -> tuple[Path, float | None, float | None] | None:
    """A file of a run with its wind stress, at 45S and 45N [Pa]: None where its profile is not DINO's; None if no file holds it."""
    for path in sorted(folder.glob("*.nc*")):
        try:
            names = set(read_header(path).variables) if path.is_file() else set()
        except UserError:
            continue  # said when it is used
        held = next((name for name in STRESS if name in names), None)
        if held is not None:
            profile = _profile(path, held)
            if profile is not None:
                return (path, *_fitted(*profile))
    return None


def _profile(path: Path, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Latitude and wind stress of each row that has one, at the first record."""
    try:
        sources = open_sources(path)
    except UserError:
        return None
    try:
        held = sources[0].first.variables
        latitude = next((n for n in LATITUDES if n in held and held[n].ndim >= 2), None)
        if latitude is None:
            return None
        lat, tau = (_first_record(sources[0], n) for n in (latitude, name))
    finally:
        close(sources)
    if lat.shape != tau.shape:
        return None
    sea = np.isfinite(tau) & (np.abs(tau) < 1e3) & (tau != 0)
    rows = [j for j in range(len(tau)) if sea[j].any()]
    latitudes, stresses = (np.array([np.median(v[j][sea[j]]) for j in rows]) for v in (lat, tau))
    return latitudes, stresses


def _first_record(source: NemoFile, name: str) -> np.ndarray:
    """A variable of all pieces, dims ``(y, x)``."""
    whole = source.merged([part.variables[name] for part in source.parts])
    return np.asarray(lazy_arrays.take(whole, (0,) * (whole.ndim - 2)), float)


def _fitted(latitude: np.ndarray, stress: np.ndarray) -> tuple[float | None, float | None]:
    """Both westerlies of the profile: it is linear in them."""

    def of(south: float, north: float) -> np.ndarray:
        return wind_stress(latitude, {SOUTH: south, NORTH: north})

    none = of(0.0, 0.0)
    design = np.stack([of(1.0, 0.0) - none, of(0.0, 1.0) - none], 1)
    if len(latitude) < 3 or (np.abs(design).max(0) < 0.05).any():
        return None, None
    found = np.linalg.lstsq(design, stress - none, rcond=None)[0]
    if np.abs(design @ found + none - stress).max() > TOLERANCE:
        return None, None
    south, north = (float(f"{value:.6g}") for value in found)
    return south, north


def _source(folder: Path) -> tuple[Path | None, float | None]:
    """The source of the forcing beside a run, and the number that it has for the wind; None where it takes ``rn_ztau0``."""
    for place in (folder, folder / "MY_SRC", folder.parent / "MY_SRC"):
        path = place / SOURCE
        if not path.is_file():
            continue
        said = _NODES.findall(path.read_text(errors="replace"))
        if not said:
            continue
        if "rn_ztau0" in said[0].lower():
            return path, None
        match = re.match(r"[+-]?[\d.]+(?:[eEdD][+-]?\d+)?", said[0])
        if match:
            return path, float(match[0].lower().replace("d", "e"))
    return None, None


def _former(folder: Path) -> str:
    """The version of NEMO, where the run is of one that only the former DINO knows."""
    for pattern in ("*mesh_mask*.nc*", "*domain_cfg*.nc*", "*restart*.nc*"):
        for path in sorted(p for p in folder.glob(pattern) if p.is_file())[:1]:
            try:
                version = header.recognise(path).version
            except UserError:
                continue
            if version in ("3.6", "4.0"):
                return version
    return ""
