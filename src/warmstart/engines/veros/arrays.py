"""Restart files in Veros's own layout, and how a state becomes one. Numpy only: no JAX, no Veros.

The group ``core`` holds what Veros's ``restart_input_filename`` reads: every variable with ghost cells, dims
``(x, y, z)`` with the bottom first, and three time levels. The group ``warmstart`` holds what the pure step carries
in addition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from warmstart.errors import UserError, reading, require_path
from warmstart.io import hdf5, outputs
from warmstart.ocean import eos
from warmstart.ocean.grid import Grid
from warmstart.ocean.sea import require_whole
from warmstart.ocean.variables import VARIABLES
from warmstart.physics.balance import vertical_velocity
from warmstart.physics.streamfunction import (
    barotropic_streamfunction,
    coasts,
    face_differences,
    with_streamfunction,
)

#: Fields with time levels that a step needs.
LEVELS = (
    "temp", "salt", "u", "v", "w", "psi", "dpsi", "dpsin", "tke", "du", "dv", "dtemp", "dsalt", "dtke", "rho", "Nsqr",
)  # fmt: skip
#: Fields without time levels that a step carries; ``B1_gm`` serves diagnostics only.
PLAIN = ("K_diss_v", "B1_gm", "time")
#: Carried by the pure step but unknown to Veros's restart.
EXTRA = ("B1_gm",)
#: In Veros's restart but unused without energy conservation; written as zeros.
UNUSED = ("int_drhodT", "int_drhodS", "Hd", "dHd")
#: Veros's indices of the time levels.
INDICES = {"taum1": 0, "tau": 1, "taup1": 2}
NEWEST = INDICES["tau"]  #: time level of the present state in fields that were read

DIMS = ("z", "y", "x")  #: of a state
SOUND_SPEED = 1490.0  #: of the pressure term in Veros's density [m s-1]
VEROS_GRAVITY = 9.81  #: [m s-2]


def write_restart(
    path: str | Path, fields: Mapping[str, np.ndarray], attrs: Mapping[str, Any] | None = None
) -> None:
    """Write restart fields, whole or not at all.

    Parameters
    ----------
    path : the file; replaced if it bears the mark of the product.
    fields : the names of `LEVELS` and `PLAIN`, with ghost cells, dims ``(x, y, z, level)``.
    attrs : anything JSON can hold, kept in the group ``warmstart``.
    """
    outputs.require_room(Path(path).parent, sum(np.asarray(v).nbytes for v in fields.values()))
    replacing = outputs.replacing(path, overwrite=True, folder=False)
    with replacing as temporary, h5py.File(temporary, "w") as file:
        core, extra = file.create_group("core"), file.create_group("warmstart")
        for name in (*LEVELS, *PLAIN):
            _create(extra if name in EXTRA else core, name, np.asarray(fields[name]))
        for name in UNUSED:
            _create(core, name, np.zeros_like(fields["temp"]))
        for name, index in INDICES.items():
            core.create_dataset(name, data=np.int32(index))
        # too long for an HDF5 attribute
        extra.create_dataset("attributes", data=json.dumps(dict(attrs or {})))


def _create(group: h5py.Group, name: str, values: np.ndarray) -> None:
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if values.size > 1 else {}
    group.create_dataset(name, data=values, track_times=False, **packed)


def read_restart(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a restart written by :func:`write_restart` or by Veros itself, or the one that a member file holds.

    Parameters
    ----------
    path : the file; a member file ends in ``.nc``.

    Returns
    -------
    The fields of `LEVELS` and `PLAIN`, older level first, and the attributes.

    Raises
    ------
    UserError
        If the file is missing, damaged, or no restart of this configuration.
    """
    path = require_path(path)
    if not path.is_file():
        raise UserError(f"restart file {path} does not exist; give a restart.h5 of an earlier run")
    if path.suffix == ".nc":
        from warmstart.engines.veros.member_file import restart_fields

        return restart_fields(path)
    hdf5.require_sound(path)
    advice = "it is no Veros restart of this configuration; was it written by warmstart?"
    with reading(path, advice), h5py.File(path, "r") as file:
        core = file["core"]
        extra = file.get("warmstart", {})
        order = [int(core[name][()]) for name in INDICES]
        fields = {name: np.asarray(core[name][...])[..., order] for name in LEVELS}
        fields |= {name: np.asarray(core[name][()]) for name in PLAIN if name not in EXTRA}
        fields |= {
            n: np.asarray(extra[n][...]) if n in extra else np.zeros_like(fields["K_diss_v"]) for n in EXTRA
        }
        attrs = json.loads(extra["attributes"][()]) if "attributes" in extra else {}
    return fields, attrs


def require_grid(fields: Mapping[str, np.ndarray], shape: tuple[int, int, int], where: object) -> None:
    """Refuse the fields of a restart of another grid than one of that shape ``(nz, ny, nx)``; `where` names the file."""
    nz, ny, nx = shape
    if fields["temp"].shape != (nx + 4, ny + 4, nz, 3):
        raise UserError(
            f"{where} is of another grid: its fields have shape {fields['temp'].shape}, with ghost cells and time levels; "
            f"expected {(nx + 4, ny + 4, nz, 3)} for a mesh of {nx} x {ny} cells and {nz} levels"
        )


def restart_from_state(state: xr.Dataset, grid: Grid, path: str | Path, overwrite: bool = False) -> Path:
    """Write the restart file from which Veros starts in a given state.

    The barotropic streamfunction is the one whose transport is nearest, in kinetic energy, to that of the given
    velocity: constant along each coast, so that nothing flows through walls and the transport of the channel is
    kept. Density, stability and vertical velocity follow from the state; the turbulent kinetic energy and all
    tendencies are zero, the three time levels equal, the time is 1 January.

    Parameters
    ----------
    state : ``thetao`` [degC], ``so`` [1e-3] and optionally ``uo``, ``vo`` [m s-1] (without them: from rest), dims
        ``(z, y, x)``, land NaN.
    grid : the mesh of the configuration.
    path : the file to write.
    overwrite : whether an existing file may be replaced.

    Raises
    ------
    UserError
        If a variable is missing, has another shape, or is not finite on a wet cell.
    """
    outputs.require_free(path, overwrite, [state], folder=False)
    write_restart(path, fields_of_state(state, grid), {"origin": "state"})
    return Path(path)


def fields_of_state(state: xr.Dataset, grid: Grid) -> dict[str, np.ndarray]:
    """The fields of the restart of a state, as :func:`restart_from_state` writes them.

    Returns
    -------
    The names of :data:`LEVELS` and :data:`PLAIN`, in Veros's layout.
    """
    thetao, so = (_wet_values(state, name, grid) for name in ("thetao", "so"))
    moving = "uo" in state and "vo" in state
    uo, vo = (_wet_values(state, n, grid) if moving else np.zeros(grid.shape) for n in ("uo", "vo"))
    psi = barotropic_streamfunction(uo, vo, grid)
    uo, vo = with_streamfunction(uo, vo, psi, grid)
    return _fields(thetao, so, uo, vo, psi, grid)


def _wet_values(state: xr.Dataset, name: str, grid: Grid) -> np.ndarray:
    """Values of one variable with zeros on land."""
    if name not in state:
        raise UserError(
            f"the state has no {name}; expected a Dataset with thetao and so, and uo and vo if it moves"
        )
    if set(state[name].dims) != set(DIMS):
        raise UserError(
            f"{name} has dims {state[name].dims}; expected one state with dims (z, y, x): select a sample first"
        )
    values = state[name].transpose(*DIMS).values.astype("float64")
    if values.shape != grid.shape:
        raise UserError(f"{name} has shape {values.shape}; expected {grid.shape}, that of the mesh")
    table = VARIABLES[name]
    require_whole(state, grid, tables={name: table})
    return np.where(grid.mask(table.point).values, values, 0.0)


def _fields(
    thetao: np.ndarray, so: np.ndarray, uo: np.ndarray, vo: np.ndarray, psi: np.ndarray, grid: Grid
) -> dict[str, np.ndarray]:
    """Restart fields of a state in Veros's layout."""
    depth = grid.gdept_1d.values[:, None, None]
    tmask = grid.tmask.values.astype("float64")
    rho = in_situ_density(thetao, so, depth) * tmask
    fields = {name: np.zeros_like(to_veros(thetao)) for name in LEVELS}
    for name, values in (("temp", thetao), ("salt", so), ("u", uo), ("v", vo), ("rho", rho)):
        fields[name] = to_veros(values)
    flow = xr.Dataset({"uo": (DIMS, uo), "vo": (DIMS, vo)})
    fields["w"] = to_veros(np.nan_to_num(vertical_velocity(flow, grid).values))
    fields["Nsqr"] = to_veros(_stability(thetao, so, rho, grid))
    fields["psi"] = _psi_with_ghosts(psi)
    fields["dpsi"] = np.zeros_like(fields["psi"])
    fields["dpsin"] = np.zeros(_coast_count(grid))
    out = {name: np.repeat(values[..., None], 3, axis=-1) for name, values in fields.items()}
    zero = {name: np.zeros(fields["temp"].shape) for name in ("K_diss_v", "B1_gm")}
    return out | zero | {"time": np.zeros(())}


def shifted(fields: Mapping[str, np.ndarray], shift: np.ndarray, grid: Grid) -> dict[str, np.ndarray]:
    """Add a profile to temperature and salinity; density and stability follow, motion and tendencies stay.

    Parameters
    ----------
    fields : restart fields of Veros, dims ``(x, y, z, level)``.
    shift : of temperature [K] and salinity [1e-3], each level of both, surface first, shape ``(2 nz,)``.
    grid : the mesh.

    Returns
    -------
    New fields; `fields` are not changed.
    """
    depth, tmask = grid.gdept_1d.values[:, None, None], grid.tmask.values.astype("float64")
    new = {name: np.array(fields[name]) for name in fields}
    for level in range(new["temp"].shape[-1]):
        thetao, so = (
            from_veros(new[name][..., level]) + profile[:, None, None] * tmask
            for name, profile in zip(("temp", "salt"), np.split(shift, 2), strict=True)
        )
        rho = in_situ_density(thetao, so, depth) * tmask
        stability = _stability(thetao, so, rho, grid)
        for name, values in (("temp", thetao), ("salt", so), ("rho", rho), ("Nsqr", stability)):
            new[name][..., level] = to_veros(values)
    return new


def _coast_count(grid: Grid) -> int:
    """Number of separate coasts."""
    difference = face_differences(grid)
    surface = np.concatenate([grid.umask.values[0].ravel(), grid.vmask.values[0].ravel()]) > 0
    _, members = coasts(difference, surface, grid.shape[2])
    dry_ends = np.unique(abs(difference[~surface]).indices)
    return int(np.unique(members[dry_ends]).size)


def to_veros(values: np.ndarray) -> np.ndarray:
    """Turn ``(z, y, x)``, surface first, into Veros's ``(x, y, z)``, bottom first, with two ghost cells around.

    Examples
    --------
    >>> to_veros(np.zeros((3, 4, 5))).shape
    (9, 8, 3)
    """
    return _ghosts(values[::-1].transpose(2, 1, 0))


def from_veros(values: np.ndarray) -> np.ndarray:
    """Turn Veros's ``(x, y, z)`` with ghost cells into ``(z, y, x)``, surface first; the inverse of :func:`to_veros`.

    Examples
    --------
    >>> from_veros(to_veros(np.ones((3, 4, 5)))).shape
    (3, 4, 5)
    """
    return np.asarray(values)[2:-2, 2:-2].transpose(2, 1, 0)[::-1]


def _ghosts(inner: np.ndarray) -> np.ndarray:
    """Add two ghost cells in x (periodic) and y (zero)."""
    out = np.zeros((inner.shape[0] + 4, inner.shape[1] + 4, *inner.shape[2:]))
    out[2:-2, 2:-2] = inner
    out[:2], out[-2:] = out[-4:-2].copy(), out[2:4].copy()
    return out


def _psi_with_ghosts(psi: np.ndarray) -> np.ndarray:
    """Streamfunction ``(ny + 1, nx)`` in Veros's layout; the coasts continue into the ghost rows."""
    out = _ghosts(psi[1:].T)
    south = np.concatenate([psi[0][-2:], psi[0], psi[0][:2]])
    north = np.concatenate([psi[-1][-2:], psi[-1], psi[-1][:2]])
    out[:, :2] = south[:, None]
    out[:, -2:] = north[:, None]
    return out


def in_situ_density(thetao: np.ndarray, so: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Density anomaly as Veros carries it: S-EOS plus a pressure term that depends on depth only [kg m-3]."""
    return eos.density_anomaly(thetao, so, depth) + eos.RHO0 * VEROS_GRAVITY * depth / SOUND_SPEED**2


def _stability(thetao: np.ndarray, so: np.ndarray, rho: np.ndarray, grid: Grid) -> np.ndarray:
    """Squared buoyancy frequency at the top face of each cell, the uppermost one repeated [s-2]."""
    depth = grid.gdept_1d.values[:, None, None]
    tmask = grid.tmask.values.astype("float64")
    gap = np.diff(grid.gdept_1d.values)[:, None, None]
    lifted = in_situ_density(thetao[:-1], so[:-1], depth[1:])
    n2 = np.zeros(grid.shape)
    n2[1:] = -VEROS_GRAVITY / eos.RHO0 / gap * tmask[1:] * tmask[:-1] * (lifted - rho[1:])
    n2[0] = n2[1]
    return n2
