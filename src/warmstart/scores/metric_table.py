"""Tables of metrics in files: CSV and NetCDF of this package, CSV as nemo-spinup-evaluation writes it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from warmstart.errors import UserError, reading, require_path, shortened
from warmstart.io.files import open_dataset, write_dataset
from warmstart.io.outputs import ATTRIBUTE, mark, replacing, require_free, version
from warmstart.physics.literature import NEMO_SPINUP_EVALUATION

#: Columns of the table, one row a sample and metric.
COLUMNS = (
    "run", "sample", "metric", "value", "unit", "expected", "standard_deviation", "departure", "reference_low",
    "reference_high", "verdict", "hard", "note", "description",
)  # fmt: skip
#: Those that tables of former versions lack, and what stands in for them.
ADDED = {"run": "", "expected": "", "standard_deviation": "", "departure": "", "note": ""}
NUMBERS = ("value", "expected", "standard_deviation", "departure", "reference_low", "reference_high")
TEXTS = ("run", "metric", "unit", "verdict", "note", "description")
VERDICTS = ("not judged", "PASS", "WARN", "FAIL")  #: from good to bad
#: Columns that belong to the metric; the others differ from sample to sample.
PER_METRIC = ("unit", "hard", "description")
#: What the columns are called in a NetCDF file.
LONG_NAMES = {
    "run": "run that the state is of", "expected": "value that the reference expects",
    "standard_deviation": "standard deviation of what the reference expects",
    "departure": "difference from the expected value, in standard deviations", "note": "what the verdict rests on",
    "value": "value, in the unit of the metric", "unit": "unit of the metric", "reference_low": "lower end of the reference",
    "reference_high": "upper end of the reference", "verdict": "verdict on the value",
    "hard": "whether a violation is an error", "description": "what the metric says",
}  # fmt: skip


def read_metrics(path: str | Path) -> pd.DataFrame:
    """Read a table that :func:`warmstart.verbs.check.check` wrote.

    Parameters
    ----------
    path : CSV or NetCDF file.

    Returns
    -------
    The table, values bit for bit, with its header in ``table.attrs``.

    Raises
    ------
    UserError
        If the file is missing, is no metrics table or is cut off.

    Examples
    --------
    >>> read_metrics("no-such-file.csv")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.csv does not exist; give a metrics CSV that check wrote
    """
    path = require_path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a metrics CSV that check wrote")
    if path.suffix == ".nc":
        return _judged(_from_dataset(path), path)
    with reading(path, "expected a metrics CSV that check wrote"):
        with path.open(encoding="utf-8") as file:
            lines = itertools.takewhile(lambda line: line.startswith("#"), file)
            header = [line[1:].partition(":") for line in lines]
        attrs = {key.strip(): json.loads(value) for key, _, value in header}
        table = pd.read_csv(path, skiprows=len(header), dtype=str, keep_default_na=False)
    former = tuple(n for n in COLUMNS if n not in ADDED)
    if tuple(table.columns) not in (COLUMNS, former) or attrs.pop("rows", None) != len(table):
        columns = ", ".join(COLUMNS)
        raise UserError(f"{path} is no whole metrics CSV: expected the columns {columns} and all its rows")
    table = table.assign(**{n: v for n, v in ADDED.items() if n not in table})[list(COLUMNS)]
    table.attrs.update(attrs)
    for name in NUMBERS:
        table[name] = _column(table[name], lambda text: float(text or "nan"), path, "a number")
    table["sample"] = _column(table["sample"], int, path, "a whole number").astype("int64")
    table["hard"] = _column(table["hard"], {"True": True, "False": False}.__getitem__, path, "True or False")
    return _judged(table, path)


def _column(column: pd.Series, read: Callable[[str], Any], path: Path, expected: str) -> pd.Series:
    """A column read cell by cell; the first that cannot be is named."""
    found = []
    for row, cell in enumerate(column):
        try:
            found.append(read(cell))
            if isinstance(found[-1], int) and abs(found[-1]) >= 2**62:
                raise ValueError
        except (ValueError, KeyError) as error:
            where = f"{path}, row {row + 1}: {column.name} is {shortened(repr(cell), 60)}"
            raise UserError(f"{where}; expected {expected}: write it again with check") from error
    return pd.Series(found, index=column.index, name=column.name)


def _judged(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table, if its verdicts are verdicts and its header is one."""
    table["verdict"] = table["verdict"].replace("-", VERDICTS[0])  # as former versions wrote it
    unknown = sorted(set(table["verdict"]) - set(VERDICTS))
    if unknown:
        found, known = shortened(unknown[0], 60), ", ".join(VERDICTS)
        raise UserError(f"{path}: {found!r} is no verdict; expected {known}: write it again with check")
    skipped = table.attrs.get("skipped", {})
    if not isinstance(skipped, dict) or not all(isinstance(v, str) for v in skipped.values()):
        raise UserError(f"{path}: its header is damaged at 'skipped'; write it again with check")
    return table


def write_metrics(table: pd.DataFrame, path: Path, overwrite: bool = False) -> None:
    """Write a table of :func:`warmstart.verbs.check.check`.

    Parameters
    ----------
    table : with the columns :data:`COLUMNS`.
    path : NetCDF file if it ends in ``.nc``, else CSV.
    overwrite : whether an existing file may be replaced.

    Raises
    ------
    UserError
        As :func:`warmstart.io.outputs.replacing`.

    Examples
    --------
    >>> import tempfile
    >>> from warmstart.verbs.check import check
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> path = Path(tempfile.mkdtemp()) / "metrics.nc"
    >>> write_metrics(check(state, grid, only=["inversions"]), path)
    >>> read_metrics(path).value.tolist()
    [0.0]
    """
    require_free(path, overwrite, folder=False)
    if path.suffix == ".nc":
        write_dataset(path, _to_dataset(table), overwrite=overwrite)
        return
    with replacing(path, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for key, value in {ATTRIBUTE: version(), **table.attrs, "rows": len(table)}.items():
            file.write(f"# {key}: {json.dumps(value)}\n")
        table.to_csv(file, index=False, lineterminator="\n")


def _to_dataset(table: pd.DataFrame) -> xr.Dataset:
    """Values and verdicts ``(sample, metric)``, the rest ``(metric,)``; states of several runs are numbered through."""
    metrics = table["metric"].unique()
    states = table[["run", "sample"]].drop_duplicates().reset_index(drop=True)
    several = states["run"].nunique() > 1
    place = pd.MultiIndex.from_frame(states)
    number = np.arange(len(states)) if several else states["sample"].to_numpy()
    ds = xr.Dataset(coords={"metric": np.array(metrics, dtype=str), "sample": number})
    for name in (n for n in COLUMNS if n not in ("run", "sample", "metric")):
        values: np.ndarray[Any, Any]
        if name in PER_METRIC:
            dims: tuple[str, ...] = ("metric",)
            values = table.groupby("metric", sort=False)[name].first().loc[list(metrics)].to_numpy(object)
        else:
            dims = ("sample", "metric")
            wide = table.pivot(index=["run", "sample"], columns="metric", values=name)
            values = wide.reindex(index=place, columns=metrics).to_numpy()
        values = np.where(pd.isna(values), "", values) if name in TEXTS else values
        kind = "int8" if name == "hard" else str if name in TEXTS else "float64"
        ds[name] = (dims, values.astype(kind), {"long_name": LONG_NAMES[name]})
    ds["run"] = ("sample", states["run"].to_numpy(object).astype(str), {"long_name": LONG_NAMES["run"]})
    if several:
        ds["state"] = ("sample", states["sample"].to_numpy(), {"long_name": "number of the state in its run"})
    ds["sample"].attrs["long_name"] = "number of the state"
    ds["metric"].attrs["long_name"] = "name of the metric"
    ds.attrs = {k: v if isinstance(v, str | int | float) else json.dumps(v) for k, v in table.attrs.items()}
    return ds


def _from_dataset(path: Path) -> pd.DataFrame:
    ds = open_dataset(path).load()
    ds.close()
    if missing := [name for name in COLUMNS if name not in ds.variables and name not in ADDED]:
        lacking = f"{path} is no table of metrics ({', '.join(missing)} missing)"
        raise UserError(f"{lacking}; expected a file that check wrote")
    for name, value in ADDED.items():
        if name not in ds:
            ds[name] = xr.DataArray(np.nan if name in NUMBERS else value)
    with reading(path, "expected a table of metrics that check wrote"):
        frame = ds.to_dataframe(dim_order=["sample", "metric"]).reset_index()
        if "state" in ds:
            frame["sample"] = frame["state"]
        for name in TEXTS:
            frame[name] = [v.decode() if isinstance(v, bytes) else str(v) for v in frame[name]]
        # a metric that a state does not have
        frame = frame[frame["verdict"] != ""][list(COLUMNS)].reset_index(drop=True)
        frame["hard"] = frame["hard"].astype(bool)
        for name in NUMBERS:
            frame[name] = frame[name].astype("float64")
        frame.attrs = dict(ds.attrs)
        for name, empty in (("skipped", "{}"), ("parameters", "{}"), ("member", "[]")):
            if name in ds.attrs or name == "skipped":
                frame.attrs[name] = json.loads(str(ds.attrs.get(name, empty)))
    return frame


def write_published(
    table: pd.DataFrame,
    path: Path,
    labels: Sequence[str],
    sources: Mapping[str, Sequence[str]],
    reference: pd.DataFrame | None = None,
    reference_labels: Sequence[str] | None = None,
    restart: bool = True,
    overwrite: bool = False,
) -> None:
    """Write published metrics as nemo-spinup-evaluation does: one row a time, one column a metric.

    Parameters
    ----------
    table : of :func:`warmstart.verbs.check.check` with ``published=True``.
    path : CSV file; with a reference a second one, ``*_summary.csv``, is written beside it.
    labels : timestamp of each sample.
    sources : header: ``Base Directory``, ``Mesh Mask`` and ``Restart File`` or ``Output Files``.
    reference : the same metrics of the reference.
    reference_labels : timestamps of the reference: rows are the times that both have, or the samples in their order where
        they have none in common but as many.
    restart : whether the order of columns is that of restarts or that of output.
    overwrite : whether existing files may be replaced.

    Raises
    ------
    UserError
        If the reference has no time in common and another number of them, or a file exists.

    Notes
    -----
    Columns, header and number format of nemo-spinup-evaluation 0.3.0; a metric that cannot be computed says ``Error: …``.

    Examples
    --------
    >>> import tempfile
    >>> from warmstart.verbs.check import check
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> path = Path(tempfile.mkdtemp()) / "metrics.csv"
    >>> write_published(check(state, grid, published=True), path, ["0"], {})
    >>> pd.read_csv(path, comment="#").columns[0]
    'timestamp'
    """
    names = list(NEMO_SPINUP_EVALUATION)
    if not restart:
        names.remove("check_density_computed")
        names.append("check_density_computed")
    own = _columns(table, names)
    frame, summary = pd.DataFrame({"timestamp": list(labels)} | own), []
    if reference is not None:
        other = _columns(reference, names)
        here, there = _common(labels, reference_labels, len(other[names[0]]))
        theirs = pd.DataFrame({f"ref_{name}": values for name, values in other.items()})
        frame = pd.concat(
            [frame.iloc[here].reset_index(drop=True), theirs.iloc[there].reset_index(drop=True)], axis=1
        )
        for name in names:
            if isinstance(own[name][0], str) or isinstance(other[name][0], str):
                frame[f"diff_{name}"] = "Error: expected values on both sides"
                continue
            difference = frame[name].to_numpy(float) - frame[f"ref_{name}"].to_numpy(float)
            frame[f"diff_{name}"] = difference
            summary.append((name, np.abs(difference).mean(), np.sqrt((difference**2).mean())))
    header = "".join(_header(key, values) for key, values in sources.items())
    rows = pd.DataFrame(summary, columns=["metric", "mae", "rmse"]).sort_values("metric")
    targets = outputs(path, reference is not None)
    for target in targets:
        require_free(target, overwrite)
    for target, content in zip(targets, (frame, rows), strict=False):
        with (
            replacing(target, overwrite) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            file.write(f"# Metric Evaluation\n{header}{mark()}\n#\n")
            content.to_csv(file, float_format="%.6f", index=False, lineterminator="\n")


def outputs(path: str | Path | None, compared: bool) -> list[Path]:
    """Files that :func:`write_metrics` makes of a path or, compared with a reference, :func:`write_published`, with the summary.

    Examples
    --------
    >>> [str(p) for p in outputs("m.csv", compared=True)]
    ['m.csv', 'm_summary.csv']
    """
    if path is None:
        return []
    path = Path(path)
    return [path, path.with_name(f"{path.stem}_summary.csv")] if compared and path.suffix != ".nc" else [path]


def _common(labels: Sequence[str], others: Sequence[str] | None, count: int) -> tuple[list[int], list[int]]:
    """Which samples of either side belong together."""
    place = {label: i for i, label in enumerate(others or [])}
    if shared := [i for i, label in enumerate(labels) if label in place]:
        return shared, [place[labels[i]] for i in shared]
    if len(labels) != count:
        counts = f"{len(labels)} states but {count} of the reference and no time in common"
        raise UserError(f"time axes differ: {counts}; give as many of both")
    return list(range(count)), list(range(count))


def _columns(table: pd.DataFrame, names: Sequence[str]) -> dict[str, list[Any]]:
    """Values of each of the peer's columns; why there are none, where there are none."""
    count = int(table["sample"].nunique())
    columns: dict[str, list[Any]] = {}
    for name in names:
        own = NEMO_SPINUP_EVALUATION[name].__name__
        values = table.loc[table["metric"] == own, "value"].tolist()
        why = table.attrs.get("skipped", {}).get(own, "not asked for")
        columns[name] = values or [f"Error: {why}"] * count
    return columns


def _header(key: str, values: Sequence[str]) -> str:
    if key == "Output Files":
        return f"# {key}:\n" + "".join(f"#   - {value}\n" for value in values)
    return f"# {key}: {', '.join(values)}\n"
