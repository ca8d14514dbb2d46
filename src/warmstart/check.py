"""``check``: look at the physics of states. One table of metrics, one tidy table of results.

A new metric is one function of :mod:`warmstart.physics` and one line of :data:`METRICS`; a rule that differs from the
default (soft, inside the reference's range) is one line of ``thresholds.yaml``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import thresholds as rulebook
from warmstart.errors import UserError
from warmstart.files import provenance, refuse_existing, replacing
from warmstart.grid import Grid
from warmstart.opening import open_grid, open_state
from warmstart.physics import balance, budgets, column, transport
from warmstart.variables import VARIABLES

logger = logging.getLogger(__name__)

#: Columns of the table, one row a sample and metric.
COLUMNS = (
    "sample", "metric", "value", "unit", "reference_low", "reference_high", "verdict", "hard", "description",
)  # fmt: skip
#: Verdicts from good to bad; ``-`` where there is nothing to compare with.
VERDICTS = ("-", "PASS", "WARN", "FAIL")
#: Other spellings of the units of the variables table.
SPELLINGS = {
    "degC": {"degree_Celsius", "degrees_Celsius", "degree_C", "deg_C", "celsius", "Celsius", "°C", "C"},
    "1e-3": {"0.001", "psu", "PSU", "g/kg", "g kg-1", "1e-03"},
    "m s-1": {"m/s", "m.s-1", "m s**-1"},
    "m": {"meter", "metre", "meters", "metres"},
}
#: Memory that one batch of samples may take [bytes].
BATCH = 128 * 2**20


class Metric(NamedTuple):
    """A function ``(state, grid) -> DataArray`` without spatial dims, and the variables that it needs."""

    function: Callable[[xr.Dataset, Grid], xr.DataArray]
    needs: tuple[str, ...] = ()


T, S, TS, U, V, UV, TV = (
    ("thetao",), ("so",), ("thetao", "so"), ("uo",), ("vo",), ("uo", "vo"), ("thetao", "vo"),
)  # fmt: skip

#: Every metric of ``check``: one line each, in the order of the table. Unit and description come with the result.
METRICS: dict[str, Metric] = {
    "mask_violations": Metric(balance.mask_violations),
    "missing_values": Metric(balance.missing_values),
    "values_on_land": Metric(balance.values_on_land),
    "out_of_bounds": Metric(balance.out_of_bounds),
    "flow_through_walls": Metric(balance.flow_through_walls, UV),
    "divergence": Metric(balance.largest_divergence, UV),
    "inversions": Metric(column.inversions, TS),
    "inversions_1e-5": Metric(partial(column.inversions, threshold=1e-5), TS),
    "inversions_1e-2": Metric(partial(column.inversions, threshold=1e-2), TS),
    "inversions_volume": Metric(column.inversions_volume, TS),
    "mixed_layer_mean": Metric(column.mixed_layer_mean, TS),
    "mixed_layer_deepest": Metric(column.mixed_layer_deepest, TS),
    "heat_content": Metric(budgets.heat_content, T),
    "salt_content": Metric(budgets.salt_content, S),
    "thetao_mean": Metric(partial(budgets.volume_mean, variable="thetao"), T),
    "so_mean": Metric(partial(budgets.volume_mean, variable="so"), S),
    "thetao_deep": Metric(partial(budgets.volume_mean, variable="thetao", depth=budgets.DEEP), T),
    "so_deep": Metric(partial(budgets.volume_mean, variable="so", depth=budgets.DEEP), S),
    "surface_temperature": Metric(budgets.surface_temperature, T),
    "temperature_500m_30NS": Metric(budgets.temperature_500m, T),
    "temperature_bottom_water": Metric(partial(budgets.bottom_water_mean, variable="thetao"), T),
    "temperature_deep_water": Metric(partial(budgets.deep_water_mean, variable="thetao"), T),
    "salinity_bottom_water": Metric(partial(budgets.bottom_water_mean, variable="so"), S),
    "salinity_deep_water": Metric(partial(budgets.deep_water_mean, variable="so"), S),
    "channel_transport": Metric(transport.channel_transport, U),
    "throughflow": Metric(transport.throughflow, U),
    "throughflow_spread": Metric(transport.throughflow_spread, U),
    "gyre_north": Metric(partial(transport.gyre, lat=(0.0, 45.0), rotation="clockwise"), U),
    "gyre_subpolar": Metric(partial(transport.gyre, lat=(45.0, 70.0), rotation="anticlockwise"), U),
    "gyre_south": Metric(partial(transport.gyre, lat=(-40.0, 0.0), rotation="anticlockwise"), U),
    "overturning_north": Metric(
        partial(transport.overturning_cell, lat=(10.0, 65.0), below=500.0, rotation="northern"), V
    ),
    "overturning_abyssal": Metric(
        partial(transport.overturning_cell, lat=(-60.0, 90.0), below=1500.0, rotation="abyssal"), V
    ),
    "heat_transport_north": Metric(partial(transport.heat_transport_peak, hemisphere="north"), TV),
    "heat_transport_south": Metric(partial(transport.heat_transport_peak, hemisphere="south"), TV),
    "kinetic_energy": Metric(balance.kinetic_energy, UV),
}


def check(
    states: str | Path | xr.Dataset,
    grid: str | Path | Grid | None = None,
    reference: str | Path | xr.Dataset | pd.DataFrame | None = None,
    output: str | Path | None = None,
    thresholds: str | Path | Mapping[str, Any] | rulebook.Thresholds | None = None,
    only: Iterable[str] | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Look at the physics of states: metrics, and verdicts against a reference.

    Parameters
    ----------
    states : states file, ``states.zarr``, or a Dataset ``([sample|time,] z, y, x)``. NaN or 0 on land.
    grid : mesh or a file that carries one; None takes the one in `states`.
    reference : what is normal: ``states.zarr`` or a states file (its training split and its equilibrium snapshots, where
        it says which they are), or the metrics of an earlier call, as table or CSV. None judges only what needs none.
    output : CSV file to write; None writes none.
    thresholds : rules instead of the package's ``thresholds.yaml``, as file or mapping of the same form.
    only : names of the metrics to compute; None takes all of :data:`METRICS`.
    overwrite : whether an existing `output` may be replaced.

    Returns
    -------
    Table with the columns :data:`COLUMNS`, one row a sample and metric. ``reference_low`` and ``reference_high`` are the
    limits that the verdict compared with, NaN where that side is open; the verdict is PASS, FAIL (outside, hard rule),
    WARN (outside, soft rule) or ``-`` (nothing to compare with). ``table.attrs`` holds provenance and ``skipped``, the
    metrics that the state lacks variables for.

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
    if output is not None:
        refuse_existing(output, overwrite)
    rules = rulebook.load(thresholds, METRICS)
    names = list(METRICS) if only is None else list(dict.fromkeys([only] if isinstance(only, str) else only))
    rulebook.require_known(names, METRICS)
    ds, mesh = _open(states, grid)
    usable, skipped = _split_by_needs(names, ds)
    limits = _limits(reference, mesh, usable)
    rows = []
    for name, values in _measure(ds, mesh, usable).items():
        hard = rules.metrics.get(name, rulebook.Rule()).hard
        low, high = rulebook.accepted(rules, name, limits.get(name))
        unit, text = values.attrs["units"], values.attrs["long_name"]
        rows += [
            (i, name, v, unit, low, high, rulebook.verdict(v, low, high, hard), hard, text)
            for i, v in enumerate(values.values.tolist())
        ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values("sample", kind="stable", ignore_index=True)
    table.attrs.update(provenance(config=rules.model_dump(mode="json")))
    table.attrs.update(
        states=_name(states), reference=_name(reference), grid=mesh.fingerprint, skipped=skipped
    )
    if output is not None:
        _write(table, Path(output), overwrite)
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


def read_metrics(path: str | Path) -> pd.DataFrame:
    """Read a CSV that :func:`check` wrote.

    Parameters
    ----------
    path : the file.

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
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a metrics CSV that check wrote")
    try:
        with path.open(encoding="utf-8") as file:
            header = [line[1:].partition(":") for line in file if line.startswith("#")]
        attrs = {key.strip(): json.loads(value) for key, _, value in header}
        table = pd.read_csv(path, skiprows=len(header), dtype=str)
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no metrics CSV ({error}); expected a file that check wrote") from error
    if tuple(table.columns) != COLUMNS or attrs.get("rows") != len(table):
        raise UserError(
            f"{path} is no whole metrics CSV: expected the columns {', '.join(COLUMNS)} and all its rows"
        )
    attrs.pop("rows")
    table.attrs.update(attrs)
    for name in ("value", "reference_low", "reference_high"):
        table[name] = table[name].map(float).astype("float64")
    return table.assign(sample=table["sample"].astype("int64"), hard=table["hard"] == "True")


def _write(table: pd.DataFrame, path: Path, overwrite: bool) -> None:
    with replacing(path, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for key, value in {**table.attrs, "rows": len(table)}.items():
            file.write(f"# {key}: {json.dumps(value)}\n")
        table.to_csv(file, index=False, lineterminator="\n")


def _open(source: str | Path | xr.Dataset, grid: str | Path | Grid | None) -> tuple[xr.Dataset, Grid]:
    """States and mesh, states with the one leading dim ``sample``; refuses what does not fit together."""
    if isinstance(source, xr.Dataset):
        if grid is None:
            raise UserError("a Dataset carries no mesh; hand over grid as well")
        ds, mesh = source, grid if isinstance(grid, Grid) else open_grid(grid)
    else:
        mesh = _mesh(Path(source), grid)
        ds = open_state(source, mesh)
    names = [name for name in VARIABLES if name in ds]
    if not names:
        raise UserError(f"{_name(source)} holds no state: expected variables among {', '.join(VARIABLES)}")
    for name in names:
        _require_fit(ds[name], mesh)
    labels = [c for c in ("split", "phase") if c in ds]
    lead = [d for d in ds[names].dims if d not in ("z", "y", "x")]
    flat = ds[names + labels].reset_coords(labels).drop_vars([c for c in ds.coords if c not in labels])
    if not lead:
        return flat.expand_dims("sample"), mesh
    if len(lead) > 1:
        return flat.stack(row=lead, create_index=False).rename(row="sample").transpose("sample", ...), mesh
    return flat if lead == ["sample"] else flat.rename({lead[0]: "sample"}), mesh


def _mesh(path: Path, grid: str | Path | Grid | None) -> Grid:
    """The mesh handed over, else the file's own; refuses to choose between two that differ."""
    if grid is None:
        return open_grid(path)
    mesh = grid if isinstance(grid, Grid) else open_grid(grid)
    try:
        own = open_grid(path)
    except UserError:
        return mesh
    mesh.require_same(own, str(path))
    return own


def _require_fit(da: xr.DataArray, grid: Grid) -> None:
    """Refuse a variable of other dims, sizes or units than table and mesh say."""
    table, sizes = VARIABLES[str(da.name)], dict(zip("zyx", grid.shape, strict=True))
    expected = {d: sizes[d] for d in table.dims}
    found = {str(d): n for d, n in da.sizes.items() if d in sizes}
    if found != expected:
        raise UserError(
            f"{da.name} has sizes {found} but the mesh {expected}; give states and mesh of one grid"
        )
    units = da.attrs.get("units", table.units)
    if units != table.units and units not in SPELLINGS[table.units]:
        raise UserError(
            f"{da.name} is in {units}; expected {table.units}: convert it, or correct its units attribute"
        )


def _split_by_needs(names: list[str], ds: xr.Dataset) -> tuple[list[str], dict[str, str]]:
    """Metrics that the state has the variables for, and what each of the others lacks."""
    lacks = {name: [n for n in METRICS[name].needs if n not in ds] for name in names}
    skipped = {name: "needs " + ", ".join(missing) for name, missing in lacks.items() if missing}
    if skipped:
        logger.warning("skipped: %s", "; ".join(f"{name} ({why})" for name, why in skipped.items()))
    return [name for name in names if name not in skipped], skipped


def _measure(ds: xr.Dataset, grid: Grid, names: list[str]) -> dict[str, xr.DataArray]:
    """Every metric for every sample, dims ``(sample,)``; a batch of samples in memory at a time."""
    variables = [name for name in VARIABLES if name in ds]
    count = ds.sizes["sample"]
    size = max(1, int(BATCH // max(ds[variables].nbytes / max(count, 1), 1)))
    parts: dict[str, list[xr.DataArray]] = {name: [] for name in names}
    for start in range(0, count, size):
        batch = ds[variables].isel(sample=slice(start, start + size)).load()
        for name in names:
            parts[name].append(METRICS[name].function(batch, grid))
    return {name: xr.concat(p, "sample", combine_attrs="override") for name, p in parts.items()}


def _limits(
    reference: str | Path | xr.Dataset | pd.DataFrame | None, grid: Grid, names: list[str]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each metric in the reference; what it has no finite value of is left out."""
    if reference is None:
        return {}
    if isinstance(reference, str | Path) and Path(reference).suffix == ".csv":
        reference = read_metrics(reference)
    if isinstance(reference, pd.DataFrame):
        if reference.attrs.get("grid", grid.fingerprint) != grid.fingerprint:
            raise UserError(
                "the reference metrics belong to another grid; give those of the configuration of the states"
            )
        values = {str(name): group.to_numpy() for name, group in reference.groupby("metric")["value"]}
    else:
        ds, mesh = _open(reference, grid if isinstance(reference, xr.Dataset) else None)
        grid.require_same(mesh, f"the reference {_name(reference)}")
        usable, _ = _split_by_needs(names, ds)
        values = {n: da.values for n, da in _measure(_normal(ds, _name(reference)), mesh, usable).items()}
    finite = {name: v[np.isfinite(v)] for name, v in values.items()}
    return {name: (float(v.min()), float(v.max())) for name, v in finite.items() if v.size}


def _normal(ds: xr.Dataset, where: str) -> xr.Dataset:
    """The training split and the equilibrium snapshots, where the states say which they are."""
    keep = np.ones(ds.sizes["sample"], bool)
    for label, value in (("split", "train"), ("phase", "equilibrium")):
        if label in ds:
            keep &= np.array([str(v) == value for v in np.broadcast_to(ds[label].values, keep.shape)])
    if not keep.any():
        raise UserError(f"{where} has no equilibrium snapshot of a training member; give another reference")
    return ds.isel(sample=np.flatnonzero(keep))


def _name(source: object) -> str:
    """What to call a source in messages and headers."""
    if source is None:
        return "none"
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
