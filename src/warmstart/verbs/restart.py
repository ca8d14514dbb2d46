"""From states to restart files that an ocean engine starts from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from warmstart import engines
from warmstart.engines.manifest import MANIFEST, Manifest, Sample, StatesFile, content_hash
from warmstart.engines.recognition import open_bare, open_grid
from warmstart.errors import UserError, require_path
from warmstart.io import files, outputs
from warmstart.io.config import dump_yaml
from warmstart.ocean import parameters
from warmstart.ocean.grid import Grid

if TYPE_CHECKING:
    from warmstart.engines.base import Engine

logger = logging.getLogger(__name__)

Method = Literal["bilinear", "conservative"]  #: of moving states in the horizontal
#: Dimensions along which a states file holds its states.
STATE_DIMS = ("sample", "time")


@outputs.writes(folder=True)
def restart(
    states: str | Path,
    output: str | Path,
    engine: str = engines.DEFAULT,
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
    engine : name of an engine, one of ``ws.engines.names()``.
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
    states, output, model = require_path(states), Path(output), engines.find(engine)
    options = engines.chosen(model, "restart", {"template": template, "namelist": namelist, "date": date})
    place = str(states if grid is None else grid)
    mesh = open_grid(states if grid is None else grid)
    configuration = model.configuration_of(mesh, place)
    own = _mesh_of(states, mesh)
    with open_bare(states, own) as ds:
        dim = _state_dim(ds, str(states), model)
        ds = _on_mesh(ds, states, own, mesh, regrid)
        # everything is looked at before anything is written
        count = ds.sizes[dim] if dim else 1
        if not count:
            raise UserError(f"{states} holds no state: {dim} has length 0; give a file with one at least")
        for i in range(count):
            model.refuse_unusable(_one(ds, dim, i), mesh, f"{states}, {dim or 'state'} {i}")
        samples, paths = [], []
        with outputs.replacing(output, overwrite) as folder:
            folder.mkdir()
            for i in range(count):
                state = _one(ds, dim, i)
                written = model.write_restart(state, mesh, folder / model.restart_name(i), options)
                logger.info("wrote %s", written.paths[0].name)
                samples.append(_sample(state, i, written.paths[0].name).model_copy(update=dict(written.told)))
                paths += [output / path.name for path in written.paths]
            manifest = Manifest(
                engine=engine,
                configuration=configuration.model_dump(),
                grid=mesh.fingerprint,
                states=StatesFile(file=str(states), sha256=content_hash(states)),
                fields=written.fields,
                samples=tuple(samples),
                **{k: files.provenance()[k] for k in ("warmstart_version", "command", "created")},
            )
            dump_yaml(manifest, folder / MANIFEST)
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


def _state_dim(ds: xr.Dataset, where: str, engine: Engine) -> str | None:
    """The dimension along which the states lie; None for a single state."""
    required = engine.required
    missing = [name for name in required if name not in ds]
    if missing:
        raise UserError(
            f"{where} holds no {' and no '.join(missing)}; a restart needs at least {' and '.join(required)}"
        )
    first = engine.variables[required[0]]
    lead = [d for d in ds[first.name].dims if d not in first.dims]
    if len(lead) > 1 or any(d not in STATE_DIMS for d in lead):
        raise UserError(
            f"{where}: {first.name} has dims {ds[first.name].dims}; expected ({', '.join(first.dims)}) with at most one of {STATE_DIMS}"
        )
    return str(lead[0]) if lead else None


def _one(ds: xr.Dataset, dim: str | None, index: int) -> xr.Dataset:
    """One state, with its own parameters and coordinates."""
    return ds.isel({dim: index}) if dim else ds


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
