"""Whether files are of one run: by their names, by what lies beside them, and by where their land is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart import lazy
from warmstart.engine.nemo import namelist
from warmstart.engine.nemo.names import role
from warmstart.engine.nemo.pieces import Source
from warmstart.errors import UserError

#: Names of NEMO's files begin with that of the run (``cn_exp``).
_NAMES = (
    re.compile(r"(?P<run>.+?)_\d+(?:ts|s|mi|h|d|mo|m|y)_\d"),
    re.compile(r"(?P<run>.+?)_\d{6,10}_restart"),
)
#: Attributes of CMIP6 that name a simulation.
_CMIP = ("source_id", "experiment_id", "variant_label")
#: Groups of a namelist that make a run another one.
_PHYSICS = ("namusr_def", "nameos", "namzdf", "namtra_ldf", "namtra_eiv", "namdyn_ldf")


def run_name(path: Path, attrs: Any) -> str:
    """Name of the run that a file says it is of; empty where it says none.

    Examples
    --------
    >>> run_name(Path("GYRE_1y_00010101_00011230_grid_T.nc"), {}), run_name(Path("DINO_00005760_restart.nc"), {})
    ('GYRE', 'DINO')
    """
    said = [str(attrs[name]) for name in _CMIP if name in attrs]
    if len(said) == len(_CMIP):
        return " ".join(said)
    match = next((m for pattern in _NAMES if (m := pattern.match(path.name))), None)
    return match["run"] if match else ""


def require_one_run(sources: Sequence[Source], fields: Sequence[xr.Variable | None]) -> None:
    """Refuse files of several runs.

    Parameters
    ----------
    sources : the files.
    fields : of each a tracer ``(time, z, y, x)`` on the mesh, whose land shows the sea of the run; None where it holds none.

    Raises
    ------
    UserError
        Saying what differs: their names, the physics of the namelists in their folders, or their seas.

    Examples
    --------
    >>> require_one_run([], [])
    """
    if len(sources) < 2:
        return
    first = sources[0]
    names = [run_name(s.path, s.first.attrs) for s in sources]
    for source, name in zip(sources, names, strict=True):
        if name and names[0] and name != names[0] and _alike(source, first):
            _refuse(first, source, f"they are of {names[0]} and of {name}")
    folders = {s.path.parent.resolve(): s for s in sources}
    physics = {folder: _physics(folder) for folder in folders} if len(folders) > 1 else {}
    known = [folder for folder, groups in physics.items() if groups]
    for folder in known[1:]:
        differing = [g for g in _PHYSICS if physics[folder].get(g) != physics[known[0]].get(g)]
        if differing:
            _refuse(
                folders[known[0]], folders[folder], f"the namelists beside them differ in &{differing[0]}"
            )
    seas = [
        (source, name, _land(field))
        for source, name, field in zip(sources, names, fields, strict=True)
        if field is not None
    ]
    for source, name, land in seas[1:]:
        other, its, sea = seas[0]
        if name and name == its and source.path.parent == other.path.parent:
            continue  # the same run by its name: its land need not be read
        if (land & ~sea).any() and (sea & ~land).any():
            _refuse(other, source, "their land lies elsewhere")


def _alike(one: Source, other: Source) -> bool:
    """Whether both say what run they are of in the same way."""
    return all(n in one.first.attrs for n in _CMIP) == all(n in other.first.attrs for n in _CMIP)


def _refuse(one: Source, other: Source, why: str) -> None:
    raise UserError(f"{one.path} and {other.path} are of several runs: {why}; give the files of one run")


def _physics(folder: Path) -> dict[str, Any]:
    """The groups of the namelist in a folder that say what is simulated; empty where there is none."""
    if not (folder / namelist.CFG).is_file():
        return {}
    try:
        groups = namelist.read(folder)
    except UserError:
        return {}
    return {name: groups[name] for name in _PHYSICS if name in groups}


def _land(field: xr.Variable) -> np.ndarray:
    """Where the uppermost level of the first record holds nothing or 0."""
    level = next(i for i, d in enumerate(field.dims) if role(str(d)) == "z")
    key = tuple(0 if i in (0, level) else slice(None) for i in range(field.ndim))
    values = lazy.take(field, key)
    return ~np.isfinite(values) | (values == 0)
