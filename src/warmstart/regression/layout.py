"""Layout: a state Dataset as one array of channels, levels as channels, and back without loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.grid import Grid
from warmstart.ocean.sea import require_whole
from warmstart.ocean.variables import STATE_VARIABLES, VARIABLES, Variable


@dataclass(frozen=True, eq=False)
class Layout:
    """How the variables of a state lie in an array ``(sample, channel, y, x)``.

    Attributes
    ----------
    grid : the mesh.
    variables : names in channel order; each three-dimensional one takes a channel a level, surface first.
    tables : what the variables are.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> Layout(grid).channels[3:5]
    (('thetao', 3), ('so', 0))
    """

    grid: Grid
    variables: tuple[str, ...] = STATE_VARIABLES
    tables: Mapping[str, Variable] = field(default_factory=lambda: VARIABLES)

    @cached_property
    def channels(self) -> tuple[tuple[str, int], ...]:
        """Variable and level of each channel."""
        levels = {name: self.grid.shape[0] if self.tables[name].three_d else 1 for name in self.variables}
        return tuple((name, level) for name in self.variables for level in range(levels[name]))

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Channels of each variable."""
        names = [name for name, _ in self.channels]
        return {n: slice(names.index(n), names.index(n) + names.count(n)) for n in self.variables}

    @cached_property
    def mask(self) -> np.ndarray:
        """True where a channel is defined, at its own C-grid point, shape ``(channel, y, x)``."""
        tables = [self.tables[name] for name in self.variables]
        masks = [self.grid.mask(t.point, t.three_d).values.reshape(-1, *self.grid.shape[1:]) for t in tables]
        return np.concatenate(masks)

    @cached_property
    def weights(self) -> np.ndarray:
        """Share of each cell in a sum over the state, shape ``(channel, y, x)``; 0 on land, sum 1.

        Volume within a variable; every variable has the same share.
        """
        ds, weights = self.grid.ds, np.zeros(self.shape)
        for name, channels in self.slices.items():
            point = self.tables[name].point.lower()
            area = (ds[f"e1{point}"] * ds[f"e2{point}"]).values
            thickness = ds[f"e3{point}_0"].values if self.tables[name].three_d else 1.0
            volume = np.where(self.mask[channels], area * thickness, 0.0)
            weights[channels] = volume / max(volume.sum(), np.finfo(float).tiny) / len(self.variables)
        return weights

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of channels, rows and columns."""
        return (len(self.channels), *self.grid.shape[1:])

    def pack(self, ds: xr.Dataset) -> np.ndarray:
        """Stack the variables of a state into channels.

        Parameters
        ----------
        ds : state with dims ``([sample,] z, y, x)``, units of the variables table.

        Returns
        -------
        float64 ``(sample, channel, y, x)``, NaN on land whatever the Dataset held there.

        Raises
        ------
        UserError
            If a variable is missing, has another shape, or is not finite at a wet point.

        Examples
        --------
        >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
        >>> Layout(grid).pack(state).shape
        (1, 17, 8, 6)
        """
        return np.concatenate([self._block(ds, name) for name in self.variables], axis=1)

    def _block(self, ds: xr.Dataset, name: str) -> np.ndarray:
        """Channels of one variable."""
        table = self.tables[name]
        if name not in ds:
            raise UserError(f"the state has no variable {name}; expected {', '.join(self.variables)}")
        da = ds[name]
        lead = [d for d in da.dims if d not in table.dims]
        if len(lead) > 1 or not set(table.dims) <= set(da.dims):
            raise UserError(f"{name} has dims {da.dims}; expected ([sample,] {', '.join(table.dims)})")
        values = da.transpose(*lead, *table.dims).values.astype("float64")
        mask = self.mask[self.slices[name]]
        values = values.reshape(-1, *(mask.shape if table.three_d else mask.shape[1:]))
        values = values if table.three_d else values[:, None]
        advice = ". Is the file of another grid, or did the run blow up?"
        require_whole(ds, self.grid, advice=advice, tables={name: table})
        return np.where(mask, values, np.nan)

    def unpack(self, fields: np.ndarray, coords: dict[str, Any] | None = None) -> xr.Dataset:
        """Turn channels back into a state.

        Parameters
        ----------
        fields : ``(sample, channel, y, x)``, units of the variables table.
        coords : coordinates of the Dataset to make.

        Returns
        -------
        State with dims ``(sample, z, y, x)``, NaN on land, with CF attributes.

        Examples
        --------
        >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
        >>> layout = Layout(grid)
        >>> bool(layout.unpack(layout.pack(state)).isel(sample=0).equals(state))
        True
        """
        fields = np.where(self.mask, fields, np.nan)
        variables = {}
        for name, channels in self.slices.items():
            table = self.tables[name]
            block = fields[:, channels] if table.three_d else fields[:, channels.start]
            variables[name] = (("sample", *table.dims), block, table.attrs)
        return xr.Dataset(variables, coords=coords)

    def to_wet(self, fields: np.ndarray) -> np.ndarray:
        """Take the wet values only: ``(..., channel, y, x)`` to ``(..., wet)``."""
        return fields[..., self.mask]

    def from_wet(self, values: np.ndarray) -> np.ndarray:
        """Put wet values back on the map: ``(..., wet)`` to ``(..., channel, y, x)``, 0 on land."""
        fields = np.zeros((*values.shape[:-1], *self.shape), values.dtype)
        fields[..., self.mask] = values
        return fields

    def static_maps(self) -> np.ndarray:
        """Fields that describe the basin to a network: wet fractions of the columns and latitude.

        Returns
        -------
        float32 ``(5, y, x)``: surface mask, wet share of the T, U and V columns, sine of latitude.
        """
        thickness = self.grid.e3t_1d.values[:, None, None] / self.grid.e3t_1d.values.sum()
        columns = [(self.grid.mask(p).values * thickness).sum(0) for p in "TUV"]
        sine = np.sin(np.deg2rad(self.grid.gphit.values))
        return np.stack([self.grid.mask("T").values[0], *columns, sine]).astype("float32")
