"""Ocean models: each is one object that says what it is and does (:class:`warmstart.engines.base.Engine`), found by its entry point.

A package adds an engine by an entry point of the group ``warmstart.engines``: its name is that of the engine, its value the object.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmstart.errors import UserError

if TYPE_CHECKING:
    from warmstart.engines.base import Engine

#: Group of the entry points.
GROUP = "warmstart.engines"
#: The engine of plans, restarts and verifications that name none.
DEFAULT = "veros"
#: What the loading of an engine may raise, the last where it leaves out what it has to say.
NOT_LOADED = (ImportError, AttributeError, TypeError)


def names() -> tuple[str, ...]:
    """Names of the engines that are installed.

    Returns
    -------
    In the order of the alphabet.

    Examples
    --------
    >>> "nemo" in names()
    True
    """
    from importlib.metadata import entry_points

    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


@cache
def _loaded(name: str) -> Engine:
    from importlib.metadata import entry_points

    found: Engine = next(iter(entry_points(group=GROUP, name=name))).load()
    return found


def find(name: str) -> Engine:
    """Look an engine up by its name.

    Parameters
    ----------
    name : of the engine.

    Raises
    ------
    UserError
        If none has that name, or its package cannot be loaded.

    Examples
    --------
    >>> find("mitgcm")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: unknown engine 'mitgcm'; expected one of ...
    """
    if name not in names():
        known = ", ".join(f"'{n}'" for n in names())
        raise UserError(f"unknown engine '{name}'; expected one of {known or 'none: install warmstart anew'}")
    try:
        return _loaded(name)
    except NOT_LOADED as error:
        raise UserError(f"the engine '{name}' cannot be loaded: {error}; install its package anew") from error


def installed() -> list[Engine]:
    """The engines themselves, without those whose package cannot be loaded.

    Examples
    --------
    >>> [engine.title for engine in installed() if engine.name == DEFAULT]
    ['Veros']
    """
    found = []
    for name in names():
        with contextlib.suppress(*NOT_LOADED):  # said where that engine is asked for
            found.append(_loaded(name))
    return found


def recognise(path: str | Path) -> str | None:
    """Tell which engine's file or run something is; each engine is asked.

    Parameters
    ----------
    path : a file, or the folder of a run.

    Returns
    -------
    Name of the engine; None for files of this package and of nobody.

    Examples
    --------
    >>> recognise("no-such-folder") is None
    True
    """
    from warmstart.engines import recognition

    try:
        found = recognition.recognise(path)
    except UserError:
        return None
    return found.engine.name if found.engine is not None and found.kind.maker else None


def of_runs(places: Sequence[Path]) -> Engine:
    """The engine whose runs lie in folders; each is asked, and :data:`DEFAULT` is taken where none says yes.

    Parameters
    ----------
    places : folders.

    Examples
    --------
    >>> of_runs([]).name == DEFAULT
    True
    """
    return next((engine for engine in installed() if engine.holds_runs(places)), None) or find(DEFAULT)


def chosen(engine: Engine, verb: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What an engine takes of the options of a verb; refuses those that were given and that it does not have.

    Parameters
    ----------
    engine : the engine.
    verb : the verb.
    options : values by name; None or empty where nothing was given.

    Returns
    -------
    The options that the engine has.

    Raises
    ------
    UserError
        Naming the options that it lacks, and the engine that has them.

    Examples
    --------
    >>> chosen(find(DEFAULT), "restart", {"template": None})
    {}
    """
    own = engine.options.get(verb, ())
    lacking = [name for name, value in options.items() if value not in (None, [], ()) and name not in own]
    if lacking:
        others = [n for n in names() if set(lacking) <= set(find(n).options.get(verb, ()))]
        whose = f"for the engine '{others[0]}' only" if others else f"no option of the engine '{engine.name}'"
        instead = f" or give --engine {others[0]}" if others else ""
        raise UserError(f"{', '.join(lacking)}: {whose}; leave it out{instead}")
    return {name: value for name, value in options.items() if name in own}
