"""The members of an ensemble on disk: folders of runs, or a collection of member files, one NetCDF file each."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError, require_path
from warmstart.io import files
from warmstart.io.config import read_yaml
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.sea import require_whole
from warmstart.ocean.variables import STATE_VARIABLES, VARIABLES, Variable, carried, held, require_units

log = logging.getLogger(__name__)

FORCING = ("forcing_wind_stress", "forcing_restoring_temperature", "forcing_restoring_salinity")
BLOW_UPS = "blow_ups.yaml"  #: members of a collection that blew up and left no states
BLEW_UP = "blew up"  #: their verdict
DRIFT = "drift below 2000 m at the end of the run"
DIGITS = 9  #: of a member's number, at most
SECOND = re.compile(r"member_\d+_cold\.nc")  #: runs of a member from a second initial state


@dataclass(frozen=True)
class Member:
    """What one finished run contributes; its states stay on disk.

    Attributes
    ----------
    index : its number, which decides the split where its file names none.
    path : its ``states.nc``, or its member file.
    grid : its mesh.
    chosen : which of the snapshots in the file to take, shape ``(sample,)``.
    drift : of the temperature below 2000 m [K/century].
    verdict : ``equilibrium``, ``near`` or ``drifting``.
    values : its parameters.
    forcing : the forcing profiles that the file holds.
    version : version of the package that ran it.
    source : opens its states where they are no ``states.nc``: the user's own files. They are stored in single precision.
    older : whether it is a member file of the older format.
    variables : those of a state that it holds.
    tables : what these variables are.
    described : its parameters that are not in the table.
    name : what the plan calls it, if it lists its members; else empty.
    given_split : the split that the plan gives it, if it does; else empty.
    """

    index: int
    path: Path
    grid: Grid
    chosen: np.ndarray
    drift: float
    verdict: str
    values: dict[str, float]
    forcing: tuple[str, ...]
    version: str
    source: Callable[[], xr.Dataset] | None = None
    older: bool = False
    variables: tuple[str, ...] = STATE_VARIABLES
    tables: Mapping[str, Variable] = field(default_factory=lambda: VARIABLES)
    described: dict[str, parameters.Parameter] = field(default_factory=dict)
    name: str = ""
    given_split: str = ""

    @property
    def split(self) -> str:
        """The split that was given, or that of its number."""
        return self.given_split or parameters.split_of(self.index)


@dataclass(frozen=True)
class BlowUp:
    """A member that blew up as often as it was tried.

    Attributes
    ----------
    index : its number.
    year : in which it blew up the last time [model years].
    values : its parameters.
    name, given_split : as of :class:`Member`.
    """

    index: int
    year: float
    values: dict[str, float] = field(default_factory=dict)
    name: str = ""
    given_split: str = ""

    @property
    def split(self) -> str:
        """The split that was given, or that of its number."""
        return self.given_split or parameters.split_of(self.index)


def find_members(place: Path, transient: bool = True) -> tuple[list[Member], list[BlowUp]]:
    """Read what the finished members in a folder say of themselves, not their states.

    Parameters
    ----------
    place : the runs of ``warmstart simulate``, or a collection of member files ``member_NNN.nc``, or both.
    transient : whether to take the snapshots on the way to equilibrium too.

    Returns
    -------
    The members, and those that blew up. What is not finished is left out and named in the log, and so are runs of a
    member from a second initial state, ``member_NNN_cold.nc``.

    Raises
    ------
    UserError
        If there is no finished member, a file cannot be read, or a member is there twice.

    Examples
    --------
    >>> find_members(Path("no-such-folder"))
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder does not exist; give the folder that 'warmstart simulate' wrote
    """
    if not require_path(place).is_dir():
        what = "is no folder" if place.exists() else "does not exist"
        raise UserError(f"{place} {what}; give the folder that 'warmstart simulate' wrote")
    folders = sorted(p for p in place.glob("member_*") if p.is_dir())
    paths = sorted(p for p in place.glob("member_*.nc") if p.is_file())
    if not folders and not paths:
        raise UserError(
            f"{place} holds no member_* folder and no member_*.nc; give the folder that 'warmstart simulate' wrote"
        )
    found, skipped, blown = [], {}, _listed_blow_ups(place / BLOW_UPS)
    for folder in folders:
        status = read_yaml(folder / "status.yaml") if (folder / "status.yaml").exists() else {}
        if status.get("state") == "finished":
            found.append(_read_folder(folder, transient))
        elif status.get("blow_ups") and status.get("state") == "failed":
            blown.append(_blow_up(folder, status["blow_ups"]))
        else:
            skipped[folder.name] = str(status.get("state", "not started"))
    for path in paths:
        if path.stem.removeprefix("member_").isdigit():
            found.append(read_member_file(path, transient))
        elif SECOND.fullmatch(path.name):
            skipped[path.name] = "a second run of that member"
        else:
            skipped[path.name] = "the name is not understood; expected for example member_007.nc"
    for name, state in skipped.items():
        log.warning("%s left out: %s", name, state)
    _say_older([m.path for m in found if m.older], len(found))
    _refuse_twice(found)
    if not found:
        left = [f"{n} {s}" for n, s in skipped.items()]
        left += [f"member_{b.index:03d} {BLEW_UP}" for b in blown]
        raise UserError(
            f"{place} holds no finished member ({', '.join(left)}); call 'warmstart simulate' again to finish them"
        )
    return found, blown


def _index(path: Path) -> int:
    number = path.stem.removeprefix("member_")
    if not number.isdigit() or len(number) > DIGITS:
        raise UserError(
            f"{path}: expected a name of member_ and its number, at most {DIGITS} digits, for example member_007"
        )
    return int(number)


def _blow_up(folder: Path, times: Any) -> BlowUp:
    """What a run that blew up says of the last time."""
    try:
        last = times[-1]
        labels = labels_of(folder)
        return BlowUp(_index(folder), float(last["year"]), dict(last.get("parameters") or {}), *labels)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / 'status.yaml'}: expected 'blow_ups', a list of year and parameters ({error!r})"
        ) from error


def labels_of(folder: Path) -> tuple[str, str]:
    """Name and split of a member that its plan lists, from its ``job.yaml``; empty where they were not given.

    Raises
    ------
    UserError
        If the split is none.

    Examples
    --------
    >>> labels_of(Path("no-such-folder"))
    ('', '')
    """
    path = folder / "job.yaml"
    job = read_yaml(path) if path.exists() else {}
    return str(job.get("name") or ""), _known_split(job.get("split"), path)


def _known_split(split: Any, path: Path) -> str:
    """A split as a file states it, empty if it states none; refuses another word."""
    if split not in (None, "", *parameters.SPLITS):
        raise UserError(f"{path}: split is {split!r}; expected one of {', '.join(parameters.SPLITS)}")
    return str(split or "")


def _say_older(older: list[Path], total: int) -> None:
    if older and len(older) < total:
        log.warning(
            "%d of %d members are files of the older format, without a restart and an interval of the drift: %s; "
            "they are taken with the verdict they carry",
            len(older), total, ", ".join(p.name for p in older),
        )  # fmt: skip


def _refuse_twice(members: list[Member]) -> None:
    first: dict[int, Path] = {}
    for member in members:
        if member.index in first:
            raise UserError(
                f"member {member.index} is there twice, {first[member.index]} and {member.path}; keep one of them"
            )
        first[member.index] = member.path


def _listed_blow_ups(path: Path) -> list[BlowUp]:
    """Those that a collection lists."""
    if not path.exists():
        return []
    listed = read_yaml(path).get("members") or []
    try:
        return [
            BlowUp(
                int(m["member"]), float(m["year"]), dict(m.get("parameters") or {}),
                str(m.get("name") or ""), _known_split(m.get("split"), path),
            )
            for m in listed
        ]  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: expected 'members', a list of member, year and parameters ({error!r})"
        ) from error


def _read_folder(folder: Path, transient: bool = True) -> Member:
    """What a finished member, ``member_NNN`` with ``states.nc`` and ``status.yaml``, says of itself, not its states."""
    index, path = _index(folder), folder / "states.nc"
    status = read_yaml(folder / "status.yaml")
    drift = status.get("drift_K_per_century")
    return _member(
        index, path, math.nan if drift is None else _drift(drift, folder / "status.yaml"),
        str(status.get("verdict") or "unknown"), transient,
    )  # fmt: skip


def _drift(stated: Any, path: Path) -> float:
    """The drift that a file states [K/century]."""
    try:
        return float(stated)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: drift_K_per_century is {stated!r}; expected a number") from error


def _member(
    index: int, path: Path, drift: float, verdict: str, transient: bool, older: bool = False
) -> Member:
    """Read mesh, parameters and labels of a states file."""
    grid = files.open_grid(path)
    with files.open_dataset(path) as opened:
        names, tables = held(opened), carried(opened)
        missing = [name for name in (*names, "year", "phase") if name not in opened.variables]
        if missing:
            raise UserError(f"{path} holds no {', no '.join(missing)}; expected a states file of an engine")
        if unknown := [name for name in names if name not in tables]:
            raise UserError(f"{path} does not say what {', '.join(unknown)} is; run this member anew")
        for name in names:
            _require_units(opened[name], tables[name], path)
            expected = ("time", *tables[name].dims)
            shape = grid.shape if tables[name].three_d else grid.shape[1:]
            if opened[name].dims != expected or opened[name].shape[1:] != shape:
                raise UserError(
                    f"{path}: {name} has dims {dict(opened[name].sizes)}; expected {expected} and the mesh's {shape}"
                )
        taken = np.ones(opened.sizes["time"], bool) if transient else opened["phase"].values == "equilibrium"
        known = parameters.carried(opened)
        return Member(
            index, path, grid, np.flatnonzero(taken), drift, verdict, _values(opened, known, path),
            forcing=tuple(name for name in FORCING if name in opened),
            version=str(opened.attrs.get("warmstart_version", "unknown")),
            older=older, variables=names, tables=tables,
            described={n: p for n, p in known.items() if n not in parameters.PARAMETERS},
            name=str(opened.attrs.get("member_name", "")),
            given_split=_known_split(opened.attrs.get("split"), path),
        )  # fmt: skip


def _require_units(da: xr.DataArray, table: Variable, path: Path) -> None:
    expected = table.units
    try:
        require_units(str(da.name), str(da.attrs.get("units", expected)), expected)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _values(opened: xr.Dataset, known: Mapping[str, parameters.Parameter], path: Path) -> dict[str, float]:
    """The parameters of a member: one finite number each, positive where the logarithm is taken."""
    values = {}
    for name, parameter in known.items():
        numbers = opened[name].values
        if numbers.size != 1:
            raise UserError(f"{path}: {name} has {numbers.size} values; expected one for the member")
        try:
            values[name] = parameters.parse(numbers.item(), parameter)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return values


def read_member_file(path: Path, transient: bool = True) -> Member:
    """Read what a member file says of itself, not its states.

    Parameters
    ----------
    path : ``member_NNN.nc`` of a collection.
    transient : whether to take the snapshots on the way to equilibrium too.

    Raises
    ------
    UserError
        If the file is damaged or no member file.
    """
    with files.open_dataset(path) as opened:
        attrs = dict(opened.attrs)
    missing = [name for name in ("member", "verdict", "drift_K_per_century") if name not in attrs]
    if missing:
        raise UserError(
            f"{path} does not say its {', '.join(missing)}; expected a member file that data/export.py wrote"
        )
    try:
        number = int(attrs["member"])
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: member is {attrs['member']!r}; expected a number") from error
    if number != _index(path):
        raise UserError(f"{path} holds member {number}; name it member_{number:03d}.nc")
    return _member(
        _index(path), path, _drift(attrs["drift_K_per_century"], path), str(attrs["verdict"]), transient,
        older="member_format" not in attrs,
    )  # fmt: skip


def load_states(
    member: Member,
    forcing: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    variables: tuple[str, ...] = STATE_VARIABLES,
) -> xr.Dataset:
    """Load the states of a member, with everything that labels them.

    Parameters
    ----------
    member : from :func:`find_members`.
    forcing : forcing profiles to take.
    names : parameters to take.
    variables : of the state to take.

    Returns
    -------
    States, parameters and forcing profiles, dims ``(sample, z, y, x)``; coordinates ``member year phase split drift
    verdict`` and, of a member with a name, ``member_name``, dims ``(sample,)``.

    Raises
    ------
    UserError
        If the file is damaged, or a value at sea is not finite.
    """
    try:
        with member.source() if member.source else files.open_dataset(member.path) as opened:
            ds = opened[[*variables, *forcing]].isel(time=member.chosen).load()
        if member.source:
            ds = ds.astype("float32")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot read {member.path}: {error}; the file is damaged, run this member anew"
        ) from error
    tables = {name: member.tables[name] for name in member.variables if name in ds}
    require_whole(ds, member.grid, f"{member.path}: ", "; run this member anew", tables)
    ds = ds[[*variables, *forcing]].rename(time="sample").drop_encoding()
    n = ds.sizes["sample"]
    for name in forcing:
        ds[name] = ds[name].expand_dims(sample=n).copy()

    def repeated(value: Any, dtype: Any, **attrs: str) -> tuple[str, np.ndarray, dict[str, str]]:
        return ("sample", np.full(n, value, dtype=dtype), attrs)

    ds = ds.assign_coords(
        member=repeated(member.index, "int64", long_name="number of the simulation"),
        member_name=repeated(member.name, object, long_name="what the plan calls the simulation"),
        split=repeated(member.split, object, long_name="split, by member"),
        drift=repeated(member.drift, "float64", units="K/century", long_name=DRIFT),
        verdict=repeated(member.verdict, object, long_name="equilibrium, near or drifting"),
        phase=("sample", ds["phase"].values.astype(object), ds["phase"].attrs),
    )
    values = {name: np.full(n, member.values[name]) for name in names}
    return parameters.attach(ds, values, "sample", member.described)
