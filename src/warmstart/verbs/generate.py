"""generate: equilibrium states for given parameters; on the command line from any source of parameters."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from warmstart import engines
from warmstart.engines.recognition import open_bare, open_grid, recognise
from warmstart.errors import UserError, require_path, shortened
from warmstart.generator.checkpoint import load
from warmstart.generator.constraints.contents import check_targets
from warmstart.generator.draw import expect, finish, sample
from warmstart.generator.model import Generator
from warmstart.generator.request import ask, usable
from warmstart.generator.settings import SamplingConfig, resampled
from warmstart.io import files, outputs
from warmstart.io.config import read_yaml
from warmstart.io.files import open_dataset
from warmstart.ocean.parameters import PARAMETERS, Parameter, extract
from warmstart.ocean.places import locate

log = logging.getLogger(__name__)


@outputs.writes(folder=False)
def generate(
    generator: Generator | str | Path,
    parameters: Mapping[str, Any] | None = None,
    n: int = 1,
    seed: int = 0,
    output: str | Path | None = None,
    extrapolate: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    initial: xr.Dataset | str | Path | None = None,
    age: float | None = None,
    sampling: Mapping[str, Any] | None = None,
    conserve: Mapping[str, float] | None = None,
    device: str = "cpu",
    expected: bool = False,
) -> xr.Dataset:
    """Generate equilibrium states for one set of parameters, from a state on the way to equilibrium, or from both.

    Parameters
    ----------
    generator : folder, name of a shipped one, or a loaded generator.
    parameters : name to number in the units of the parameters table, or text with a unit; what is not given keeps the
        default of the table, or the training value where the ensemble did not vary it. One that the ensemble did not vary may
        differ by a quarter of the range of the table: a warning says so, and the attribute ``differs_from_training``. None gives no parameters: the
        initial state alone decides (without one, None means the defaults).
    n : number of samples.
    seed : sample i has seed `seed + i`, and depends on nothing else.
    output : states file (NetCDF) to write; None writes none.
    extrapolate : accept parameters outside the training range, with a warning.
    overwrite : whether an existing `output` may be replaced.
    progress : whether to show a progress bar.
    initial : a state after some years of spin-up, ``(z, y, x)``, on the mesh of the generator: a Dataset or a states file.
    age : years of spin-up of the initial state; where the file holds several it picks the one of this year. None takes the
        ``year`` that the file states, or else the age that the state looks like.
    sampling : changes of the sampler, keys of :class:`warmstart.generator.settings.SamplingConfig`: ``{"method": "heun"}``
        takes the settings that this method was published with.
    conserve : means that every state has to have, which stand for its contents: of ``thetao`` [degC] (heat), ``so`` [1e-3]
        (salt) and ``zos`` [m] (volume). What is not named keeps the content that was drawn; volume has mean sea level 0.
    device : where the network runs, ``cpu`` or ``cuda``; the noise of a sample is the same on both.
    expected : take the one state that is expected instead of draws: the mean under all constraints, which is the nearest start for an
        ocean model. It is smoother than a draw; how far the truth may be from it is told by level.

    Returns
    -------
    States ``thetao so uo vo zos``, dims ``(sample, z, y, x)``, NaN on land, with the coordinates of :func:`warmstart.open_state`,
        ``seed`` and the parameters (if given); attributes say what was given, the ``season`` that the states are of, and what each
        constraint moved, ``constraint_…``, one number a sample. An expected state has no ``seed``, but its standard deviation by
        level, ``spread_thetao`` and so on, dims ``(z,)``.

    Raises
    ------
    UserError
        If a parameter is unknown, of the wrong unit or out of range, the initial state is of another mesh, not finite at
        sea or unlike any of training, the sampler is unknown or cannot be, no ocean has such contents, there is no such device,
        or the output exists.

    Examples
    --------
    >>> generate("no-such-generator", {})
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no generator 'no-such-generator': expected a folder made by 'warmstart train' or a shipped name...
    """
    if parameters is not None and not isinstance(parameters, Mapping):
        raise UserError(
            f"parameters is {shortened(reprlib.repr(parameters), 80)}; expected names with values, for example "
            '{"wind_stress_south": 0.3}'
        )
    if n < 1 or seed < 0:
        raise UserError(f"n is {n} and seed {seed}; expected at least 1 sample and no negative seed")
    if seed + n > 2**63:
        raise UserError(f"seed is {seed}; expected less than 2**63, with one more for each sample")
    if expected and (n, seed) != (1, 0):
        raise UserError(
            f"n is {n} and seed {seed}, but one state is expected and none is drawn; leave out n and seed, or expected"
        )
    loaded = generator if isinstance(generator, Generator) else load(generator)
    asked = replace(
        ask(loaded, parameters, initial, age, extrapolate),
        sampling=_sampling(loaded, sampling),
        conserve=check_targets(conserve or {}),
        device=usable(device),
    )
    known = expect(loaded, asked, "none" if expected else None)
    drawn = sample(known, range(seed, seed + n), progress and not expected)
    ds = finish(drawn, known, None if expected else seed)
    if output is not None:
        files.write_dataset(output, ds, loaded.grid, overwrite)
    return locate(ds, loaded.grid)


def _sampling(generator: Generator, changes: Mapping[str, Any] | None) -> SamplingConfig | None:
    """The sampler with what is asked for changed."""
    if not changes:
        return None
    if generator.config.config.residual.model != "diffusion":
        raise UserError(
            f"this generator has no sampler to change: its residual is {generator.config.config.residual.model}; "
            "take one that diffuses, such as the shipped dino-4deg-diffusion"
        )
    return resampled(generator.config.config.sampling, changes)


def wanted(
    sets: Iterable[str],
    path: Path | None,
    say: Callable[[str], None],
    described: Mapping[str, Parameter] | None = None,
) -> dict[str, Any]:
    """Parameters from a file, then from ``--set``, as :func:`generate` takes them.

    Parameters
    ----------
    sets : ``"name=value"``, with or without a unit.
    path : YAML file, namelist of NEMO, folder of a run, or a states file that carries them; None reads none.
    say : told of what a namelist does not state, and of what stands behind the values that it does.
    described : parameters that are not in the table, with the entry of a namelist that holds them.

    Returns
    -------
    Name to number or text.

    Raises
    ------
    UserError
        If a file cannot be read or holds none, or an item is no name and value.

    Examples
    --------
    >>> wanted(["wind_stress_south=300mPa"], None, print)
    {'wind_stress_south': '300mPa'}
    """
    found = _read(path, say, described or {}) if path else {}
    for item in sets:
        name, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--set {item}: expected NAME=VALUE, for example --set wind_stress_south=0.3Pa")
        found[name.strip()] = value
    return found


def _read(path: Path, say: Callable[[str], None], described: Mapping[str, Parameter]) -> dict[str, Any]:
    """Parameters that a file holds, or that a run was made with."""
    if require_path(path).suffix in (".nc", ".zarr"):
        return _carried(path)
    own = [p for name, p in described.items() if name not in PARAMETERS and p.namelist]
    answers = (engine.made_with(path, own) for engine in engines.installed())
    made = next((found for found in answers if found is not None), None)
    if made is None:
        return read_yaml(path)
    for name, why in made.unknown.items():
        say(f"{name}: default, {why}")
    for name, note in made.notes.items():
        say(f"{name} = {made.values[name]:g} {PARAMETERS[name].units}: {note}")
    return dict(made.values)


def _carried(path: Path) -> dict[str, float]:
    """Parameters that a states file carries; they must be the same for all its states."""
    with open_dataset(path) as ds:
        held = extract(ds)
    if not held:
        raise UserError(f"{path} carries no parameters; give a YAML file, a namelist, or --set")
    if not all(values.size for values in held.values()):
        raise UserError(
            f"{path} holds no state, and so no values of its parameters; give a file of one simulation"
        )
    several = [name for name, values in held.items() if values.min() != values.max()]
    if several:
        raise UserError(f"the states in {path} differ in {', '.join(several)}; give a file of one simulation")
    return {name: float(values.flat[0]) for name, values in held.items()}


def initial_state(path: Path, generator: str | Path | None = None) -> xr.Dataset | Path:
    """An initial state: a file of this package as it is, one of an engine opened with its mesh; moved where that is asked for.

    Parameters
    ----------
    path : the file.
    generator : to whose mesh a state of another one is moved (:func:`warmstart.physics.regrid.regrid`); None leaves it where it is.

    Raises
    ------
    UserError
        If it cannot be read, has no mesh beside it, or cannot be moved.

    Examples
    --------
    >>> initial_state(Path("state.nc"))
    PosixPath('state.nc')
    """
    if generator is not None:
        return _moved(path, generator)
    return path if recognise(path).engine is None else open_bare(path)


def _moved(path: Path, generator: str | Path) -> xr.Dataset:
    """The states of a file on the mesh of a generator."""
    from warmstart.generator.checkpoint import NORMALIZER, locate, whole
    from warmstart.physics.regrid import regrid

    source, target = open_grid(path), open_grid(whole(locate(generator)) / NORMALIZER)
    with open_bare(path, source) as ds:
        return regrid(ds.load(), source, target)
