"""The verb ``dataset``: finished runs become one zarr store of states, split by member."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import files, parameters
from warmstart.config import read_yaml
from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.variables import STATE_VARIABLES, VARIABLES

log = logging.getLogger(__name__)

FORCING = ("forcing_wind_stress", "forcing_restoring_temperature", "forcing_restoring_salinity")
COMPRESSION_LEVEL = 5
BATCH_BYTES = 256 * 2**20  #: states held in memory before they are written


@dataclass(frozen=True)
class Member:
    """What one finished run contributes; its states stay on disk.

    Attributes
    ----------
    index : Sobol index, which decides the split.
    path : its ``states.nc``.
    grid : its mesh.
    chosen : which of the snapshots in the file to take, shape ``(sample,)``.
    drift : of the temperature below 2000 m [K/century].
    verdict : ``equilibrium``, ``near`` or ``drifting``.
    values : its parameters.
    forcing : the forcing profiles that the file holds.
    version : version of the package that ran it.
    source : opens its states where they are no ``states.nc``: the user's own files. They are stored in single precision.
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


def dataset(
    runs: str | Path, output: str | Path, overwrite: bool = False, transient: bool = True
) -> pd.DataFrame:
    """Gather the finished members of an ensemble into one zarr 3 store.

    The store holds the states, one snapshot a chunk, compressed without loss; parameters, forcing profiles, year,
    phase, drift and split of each snapshot; and the mesh in the group ``grid``. Splits are by member, never by
    snapshot. Members that are not finished are left out and named in the log.

    Parameters
    ----------
    runs : folder of the ensemble, or of any folders ``member_NNN`` with ``states.nc`` and ``status.yaml``.
    output : the store to write, ``states.zarr``.
    overwrite : whether an existing store may be replaced.
    transient : whether to take the snapshots on the way to equilibrium too.

    Returns
    -------
    One row a member: ``member split snapshots equilibrium first_year last_year drift verdict`` and its varied
    parameters; years in model years, drift in K/century.

    Raises
    ------
    UserError
        If there is no finished member, a file cannot be read, or the members are on different meshes.

    Examples
    --------
    >>> import warmstart as ws
    >>> ws.dataset("runs", "states.zarr")  # doctest: +SKIP
    """
    runs, output = Path(runs), Path(output)
    files.refuse_existing(output, overwrite)
    return store([read_member(folder, transient) for folder in _finished(runs)], runs, output, overwrite)


def store(members: list[Member], runs: Path, output: Path, overwrite: bool = False) -> pd.DataFrame:
    """Write members into one store; see :func:`dataset`.

    Parameters
    ----------
    members : what each run contributes.
    runs : the folder they came from.
    output : the store to write.
    overwrite : whether an existing store may be replaced.

    Returns
    -------
    As :func:`dataset`.

    Raises
    ------
    UserError
        If no member holds a snapshot, or the members are on different meshes.

    Examples
    --------
    >>> store([], Path("runs"), Path("states.zarr"))
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no member of runs holds a snapshot; let them run longer, or take the transient ones too
    """
    for member in members:
        members[0].grid.require_same(member.grid, str(member.path.parent))
    members = sorted((m for m in members if m.chosen.size), key=lambda m: m.index)
    if not members:
        raise UserError(
            f"no member of {runs} holds a snapshot; let them run longer, or take the transient ones too"
        )
    forcing = tuple(name for name in FORCING if all(name in m.forcing for m in members))
    if len(forcing) < len(FORCING):
        log.warning("no forcing profiles in the store: %s", ", ".join(sorted(set(FORCING) - set(forcing))))
    with files.replacing(output, overwrite) as temporary:
        _write(temporary, members, forcing, _attrs(members, _ranges(runs, members)))
    with files.open_dataset(output) as written:
        table = summary(written)
    log.info("%s: %d snapshots of %d members", output, int(table["snapshots"].sum()), len(table))
    return table


def _finished(runs: Path) -> list[Path]:
    """Folders of the finished members; the others are named in the log."""
    if not runs.is_dir():
        raise UserError(f"{runs} does not exist; give the folder that 'warmstart simulate' wrote")
    folders = sorted(p for p in runs.glob("member_*") if p.is_dir())
    if not folders:
        raise UserError(f"{runs} holds no member_* folder; give the folder that 'warmstart simulate' wrote")
    finished, skipped = [], {}
    for folder in folders:
        status = read_yaml(folder / "status.yaml") if (folder / "status.yaml").exists() else {}
        if status.get("state") == "finished":
            finished.append(folder)
        else:
            skipped[folder.name] = str(status.get("state", "not started"))
    for name, state in skipped.items():
        log.warning("%s left out: %s", name, state)
    if not finished:
        raise UserError(
            f"{runs} holds no finished member ({', '.join(f'{n} {s}' for n, s in skipped.items())}); "
            "call 'warmstart simulate' again to finish them"
        )
    return finished


def read_member(folder: Path, transient: bool = True) -> Member:
    """Read what a finished member says of itself, not its states.

    Parameters
    ----------
    folder : ``member_NNN`` with ``states.nc`` and ``status.yaml``.
    transient : whether to take the snapshots on the way to equilibrium too.

    Returns
    -------
    The member.

    Raises
    ------
    UserError
        Naming the file that is missing, damaged or incomplete.

    Examples
    --------
    >>> read_member(Path("runs/member_000"))  # doctest: +SKIP
    """
    try:
        index = int(folder.name.removeprefix("member_"))
    except ValueError:
        raise UserError(
            f"{folder}: expected a folder named member_ and its number, for example member_007"
        ) from None
    path = folder / "states.nc"
    status = read_yaml(folder / "status.yaml")
    grid = files.open_grid(path)
    with files.open_dataset(path) as opened:
        missing = [name for name in (*STATE_VARIABLES, "year", "phase") if name not in opened.variables]
        if missing:
            raise UserError(f"{path} holds no {', no '.join(missing)}; expected a states file of an engine")
        for name in STATE_VARIABLES:
            expected = ("time", *VARIABLES[name].dims)
            shape = grid.shape if VARIABLES[name].three_d else grid.shape[1:]
            if opened[name].dims != expected or opened[name].shape[1:] != shape:
                raise UserError(
                    f"{path}: {name} has dims {dict(opened[name].sizes)}; expected {expected} and the mesh's {shape}"
                )
        taken = np.ones(opened.sizes["time"], bool) if transient else opened["phase"].values == "equilibrium"
        values = {name: float(number) for name, number in parameters.extract(opened).items()}
        forcing = tuple(name for name in FORCING if name in opened)
        version = str(opened.attrs.get("warmstart_version", "unknown"))
    drift = status.get("drift_K_per_century")
    return Member(
        index=index,
        path=path,
        grid=grid,
        chosen=np.flatnonzero(taken),
        drift=math.nan if drift is None else float(drift),
        verdict=str(status.get("verdict") or "unknown"),
        values=values,
        forcing=forcing,
        version=version,
    )


def load_states(member: Member, forcing: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> xr.Dataset:
    """Load the states of a member, with everything that labels them.

    Parameters
    ----------
    member : from :func:`read_member`.
    forcing : forcing profiles to take.
    names : parameters to take.

    Returns
    -------
    States, parameters and forcing profiles, dims ``(sample, z, y, x)``; coordinates ``member year phase split drift
    verdict``, dims ``(sample,)``.

    Raises
    ------
    UserError
        If the file is damaged, or a value at sea is not finite.

    Examples
    --------
    >>> load_states(read_member(Path("runs/member_000")))  # doctest: +SKIP
    """
    try:
        with member.source() if member.source else files.open_dataset(member.path) as opened:
            ds = opened[[*STATE_VARIABLES, *forcing]].isel(time=member.chosen).load()
        if member.source:
            ds = ds.astype("float32")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot read {member.path}: {error}; the file is damaged, run this member anew"
        ) from error
    _require_finite(ds, member)
    ds = ds[[*STATE_VARIABLES, *forcing]].rename(time="sample").drop_encoding()
    n = ds.sizes["sample"]
    for name in forcing:
        ds[name] = ds[name].expand_dims(sample=n).copy()

    def repeated(value: Any, dtype: Any, **attrs: str) -> tuple[str, np.ndarray, dict[str, str]]:
        return ("sample", np.full(n, value, dtype=dtype), attrs)

    ds = ds.assign_coords(
        member=repeated(member.index, "int64", long_name="Sobol index of the simulation"),
        split=repeated(parameters.split_of(member.index), object, long_name="split, by member"),
        drift=repeated(
            member.drift, "float64", units="K/century", long_name="drift below 2000 m at the end of the run"
        ),
        verdict=repeated(member.verdict, object, long_name="equilibrium, near or drifting"),
        phase=("sample", ds["phase"].values.astype(object), ds["phase"].attrs),
    )
    return parameters.attach(ds, {name: np.full(n, member.values[name]) for name in names}, "sample")


def _require_finite(ds: xr.Dataset, member: Member) -> None:
    for name in STATE_VARIABLES:
        mask = member.grid.mask(VARIABLES[name].point)
        wet = ds[name].where(mask if VARIABLES[name].three_d else mask.isel(z=0), 0.0)
        if not bool(np.isfinite(wet).all()):
            raise UserError(f"{member.path}: {name} is not finite at sea; run this member anew")


def _attrs(members: list[Member], ranges: dict[str, list[float]]) -> dict[str, Any]:
    """Global attributes: where the store comes from and what it holds."""
    splits = [parameters.split_of(m.index) for m in members]
    return {
        **files.provenance(config=ranges),
        "title": "states of an ensemble of simulations",
        "parameter_ranges": json.dumps(ranges),
        "snapshots": int(sum(m.chosen.size for m in members)),
        "members": len(members),
        **{f"{name}_members": splits.count(name) for name in ("train", "validation", "test")},
        "grid_fingerprint": members[0].grid.fingerprint,
        "engine_versions": ", ".join(sorted({m.version for m in members})),
    }


def _ranges(runs: Path, members: list[Member]) -> dict[str, list[float]]:
    """Ranges of the varied parameters: those of the plan, or what the training members span."""
    if (runs / "plan.yaml").exists():
        plan = read_yaml(runs / "plan.yaml").get("ranges") or {}
        return {name: [float(low), float(high)] for name, (low, high) in plan.items()}
    spans = {}
    for name in parameters.PARAMETERS:
        values = [
            m.values[name] for m in members if name in m.values and parameters.split_of(m.index) == "train"
        ]
        if values and min(values) < max(values):
            spans[name] = [min(values), max(values)]
    return spans


def _write(path: Path, members: list[Member], forcing: tuple[str, ...], attrs: dict[str, Any]) -> None:
    """Write the store in batches of members, so that an ensemble need not fit into memory."""
    import zarr

    names = tuple(name for name in parameters.PARAMETERS if all(name in m.values for m in members))
    batch: list[xr.Dataset] = []
    for member in members:
        batch.append(load_states(member, forcing, names))
        if member is members[-1] or sum(ds.nbytes for ds in batch) > BATCH_BYTES:
            _append(
                path,
                xr.concat(batch, "sample", join="exact").drop_attrs(deep=False).assign_attrs(attrs),
                attrs["snapshots"],
            )
            batch = []
    mesh = members[0].grid.ds.drop_encoding()
    mesh.to_zarr(path, mode="a", group="grid", zarr_format=3, consolidated=False)
    with warnings.catch_warnings():
        # readers of other languages may ignore it; xarray warns when it is absent
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(path, path="grid")
        zarr.consolidate_metadata(path)


def _append(path: Path, ds: xr.Dataset, snapshots: int) -> None:
    """Make the store with its first samples, or add more; one snapshot a chunk, labels in one chunk."""
    from zarr.codecs import BloscCodec, BloscShuffle

    if path.exists():
        ds.to_zarr(path, append_dim="sample", consolidated=False)
        return
    codec = BloscCodec(cname="zstd", clevel=COMPRESSION_LEVEL, shuffle=BloscShuffle.bitshuffle)
    encoding: dict[str, dict[str, Any]] = {str(name): {"chunks": (snapshots,)} for name in ds.variables}
    for name in (*STATE_VARIABLES, *FORCING):
        if name in ds:
            encoding[name] = {"chunks": (1, *ds[name].shape[1:]), "compressors": (codec,)}
    ds.to_zarr(path, mode="w", zarr_format=3, consolidated=False, encoding=encoding)


def summary(ds: xr.Dataset) -> pd.DataFrame:
    """Tabulate a store: one row a member, as :func:`dataset` returns it.

    Parameters
    ----------
    ds : a store, or what :func:`gather` returns.

    Returns
    -------
    One row a member.

    Examples
    --------
    >>> summary(xr.open_zarr("states.zarr"))  # doctest: +SKIP
    """
    varied = list(json.loads(ds.attrs.get("parameter_ranges", "{}")))
    rows = []
    for member in np.unique(ds["member"].values):
        part = ds.isel(sample=np.flatnonzero(ds["member"].values == member))
        first = part.isel(sample=0)
        rows.append(
            {
                "member": int(member),
                "split": str(first["split"].values),
                "snapshots": part.sizes["sample"],
                "equilibrium": int((part["phase"].values == "equilibrium").sum()),
                "first_year": float(part["year"].min()),
                "last_year": float(part["year"].max()),
                "drift": float(first["drift"]),
                "verdict": str(first["verdict"].values),
                **{name: float(first[name]) for name in varied if name in part},
            }
        )
    return pd.DataFrame(rows)
