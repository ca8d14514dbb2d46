"""From states to restart files that an ocean engine starts from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from warmstart.engines import dino
from warmstart.engines.manifest import MANIFEST, Fields, Manifest, MeshSize, Sample, StatesFile, content_hash
from warmstart.engines.recognition import open_grid, open_state
from warmstart.engines.veros.arrays import restart_from_state
from warmstart.errors import UserError, require_path
from warmstart.io import files, outputs
from warmstart.io.config import dump_yaml
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid
from warmstart.ocean.variables import VARIABLES

logger = logging.getLogger(__name__)

#: What a restart needs from a state, and what it takes if it is there.
REQUIRED, OPTIONAL = ("thetao", "so"), ("uo", "vo")
#: What the Veros adapter computes from the state, and what it leaves to the first steps of the engine.
DERIVED, ZEROED = ("psi", "rho", "Nsqr", "w"), ("tendencies", "tke")
Method = Literal["bilinear", "conservative"]  #: of moving states in the horizontal
#: Dimensions along which a states file holds its states.
STATE_DIMS = ("sample", "time")


@outputs.writes(folder=True)
def restart(
    states: str | Path,
    output: str | Path,
    engine: str = "veros",
    template: str | Path | None = None,
    grid: str | Path | Sequence[str | Path] | None = None,
    namelist: str | Path | None = None,
    regrid: bool | Method = False,
    date: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a restart file for every state of a states file.

    Temperature, salinity and velocities are taken from the state. The Veros adapter splits the velocities into a
    barotropic streamfunction and the rest and derives density, stratification and vertical velocity; tendencies
    and turbulent kinetic energy start from zero and fill up within days. The manifest ``restarts.yaml`` beside
    the files lists this, where the states came from and the parameters of each. For NEMO see
    :func:`warmstart.engines.nemo.restart_file.write_restart`; each file lies beside the namelist lines that start it.

    Parameters
    ----------
    states : states file or store with the mesh in its group ``grid``: ``thetao`` [degC] and ``so`` [1e-3], and
        ``uo``, ``vo`` [m s-1] unless the engine shall start without motion; dims ``([sample|time], z, y, x)``.
    output : folder to make; it holds ``000.h5``, ``001.h5`` … (Veros) or ``restart_000.nc`` … (NEMO) and ``restarts.yaml``.
    engine : ``"veros"`` or ``"nemo"``.
    template : a restart of the user's NEMO, or one of its pieces, to put the state into; Veros needs none.
    grid : ``mesh_mask.nc`` of the NEMO run that shall start, or a file with the mesh of Veros; by default the mesh that the states
        carry.
    namelist : ``namelist_cfg`` of that run, to copy and patch.
    regrid : move states that are on another grid to `grid`, ``"bilinear"`` (as True) or ``"conservative"``; False refuses them.
    date : for NEMO, date of the first step, yyyymmdd.
    overwrite : whether an existing `output` may be replaced.

    Returns
    -------
    The restart files, in the order of the states.

    Raises
    ------
    UserError
        If the engine is not there, `output` exists, `regrid` has no `grid` to move states to, the mesh is not the engine's own at that resolution, or
        a state lacks temperature or salinity or is not finite in the sea.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from warmstart.engines import dino
    >>> from warmstart.ocean.basin import finish
    >>> folder, grid = pathlib.Path(tempfile.mkdtemp()), dino.grid(10.0, 6)
    >>> state = finish(xr.Dataset({"thetao": 4.0 * grid.tmask, "so": 35.0 * grid.tmask}), grid)
    >>> _ = files.write_dataset(folder / "states.nc", state, grid)
    >>> [path.name for path in restart(folder / "states.nc", folder / "restarts")]
    ['000.h5']
    """
    if regrid and grid is None:
        raise UserError("--regrid (regrid=True) moves states to the mesh of --grid (grid=...); give it too")
    states, output = require_path(states), Path(output)
    if engine == "nemo":
        return _restart_nemo(states, output, template, grid, namelist, regrid, date, overwrite)
    _refuse_engine(engine, template, namelist=namelist, date=date)
    mesh = open_grid(states if grid is None else grid)
    configuration = _configuration(mesh, str(states if grid is None else grid))
    own = _mesh_of(states, mesh)
    with open_state(states, own) as ds:
        ds = _on_mesh(ds, states, own, mesh, regrid)
        dim = _state_dim(ds, str(states))
        # everything is looked at before anything is written
        count = ds.sizes[dim] if dim else 1
        for i in range(count):
            _refuse_unusable(_one(ds, dim, i), mesh, f"{states}, {dim or 'state'} {i}")
        with outputs.replacing(output, overwrite) as folder:
            folder.mkdir()
            samples = [_write(ds, dim, i, mesh, folder) for i in range(count)]
            manifest = _manifest(engine, configuration, mesh, states, _fields(ds), samples)
            dump_yaml(manifest, folder / MANIFEST)
    return [output / sample.file for sample in samples]


def _manifest(
    engine: str, configuration: MeshSize, grid: Grid, states: Path, fields: Fields, samples: list[Sample]
) -> Manifest:
    return Manifest(
        engine=engine,
        configuration=configuration,
        grid=grid.fingerprint,
        states=StatesFile(file=str(states), sha256=content_hash(states)),
        fields=fields,
        samples=tuple(samples),
        **{k: files.provenance()[k] for k in ("warmstart_version", "command", "created")},
    )


def _restart_nemo(
    states: Path,
    output: Path,
    template: str | Path | None,
    grid: str | Path | Sequence[str | Path] | None,
    namelist: str | Path | None,
    regrid: bool | Method,
    date: int | None,
    overwrite: bool,
) -> list[Path]:
    """A restart of NEMO for every state, through the same template."""
    from warmstart.engines.nemo.restart_file import write_restart

    mesh = open_grid(states if grid is None else grid)
    own = _mesh_of(states, mesh)
    with open_state(states, own) as ds:
        dim = _state_dim(ds, str(states))
        ds = _on_mesh(ds, states, own, mesh, regrid)
        samples, paths = [], []
        with outputs.replacing(output, overwrite) as folder:
            folder.mkdir()
            for i in range(ds.sizes[dim] if dim else 1):
                state, name = _one(ds, dim, i), f"restart_{i:03d}.nc"
                written = write_restart(state, folder / name, template, mesh, namelist, date)
                told = {"date": written.date, "remarks": written.remarks}
                samples.append(_sample(state, i, written.paths[0].name).model_copy(update=told))
                paths += [output / path.name for path in written.paths]
            fields = Fields(
                given=written.replaced, derived=written.recomputed, zeroed=written.zeroed, kept=written.kept,
                dropped=written.dropped,
            )  # fmt: skip
            spacing = float(np.diff(mesh.glamt.values[mesh.shape[1] // 2]).mean())
            configuration = MeshSize(
                resolution=round(float(mesh.ds.attrs.get("resolution", spacing)), 6), levels=mesh.shape[0]
            )
            dump_yaml(_manifest("nemo", configuration, mesh, states, fields, samples), folder / MANIFEST)
    return paths


def _mesh_of(states: Path, mesh: Grid) -> Grid:
    """The mesh that the states carry or that lies beside them; without one they have to fit the run's."""
    try:
        return open_grid(states)
    except UserError:
        if not states.exists():
            raise
        return mesh


def _on_mesh(ds: xr.Dataset, states: Path, source: Grid, mesh: Grid, allowed: bool | Method) -> xr.Dataset:
    """The states on the mesh of the run, moved there if that is allowed."""
    if source.shape == mesh.shape and source.fingerprint == mesh.fingerprint:
        return ds
    if not allowed:
        raise UserError(
            f"{states} is on another grid than the mesh of the run ({source!r}, {mesh!r}); add --regrid (regrid=True) to "
            "move the states there, or give the mesh_mask of the run that they come from"
        )
    from warmstart.physics.regrid import regrid

    logger.warning("states moved from %r to %r", source, mesh)
    return regrid(ds.load(), source, mesh, method="bilinear" if allowed is True else allowed)


def _refuse_engine(engine: str, template: str | Path | None, **options: Any) -> None:
    """Refuse what no adapter writes."""
    if engine != "veros":
        raise UserError(f"unknown engine '{engine}'; expected 'veros' or 'nemo'")
    if template is not None:
        raise UserError(
            f"a template ({template}) is for engines that need one; Veros restarts need none, leave it out"
        )
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UserError(f"{', '.join(given)}: for the engine 'nemo' only; leave it out or give --engine nemo")


def _configuration(grid: Grid, where: str) -> MeshSize:
    """The engine's configuration whose own mesh this is."""
    resolution = grid.ds.attrs.get("resolution")
    if resolution is None or grid.ds.attrs.get("configuration") != "DINO":
        name = grid.ds.attrs.get("configuration", "unnamed")
        raise UserError(
            f"{where} is on the mesh '{name}'; expected a DINO mesh that says its resolution in degrees"
        )
    configuration = MeshSize(resolution=float(resolution), levels=grid.shape[0])
    dino.grid(configuration.resolution, configuration.levels).require_same(grid, where)
    return configuration


def _state_dim(ds: xr.Dataset, where: str) -> str | None:
    """The dimension along which the states lie; None for a single state."""
    missing = [name for name in REQUIRED if name not in ds]
    if missing:
        raise UserError(
            f"{where} holds no {' and no '.join(missing)}; a restart needs at least {' and '.join(REQUIRED)}"
        )
    lead = [d for d in ds[REQUIRED[0]].dims if d not in VARIABLES[REQUIRED[0]].dims]
    if len(lead) > 1 or any(d not in STATE_DIMS for d in lead):
        raise UserError(
            f"{where}: thetao has dims {ds.thetao.dims}; expected (z, y, x) with at most one of {STATE_DIMS}"
        )
    return str(lead[0]) if lead else None


def _one(ds: xr.Dataset, dim: str | None, index: int) -> xr.Dataset:
    """One state, with its own parameters and coordinates."""
    return ds.isel({dim: index}) if dim else ds


def _refuse_unusable(state: xr.Dataset, grid: Grid, where: str) -> None:
    """Refuse a state that no engine could start from."""
    for name in _given(state):
        table = VARIABLES[name]
        wet = grid.ds[table.mask].values > 0
        values = state[name].transpose(*table.dims).values
        if values.shape != wet.shape:
            raise UserError(
                f"{where}: {name} has shape {values.shape}, its mesh {wet.shape}; expected the same"
            )
        holes = int((~np.isfinite(values[wet])).sum())
        if holes:
            raise UserError(
                f"{where}: {name} is not finite at {holes} of {wet.sum()} wet points; expected a number at each"
            )
        low, high = table.bounds
        mean = float(values[wet].mean())
        if not low <= mean <= high:
            raise UserError(
                f"{where}: {name} is {mean:.4g} on average; expected {low:g} to {high:g} {table.units}: convert its units"
            )


def _given(ds: xr.Dataset) -> tuple[str, ...]:
    """The variables that go into the restart: the velocities both or not at all."""
    return (*REQUIRED, *OPTIONAL) if all(name in ds for name in OPTIONAL) else REQUIRED


def _fields(ds: xr.Dataset) -> Fields:
    """Account for every prognostic field of the engine."""
    if _given(ds) == REQUIRED:
        return Fields(given=REQUIRED, derived=("rho", "Nsqr"), zeroed=(*OPTIONAL, "psi", "w", *ZEROED))
    return Fields(given=_given(ds), derived=DERIVED, zeroed=ZEROED)


def _write(ds: xr.Dataset, dim: str | None, index: int, grid: Grid, folder: Path) -> Sample:
    """Write one restart file and describe it."""
    state = _one(ds, dim, index)
    sample = _sample(state, index, f"{index:03d}.h5")
    restart_from_state(state[list(_given(ds))].load(), grid, folder / sample.file)
    logger.info("wrote %s", sample.file)
    return sample


def _sample(state: xr.Dataset, index: int, file: str) -> Sample:
    """Describe one restart."""
    return Sample(
        file=file,
        sample=index,
        seed=_scalar(state, "seed", int),
        year=_scalar(state, "year", float),
        parameters={name: float(value) for name, value in parameters.extract(state).items()},
    )


def _scalar(state: xr.Dataset, name: str, kind: type) -> Any:
    """A number that the state carries; None if it carries none."""
    return kind(state[name].item()) if name in state and state[name].ndim == 0 else None
