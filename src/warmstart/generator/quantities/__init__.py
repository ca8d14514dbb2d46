"""Quantities of a state with a regression of their own: a file each, found by looking through this folder."""

from __future__ import annotations

import importlib
import pkgutil

from warmstart.generator.quantities.quantity import Quantity


def find() -> dict[str, Quantity]:
    """The ``QUANTITY`` of every module of this folder by its name, in the order in which they are imposed.

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
    # what changes temperature or salinity comes first: columns are made stable after it
    dry = {name: not {"thetao", "so"} & set(quantity.changes) for name, quantity in found.items()}
    left, done = sorted(found, key=lambda name: (dry[name], name)), {}
    while left:
        ready = [name for name in left if not set(found[name].after) & set(left)]
        if not ready:
            raise ValueError(f"each of {', '.join(left)} has to come after another of them")
        done[ready[0]] = found[ready[0]]
        left.remove(ready[0])
    return done


#: All that there are, by name.
QUANTITIES = find()
