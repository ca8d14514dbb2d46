"""From states to restart files that an ocean engine starts from."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from warmstart import files, parameters
from warmstart.config import Config, dump_yaml, load_yaml
from warmstart.engine import dino
from warmstart.engine.veros.restart import restart_from_state
from warmstart.errors import UserError
from warmstart.grid import Grid
from warmstart.variables import VARIABLES

logger = logging.getLogger(__name__)

#: Name of the manifest in a folder of restarts.
MANIFEST = "restarts.yaml"
#: What a restart needs from a state, and what it takes if it is there.
REQUIRED, OPTIONAL = ("thetao", "so"), ("uo", "vo")
#: What the Veros adapter computes from the state, and what it leaves to the first steps of the engine.
DERIVED, ZEROED = ("psi", "rho", "Nsqr", "w"), ("tendencies", "tke")
#: Dimensions along which a states file holds its states.
STATE_DIMS = ("sample", "time")


class Source(Config):
    """The states file that restarts were made from."""

    file: str
    sha256: str


class Configuration(Config):
    """What the engine has to be set up with."""

    resolution: float
    levels: int


class Fields(Config):
    """Which prognostic fields were given by the state, derived from it, or set to zero."""

    given: tuple[str, ...]
    derived: tuple[str, ...]
    zeroed: tuple[str, ...]


class Sample(Config):
    """One restart file: which state it holds and the parameters to run it with."""

    file: str
    sample: int
    seed: int | None = None
    year: float | None = None
    parameters: dict[str, float]


class Manifest(Config):
    """What a folder of restarts holds: the content of its ``restarts.yaml``."""

    engine: str
    configuration: Configuration
    grid: str
    states: Source
    fields: Fields
    samples: tuple[Sample, ...]
    warmstart_version: str
    command: str
    created: str


def restart(
    states: str | Path,
    output: str | Path,
    engine: str = "veros",
    template: str | Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a restart file for every state of a states file.

    Temperature, salinity and velocities are taken from the state. The Veros adapter splits the velocities into a
    barotropic streamfunction and the rest and derives density, stratification and vertical velocity; tendencies
    and turbulent kinetic energy start from zero and fill up within days. The manifest ``restarts.yaml`` beside
    the files lists this, where the states came from and the parameters of each.

    Parameters
    ----------
    states : states file or store with the mesh in its group ``grid``: ``thetao`` [degC] and ``so`` [1e-3], and
        ``uo``, ``vo`` [m s-1] unless the engine shall start without motion; dims ``([sample|time], z, y, x)``.
    output : folder to make; it holds ``000.h5``, ``001.h5`` … and ``restarts.yaml``.
    engine : ``"veros"``.
    template : a restart file of the engine to fill in; Veros needs none.
    overwrite : whether an existing `output` may be replaced.

    Returns
    -------
    The restart files, in the order of the states.

    Raises
    ------
    UserError
        If the engine is not there, `output` exists, the mesh is not the engine's own at that resolution, or
        a state lacks temperature or salinity or is not finite in the sea.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from warmstart.engine import dino
    >>> from warmstart.testing import finish
    >>> folder, grid = pathlib.Path(tempfile.mkdtemp()), dino.grid(10.0, 6)
    >>> state = finish(xr.Dataset({"thetao": 4.0 * grid.tmask, "so": 35.0 * grid.tmask}), grid)
    >>> _ = files.write_dataset(folder / "states.nc", state, grid)
    >>> [path.name for path in restart(folder / "states.nc", folder / "restarts")]
    ['000.h5']
    """
    _refuse_engine(engine, template)
    files.refuse_existing(output, overwrite)
    states, output = Path(states), Path(output)
    with files.open_dataset(states) as ds:
        grid = files.open_grid(states)
        configuration = _configuration(grid, str(states))
        dim = _state_dim(ds, str(states))
        # everything is looked at before anything is written
        count = ds.sizes[dim] if dim else 1
        for i in range(count):
            _refuse_unusable(_one(ds, dim, i), grid, f"{states}, {dim or 'state'} {i}")
        with files.replacing(output, overwrite) as folder:
            folder.mkdir()
            samples = [_write(ds, dim, i, grid, folder) for i in range(count)]
            manifest = Manifest(
                engine=engine,
                configuration=configuration,
                grid=grid.fingerprint,
                states=Source(file=str(states), sha256=content_hash(states)),
                fields=_fields(ds),
                samples=tuple(samples),
                **{k: files.provenance()[k] for k in ("warmstart_version", "command", "created")},
            )
            dump_yaml(manifest, folder / MANIFEST)
    return [output / sample.file for sample in samples]


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a folder of restarts.

    Parameters
    ----------
    folder : what :func:`restart` made.

    Returns
    -------
    The manifest.

    Raises
    ------
    UserError
        If the folder holds no readable manifest, or a restart file it names is missing.

    Examples
    --------
    >>> read_manifest("no-such-folder")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder holds no restarts.yaml; give a folder made by 'warmstart restart'
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder} holds no {MANIFEST}; give a folder made by 'warmstart restart'")
    manifest = load_yaml(folder / MANIFEST, Manifest)
    missing = [sample.file for sample in manifest.samples if not (folder / sample.file).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {', '.join(missing)}, which {MANIFEST} names; make the restarts again"
        )
    return manifest


def content_hash(path: str | Path) -> str:
    """Hash a file, or all files of a folder, by content.

    Parameters
    ----------
    path : a file, or a folder such as a zarr store.

    Returns
    -------
    SHA-256, hexadecimal.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a"
    >>> _ = path.write_text("same content, same hash")
    >>> content_hash(path) == content_hash(path)
    True
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {content_hash(file)}\n".encode())
    return digest.hexdigest()


def _refuse_engine(engine: str, template: str | Path | None) -> None:
    """Refuse what no adapter writes."""
    if engine == "nemo":
        raise UserError(
            "restarts for NEMO cannot be written yet: they come with the NEMO adapter, which this version does not "
            "have; use engine 'veros'"
        )
    if engine != "veros":
        raise UserError(f"unknown engine '{engine}'; expected 'veros'")
    if template is not None:
        raise UserError(
            f"a template ({template}) is for engines that need one; Veros restarts need none, leave it out"
        )


def _configuration(grid: Grid, where: str) -> Configuration:
    """The engine's configuration whose own mesh this is."""
    resolution = grid.ds.attrs.get("resolution")
    if resolution is None or grid.ds.attrs.get("configuration") != "DINO":
        name = grid.ds.attrs.get("configuration", "unnamed")
        raise UserError(
            f"{where} is on the mesh '{name}'; expected a DINO mesh that says its resolution in degrees"
        )
    configuration = Configuration(resolution=float(resolution), levels=grid.shape[0])
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
    sample = Sample(
        file=f"{index:03d}.h5",
        sample=index,
        seed=_scalar(state, "seed", int),
        year=_scalar(state, "year", float),
        parameters={name: float(value) for name, value in parameters.extract(state).items()},
    )
    restart_from_state(state[list(_given(ds))].load(), grid, folder / sample.file)
    logger.info("wrote %s", sample.file)
    return sample


def _scalar(state: xr.Dataset, name: str, kind: type) -> Any:
    """A number that the state carries; None if it carries none."""
    return kind(state[name].item()) if name in state and state[name].ndim == 0 else None
