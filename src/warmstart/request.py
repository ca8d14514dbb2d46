"""What is asked of a generator on the command line: parameters from any source, an initial state, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from warmstart.config import read_yaml, value_of
from warmstart.engine.nemo import kind
from warmstart.engine.nemo.settings import settings
from warmstart.errors import UserError, require_path
from warmstart.files import open_dataset
from warmstart.opening import open_grid, open_state
from warmstart.parameters import PARAMETERS, Parameter, extract, parse


def wanted(
    sets: Iterable[str],
    path: Path | None,
    say: Callable[[str], None],
    described: Mapping[str, Parameter] | None = None,
) -> dict[str, float]:
    """Parameters from a file, then from ``--set``.

    Parameters
    ----------
    sets : ``"name=value"``, with or without a unit.
    path : YAML file, namelist or run of NEMO, or a states file that carries them; None reads none.
    say : told of what a namelist does not state, and of what stands behind the values that it does.
    described : parameters that are not in the table, with the entry of a namelist that holds them.

    Returns
    -------
    Name to value, units of the parameters table.

    Raises
    ------
    UserError
        If a file cannot be read or holds none, a parameter is unknown, or a value has no such unit.

    Examples
    --------
    >>> wanted(["wind_stress_south=300mPa"], None, print)
    {'wind_stress_south': 0.3}
    """
    described = described or {}
    found = _read(path, say, described) if path else {}
    for item in sets:
        name, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--set {item}: expected NAME=VALUE, for example --set wind_stress_south=0.3Pa")
        found[name.strip()] = value
    return {name: parse(value, described.get(name, name)) for name, value in found.items()}


def _read(path: Path, say: Callable[[str], None], described: Mapping[str, Parameter]) -> dict[str, Any]:
    """Parameters that a file holds, or that a NEMO run was made with."""
    if require_path(path).suffix in (".nc", ".zarr"):
        return _carried(path)
    if not path.is_dir() and not path.name.startswith("namelist") and path.suffix != ".nml":
        return read_yaml(path)
    own = [p for name, p in described.items() if name not in PARAMETERS and p.namelist]
    made = settings(path, name=own)
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
    several = [name for name, values in held.items() if values.size and values.min() != values.max()]
    if several:
        raise UserError(f"the states in {path} differ in {', '.join(several)}; give a file of one simulation")
    return {name: float(values.flat[0]) for name, values in held.items()}


def pairs(items: Iterable[str] | None, option: str, example: str) -> dict[str, Any]:
    """Values of a repeated option ``KEY=VALUE``; read as YAML.

    Parameters
    ----------
    items : what was given.
    option, example : of the message.

    Returns
    -------
    Key to value.

    Raises
    ------
    UserError
        If an item has no ``=`` or no value.

    Examples
    --------
    >>> pairs(["steps=16"], "--sampling", "steps=32")
    {'steps': 16}
    """
    found = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{option} {item}: expected KEY=VALUE, for example {option} {example}")
        found[name.strip()] = value_of(value, f"{option} {item}", f"{option} {example}")
    return found


def numbers(
    items: Iterable[str] | None, option: str, counts: tuple[int, ...]
) -> dict[str, tuple[float, ...]]:
    """Values of a repeated option ``NAME=number,number,…``.

    Parameters
    ----------
    items : what was given.
    option : of the message.
    counts : how many numbers there may be.

    Returns
    -------
    Name to numbers.

    Raises
    ------
    UserError
        If an item has no name, something is no number, or there are fewer or more.

    Examples
    --------
    >>> numbers(["drake=-68,-55,-65,-65"], "--section", (4,))
    {'drake': (-68.0, -55.0, -65.0, -65.0)}
    """
    found: dict[str, tuple[float, ...]] = {}
    wanted = " or ".join(map(str, counts))
    for item in items or []:
        name, _, value = item.partition("=")
        try:
            read = tuple(float(part) for part in value.split(","))
        except ValueError:
            read = ()
        if not name.strip().isidentifier() or len(read) not in counts or any(v != v for v in read):
            raise UserError(
                f"{option} {item[:80]}: expected NAME= and {wanted} numbers with commas between them"
            )
        found[name.strip()] = read
    return found


def initial_state(path: Path, generator: str | Path | None = None) -> xr.Dataset | Path:
    """An initial state: a file of this package as it is, one of NEMO or Veros opened with its mesh; moved where that is asked for.

    Parameters
    ----------
    path : the file.
    generator : to whose mesh a state of another one is moved (:func:`warmstart.regrid.regrid`); None leaves it where it is.

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
    if require_path(path).is_file() and kind.recognise(path).name not in (kind.OWN, kind.OTHER):
        return open_state(path)
    return path


def _moved(path: Path, generator: str | Path) -> xr.Dataset:
    """The states of a file on the mesh of a generator."""
    from warmstart.generator.checkpoint import NORMALIZER, locate
    from warmstart.regrid import regrid

    source, target = open_grid(path), open_grid(locate(generator) / NORMALIZER)
    with open_state(path, source) as ds:
        return regrid(ds.load(), source, target)
