"""``check``: look at the physics of states. One table of metrics, one tidy table of results.

:mod:`warmstart.metrics` lists the metrics, ``thresholds.yaml`` says what is accepted.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import thresholds as rulebook
from warmstart.errors import UserError, require_path
from warmstart.files import open_dataset, provenance, require_free
from warmstart.grid import Grid
from warmstart.metric_files import COLUMNS, VERDICTS, outputs, read_metrics, write_metrics, write_published
from warmstart.metrics import ALL, METRICS, PUBLISHED, SELDOM, Metric
from warmstart.physics.sharing import sharing
from warmstart.subject import KNOWN, Mesh, Source, Subject, name_of, normal, read, warn_holes, warn_turned

__all__ = [
    "ALL",
    "COLUMNS",
    "METRICS",
    "PUBLISHED",
    "Metric",
    "check",
    "read_metrics",
    "summary",
    "violations",
]

logger = logging.getLogger(__name__)

#: Memory that one batch of samples may take [bytes].
BATCH = 128 * 2**20

#: Each metric for every sample, ``(sample,)``.
Values: TypeAlias = dict[str, xr.DataArray]


def check(
    states: Source,
    grid: Mesh | None = None,
    reference: Source | pd.DataFrame | None = None,
    output: str | Path | None = None,
    thresholds: str | Path | Mapping[str, Any] | rulebook.Thresholds | None = None,
    only: Iterable[str] | None = None,
    overwrite: bool = False,
    published: bool = False,
) -> pd.DataFrame:
    """Look at the physics of states: metrics, and verdicts against a reference.

    Parameters
    ----------
    states : states file, ``states.zarr``, restart or output of NEMO (several files of one run as a list), or a Dataset
        ``([sample|time,] z, y, x)``. NaN or 0 on land.
    grid : mesh, its Dataset or a file that carries one; None takes the one in `states`.
    reference : what is normal: ``states.zarr`` or a states file (its training split and its equilibrium snapshots, where
        it says which they are), or the metrics of an earlier call, as table or CSV. None judges only what needs none.
    output : file to write: NetCDF if it ends in ``.nc``, else CSV; None writes none.
    thresholds : rules instead of the package's ``thresholds.yaml``, as file or mapping of the same form.
    only : names of the metrics to compute; None takes all of :data:`METRICS`.
    overwrite : whether an existing `output` may be replaced.
    published : compute :data:`PUBLISHED` instead, the definitions of nemo-spinup-evaluation and DINO-Fusion; a CSV then
        has the columns and the format of nemo-spinup-evaluation.

    Returns
    -------
    Table with the columns :data:`COLUMNS`, one row a sample and metric. ``reference_low`` and ``reference_high`` are the
    limits that the verdict compared with, NaN where that side is open; the verdict is PASS, FAIL (outside, hard rule),
    WARN (outside, soft rule) or ``-`` (nothing to compare with). ``table.attrs`` holds provenance and ``skipped``, the
    metrics that cannot be computed and why.

    Raises
    ------
    UserError
        If a file is missing or unreadable, the reference is on another grid, a metric or key is unknown, units are
        others than those of the variables table, or the output exists.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> table = check(state, grid, only=["mask_violations", "inversions"])
    >>> list(table.verdict)
    ['PASS', 'PASS']
    """
    for path in outputs(output, published and reference is not None):
        require_free(path, overwrite)
    rules = rulebook.load(thresholds, ALL)
    chosen = PUBLISHED if published else METRICS
    names = list(chosen) if only is None else list(dict.fromkeys([only] if isinstance(only, str) else only))
    rulebook.require_known(names, ALL)
    with contextlib.ExitStack() as opened:
        subject = opened.enter_context(contextlib.closing(read(states, grid)))
        usable, skipped = _split_by_needs(names, subject)
        other = _reference(reference, subject.grid, published)
        if isinstance(other, Subject):
            opened.callback(other.close)
        warn_turned(subject.grid)
        values, failed = _measure(subject, usable, strict=only is not None, said=True)
        accepted = _reference_table(other, list(values), rules)
    table = _tabulate(values, rules, _limits(accepted))
    table.attrs |= provenance(config=rules.model_dump(mode="json"))
    table.attrs |= {"states": subject.name, "reference": name_of(reference), "grid": subject.grid.fingerprint}
    table.attrs["skipped"] = skipped | failed
    if output is None:
        return table
    if published and Path(output).suffix != ".nc":
        times = other.times if isinstance(other, Subject) else None
        header, restart = _header(subject, grid)
        write_published(table, Path(output), subject.times, header, accepted, times, restart, overwrite)
    else:
        write_metrics(table, Path(output), overwrite)
    return table


def violations(table: pd.DataFrame) -> bool:
    """Whether a hard rule is broken anywhere in a table of :func:`check`.

    Examples
    --------
    >>> violations(pd.DataFrame({"verdict": ["PASS", "WARN", "-"]}))
    False
    """
    return bool((table["verdict"] == "FAIL").any())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Reduce a table of :func:`check` to one row a metric.

    Parameters
    ----------
    table : from :func:`check` or :func:`read_metrics`.

    Returns
    -------
    Columns ``metric mean min max unit reference_low reference_high verdict hard description``, metrics in the order
    of the table; the verdict is the worst of all samples.

    Examples
    --------
    >>> from warmstart.testing import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> list(summary(check(state, grid, only=["inversions"])).verdict)
    ['PASS']
    """
    groups = table.groupby("metric", sort=False)
    result = groups["value"].agg(["mean", "min", "max"])
    for name in ("unit", "reference_low", "reference_high"):
        result[name] = groups[name].first()
    result["verdict"] = groups["verdict"].agg(lambda v: max(v, key=VERDICTS.index))
    for name in ("hard", "description"):
        result[name] = groups[name].first()
    return result.reset_index()


def _split_by_needs(names: list[str], subject: Subject) -> tuple[list[str], dict[str, str]]:
    """Metrics that the states have the variables for, and what each of the others lacks; refuses to do none."""
    ds = subject.states
    lacks = {name: [n for n in ALL[name].needs if n not in ds] for name in names}
    skipped = {name: "needs " + ", ".join(missing) for name, missing in lacks.items() if missing}
    said = [name for name in skipped if not set(lacks[name]) <= set(SELDOM)]
    if said:
        logger.warning("skipped: %s", "; ".join(f"{name} ({skipped[name]})" for name in said))
    usable = [name for name in names if name not in skipped]
    if not usable:
        lacking = "; ".join(f"{name} {why}" for name, why in skipped.items()) or "name a metric"
        raise UserError(f"{subject.name} lacks what is asked for: {lacking}")
    return usable, skipped


def _measure(
    subject: Subject, names: list[str], strict: bool = False, said: bool = False
) -> tuple[Values, dict[str, str]]:
    """Every metric for every sample, a batch of samples in memory at a time; why the others cannot be computed."""
    ds, grid = subject.states, subject.grid
    variables = [name for name in KNOWN if name in ds]
    count = ds.sizes["sample"]
    size = max(1, int(BATCH // max(ds[variables].nbytes / max(count, 1), 1)))
    parts: dict[str, list[xr.DataArray]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for start in range(0, count, size):
        batch = ds[variables].isel(sample=slice(start, start + size)).load().astype("float64")
        if said:
            warn_holes(batch, grid, start)
        with sharing():
            for name in (n for n in names if n not in failed):
                try:
                    parts[name].append(ALL[name].function(batch, grid))
                except UserError as error:
                    if strict:
                        raise
                    failed[name] = str(error)
    for name, why in failed.items():
        logger.warning("skipped: %s (%s)", name, why)
    done = {name: part for name, part in parts.items() if name not in failed}
    return {n: xr.concat(p, "sample", combine_attrs="override") for n, p in done.items()}, failed


def _tabulate(
    values: Values, rules: rulebook.Thresholds, limits: Mapping[str, tuple[float, float]]
) -> pd.DataFrame:
    """The table of results, one row a sample and metric."""
    rows = []
    for name, found in values.items():
        hard = rules.metrics.get(name, rulebook.Rule()).hard
        low, high = rulebook.accepted(rules, name, limits.get(name))
        unit, text = found.attrs["units"], found.attrs["long_name"]
        rows += [
            (i, name, v, unit, low, high, rulebook.verdict(v, low, high, hard), hard, text)
            for i, v in enumerate(found.values.tolist())
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values("sample", kind="stable", ignore_index=True)


def _reference(
    reference: Source | pd.DataFrame | None, grid: Grid, published: bool
) -> Subject | pd.DataFrame | None:
    """The reference as states (those that say what is normal) or as metrics of an earlier call; refuses another grid."""
    if isinstance(reference, str | Path) and _is_table(require_path(reference)):
        reference = read_metrics(reference)
    if isinstance(reference, pd.DataFrame):
        if reference.attrs.get("grid", grid.fingerprint) != grid.fingerprint:
            raise UserError(
                "the reference metrics belong to another grid; give those of the configuration of the states"
            )
        return reference
    if reference is None:
        return None
    subject = read(reference, grid)
    if not published:
        keep = normal(subject)
        subject = subject._replace(
            states=subject.states.isel(sample=keep), times=[subject.times[i] for i in keep]
        )
    if subject.states.sizes["sample"] == 1:
        logger.warning(
            "the reference %s is one state: it has no range, so every difference counts; give several",
            subject.name,
        )
    return subject


def _is_table(path: Path) -> bool:
    """Whether a file holds metrics rather than states."""
    if path.suffix == ".csv":
        return True
    if path.suffix != ".nc" or not path.is_file():
        return False
    with open_dataset(path) as ds:
        return "metric" in ds.dims


def _reference_table(
    reference: Subject | pd.DataFrame | None, names: list[str], rules: rulebook.Thresholds
) -> pd.DataFrame | None:
    """The metrics of the reference."""
    if not isinstance(reference, Subject):
        return reference
    usable = [name for name in names if all(n in reference.states for n in ALL[name].needs)]
    values, failed = _measure(reference, usable)
    table = _tabulate(values, rules, {})
    table.attrs["skipped"] = failed | {name: "missing in the reference" for name in set(names) - set(usable)}
    return table


def _limits(reference: pd.DataFrame | None) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each metric in the reference; what it has no finite value of is left out."""
    if reference is None:
        return {}
    finite = reference[np.isfinite(reference["value"])]
    ranges = finite.groupby("metric")["value"].agg(["min", "max"])
    return {str(name): (float(low), float(high)) for name, low, high in ranges.itertuples()}


def _header(subject: Subject, grid: Mesh | None) -> tuple[dict[str, list[str]], bool]:
    """Header of a published CSV, and whether it is that of a restart."""
    if not subject.files:
        return {"Restart File": [subject.name]}, True
    first = subject.files[0]
    mesh = str(grid) if isinstance(grid, str | Path) else str(first)
    restart = len(subject.files) == 1 and len(subject.times) == 1
    base = {"Base Directory": [str(first.parent)], "Mesh Mask": [mesh]}
    files = [str(path) for path in subject.files]
    return base | {"Restart File" if restart else "Output Files": files}, restart
