"""Quantities of a state with a regression of their own: a file each, found by looking through this folder."""

from __future__ import annotations

import importlib
import pkgutil

from warmstart.generator.quantities.quantity import Quantity


def find() -> dict[str, Quantity]:
    """Look for the ``QUANTITY`` of every module of this folder.

    Returns
    -------
    By name, in the order in which they are imposed: those of :attr:`Quantity.after` first.

    Examples
    --------
    >>> list(find())
    ['mixed_layer', 'transports', 'currents']
    """
    modules = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    found = {m.QUANTITY.name: m.QUANTITY for m in modules if hasattr(m, "QUANTITY")}
    return ordered(found)


def ordered(found: dict[str, Quantity]) -> dict[str, Quantity]:
    """The same in the order in which they are imposed.

    Raises
    ------
    ValueError
        If each of several has to come after the others.
    """
    left, done = sorted(found, key=lambda name: (not changes_water(found[name]), name)), {}
    while left:
        ready = [name for name in left if not set(found[name].after) & set(left)]
        if not ready:
            raise ValueError(f"each of {', '.join(left)} has to come after another of them")
        done[ready[0]] = found[ready[0]]
        left.remove(ready[0])
    return done


def changes_water(quantity: Quantity) -> bool:
    """Whether imposing it changes temperature or salinity: it then comes before columns are made stable."""
    return bool({"thetao", "so"} & set(quantity.changes))


#: All that there are, by name.
QUANTITIES = find()
