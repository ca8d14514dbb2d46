"""The verb ``dataset``: an ensemble of this package, or the user's own NEMO runs, become one store of states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from warmstart import engines
from warmstart.errors import UserError, require_path
from warmstart.io import files, outputs
from warmstart.store import writer as stores


@outputs.writes(folder=True)
def dataset(
    runs: str | Path | Sequence[str | Path],
    output: str | Path,
    overwrite: bool = False,
    transient: bool = True,
    engine: str | None = None,
    parameter: Iterable[str] = (),
    equilibrium: str | None = None,
    equilibrium_from: float | str | None = None,
) -> pd.DataFrame:
    """Gather finished runs into one zarr store: states, parameters, grid, split by member.

    The folder says by its content which engine made it. Of NEMO, each folder in `runs` is a run: a mesh (or one for all in
    `runs` itself), restarts or output; of any configuration. Its states are the restarts, or the output
    of one frequency, whichever are more; drift and verdict follow from these states; a snapshot is of the phase
    ``equilibrium`` if it lies in the years for which the verdict is *equilibrium* or *near*, or if `equilibrium` or
    `equilibrium_from` say so. A run that cannot be used is skipped with its reason. Parameters are those that all runs have: from ``namelist_cfg`` over
    ``namelist_ref``, from ``parameters.yaml`` in each run, or none. The table lies beside the store,
    ending in ``.csv``.

    Parameters
    ----------
    runs : folder that ``warmstart simulate`` wrote, a folder of NEMO runs, one of them, or several of these of NEMO.
    output : the store to write, ``states.zarr``.
    overwrite : whether an existing store may be replaced.
    transient : whether to take the snapshots on the way to equilibrium too.
    engine : name of an engine, one of ``ws.engines.names()``; None goes by the content.
    parameter : entries of NEMO's namelists that are parameters too, ``wind=namusr_def/rn_ztau0:Pa``.
    equilibrium : ``"all"`` says that all records of the NEMO runs are equilibrium; None judges.
    equilibrium_from : model year from which on they are, for example ``50`` or ``"50y"``. What was said is written into the store.

    Returns
    -------
    One row a member: ``member split snapshots equilibrium first_year last_year drift verdict`` and parameters; years in
    model years, drift in K/century. For NEMO also ``run source skipped``, and rows for the runs that were skipped.

    Raises
    ------
    UserError
        If there is nothing to take, the message says what was skipped and why; or an option has no such value, or is not for runs
        of Veros.

    Examples
    --------
    >>> dataset("no-such-folder", "states.zarr")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-folder does not exist; give the folder that 'warmstart simulate' wrote, or NEMO runs
    """
    output = Path(output)
    places = [require_path(p) for p in ([runs] if isinstance(runs, str | Path) else runs)]
    for place in places:
        if not place.is_dir():
            what = "is no folder" if place.exists() else "does not exist"
            raise UserError(f"{place} {what}; give the folder that 'warmstart simulate' wrote, or NEMO runs")
    model = engines.of_runs(places) if engine is None else engines.find(engine)
    given = {"parameter": list(parameter), "equilibrium": equilibrium, "equilibrium_from": equilibrium_from}
    options = engines.chosen(model, "dataset", given)
    beside = output.with_suffix(".csv")
    if model.tabulates:
        outputs.require_free(beside, overwrite, [runs], folder=False)
    where = Path(", ".join(map(str, places))) if len(places) < 4 else places[0].parent
    found = model.members(places, options, transient)
    if found.table is None:
        return stores.store(found.members, where, output, overwrite, found.blown_up, found.about)
    with outputs.held(outputs.require_free(beside, overwrite, folder=False)):
        table = found.table(
            stores.store(found.members, where, output, overwrite, found.blown_up, found.about)
        )
        files.write_csv(beside, table, overwrite)
    return table
