"""Stores: finished runs become one zarr store of states, split by member."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from warmstart.errors import UserError
from warmstart.io import files, outputs
from warmstart.io.config import read_yaml
from warmstart.ocean import parameters
from warmstart.ocean.variables import carried, in_order, said
from warmstart.store.members import BLEW_UP, FORCING, BlowUp, Member, load_states

log = logging.getLogger(__name__)

COMPRESSION_LEVEL = 5
BATCH_BYTES = 256 * 2**20  #: states held in memory before they are written


def store(
    members: list[Member],
    runs: Path,
    output: Path,
    overwrite: bool = False,
    blown_up: Sequence[BlowUp] = (),
    about: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Write members into one zarr 3 store, split by member, never by snapshot.

    It holds the states, one snapshot a chunk, compressed without loss; parameters, forcing profiles, year, phase, drift and split of
    each snapshot; and the mesh in the group ``grid``.

    Parameters
    ----------
    members : what each run contributes.
    runs : the folder they came from.
    output : the store to write, ``states.zarr``.
    overwrite : whether an existing store may be replaced.
    blown_up : members that left no states; the table and the attributes of the store name them.
    about : further attributes of the store.

    Returns
    -------
    One row a member: ``member split snapshots equilibrium first_year last_year drift verdict``, its ``name`` where the plan
    gives names, and its varied parameters; years in model years, drift in K/century.

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
        members[0].grid.require_same(member.grid, str(member.path))
    members = sorted((m for m in members if m.chosen.size), key=lambda m: m.index)
    if not members:
        raise UserError(
            f"no member of {runs} holds a snapshot; let them run longer, or take the transient ones too"
        )
    forcing = tuple(name for name in FORCING if all(name in m.forcing for m in members))
    if len(forcing) < len(FORCING):
        log.warning("no forcing profiles in the store: %s", ", ".join(sorted(set(FORCING) - set(forcing))))
    with outputs.replacing(output, overwrite, inputs=[runs]) as temporary:
        attrs = _attrs(members, _ranges(runs, members)) | dict(about or {})
        attrs["blown_up_members"] = " ".join(str(b.index) for b in blown_up)
        _write(temporary, members, forcing, attrs)
    with files.open_dataset(output) as written:
        table = _with_blow_ups(summary(written), blown_up)
    log.info("%s: %d snapshots of %d members", output, int(table["snapshots"].sum()), len(table))
    return table


def _names_of(members: Iterable[Member]) -> list[str]:
    """Name the parameters that any member has: those of the table first, in its order."""
    held = dict.fromkeys(name for member in members for name in member.values)
    return [n for n in parameters.PARAMETERS if n in held] + [
        n for n in held if n not in parameters.PARAMETERS
    ]


def say_incomplete(members: list[Member]) -> None:
    """Name the parameters that some members have and others lack: the store can hold none of them.

    Examples
    --------
    >>> say_incomplete([])
    """
    for name in _names_of(members):
        lacking = [str(m.index) for m in members if name not in m.values]
        if 0 < len(lacking) < len(members):
            log.warning(
                "%s is not in the store: the files of these members lack it: %s", name, ", ".join(lacking)
            )


def _with_blow_ups(table: pd.DataFrame, blown_up: Sequence[BlowUp]) -> pd.DataFrame:
    """The table with a row for each member that blew up."""
    rows = [
        {
            "member": b.index, "name": b.name, "split": b.split, "snapshots": 0, "equilibrium": 0,
            "last_year": b.year, "verdict": BLEW_UP, **{n: v for n, v in b.values.items() if n in table},
        }
        for b in blown_up
    ]  # fmt: skip
    if not rows:
        return table
    both = pd.concat([table, pd.DataFrame(rows)]).sort_values("member", ignore_index=True)
    named = "name" in table or any(b.name for b in blown_up)
    columns = [c for c in table.columns if c != "name"]
    if not named:
        return both[columns]
    return both[["member", "name", *columns[1:]]].fillna({"name": ""})


def describe(table: pd.DataFrame) -> str:
    """Say in one line what a table of :func:`store` holds: counts of verdicts and of splits.

    Examples
    --------
    >>> describe(pd.DataFrame({"member": [0, 3], "split": ["train", "validation"], "verdict": ["near", "blew up"]}))
    '2 members: 0 equilibrium, 1 near, 0 drifting, 1 blew up (3); splits without them: 1 train, 0 validation, 0 test'
    """
    there = table[table["verdict"] != BLEW_UP]
    lost = table.loc[table["verdict"] == BLEW_UP, "member"]
    verdicts = [f"{int((there['verdict'] == v).sum())} {v}" for v in ("equilibrium", "near", "drifting")]
    lost_text = f"{len(lost)} {BLEW_UP}" + (f" ({', '.join(map(str, lost))})" if len(lost) else "")
    splits = [f"{int((there['split'] == s).sum())} {s}" for s in ("train", "validation", "test")]
    return (
        f"{len(table)} member{'s' * (len(table) != 1)}: {', '.join([*verdicts, lost_text])}; "
        f"splits{' without them' if len(lost) else ''}: {', '.join(splits)}"
    )


def _attrs(members: list[Member], ranges: dict[str, list[float]]) -> dict[str, Any]:
    """Global attributes: where the store comes from and what it holds."""
    splits = [m.split for m in members]
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
    """Ranges of the varied parameters: those of a plan that draws them, or what the training members span."""
    known = parameters.PARAMETERS | {n: p for m in members for n, p in m.described.items()}
    plan = runs / "plan.yaml"
    if plan.exists() and (given := read_yaml(plan).get("ranges")):
        try:
            return {name: [*pair] for name, pair in parameters.parse_ranges(given, known).items()}
        except UserError as error:
            raise UserError(f"{plan}: ranges: {error}") from error
    spans = {}
    for name in _names_of(members):
        values = [m.values[name] for m in members if name in m.values and m.split == "train"]
        if values and min(values) < max(values):
            spans[name] = [min(values), max(values)]
    return spans


def _write(path: Path, members: list[Member], forcing: tuple[str, ...], attrs: dict[str, Any]) -> None:
    """Write the store in batches of members, so that an ensemble need not fit into memory."""
    import zarr

    names = tuple(name for name in _names_of(members) if all(name in m.values for m in members))
    tables = {n: table for m in members for n, table in m.tables.items() if n in m.variables}
    variables = tuple(n for n in in_order(tables) if all(n in m.variables for m in members))
    attrs = attrs | said(variables)
    if lost := sorted({n for m in members for n in m.variables} - {*variables}):
        log.warning("%s not in the store: not all members have it", ", ".join(lost))
    unused = [] if any(m.name for m in members) else ["member_name"]
    batch: list[xr.Dataset] = []
    for member in members:
        batch.append(load_states(member, forcing, names, variables).drop_vars(unused))
        if member is members[-1] or sum(ds.nbytes for ds in batch) > BATCH_BYTES:
            whole = xr.concat(batch, "sample", join="exact").drop_attrs(deep=False).assign_attrs(attrs)
            _append(path, whole, attrs["snapshots"])
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
    for name in (*in_order(carried(ds)), *FORCING):
        if name in ds:
            encoding[name] = {"chunks": (1, *ds[name].shape[1:]), "compressors": (codec,)}
    ds.to_zarr(path, mode="w", zarr_format=3, consolidated=False, encoding=encoding)


def summary(ds: xr.Dataset) -> pd.DataFrame:
    """Tabulate a store: one row a member, as :func:`store` returns it, but for those that blew up."""
    varied = list(json.loads(ds.attrs.get("parameter_ranges", "{}")))
    rows = []
    for member in np.unique(ds["member"].values):
        part = ds.isel(sample=np.flatnonzero(ds["member"].values == member))
        first = part.isel(sample=0)
        rows.append(
            {
                "member": int(member),
                **({"name": str(first["member_name"].values)} if "member_name" in part else {}),
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
