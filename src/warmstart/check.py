"""``check``: look at the physics of states. One table of metrics, one tidy table of results.

A new metric is one function of :mod:`warmstart.physics` and one line of :data:`METRICS`; a rule that differs from the
default (soft, inside the reference's range) is one line of ``thresholds.yaml``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from warmstart import thresholds as rulebook
from warmstart.errors import UserError
from warmstart.files import open_dataset, provenance, refuse_existing
from warmstart.grid import Grid
from warmstart.metric_files import COLUMNS, read_metrics, write_metrics, write_published
from warmstart.opening import open_grid, open_state
from warmstart.physics import balance, budgets, column, geostrophy, overturning, published, spectra, transport
from warmstart.variables import DIAGNOSTICS, VARIABLES

__all__ = ["COLUMNS", "METRICS", "PUBLISHED", "check", "read_metrics", "summary", "violations"]

logger = logging.getLogger(__name__)

#: Verdicts from good to bad; ``-`` where there is nothing to compare with.
VERDICTS = ("-", "PASS", "WARN", "FAIL")
#: Other spellings of the units of the variables table.
SPELLINGS = {
    "degC": {"degree_Celsius", "degrees_Celsius", "degree_C", "deg_C", "celsius", "Celsius", "°C", "C"},
    "1e-3": {"0.001", "psu", "PSU", "g/kg", "g kg-1", "1e-03"},
    "m s-1": {"m/s", "m.s-1", "m s**-1"},
    "m": {"meter", "metre", "meters", "metres"},
}
#: What the median over the sea can be [units of the variables table], and what it is in if it is not.
LIKELY = {"thetao": (-3.0, 34.0, "K or degF"), "so": (2.0, 60.0, "kg/kg")}
#: Every variable that a metric may ask for.
KNOWN = VARIABLES | DIAGNOSTICS
#: Memory that one batch of samples may take [bytes].
BATCH = 128 * 2**20


class Metric(NamedTuple):
    """A function ``(state, grid) -> DataArray`` without spatial dims, and the variables that it needs."""

    function: Callable[[xr.Dataset, Grid], xr.DataArray]
    needs: tuple[str, ...] = ()


T, S, U, V, SSH = ("thetao",), ("so",), ("uo",), ("vo",), ("zos",)
TS, UV = T + S, U + V
#: What the states of an engine seldom hold; metrics that need it are left out without a warning where it is missing.
SELDOM = tuple(DIAGNOSTICS)

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
    "inversions_in_situ": Metric(partial(column.inversions, reference="in situ"), TS),
    "convective_energy": Metric(column.convective_energy_mean, TS),
    "mixed_layer_mean": Metric(column.mixed_layer_mean, TS),
    "mixed_layer_deepest": Metric(column.mixed_layer_deepest, TS),
    "heat_content": Metric(budgets.heat_content, T),
    "salt_content": Metric(budgets.salt_content, S),
    "sea_volume": Metric(budgets.sea_volume, SSH),
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
    "throughflow_free_surface": Metric(partial(transport.throughflow, free_surface=True), U + SSH),
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
    "overturning_density_north": Metric(
        partial(overturning.overturning_density_cell, lat=(10.0, 65.0), rotation="northern"), TS + V
    ),
    "overturning_density_abyssal": Metric(
        partial(overturning.overturning_density_cell, lat=(-60.0, 90.0), rotation="abyssal", lightest=27.0),
        TS + V,
    ),
    "overturning_residual_north": Metric(
        partial(overturning.residual_cell, lat=(10.0, 65.0), below=500.0, rotation="northern"),
        (*V, "vo_bolus"),
    ),
    "overturning_residual_abyssal": Metric(
        partial(overturning.residual_cell, lat=(-60.0, 90.0), below=1500.0, rotation="abyssal"),
        (*V, "vo_bolus"),
    ),
    "heat_transport_north": Metric(partial(transport.heat_transport_peak, hemisphere="north"), T + V),
    "heat_transport_south": Metric(partial(transport.heat_transport_peak, hemisphere="south"), T + V),
    "salt_transport": Metric(transport.salt_transport_largest, S + V),
    "continuity_residual": Metric(balance.largest_continuity_residual, (*UV, "wo")),
    "thermal_wind_residual": Metric(geostrophy.thermal_wind_residual, TS + UV),
    "geostrophic_residual": Metric(geostrophy.geostrophic_residual, TS + UV + SSH),
    "sea_level_residual": Metric(geostrophy.sea_level_residual, TS + SSH),
    "kinetic_energy": Metric(balance.kinetic_energy, UV),
    "small_scale_zos": Metric(partial(spectra.small_scale_share, variable="zos"), SSH),
    "small_scale_thetao": Metric(partial(spectra.small_scale_share, variable="thetao"), T),
    "small_scale_thetao_deep": Metric(partial(spectra.small_scale_share, variable="thetao", depth=2000.0), T),
    "small_scale_kinetic_energy": Metric(partial(spectra.small_scale_share, variable="kinetic_energy"), UV),
}

#: The definitions of others, as published; computed when asked for.
PUBLISHED: dict[str, Metric] = {
    function.__name__: Metric(function, needs)
    for function, needs in (
        (published.nemo_spinup_evaluation_check_density_from_file, ("rhop",)),
        (published.nemo_spinup_evaluation_check_density_computed, TS),
        (published.nemo_spinup_evaluation_temperature_500m_30NS, T),
        (published.nemo_spinup_evaluation_temperature_BWbox, T),
        (published.nemo_spinup_evaluation_temperature_DWbox, T),
        (published.nemo_spinup_evaluation_ACC_Drake, U),
        (published.nemo_spinup_evaluation_ACC_Drake_2, U + SSH),
        (published.nemo_spinup_evaluation_NASTG_BSF_max, V + SSH),
        (published.dino_fusion_density_errors, TS),
    )
} | {
    f"dino_fusion_{box}_{variable}{'_by_index' * by_index}": Metric(
        partial(function, variable=variable, by_index=by_index), (variable,)
    )
    for box, function in (("BWbox", published.dino_fusion_BWbox), ("DWbox", published.dino_fusion_DWbox))
    for variable in TS
    for by_index in (False, True)
}
#: Everything that can be asked for by name.
ALL = METRICS | PUBLISHED


def check(
    states: str | Path | Sequence[str | Path] | xr.Dataset,
    grid: str | Path | Grid | None = None,
    reference: str | Path | Sequence[str | Path] | xr.Dataset | pd.DataFrame | None = None,
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
    grid : mesh or a file that carries one; None takes the one in `states`.
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
    rules = rulebook.load(thresholds, ALL)
    chosen = PUBLISHED if published else METRICS
    names = list(chosen) if only is None else list(dict.fromkeys([only] if isinstance(only, str) else only))
    rulebook.require_known(names, ALL)
    ds, mesh = _open(states, grid)
    usable, skipped = _split_by_needs(names, ds)
    if not usable:
        raise UserError(
            f"{_name(states)} lacks what is asked for: " + "; ".join(f"{n} {w}" for n, w in skipped.items())
        )
    limits = _limits(reference, mesh, usable)
    _say_holes(ds, mesh)
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
    if output is None:
        return table
    if published and Path(output).suffix != ".nc":
        other = reference if isinstance(reference, pd.DataFrame) or reference is None else check(
            reference, mesh if isinstance(reference, xr.Dataset) else grid, only=only, published=True
        )  # fmt: skip
        header = _sources(states, grid)
        write_published(
            table, Path(output), _labels(states, mesh), header, other, "Output Files" not in header, overwrite
        )
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


def _open(
    source: str | Path | Sequence[str | Path] | xr.Dataset, grid: str | Path | Grid | None
) -> tuple[xr.Dataset, Grid]:
    """States and mesh, states with the one leading dim ``sample``; refuses what does not fit together."""
    ds, mesh = _opened(source, grid)
    if not any(name in ds for name in VARIABLES):
        raise UserError(f"{_name(source)} holds no state: expected variables among {', '.join(VARIABLES)}")
    names = [name for name in KNOWN if name in ds]
    for name in names:
        _require_fit(ds[name], mesh)
    _require_one_time(ds[names])
    for name in names:
        _require_likely(ds[name], mesh)
    labels = [c for c in ("split", "phase") if c in ds]
    lead = [d for d in ds[names].dims if d not in ("z", "y", "x")]
    flat = ds[names + labels].reset_coords(labels).drop_vars([c for c in ds.coords if c not in labels])
    if not lead:
        return flat.expand_dims("sample"), mesh
    if len(lead) > 1:
        return flat.stack(row=lead, create_index=False).rename(row="sample").transpose("sample", ...), mesh
    return flat if lead == ["sample"] else flat.rename({lead[0]: "sample"}), mesh


def _opened(
    source: str | Path | Sequence[str | Path] | xr.Dataset, grid: str | Path | Grid | None
) -> tuple[xr.Dataset, Grid]:
    if isinstance(source, xr.Dataset):
        if grid is None:
            raise UserError("a Dataset carries no mesh; hand over grid as well")
        return source, grid if isinstance(grid, Grid) else open_grid(grid)
    paths = _paths(source)
    mesh = _mesh(paths[0], grid)
    return open_state(paths if len(paths) > 1 else paths[0], mesh, diagnostics=True), mesh


def _paths(source: str | Path | Sequence[str | Path]) -> list[Path]:
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(p) for p in source]
    if not paths:
        raise UserError("no file given; give at least one states file")
    return paths


def _labels(source: str | Path | Sequence[str | Path] | xr.Dataset, mesh: Grid) -> list[str]:
    """When each state is: its date, else its year, else its number."""
    ds, _ = _opened(source, mesh)
    lead = [d for d in ds.dims if d not in ("z", "y", "x")]
    for name in ("time", "year"):
        if len(lead) == 1 and name in ds.coords and ds[name].dims == (lead[0],):
            return [str(value).replace("T", " ").split(".000")[0] for value in ds[name].values]
    return [str(i) for i in range(int(np.prod([ds.sizes[d] for d in lead], dtype=int)))]


def _sources(
    source: str | Path | Sequence[str | Path] | xr.Dataset, grid: str | Path | Grid | None
) -> dict[str, list[str]]:
    """Header of a published CSV."""
    if isinstance(source, xr.Dataset):
        return {"Restart File": [_name(source)]}
    paths = _paths(source)
    mesh = [str(grid)] if isinstance(grid, str | Path) else [str(paths[0])]
    base = {"Base Directory": [str(paths[0].parent)], "Mesh Mask": mesh}
    output = len(paths) > 1 or open_state(paths[0], grid).sizes.get("time", 1) > 1
    return base | {"Output Files" if output else "Restart File": [str(p) for p in paths]}


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
    table, sizes = KNOWN[str(da.name)], dict(zip("zyx", grid.shape, strict=True))
    expected = {d: sizes[d] for d in table.dims}
    found = {str(d): n for d, n in da.sizes.items() if d in sizes}
    if found != expected:
        raise UserError(
            f"{da.name} has sizes {found} but the mesh {expected}; give states and mesh of one grid"
        )
    units = da.attrs.get("units", table.units)
    if units != table.units and units not in SPELLINGS.get(table.units, ()):
        raise UserError(
            f"{da.name} is in {units}; expected {table.units}: convert it, or correct its units attribute"
        )


def _require_one_time(ds: xr.Dataset) -> None:
    """Refuse variables that lie along different times."""
    leads = {str(n): tuple(d for d in da.dims if d not in ("z", "y", "x")) for n, da in ds.data_vars.items()}
    if len(set(leads.values())) > 1:
        found = ", ".join(
            f"{n} ({', '.join(f'{d}: {ds.sizes[d]}' for d in lead)})" for n, lead in leads.items()
        )
        raise UserError(f"time axes differ: {found}; give all variables at the same times")


def _require_likely(da: xr.DataArray, grid: Grid) -> None:
    """Refuse a temperature or salinity whose numbers are those of another unit than it says."""
    name = str(da.name)
    if name not in LIKELY or not da.size:
        return
    first = da.isel({d: 0 for d in da.dims if d not in ("z", "y", "x")})
    values = first.values[grid.mask("T").transpose(*first.dims).values]
    values = values[np.isfinite(values)]
    middle = float(np.median(values)) if values.size else np.nan
    low, high, other = LIKELY[name]
    if values.size and not low <= middle <= high:
        units = VARIABLES[name].units
        raise UserError(
            f"{name} says {units} but half of the sea is {'above' if middle > high else 'below'} {middle:.4g}: "
            f"it looks like {other}; convert it to {units}"
        )


def _split_by_needs(names: list[str], ds: xr.Dataset) -> tuple[list[str], dict[str, str]]:
    """Metrics that the state has the variables for, and what each of the others lacks."""
    lacks = {name: [n for n in ALL[name].needs if n not in ds] for name in names}
    skipped = {name: "needs " + ", ".join(missing) for name, missing in lacks.items() if missing}
    said = [name for name in skipped if not set(lacks[name]) <= set(SELDOM)]
    if said:
        logger.warning("skipped: %s", "; ".join(f"{name} ({skipped[name]})" for name in said))
    return [name for name in names if name not in skipped], skipped


def _say_holes(ds: xr.Dataset, grid: Grid) -> None:
    """Warn in one line where the sea of the first state holds values that are not finite."""
    for name in (n for n in VARIABLES if n in ds):
        table = VARIABLES[name]
        wet = grid.mask(table.point) if table.three_d else grid.mask(table.point).isel(z=0)
        first = ds[name].isel(sample=0).transpose(*table.dims).values
        holes = np.argwhere(~np.isfinite(first) & wet.transpose(*table.dims).values)
        if holes.size:
            where = ", ".join(f"{d}={i}" for d, i in zip(table.dims, holes[0], strict=True))
            logger.warning(
                "%s: %d wet points of the first state hold no finite value, the first at %s",
                name,
                len(holes),
                where,
            )


def _measure(ds: xr.Dataset, grid: Grid, names: list[str]) -> dict[str, xr.DataArray]:
    """Every metric for every sample, dims ``(sample,)``; a batch of samples in memory at a time."""
    variables = [name for name in KNOWN if name in ds]
    count = ds.sizes["sample"]
    size = max(1, int(BATCH // max(ds[variables].nbytes / max(count, 1), 1)))
    parts: dict[str, list[xr.DataArray]] = {name: [] for name in names}
    for start in range(0, count, size):
        batch = ds[variables].isel(sample=slice(start, start + size)).load()
        for name in names:
            parts[name].append(ALL[name].function(batch, grid))
    return {name: xr.concat(p, "sample", combine_attrs="override") for name, p in parts.items()}


def _limits(
    reference: str | Path | Sequence[str | Path] | xr.Dataset | pd.DataFrame | None,
    grid: Grid,
    names: list[str],
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each metric in the reference; what it has no finite value of is left out."""
    if reference is None:
        return {}
    if isinstance(reference, str | Path) and _is_table(Path(reference)):
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


def _is_table(path: Path) -> bool:
    """Whether a file holds metrics rather than states."""
    if path.suffix == ".csv":
        return True
    if path.suffix != ".nc" or not path.is_file():
        return False
    with open_dataset(path) as ds:
        return "metric" in ds.dims


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
    if isinstance(source, list | tuple):
        return ", ".join(str(p) for p in source)
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
