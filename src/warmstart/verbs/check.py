"""``check``: look at the physics of states. One table of metrics, one tidy table of results.

:mod:`warmstart.scores.metrics` lists the metrics, ``thresholds.yaml`` says what is accepted.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import engines
from warmstart.engines.jobs import STATES
from warmstart.engines.recognition import is_zarr, open_bare, open_grid
from warmstart.errors import UserError, require_path
from warmstart.io import config
from warmstart.io.files import open_dataset, provenance
from warmstart.io.outputs import require_free, writes
from warmstart.ocean.grid import Grid
from warmstart.ocean.places import bare
from warmstart.scores import thresholds as rulebook
from warmstart.scores.judgement import Against, tabulate
from warmstart.scores.measurement import (
    Subject,
    holes_of,
    measure,
    normal,
    split_by_needs,
    subject_of,
    trend_of,
    warn_turned,
)
from warmstart.scores.metric_table import (
    outputs,
    read_metrics,
    write_metrics,
    write_published,
)
from warmstart.scores.metrics import ALL, DRIFTS, PUBLISHED, Metric, named

logger = logging.getLogger(__name__)

#: Whatever holds states.
Source: TypeAlias = str | Path | Sequence[str | Path] | xr.Dataset
#: Whatever holds a mesh; several files where it is split.
Mesh: TypeAlias = str | Path | Sequence[str | Path] | xr.Dataset | Grid


@writes(
    folder=False,
    beside=lambda given: outputs(given["output"], given["published"] and given["reference"] is not None)[1:],
)
def check(
    states: Source,
    grid: Mesh | None = None,
    reference: Source | pd.DataFrame | None = None,
    output: str | Path | None = None,
    thresholds: str | Path | Mapping[str, Any] | rulebook.Thresholds | None = None,
    only: Iterable[str] | None = None,
    overwrite: bool = False,
    published: bool = False,
    sections: Mapping[str, tuple[float, float, float, float]] | None = None,
    boxes: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Look at the physics of states: metrics, and verdicts against a reference.

    Parameters
    ----------
    states : states file, ``states.zarr``, restart or output of NEMO, folder of a run or of runs, several of these, or a Dataset
        ``([sample|time,] z, y, x)``. NaN or 0 on land. Files of several runs, or of other meshes, are rows of their own.
    grid : mesh, its Dataset or a file that carries one; None takes the one in `states`.
    reference : what is normal: ``states.zarr`` or a states file (its training split and its equilibrium snapshots, where
        it says which they are), or the metrics of an earlier call, as table or CSV. None judges only what needs none.
    output : file to write: NetCDF if it ends in ``.nc``, else CSV; None writes none.
    thresholds : rules instead of the package's ``thresholds.yaml``, as file or mapping of the same form.
    only : names of the metrics to compute; None takes all of :data:`METRICS`, and the drift of a run.
    overwrite : whether an existing `output` may be replaced.
    published : compute :data:`PUBLISHED` instead, the definitions of nemo-spinup-evaluation and DINO-Fusion; a CSV then
        has the columns and the format of nemo-spinup-evaluation.
    sections : further metrics, ``section_NAME``: the volume transport across the broken line of faces between two places, as longitude and
        latitude of its start and of its end; see :mod:`warmstart.physics.section`.
    boxes : further metrics, ``box_NAME_thetao`` and ``box_NAME_so``: means over a box, ``lon``, ``lat`` and ``depth``, each a pair.

    Returns
    -------
    Table with the columns :data:`COLUMNS`, one row a run, sample and metric. Where the reference and the states carry parameters,
    ``expected`` and ``standard_deviation`` are what the reference expects for those of the state, else mean and standard
    deviation of the reference; ``departure`` is the difference in standard deviations. ``reference_low`` and ``reference_high`` are
    the limits of PASS, NaN where that side is open. WARN lies outside of them, FAIL beyond the outer ones or outside by a hard
    rule; ``not judged`` has nothing to compare with, or no value, and ``note`` says why. ``table.attrs`` holds provenance,
    ``parameters`` and ``member`` of the states, and ``skipped``, the metrics that cannot be computed and why.

    Raises
    ------
    UserError
        If a file is missing or unreadable, the reference is on another grid, a metric or key is unknown, units are
        others than those of the variables table, or the output exists.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> table = check(state, grid, only=["mask_violations", "inversions"])
    >>> list(table.verdict)
    ['PASS', 'PASS']
    """
    rules = _rules(thresholds, sections, boxes)
    known = ALL | named(rules.sections, rules.boxes)
    chosen = PUBLISHED if published else {n: m for n, m in known.items() if n not in PUBLISHED}
    names = [*chosen, *([] if published else DRIFTS)]
    if only is not None:
        names = list(dict.fromkeys([only] if isinstance(only, str) else only))
    rulebook.require_known(names, [*known, *DRIFTS])
    runs = _runs_of(states, grid)
    if published and len(runs) > 1:
        raise UserError(
            f"published metrics are of one run; {_name_of(states)} holds {len(runs)}: give one at a time"
        )
    looked = _Looked(rules, known, names, reference, published, strict=only is not None)
    tables, failures = [], {}
    for run in runs:
        try:
            tables.append(looked.at(run))
        except UserError as error:
            if len(runs) == 1:
                raise
            failures[run.name] = str(error)
            logger.warning("%s left out: %s", run.name, error)
    if not tables:
        raise UserError(
            "no run could be looked at: " + "; ".join(f"{n}: {why}" for n, why in failures.items())
        )
    table = pd.concat(tables, ignore_index=True)
    several = isinstance(states, xr.Dataset) or len(tables) > 1
    skipped = {f"{r}: {n}" if r else n: why for t in tables for r, n, why in t.attrs["skipped"]}
    table.attrs |= provenance(config=rules.model_dump(mode="json"))
    table.attrs |= {"states": _name_of(states) if several else looked.subject.name}
    table.attrs |= {"reference": _name_of(reference), "skipped": skipped | failures}
    if output is None:
        return table
    if published and Path(output).suffix != ".nc":
        subject, accepted, times = looked.subject, looked.reference_table, looked.reference_times
        header, restart = _header(subject, grid)
        write_published(table, Path(output), subject.times, header, accepted, times, restart, overwrite)
    else:
        write_metrics(table, Path(output), overwrite)
    return table


def _rules(
    thresholds: str | Path | Mapping[str, Any] | rulebook.Thresholds | None,
    sections: Mapping[str, tuple[float, float, float, float]] | None,
    boxes: Mapping[str, Mapping[str, Any]] | None,
) -> rulebook.Thresholds:
    """The rules, with the sections and boxes that were handed over."""
    rules = rulebook.load(thresholds, [*ALL, *DRIFTS])
    if not sections and not boxes:
        return rules
    further = config.build(
        rulebook.Thresholds,
        {"sections": dict(sections or {}), "boxes": dict(boxes or {})},
        "sections and boxes",
    )
    return rules.model_copy(
        update={"sections": rules.sections | further.sections, "boxes": rules.boxes | further.boxes}
    )


class _Looked:
    """What is looked at, and what it is compared with; the reference is opened once."""

    def __init__(
        self, rules: rulebook.Thresholds, known: Mapping[str, Metric], names: list[str],
        reference: Source | pd.DataFrame | None, published: bool, strict: bool,
    ) -> None:  # fmt: skip
        self.rules, self.known, self.names, self.strict = rules, known, names, strict
        self.reference, self.published = reference, published
        self.reference_table: pd.DataFrame | None = None
        self.reference_times: list[str] | None = None
        self.against: Against | None = None
        self.grid = ""
        self.subject: Subject

    def at(self, run: _Origin) -> pd.DataFrame:
        """The rows of one run."""
        with contextlib.ExitStack() as opened:
            subject = opened.enter_context(contextlib.closing(_read(run.source, run.grid)))
            given = {n: v for n, v in run.parameters.items() if n not in subject.states}
            subject = subject._replace(states=subject.states.assign(given))
            self.subject = subject
            usable, skipped = split_by_needs(self.names, subject, self.known)
            warn_turned(subject.grid)
            values, failed = measure(subject, usable, self.known, strict=self.strict, said=True)
            values |= {
                name: drift for name, of in DRIFTS.items()
                if name in self.names and subject.along_time and (drift := trend_of(subject, values, of)) is not None
            }  # fmt: skip
            holes = holes_of(subject, values)
            # the reference may be the same file: it is closed before the states are
            self._compare(subject.grid, usable)
        table = tabulate(run.name, subject, values, self.rules, self.against, self.names, holes)
        left = [(run.name, n, why) for n, why in (skipped | failed).items()]
        table.attrs = {"skipped": left, "grid": subject.grid.fingerprint, **_labels(subject)}
        return table

    def _compare(self, grid: Grid, names: list[str]) -> None:
        """Open the reference for the mesh of a run."""
        if self.reference is None or self.grid == grid.fingerprint:
            return
        other = _reference(self.reference, grid, self.published)
        if isinstance(other, Subject):
            with contextlib.closing(other):
                self.reference_table = _reference_table(other, names, self.known)
                self.reference_times = other.times
        else:
            self.reference_table = other
        self.against = Against.of(self.reference_table, self.published)
        self.grid = grid.fingerprint


def measure_reference(store: Source, output: str | Path, overwrite: bool = False) -> pd.DataFrame:
    """Write what is normal of an ensemble: the metrics of its training members at equilibrium, with their parameters.

    Parameters
    ----------
    store : ``states.zarr``, or anything that `reference` of :func:`check` takes as states.
    output : CSV or NetCDF file, for the `reference` of later calls.
    overwrite : whether an existing `output` may be replaced.

    Raises
    ------
    UserError
        As :func:`check`, and if no state is of a training member at equilibrium.

    Examples
    --------
    >>> import tempfile
    >>> from warmstart.io.files import write_dataset
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = write_dataset(folder / "states.nc", state.expand_dims("sample"), grid)
    >>> measure_reference(folder / "states.nc", folder / "reference.csv").shape[0] > 40
    True
    """
    require_free(output, overwrite, [store], folder=False)
    with contextlib.closing(_read(store)) as subject:
        states = subject.states.isel(sample=normal(subject))
        return check(states, subject.grid, output=output, overwrite=overwrite)


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
    subject = _read(reference, grid)
    if not published:
        keep = normal(subject)
        subject = subject._replace(
            states=subject.states.isel(sample=keep), times=[subject.times[i] for i in keep]
        )
    if subject.states.sizes["sample"] == 1:
        logger.warning(
            "the reference %s is one state: it has no spread to judge by; give several", subject.name
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


def _reference_table(reference: Subject, names: list[str], known: Mapping[str, Metric]) -> pd.DataFrame:
    """The metrics of the reference."""
    usable = [name for name in names if all(n in reference.states for n in known[name].needs)]
    values, failed = measure(reference, usable, known)
    rows = [(i, name, v) for name, found in values.items() for i, v in enumerate(found.values.tolist())]
    table = pd.DataFrame(rows, columns=["sample", "metric", "value"])
    missing = {name: "missing in the reference" for name in set(names) - set(usable)}
    table.attrs = {"skipped": failed | missing, **_labels(reference)}
    return table


def _labels(subject: Subject) -> dict[Hashable, Any]:
    """Parameters and member of each state, as far as they are known."""
    states = subject.states
    found: dict[Hashable, Any] = {}
    if subject.parameters:
        found["parameters"] = {n: v.tolist() for n, v in subject.parameters.items()}
    if "member" in states:
        found["member"] = np.broadcast_to(states["member"].values, states.sizes["sample"]).tolist()
    return found


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


class _Origin(NamedTuple):
    """States of one run: its name (empty where there is one source only), source, mesh (None: its own), and what its namelists say."""

    name: str
    source: Source
    grid: Mesh | None
    parameters: dict[str, float]


def _runs_of(states: Source, grid: Mesh | None = None) -> list[_Origin]:
    """Tell the runs apart, in the order given; those of a folder by name. Files of NEMO in one folder are of one run, where they fit together."""
    if isinstance(states, xr.Dataset):
        return [_Origin("", bare(states), grid, {})]
    paths = [require_path(p) for p in ([states] if isinstance(states, str | Path) else states)]
    if not paths:
        raise UserError("no file given; give at least one states file")
    found: list[_Origin] = []
    files: dict[Path, list[Path]] = {}
    for path in paths:
        if not path.exists():
            raise UserError(
                f"{path} does not exist; give an existing NetCDF file, zarr store or folder of a run"
            )
        if path.is_dir() and not is_zarr(path):
            found += _of_folder(path, grid)
        else:
            files.setdefault(path.absolute().parent, []).append(path)
    for group in files.values():
        found += _of_files(group, grid)
    if len(found) == 1:
        return [found[0]._replace(name="")]
    return [run._replace(name=name) for run, name in zip(found, _distinct(found), strict=True)]


def _of_folder(folder: Path, grid: Mesh | None) -> list[_Origin]:
    """The runs in a folder: itself, or the folders and member files in it."""
    if (folder / STATES).is_file():
        return [_Origin(str(folder), folder / STATES, grid, {})]
    own = sorted(folder.glob(f"*/{STATES}")) + sorted(folder.glob("member_*.nc"))
    if own:
        return [_Origin(str(p.parent if p.name == STATES else p.with_suffix("")), p, grid, {}) for p in own]
    runs = []
    places = [(engine, place) for engine in engines.installed() for place in engine.runs(folder)]
    for engine, place in places:
        try:
            found = engine.results(place)
        except UserError as error:
            if len(places) == 1:
                raise
            logger.warning("%s left out: %s", place, error)
            continue
        source: Source = [str(p) for p in found.paths] if len(found.paths) > 1 else found.paths[0]
        runs.append(_Origin(str(place), source, found.mesh if grid is None else grid, dict(found.parameters)))
    if not runs:
        raise UserError(
            f"{folder} holds no run: expected {STATES}, restarts or output of NEMO with their mesh, or folders of such"
        )
    return runs


def _of_files(paths: list[Path], grid: Mesh | None) -> list[_Origin]:
    """Files of one folder: one run where they make one state, else one each where each is a state."""
    if len(paths) == 1:
        return [_Origin(str(paths[0].with_suffix("")), paths[0], grid, {})]
    together: Sequence[str | Path] = [str(p) for p in paths]
    try:
        open_bare(together, None if grid is None else _mesh_of(grid)).close()
    except UserError:
        if not all(_is_whole(path, grid) for path in paths):
            raise
        return [_Origin(str(p.with_suffix("")), p, grid, {}) for p in paths]
    return [_Origin(str(paths[0].parent), together, grid, {})]


def _is_whole(path: Path, grid: Mesh | None) -> bool:
    """Whether a file alone holds temperature and salinity."""
    try:
        with open_bare(path, None if grid is None else _mesh_of(grid)) as ds:
            return "thetao" in ds and "so" in ds
    except UserError:
        return False


def _distinct(runs: list[_Origin]) -> list[str]:
    """The shortest endings of their paths that tell them apart."""
    parts = [Path(run.name).absolute().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{run.name} ({i})" for i, run in enumerate(runs)]


def _read(source: Source, grid: Mesh | None = None) -> Subject:
    """Open states and their mesh, all leading dimensions in one, ``sample``, and refuse what does not fit together."""
    ds, mesh, files = _opened(source, grid)
    return subject_of(ds, mesh, _name_of(source))._replace(files=files, opened=ds if files else None)


def _opened(source: Source, grid: Mesh | None) -> tuple[xr.Dataset, Grid, list[Path]]:
    if isinstance(source, xr.Dataset):
        if grid is None:
            raise UserError("a Dataset carries no mesh; hand over grid as well")
        return bare(source), _mesh_of(grid), []
    paths = [require_path(p) for p in ([source] if isinstance(source, str | Path) else source)]
    if not paths:
        raise UserError("no file given; give at least one states file")
    mesh = _mesh(paths[0], grid)
    return open_bare(paths if len(paths) > 1 else paths[0], mesh, diagnostics=True), mesh, paths


def _mesh_of(grid: Mesh) -> Grid:
    """Open a mesh, whatever holds it."""
    if isinstance(grid, Grid):
        return grid
    return Grid(grid) if isinstance(grid, xr.Dataset) else open_grid(grid)


def _mesh(path: Path, grid: Mesh | None) -> Grid:
    """The mesh handed over, else the file's own; refuses to choose between two that differ."""
    if grid is None:
        return open_grid(path)
    mesh = _mesh_of(grid)
    try:
        own = open_grid(path)
    except UserError:
        return mesh
    mesh.require_same(own, str(path))
    return own


def _name_of(source: object) -> str:
    """What to call a source in messages and headers."""
    if source is None:
        return "none"
    if isinstance(source, list | tuple):
        return ", ".join(map(str, source))
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
