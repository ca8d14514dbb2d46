"""How much heat and salt cross each latitude: a regression of their own, because a product of two uncertain fields is worse than either.

At equilibrium the ocean carries what the surface demands, a smooth function of the parameters. The transport of a generated
state is the sum of products of its velocity and its temperature, whose errors do not know of each other: the current of a
channel is carried across water masses. Therefore the transports are predicted beside the state, and temperature and salinity
are moved by as little as gives the state these.

With f the volume that flows through the northern faces of the cells of a row, its transport of temperature is

    F = sum f (T[j] + T[j + 1]) / 2 = (G T)[j]

and the change

    dT = C G' (G C G' + r)^-1 (F* - G T),    C = V^-1/2 B P B V^-1/2

moves it towards F* by the least, in the mean square over the volume V, among changes that are smooth: B averages neighbours,
because the pattern of f is as fine as the mesh, and so would be the noise that it leaves in temperature. P takes away what would
change the content. The surface layer, whose temperature the atmosphere sets, stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import xarray as xr

from warmstart.generator.constraints.constraint import Constraint, Moved, declared
from warmstart.generator.quantities.quantity import Quantity
from warmstart.ocean.grid import Grid

log = logging.getLogger(__name__)

CARRIED = ("thetao", "so")
NEEDED = (*CARRIED, "vo")
SURFACE = 130.0  #: depth above which restoring says what the water is [m]
PASSES = 10  #: of an average of each cell with its neighbours, 1-2-1 along both axes
RIDGE = 0.07  #: r, share of the mean of the diagonal of G V^-1 G': a row that hardly anything crosses asks for no huge change
TOLERANCE, MOST = 1e-8, 200  #: of the conjugate gradients that solve for the rows: accuracy and steps
RECORDS = {
    "constraint_carried_temperature": (
        "K",
        "root mean square change of temperature to carry the predicted heat across each row",
    ),
    "constraint_carried_salinity": (
        "1e-3",
        "root mean square change of salinity to carry the predicted salt across each row",
    ),
}


class Transports(Quantity):
    """Transports of temperature [K m3 s-1] and salinity [1e-3 m3 s-1] across the rows of the mesh, ``(variable, row)``.

    Drawn: what is predicted, and the residual of a training member that was left out. Each variable is divided by the
    standard deviation of a row's transport over members.
    """

    name, title = "transports", "transports of heat and salt"
    needs, changes = NEEDED, CARRIED
    records = RECORDS
    after = ("mixed_layer",)
    drawn = True
    scales = len(CARRIED)
    former = ("mean", "transports")

    def weights(self, grid: Grid) -> np.ndarray:
        """The same for all, ``(variable, row)`` [1]."""
        return np.ones((len(CARRIED), grid.shape[1] - 1))

    def measure(self, state: xr.Dataset, grid: Grid) -> np.ndarray:
        """As :func:`carried`."""
        return carried(state, grid)

    def scale(self, members: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Standard deviation over members, mean over the rows."""
        found = members.reshape(len(members), len(CARRIED), -1).std(axis=0).mean(axis=1)
        return np.where(found > 0, found, 1.0)

    def impose(self, target: np.ndarray, share: float) -> Constraint:
        """As :func:`carrying`."""
        return carrying(target, share)


def carried(state: xr.Dataset, grid: Grid) -> np.ndarray:
    """Northward transports of temperature and salinity across the northern faces of each row.

    Parameters
    ----------
    state : ``thetao`` [degC], ``so`` [1e-3], ``vo`` [m s-1], dims ``(z, y, x)``.
    grid : its mesh.

    Returns
    -------
    ``(variable, row)``: [K m3 s-1], [1e-3 m3 s-1]; the last row of the mesh has no northern face.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> carried(state, grid).shape
    (2, 7)
    """
    flow = _flow(state, grid)
    return np.stack([_across(np.nan_to_num(state[n].values), flow) for n in CARRIED])


def carrying(wanted: np.ndarray, share: float = 1.0) -> Constraint:
    """Make the constraint that a state, of which no net volume crosses a row, carries given transports of temperature and salinity.

    The content stays; it records the root mean square changes.

    Parameters
    ----------
    wanted : as of :func:`carried`.
    share : of the way to them, 0 to 1.

    Examples
    --------
    >>> from warmstart.ocean.basin import basin
    >>> state, grid = basin(nx=6, ny=8, nz=4)
    >>> same, record = carrying(carried(state, grid))(state, grid)
    >>> record["constraint_carried_temperature"] < 1e-12
    True
    """

    @declared(
        needs=NEEDED, changes=CARRIED, records=RECORDS,
        keeps=("land", "heat content", "salt content", "barotropic flow", "overturning", "mean sea level"),
    )  # fmt: skip
    def carry(state: xr.Dataset, grid: Grid) -> Moved:
        from scipy.sparse.linalg import LinearOperator, cg

        wet, flow = grid.tmask.values > 0, _flow(state, grid)
        free = wet & (grid.gdept_0.values > SURFACE)
        root = np.sqrt(np.divide(1.0, grid.volume.values, out=np.zeros(wet.shape), where=free))
        smooth = _smoother(free)
        content = smooth(np.where(free, grid.volume.values * root, 0.0))

        def moved(rows: np.ndarray) -> np.ndarray:
            """C G' r, the change that a number of each row makes."""
            field = smooth(root * _back(rows, flow))
            field = field - content * (
                (content * field).sum() / max((content**2).sum(), np.finfo(float).tiny)
            )
            return root * smooth(field)

        ridge = RIDGE * (flow**2 * (root[:, :-1] ** 2 + root[:, 1:] ** 2)).sum() / 4 / flow.shape[1]
        gain = LinearOperator(
            (flow.shape[1],) * 2, matvec=lambda rows: _across(moved(rows), flow) + ridge * rows, dtype=float
        )
        new, record = {}, {}
        for name, key, target in zip(CARRIED, ("temperature", "salinity"), wanted, strict=True):
            old = np.where(wet, state[name].values, 0.0)
            rows = np.zeros(len(target))
            if ridge > 0:
                rows, unsolved = cg(gain, share * (target - _across(old, flow)), rtol=TOLERANCE, maxiter=MOST)
                if unsolved:
                    log.warning(
                        "transports of %s are reached less closely: %d steps were too few", name, MOST
                    )
            change = moved(rows)
            new[name] = state[name].copy(data=np.where(wet, old + change, np.nan))
            square = float((change**2 * grid.volume.values)[wet].sum() / grid.volume.values[wet].sum())
            record[f"constraint_carried_{key}"] = square**0.5
        return state.assign(new), record

    return carry


def _flow(state: xr.Dataset, grid: Grid) -> np.ndarray:
    """Volume through the northern face of each cell, ``(z, row, x)`` [m3 s-1]."""
    face = (grid.e1v * grid.e3v_0 * (grid.vmask > 0)).transpose("z", "y", "x").values
    return np.asarray((np.nan_to_num(state["vo"].values) * face)[:, :-1])


def _across(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """G T: what crosses each row."""
    return np.asarray((flow * (values[:, :-1] + values[:, 1:])).sum(axis=(0, 2)) / 2)


def _back(rows: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """G' r: a number of each row, spread over the cells on both sides of its faces."""
    out = np.zeros((flow.shape[0], flow.shape[1] + 1, flow.shape[2]))
    half = flow * rows[:, None] / 2
    out[:, :-1] += half
    out[:, 1:] += half
    return out


def _smoother(free: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """B: symmetric average of each free cell of a level with its free neighbours; rows close on themselves."""

    def neighbours(values: np.ndarray) -> np.ndarray:
        along = 2 * values + np.roll(values, 1, 2) + np.roll(values, -1, 2)
        across = 2 * along
        across[:, 1:] += along[:, :-1]
        across[:, :-1] += along[:, 1:]
        return across

    weight = neighbours(free.astype(float))
    root = np.sqrt(np.divide(1.0, weight, out=np.zeros(free.shape), where=free))

    def smooth(values: np.ndarray) -> np.ndarray:
        for _ in range(PASSES):
            values = root * neighbours(root * values)
        return values

    return smooth


QUANTITY = Transports()
