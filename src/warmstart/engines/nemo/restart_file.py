"""Restart files that NEMO starts from: the user's own restart with the state in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from warmstart.engines.nemo import seawater
from warmstart.engines.nemo.clock import (
    FIRST_OF_JANUARY,
    clock_of,
    date_of,
    day_after,
    namelist_lines,
    patch_start,
    refuse_date,
    start_entries,
)
from warmstart.engines.nemo.configuration import Physics, physics
from warmstart.engines.nemo.dimensions import role
from warmstart.engines.nemo.namelist import read
from warmstart.engines.nemo.template import (
    PROGNOSTIC,
    Template,
    open_template,
    refuse_holes,
    write_bare,
    write_from,
)
from warmstart.engines.recognition import open_bare, open_grid
from warmstart.errors import UserError
from warmstart.io import files, outputs
from warmstart.ocean import eos, parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.cgrid import covered_columns

log = logging.getLogger(__name__)

#: Beyond these NEMO stops at the first step (stp_ctl): largest size, or range.
LIMITS = {"so": (0.0, 100.0), "uo": (-10.0, 10.0), "vo": (-10.0, 10.0), "zos": (-20.0, 20.0)}
#: Difference of two temperatures that only rounding of a conversion makes [K].
SAME_TEMPERATURE = 1e-9
#: Area-mean sea level that counts as zero [m].
ZERO_LEVEL = 1e-12
SUFFIX, PATCHED = ".namelist", ".namelist_cfg"

Fields: TypeAlias = Mapping[str, np.ndarray]
#: Names in a restart that a field follows from, and how.
Made: TypeAlias = tuple[tuple[str, ...], Callable[[Fields, Grid], np.ndarray]]

#: Largest rms misfit at which a template's ``rhop`` counts as that of the simplified equation of state [kg m-3].
SAME_DENSITY = 0.05

#: Sums that NEMO goes on adding to (sbcssm), over all steps of a period of the surface forcing but one.
SUMS = ("ssu_m", "ssv_m", "sst_m", "sss_m", "ssh_m", "e3t_m")


def _density(fields: Fields, grid: Grid) -> np.ndarray:
    """Potential density at the surface [kg m-3], land 0."""
    rhop = eos.RHO0 + eos.density_anomaly(fields["tn"], fields["sn"], 0.0)
    return np.where(grid.tmask.values > 0, rhop, 0.0)


def _depth(grid: Grid, point: str) -> np.ndarray:
    return (grid.ds[f"e3{point}_0"].values * (grid.ds[f"{point}mask"].values > 0)).sum(axis=0)


def _depth_mean(velocity: np.ndarray, grid: Grid, point: str) -> np.ndarray:
    """Depth mean of a velocity [m s-1], 0 on land; the sea level stretches all cells of a column alike and does not change it."""
    thickness = grid.ds[f"e3{point}_0"].values * (grid.ds[f"{point}mask"].values > 0)
    total = thickness.sum(axis=0)
    return (velocity * thickness).sum(axis=0) / np.where(total > 0, total, 1.0)


def _same(name: str) -> Made:
    return (name,), lambda fields, grid: fields[name]


def _surface(name: str) -> Made:
    return (name,), lambda fields, grid: fields[name][0]


def _barotropic(point: str, transport: bool = False) -> Made:
    """The depth mean of a velocity, or its transport a metre of width."""
    name = f"{point}n"
    return (
        (name,),
        lambda fields, grid: (
            _depth_mean(fields[name], grid, point) * (_depth(grid, point) if transport else 1.0)
        ),
    )


def _stretched(fields: Fields, grid: Grid) -> np.ndarray:
    """Thickness of the T cells under the sea level: all cells of a column by the same factor."""
    depth = _depth(grid, "t")
    factor = 1.0 + fields["sshn"] / np.where(depth > 0, depth, 1.0)
    return grid.e3t_0.values * np.where(grid.tmask.values > 0, factor, 1.0)


#: Name in the restart: what it depends on, and how it is computed. ``sst_m`` is potential temperature, as with ``ln_seos``.
DERIVED: dict[str, Made] = {
    "tb": _same("tn"), "sb": _same("sn"), "ub": _same("un"), "vb": _same("vn"), "sshb": _same("sshn"),
    "rhop": (("tn", "sn"), _density),
    "uu_n": _barotropic("u"), "vv_n": _barotropic("v"), "ssha": _same("sshn"),
    "ub2_b": _barotropic("u", transport=True), "vb2_b": _barotropic("v", transport=True),
    "un_bf": (("un",), lambda fields, grid: np.zeros(grid.shape[1:])),
    "vn_bf": (("vn",), lambda fields, grid: np.zeros(grid.shape[1:])),
    "ssu_m": _surface("un"), "ssv_m": _surface("vn"), "sst_m": _surface("tn"), "sss_m": _surface("sn"), "ssh_m": _same("sshn"),
    "e3t_m": (("sshn",), lambda fields, grid: _stretched(fields, grid)[0]),
    "e3t_n": (("sshn",), _stretched), "e3t_b": (("sshn",), _stretched),
    "ub_e": _barotropic("u"), "ubb_e": _barotropic("u"), "vb_e": _barotropic("v"), "vbb_e": _barotropic("v"),
    "sshb_e": _same("sshn"), "sshbb_e": _same("sshn"),
}  # fmt: skip


def _recompute(
    template: Template, fields: Fields, changed: set[str], grid: Grid
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """What the template has and the changed fields determine, and what must go: a ``rhop`` by another equation of state."""
    steps = max(template.number("nn_fsbc") - 1.0, 1.0) if "nn_fsbc" in template.names else 1.0
    values = {
        name: function(fields, grid)
        for name, (needs, function) in DERIVED.items()
        if name in template.names and changed & set(needs)
    }
    values |= {name: steps * values[name] for name in SUMS if name in values}
    if "rhop" in values and not _same_equation(template, grid):
        return {name: v for name, v in values.items() if name != "rhop"}, ("rhop",)
    return values, ()


def _same_equation(template: Template, grid: Grid) -> bool:
    """Whether the template's density is that of NEMO's simplified equation of state."""
    wet = grid.tmask.values > 0
    own = {name: template.read(name) for name in ("tn", "sn", "rhop")}
    misfit = (own["rhop"] - _density(own, grid))[wet]
    return bool(np.sqrt(np.mean(misfit**2)) < SAME_DENSITY)


@dataclass(frozen=True)
class Restart:
    """What was written, and where each variable of the restart came from.

    Attributes
    ----------
    paths : the file, or its pieces.
    replaced : variables with the state's values.
    recomputed : variables computed from them.
    kept : variables of the template that are unchanged, bit for bit.
    zeroed : variables set to zero because neither state nor template has them.
    dropped : variables left out because they depend on the state by a law that is not known here.
    namelist : the lines to set in ``namelist_cfg``; they also lie beside the restart, ending in ``.namelist``.
    date : of the first step, yyyymmdd.
    remarks : what was assumed, where the state's parameters differ from the namelist's, and what no entry sets.
    """

    paths: tuple[Path, ...]
    replaced: tuple[str, ...]
    recomputed: tuple[str, ...]
    kept: tuple[str, ...]
    zeroed: tuple[str, ...]
    dropped: tuple[str, ...]
    namelist: str
    date: int
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        groups = {n: getattr(self, n) for n in ("replaced", "recomputed", "kept", "zeroed", "dropped")}
        lines = [str(path) for path in self.paths]
        lines += [f"  {name:<11} {' '.join(members)}" for name, members in groups.items() if members]
        return "\n".join([*lines, "set in namelist_cfg:", self.namelist])


def _beside(given: dict[str, Any]) -> list[Path]:
    """The namelist lines beside the restart, and the patched copy if asked."""
    endings = [SUFFIX] + [PATCHED] * (given["namelist"] is not None)
    return [Path(given["path"]).with_suffix(ending) for ending in endings]


@outputs.writes(folder=False, beside=_beside, name="path")
def write_restart(
    state: xr.Dataset | str | Path,
    path: str | Path,
    template: str | Path | None = None,
    grid: Grid | str | Path | None = None,
    namelist: str | Path | None = None,
    date: int | None = None,
    overwrite: bool = False,
) -> Restart:
    """Write a state as a restart of NEMO 3.6 to 5.0.

    The template is copied and what the state gives is replaced in it: ``tn sn un vn sshn`` in double precision, land 0,
    velocities masked with their own masks, the area mean of the sea level removed. What depends on a changed field is
    recomputed (before-fields equal now-fields, ``rhop`` by the simplified equation of state, barotropic velocities,
    mean surface fields); everything else stays as it is, bit for bit. Cells that a north fold repeats get the values that they repeat. A sea
    level under ice shelves that the state lacks is the template's. For a run with TEOS-10, as its namelist says, the temperature is
    written as Conservative Temperature. Without a template the file holds the five
    fields only, which is all that NEMO needs.

    Parameters
    ----------
    state : one state, ``thetao`` [degC] and ``so`` [1e-3], and ``uo vo`` [m s-1] and ``zos`` [m] if it has them (else the
        template's are kept, or zero without a template), dims ``(z, y, x)``; or a file with one.
    path : the file to write, ending in ``.nc``; pieces, where the template comes in pieces, get ``_0000`` … before it.
    template : a restart of the same configuration that NEMO wrote, or one of its pieces.
    grid : the mesh, or ``mesh_mask.nc``; may be left out where `state` is a file that carries its mesh.
    namelist : the user's ``namelist_cfg``; a copy with the entries set is written beside the restart, ending in
        ``.namelist_cfg``: those of the start, and those that give the run the parameters that the state carries.
    date : date of the first step, yyyymmdd; by default from the state's ``year`` (1 January for a whole number) or the ``season`` that it
        states, else the day after the template's. A state of no season (a mean over the year) starts on 1 January, and a remark
        says so.
    overwrite : whether existing files may be replaced.

    Returns
    -------
    What was written, replaced, recomputed and kept, the namelist lines, which also lie beside the restart, and remarks.

    Raises
    ------
    UserError
        If the state is not on the mesh, not finite in the sea or beyond what NEMO accepts, the template is of
        another grid, cut off or incomplete, the first step of a date needs a time step that neither namelist nor template states,
        an output exists, or it is not known which temperature the run has. Then nothing is written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> written = write_restart(state, pathlib.Path(tempfile.mkdtemp()) / "restart_in.nc", grid=grid)
    >>> written.replaced
    ('tn', 'sn', 'un', 'vn', 'sshn')
    """
    path = Path(path)
    if path.suffix != ".nc":
        raise UserError(f"{path}: NEMO opens restarts that end in .nc; give such a name")
    reads = [state, template, grid, namelist]
    state, grid = _opened(state, grid)
    fields = _prognostic(state, grid)
    groups = read(namelist) if namelist is not None else {}
    beside = namelist if namelist is not None else None if template is None else Path(template).parent
    equation = None if beside is None else seawater.equation_of(beside)
    fields = _of_the_run(fields, state, grid, equation)
    made = _physics(state, grid, groups, namelist)
    clock = clock_of(groups)
    if date is not None:
        refuse_date(date, clock.calendar)
    known, assumed = date_of(state, clock.calendar) if date is None else (date, "")
    opened, euler = None, True
    origins: dict[str, Any] = dict.fromkeys(("recomputed", "kept", "zeroed", "dropped"), ())
    with ExitStack() as stack:
        if template is None:
            new, zeroed = _alone(fields, grid)
            replaced = tuple(name for name in new if name not in zeroed)
            origins |= {"paths": (path,), "replaced": replaced, "zeroed": zeroed}
        else:
            opened = open_template(template, grid)
            stack.callback(opened.source.close)
            changed, derived, dropped = _changes(opened, fields, grid, equation)
            new = changed | derived
            kept = tuple(name for name in opened.names if name not in new and name not in dropped)
            origins |= {"paths": _target_paths(path, opened), "replaced": tuple(changed), "recomputed": tuple(derived),
                        "kept": kept, "dropped": dropped}  # fmt: skip
            if clock.step is None and "rdt" in opened.names:
                clock = clock_of(groups, opened.number("rdt"))
            if known is None and (last := opened.date()) is not None:
                known = day_after(last, clock.calendar)
            # an unchanged restart with its before-fields goes on exactly where NEMO stopped
            euler = bool(new)
        if known is None:
            whose = "a" if opened is None else "the"
            assumed = f"neither the state nor {whose} template has a date: started on 1 January; another date with --date"
        start = start_entries(path, euler, known or FIRST_OF_JANUARY, clock)
        remarks = (*filter(None, [assumed]), *made.lines())
        lines = namelist_lines(start, made.entries, remarks)
        result = Restart(**origins, namelist=lines, date=start["nn_date0"], remarks=remarks)
        if opened is not None:
            refuse_holes(opened, result.kept)
        targets = [
            stack.enter_context(outputs.replacing(p, overwrite, reads, folder=False)) for p in result.paths
        ]
        # put in place before the restart: the namelist lines, and the patched copy if asked
        beside_it = [stack.enter_context(outputs.replacing(p, overwrite, reads, folder=False))
                     for p in reversed(_beside({"path": path, "namelist": namelist}))]  # fmt: skip
        if opened is None:
            write_bare(targets[0], new, files.provenance(), int(grid.ds.attrs.get("repeated_columns", 0)))
            targets = []  # it bears a mark itself
        else:
            write_from(opened, targets, new, result.dropped)
        *copies, said = beside_it
        for copy in copies:
            patch_start(str(namelist), copy, start, made.entries)
        # they list what bears no mark, a template's bytes stay as they are; what is there may be replaced until the new one is in its place
        there = [p for p in (*result.paths, path.with_suffix(PATCHED)) if p.is_file()]
        said.write_text(lines + outputs.list_beside([*targets, *copies, *there]))
    if opened is not None:
        for name in ("uo", "vo", "zos"):
            if name not in fields:
                log.warning("the state has no %s: that of the template was kept", name)
    for remark in remarks:
        log.warning("%s", remark)
    return result


def _alone(fields: dict[str, np.ndarray], grid: Grid) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The five fields for a restart without a template, and those of them that are zero because the state has none."""
    if np.isnan(fields.get("zos", np.zeros(1))).any():
        log.warning("the state has no sea level under ice shelves: 0 was written there")
    values = {}
    for name, nemo in PROGNOSTIC.items():
        table = VARIABLES[name]
        given = fields.get(name, np.zeros(grid.shape if table.three_d else grid.shape[1:]))
        values[nemo] = np.nan_to_num(given)
        if grid.fold is not None:
            values[nemo] = grid.fold.restored(values[nemo], table.point)
    return values, tuple(nemo for name, nemo in PROGNOSTIC.items() if name not in fields)


def _physics(
    state: xr.Dataset, grid: Grid, groups: dict[str, dict[str, object]], namelist: str | Path | None
) -> Physics:
    """The entries that give a run the parameters that the state carries."""
    several = {name: np.unique(numbers) for name, numbers in parameters.extract(state).items()}
    values = {name: float(v[0]) for name, v in several.items() if v.size == 1 and np.isfinite(v[0])}
    row = int(np.argmin(np.abs(grid.gphit.values).min(axis=1)))
    spacing = float(max(grid.ds.e1t.values[row].max(), grid.ds.e2t.values[row].max()))
    beside = (None, None) if namelist is None else (groups, Path(namelist).parent)
    return physics(values, parameters.carried(state), spacing, *beside)


def _opened(state: xr.Dataset | str | Path, grid: Grid | str | Path | None) -> tuple[xr.Dataset, Grid]:
    """The state and the mesh, opened where they are paths."""
    if grid is None and isinstance(state, xr.Dataset):
        raise UserError("no mesh: give grid, the mesh_mask.nc of the run that shall start")
    mesh = grid if isinstance(grid, Grid) else open_grid(state if grid is None else grid)  # type: ignore[arg-type]
    return state if isinstance(state, xr.Dataset) else open_bare(state, mesh), mesh


def _prognostic(state: xr.Dataset, grid: Grid) -> dict[str, np.ndarray]:
    """What a restart needs of a state, by its names: double precision, 0 on land, sea level of mean zero, both velocities or none."""
    missing = [name for name in ("thetao", "so") if name not in state]
    if missing:
        raise UserError(
            f"the state holds no {' and no '.join(missing)}; a restart needs at least thetao and so"
        )
    moving = [name for name in ("uo", "vo") if name in state]
    if len(moving) == 1:
        raise UserError(f"the state holds {moving[0]} alone; give both velocities or none")
    out = {name: _field(state, name, grid) for name in PROGNOSTIC if name in state}
    if "zos" in out:
        area = grid.area.values
        mean = float((np.where(area > 0, out["zos"], 0.0) * area).sum() / area.sum())
        if abs(mean) > ZERO_LEVEL:
            log.info("area-mean sea level of %.3g m removed", mean)
            out["zos"] = np.where(grid.mask("T", three_d=False).values, out["zos"] - mean, 0.0)
    return out


def _field(state: xr.Dataset, name: str, grid: Grid) -> np.ndarray:
    """One variable of the state, checked, with 0 on land."""
    table, da = VARIABLES[name], _renamed(state[name])
    lead = [d for d in da.dims if d not in table.dims]
    several = [d for d in lead if da.sizes[d] != 1]
    if several:
        raise UserError(
            f"{name} has {da.sizes[several[0]]} states along {several[0]}; select one, for example "
            f"state.isel({several[0]}=-1)"
        )
    if set(da.dims) - set(lead) != set(table.dims):
        raise UserError(f"{name} has dims {da.dims}; expected {table.dims}")
    values = da.isel(dict.fromkeys(lead, 0)).transpose(*table.dims).values.astype("float64")
    wet = grid.mask(table.point, table.three_d).values
    if values.shape != wet.shape:
        raise UserError(
            f"{name} has shape {values.shape}, the mesh {wet.shape}: the state is on another grid; move it with "
            "warmstart.regrid, or restart --regrid"
        )
    # NEMO's output leaves out the sea level under ice shelves
    needed = wet & ~covered_columns(grid).values if name == "zos" else wet
    holes = int((~np.isfinite(values[needed])).sum())
    if holes:
        raise UserError(f"{name} is not finite at {holes} of {int(wet.sum())} wet points; NEMO would stop")
    inside = values[wet & np.isfinite(values)]
    low, high = LIMITS.get(name, (-np.inf, np.inf))
    outside = (inside <= low) | (inside >= high) if name == "so" else np.abs(inside) > high
    if beyond := int(outside.sum()):
        raise UserError(
            f"{name} is beyond {low:g} to {high:g} {table.units} at {beyond} wet points (largest {np.abs(inside).max():.4g}, "
            f"smallest {inside.min():.4g}); NEMO would stop at the first step"
        )
    mean = float(inside.mean())
    if not table.bounds[0] <= mean <= table.bounds[1]:
        raise UserError(
            f"{name} is {mean:.4g} on average; expected {table.bounds[0]:g} to {table.bounds[1]:g} {table.units}: "
            "convert its units"
        )
    return np.where(wet, values, 0.0)


def _changes(
    template: Template, fields: dict[str, np.ndarray], grid: Grid, equation: str | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], tuple[str, ...]]:
    """What differs from the template, what follows from that, and what has to go."""
    now, changed = {}, {}
    for name, nemo in PROGNOSTIC.items():
        table, old = VARIABLES[name], template.read(nemo)
        # of a process that was not run there is nothing
        old = np.where(np.isnan(old) & ~grid.mask(table.point, table.three_d).values, 0.0, old)
        new = fields.get(name, old)
        if name == "zos":
            new = np.where(np.isnan(new), old, new)
        if name == "thetao" and equation == "teos10" and np.allclose(old, new, rtol=0, atol=SAME_TEMPERATURE):
            new = old
        # NaN or a flow on land would not do either
        if name in fields and not np.array_equal(old, new):
            new = new if grid.fold is None else grid.fold.restored(new, table.point)
            changed[nemo] = new
        now[nemo] = new
    derived, dropped = _recompute(template, now, set(changed), grid)
    if equation == "teos10" and "sst_m" in derived:  # NEMO gives the air the potential temperature
        share = derived["sst_m"] / np.where(now["tn"][0] == 0, 1.0, now["tn"][0])
        derived["sst_m"] = share * np.nan_to_num(seawater.potential_temperature(now["tn"][0], now["sn"][0]))
    return changed, derived, dropped


def _renamed(da: xr.DataArray) -> xr.DataArray:
    """With the dimensions called z, y and x, whatever NEMO calls them, and without coordinates."""
    dims = [known if (known := role(str(d))) in ("z", "y", "x") else str(d) for d in da.dims]
    return xr.DataArray(da.values, dims=dims, attrs=da.attrs)


def _of_the_run(
    fields: dict[str, np.ndarray],
    state: xr.Dataset,
    grid: Grid,
    run: str | None,
) -> dict[str, np.ndarray]:
    """Temperature and salinity as the run's equation of state has them; refused where that is not known and matters."""
    own = state.attrs.get("equation_of_state")
    absolute = own == "teos10" or "absolute" in str(state["so"].attrs.get("standard_name", ""))
    if absolute and run is None:
        raise UserError(
            "the state is of TEOS-10 (its salinity is absolute), and nothing says the equation of state of the run that shall start: give "
            "its namelist_cfg (namelist, --namelist)"
        )
    if absolute and run == "eos80":
        raise UserError(
            "the state has absolute salinity (TEOS-10) and the run practical salinity (ln_eos80): convert so with gsw.SP_from_SA, and its "
            "standard_name to sea_water_practical_salinity"
        )
    if run != "teos10":
        return fields
    if not absolute:
        log.warning("the run has TEOS-10: the state's salinity is taken as absolute salinity")
    wet = grid.tmask.values > 0
    conservative = seawater.conservative_temperature(fields["thetao"], fields["so"])
    return fields | {"thetao": np.where(wet, conservative, 0.0)}


def _target_paths(path: Path, template: Template) -> tuple[Path, ...]:
    """The output, or one a piece, numbered as the template's."""
    if template.source.size is None:
        return (path,)
    count = len(template.source.parts)
    return tuple(path.with_name(f"{path.stem}_{number:04d}{path.suffix}") for number in range(count))
