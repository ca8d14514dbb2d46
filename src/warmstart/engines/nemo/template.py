"""A restart of NEMO as a template: copied whole, then only what changed is overwritten.

The netCDF library itself, not xarray, so that formats, attributes, dimension names, chunks, the order of variables and
NEMO 4.2's two-dimensional ``x(y, x)`` stay as they are.
"""

from __future__ import annotations

import gzip
import logging
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from warmstart.engines.nemo.dimensions import arrange, role
from warmstart.engines.nemo.subdomains import NemoFile, open_sources
from warmstart.errors import UserError, reading, shortened
from warmstart.io import netcdf
from warmstart.ocean.grid import Grid

log = logging.getLogger(__name__)

#: The five fields without which NEMO does not start, by their names in a state.
PROGNOSTIC = {"thetao": "tn", "so": "sn", "uo": "un", "vo": "vn", "zos": "sshn"}
GIVE = "give a *_restart.nc that NEMO wrote"
LAST_DATE = 99991231  #: of eight digits
#: Largest difference between a float32 latitude and the mesh's [degrees].
NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Template:
    """An opened restart.

    Attributes
    ----------
    source : its file or pieces.
    names : variables, in the order of the file.
    columns : 0, or 1 where the file repeats a column at each cyclic boundary and the mesh does not.
    """

    source: NemoFile
    names: tuple[str, ...]
    columns: int

    @property
    def paths(self) -> list[Path]:
        """The file, or each piece."""
        return _paths(self.source)

    def read(self, name: str) -> np.ndarray:
        """Values of one variable on the mesh, without time; a scalar as a number of no dimension."""
        var = self.source.first.variables[name]
        spatial = [d for d in map(str, var.dims) if role(d) != "time"]
        if not spatial:
            return np.asarray(var.values).reshape(-1)[:1].squeeze()
        dims = ("z", "y", "x")[3 - len(spatial) :]
        whole = self.source.merged([arrange(part.variables[name], dims, name) for part in self.source.parts])
        return self.inner(np.asarray(whole[0].values))

    def number(self, name: str) -> float:
        """A scalar that has to be a finite number, as the time step and the counters of NEMO are."""
        values = self.read(name)
        if values.size != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise UserError(
                f"{self.source.path}: {name} is {shortened(str(values.tolist()), 40)}, expected a number; {GIVE}"
            )
        return float(values)

    def date(self) -> int | None:
        """Date of its last step, yyyymmdd; None where it says none."""
        value = self.number("ndastp") if "ndastp" in self.names else 0.0
        if not value <= LAST_DATE or value % 1:
            raise UserError(f"{self.source.path}: ndastp is {value:g}, expected a date yyyymmdd; {GIVE}")
        return int(value) if value > 0 else None

    def inner(self, values: np.ndarray) -> np.ndarray:
        """Without the repeated columns."""
        return values[..., 1:-1] if self.columns else values

    def outer(self, values: np.ndarray) -> np.ndarray:
        """With the repeated columns."""
        return repeated(values) if self.columns else values


def repeated(values: np.ndarray) -> np.ndarray:
    """With a column more at each cyclic boundary, as NEMO up to 4.0 has it; dims ``(..., x)``."""
    return np.concatenate([values[..., -1:], values, values[..., :1]], axis=-1)


def open_template(path: str | Path, grid: Grid) -> Template:
    """Open a restart, whole or any one of its pieces, and check that it belongs to the mesh.

    Parameters
    ----------
    path : the file.
    grid : the mesh of the run that shall start.

    Returns
    -------
    The template; nothing large is read yet.

    Raises
    ------
    UserError
        If it is missing, cut off, no restart, lacks pieces, or is of another grid.
    """
    source = open_sources(path)[0]
    try:
        with reading(path, GIVE):
            return _fitting(source, grid, str(path))
    except BaseException:
        source.close()
        raise


def _fitting(source: NemoFile, grid: Grid, path: str) -> Template:
    """The template that a source makes, if it is a restart of the mesh."""
    with netcdf.opened(_paths(source)[0]) as ds:
        names = tuple(ds.variables)  # with those that xarray cannot hold
    lacking = [name for name in PROGNOSTIC.values() if name not in names]
    if lacking:
        raise UserError(f"{path} is no restart of NEMO: it lacks {', '.join(lacking)}; {GIVE}")
    for name in PROGNOSTIC.values():
        dims = [d for d in map(str, source.first.variables[name].dims) if role(d) != "time"]
        if len(dims) != (2 if name == "sshn" else 3):
            raise UserError(f"{path}: {name} has the dimensions {', '.join(dims) or 'of a number'}; {GIVE}")
    size = source.size or source.first.variables["tn"].shape[-2:]
    nz, ny, nx = grid.shape
    repeated = int(grid.periodic_x and size[1] == nx + 2)
    template = Template(source, names, repeated)
    levels = source.first.variables["tn"].shape[-3]
    if (levels, *size) != (nz, ny, nx + 2 * repeated):
        raise UserError(
            f"{path} is of another grid: {levels} x {size[0]} x {size[1]} (z, y, x), the mesh {nz} x {ny} x {nx}; "
            "give a template and a mesh_mask of the same run"
        )
    _refuse_other_sea(template, grid, path)
    return template


def _paths(source: NemoFile) -> list[Path]:
    return [Path(part.encoding.get("source", source.path)) for part in source.parts]


def _refuse_other_sea(template: Template, grid: Grid, where: str) -> None:
    """Refuse a template whose land or latitudes are not the mesh's."""
    salt, wet = template.read("sn"), grid.tmask.values > 0
    holes = int((~np.isfinite(salt) & wet).sum())
    if holes:
        raise UserError(
            f"{where}: sn is not finite at {holes} of {int(wet.sum())} wet points; give a restart that is whole"
        )
    dry_inside = int((~(salt > 0) & wet).sum())
    # land may have been filled by a tool; half filled it is another sea. Of a process without sea there is nothing
    land = salt[~wet & np.isfinite(salt)]
    wet_outside = int((land != 0).sum()) if (land == 0).any() else 0
    if dry_inside or wet_outside:
        raise UserError(
            f"{where} has another sea than the mesh: {dry_inside} cells dry and {wet_outside} wet against it; give a "
            "template and a mesh_mask of the same run (the channel of DINO lies one row apart in 4.2 and 5.0)"
        )
    if "nav_lat" in template.names:
        latitude = template.read("nav_lat")
        known = np.abs(latitude) > 0  # NEMO leaves 0 where a process was left out
        off = float(np.max(np.abs(latitude - grid.gphit.values), where=known, initial=0.0))
        if off > NEAR:
            raise UserError(
                f"{where} lies elsewhere than the mesh: latitudes differ by up to {off:.3g} degrees; give a template "
                "and a mesh_mask of the same run"
            )


def refuse_holes(template: Template, names: Collection[str]) -> None:
    """Refuse a template that has no number somewhere in what is kept of it: NEMO would stop at the first step.

    Where its salinity has none either is the land of a process that was not run, which stays as it is.

    Parameters
    ----------
    template : from :func:`open_template`.
    names : variables that are kept.

    Raises
    ------
    UserError
        Naming the first such variable.
    """
    for path in template.paths:
        with reading(path, "give a restart that is whole"), netcdf.opened(path) as ds:
            ds.set_auto_maskandscale(False)
            uncovered = ~np.isfinite(ds.variables["sn"][...])
            columns = uncovered.all(axis=tuple(range(uncovered.ndim - 2)))
            for name in (n for n in names if np.dtype(ds.variables[n].dtype).kind == "f"):
                empty = ~np.isfinite(ds.variables[name][...])
                if empty.ndim > 1 and empty.shape[-2:] == columns.shape:
                    empty = empty & ~(uncovered if empty.shape == uncovered.shape else columns)
                if holes := int(empty.sum()):
                    raise UserError(
                        f"{path}: {name}, which the restart would keep, is not finite at {holes} points; NEMO would stop. Fill "
                        "them (land with 0), or leave the variable out"
                    )


def write_from(
    template: Template, targets: list[Path], changed: Mapping[str, np.ndarray], dropped: Collection[str] = ()
) -> None:
    """Copy a template and overwrite what changed.

    Parameters
    ----------
    template : from :func:`open_template`.
    targets : one path for each file of the template.
    changed : new values on the mesh, dims ``(z, y, x)`` or ``(y, x)``, of variables that the template has.
    dropped : variables to leave out.
    """
    for path, box, target in zip(template.paths, template.source.boxes or (None,), targets, strict=True):
        part = {name: template.outer(values) for name, values in changed.items()}
        if box is not None:
            part = {name: values[..., box.rows, box.columns] for name, values in part.items()}
        if netcdf.is_packed(path):
            target.write_bytes(gzip.decompress(path.read_bytes()))
        else:
            shutil.copyfile(path, target)
        with netCDF4.Dataset(target) as ds:
            again = bool(dropped) or _time_is_fixed(ds) or any(_narrow(ds.variables[name]) for name in part)
        if again and (part or dropped):
            original = target.with_name(f"{target.name}.template")
            target.rename(original)
            _rewrite(original, target, set(part), set(dropped))
            original.unlink()
        with netCDF4.Dataset(target, "r+") as ds:
            ds.set_auto_maskandscale(False)
            for name, values in part.items():
                var = ds.variables[name]
                if var.size != values.size:
                    raise UserError(
                        f"{path}: {name} has the shape {var.shape}, expected one of {values.size} values; {GIVE}"
                    )
                var[...] = values.reshape(var.shape)


def _time_is_fixed(ds: netCDF4.Dataset) -> bool:
    """Whether fields have a dimension of time that is not UNLIMITED, which NEMO refuses."""
    dims = ds.variables["tn"].dimensions
    return len(dims) == 4 and not ds.dimensions[dims[0]].isunlimited()


def _narrow(var: netCDF4.Variable) -> bool:
    """Whether a variable cannot hold double precision as it is."""
    return var.dtype != np.float64 or "scale_factor" in var.ncattrs() or "add_offset" in var.ncattrs()


def _rewrite(path: Path, target: Path, wide: set[str], dropped: set[str]) -> None:
    """Copy a file variable by variable: `wide` in double precision, the time UNLIMITED, without `dropped`."""
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(target, "w", format=old.data_model) as new:
        old.set_auto_maskandscale(False)
        new.set_auto_maskandscale(False)
        record = old.variables["tn"].dimensions[0] if old.variables["tn"].ndim == 4 else None
        for name, dim in old.dimensions.items():
            new.createDimension(name, None if name == record or dim.isunlimited() else len(dim))
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
        kept = {name: var for name, var in old.variables.items() if name not in dropped}
        for name, var in kept.items():
            _define(new, name, var, np.dtype("f8") if name in wide else var.dtype)
        for name, var in kept.items():
            if var.size and name not in wide:
                new.variables[name][...] = var[...]


def _define(new: netCDF4.Dataset, name: str, var: netCDF4.Variable, dtype: Any) -> None:
    """Make the same variable in another file."""
    attrs = {a: var.getncattr(a) for a in var.ncattrs()}
    fill = attrs.pop("_FillValue", None)
    if dtype != var.dtype:
        attrs = {a: v for a, v in attrs.items() if a not in ("scale_factor", "add_offset", "missing_value")}
    options: dict[str, Any] = {}
    packing = var.filters() if new.data_model.startswith("NETCDF4") and var.ndim else None
    if packing:
        options = {name: packing[name] for name in ("zlib", "complevel", "shuffle")}
        if isinstance(var.chunking(), list):
            options["chunksizes"] = var.chunking()
    copy = new.createVariable(
        name, dtype, var.dimensions, fill_value=None if fill is None else np.asarray(fill, dtype), **options
    )
    copy.set_auto_maskandscale(False)  # packed values go over as they are
    copy.setncatts(attrs)


def write_bare(
    target: Path, fields: Mapping[str, np.ndarray], attrs: Mapping[str, Any], columns: int = 0
) -> None:
    """Write fields without a template: names, dims and format of NEMO's own restarts, nothing else.

    Parameters
    ----------
    target : the file to write.
    fields : ``(z, y, x)`` or ``(y, x)``, land 0.
    attrs : global attributes.
    columns : 1 where NEMO repeats a column at each cyclic boundary, as up to 4.0.
    """
    if columns:
        fields = {name: repeated(values) for name, values in fields.items()}
    nz, ny, nx = next(values.shape for values in fields.values() if values.ndim == 3)
    with netCDF4.Dataset(target, "w", format="NETCDF3_64BIT_OFFSET") as ds:
        for name, size in (("x", nx), ("y", ny), ("nav_lev", nz), ("time_counter", None)):
            ds.createDimension(name, size)
        ds.setncatts(dict(attrs))
        for name, values in fields.items():
            dims = ("time_counter", *("nav_lev", "y", "x")[3 - values.ndim :])
            ds.createVariable(name, "f8", dims)
        for name, values in fields.items():
            ds.variables[name][0] = values
