"""The mesh: metrics, masks, volumes and weighted integrals, under NEMO's names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from warmstart.errors import UserError
from warmstart.ocean.fold import Fold

#: Horizontal mesh variables, dims ``(y, x)``.
HORIZONTAL = (
    "glamt", "gphit", "glamu", "gphiu", "glamv", "gphiv", "glamf", "gphif",
    "e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f", "ff_t", "ff_f", "bathymetry",
)  # fmt: skip
#: Three-dimensional mesh variables, dims ``(z, y, x)``.
THREE_D = ("e3t_0", "e3u_0", "e3v_0", "e3w_0", "gdept_0", "gdepw_0")
#: Masks, dims ``(z, y, x)``, 1 in the sea.
MASKS = ("tmask", "umask", "vmask", "fmask")
#: Vertical mesh variables, dims ``(z,)``.
VERTICAL = ("gdept_1d", "gdepw_1d", "e3t_1d")
#: All of them with their dimensions.
DIMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(HORIZONTAL, ("y", "x")),
    **dict.fromkeys((*THREE_D, *MASKS), ("z", "y", "x")),
    **dict.fromkeys(VERTICAL, ("z",)),
}


@dataclass(frozen=True, eq=False)
class Grid:
    """A C-grid mesh with NEMO names; U lies east of T, V north of T, level 0 at the surface.

    Attributes
    ----------
    ds : Dataset with the variables of :data:`HORIZONTAL`, :data:`THREE_D`, :data:`MASKS` and :data:`VERTICAL`,
        dims ``(z, y, x)``; lengths in m, angles in degrees. Each is also an attribute: ``grid.e1t``. Where cells of a north
        fold are there twice it also holds ``tmaskutil umaskutil vmaskutil``, 0 where a cell repeats another.

    Raises
    ------
    UserError
        If a mesh variable is missing or has other dimensions.

    Examples
    --------
    >>> import warmstart as ws
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> grid.shape
    (4, 8, 6)
    """

    ds: xr.Dataset

    def __post_init__(self) -> None:
        if missing := [n for n in DIMS if n not in self.ds]:
            raise UserError(
                f"not a mesh: {', '.join(missing)} missing; expected a file with NEMO's mesh variables"
            )
        for name, dims in DIMS.items():
            if self.ds[name].dims != dims:
                raise UserError(f"mesh variable {name} has dims {self.ds[name].dims}; expected {dims}")

    def __getattr__(self, name: str) -> xr.DataArray:
        if name.startswith("_") or name == "ds" or name not in self.ds:
            raise AttributeError(name)
        return self.ds[name]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of levels, rows and columns."""
        return tuple(self.ds.sizes[d] for d in "zyx")  # type: ignore[return-value]

    @property
    def periodic_x(self) -> bool:
        """Whether the last column is the western neighbour of the first."""
        return bool(self.ds.attrs.get("periodic_x", 0))

    @property
    def fold(self) -> Fold | None:
        """How the northern edge is folded; None where it is not, or where the mesh only says which cells repeat others."""
        pivot = self.ds.attrs.get("north_fold")
        return Fold(pivot, bool(self.ds.attrs.get("row_beyond_fold", 0))) if pivot in ("T", "F") else None

    @cached_property
    def volume(self) -> xr.DataArray:
        """Volume of each wet T cell, 0 on land and in cells that repeat others [m3], dims ``(z, y, x)``."""
        volume = self._columns * self.ds.e3t_0 * self.ds.tmask
        volume = volume.transpose("z", "y", "x")
        return volume.assign_attrs(units="m3", long_name="volume of the T cell").rename("volume")

    @cached_property
    def area(self) -> xr.DataArray:
        """Area of each cell at the surface of the open sea [m2], dims ``(y, x)``.

        0 on land, under ice shelves, and in cells that repeat others.
        """
        area = self._columns * self.ds.tmask.isel(z=0)
        return area.assign_attrs(units="m2", long_name="area of the T cell").rename("area")

    @cached_property
    def column_area(self) -> xr.DataArray:
        """Area of each column of water, those under ice shelves too; 0 on land and where it repeats another [m2], ``(y, x)``."""
        area = self._columns * self.mask("T", three_d=False)
        return area.assign_attrs(units="m2", long_name="area of the water column").rename("column_area")

    @property
    def _columns(self) -> xr.DataArray:
        area = self.ds.e1t * self.ds.e2t
        return area * self.ds["tmaskutil"] if "tmaskutil" in self.ds else area

    def unique(self, point: str) -> xr.DataArray:
        """Where a cell of a C-grid point does not repeat another one, land included; boolean ``(y, x)``.

        Sums take these only. Values at the others are kept: they are the neighbours of those on the fold.

        Parameters
        ----------
        point : ``"T"``, ``"U"`` or ``"V"``.

        Examples
        --------
        >>> import warmstart as ws
        >>> bool(ws.basin(nx=6, ny=8, nz=4)[1].unique("T").all())
        True
        """
        name = f"{point.lower()}maskutil"
        if name in self.ds:
            return self.ds[name] > 0
        return xr.ones_like(self.ds.e1t, dtype=bool)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of masks and metrics: equal for equal meshes, whatever file they came from."""
        digest = hashlib.sha256()
        for name in (*MASKS, "e1t", "e2t", "e3t_0", "gphit", "gdept_0"):
            values = self.ds[name].values
            if name in MASKS:
                keep = values.astype("int8")
            else:  # to 6 digits: a mesh that went through float32 is still the same mesh
                sea = self.ds.tmask.values > 0 if values.ndim == 3 else True
                keep = np.where(sea, _digits(values), 0.0)
            digest.update(name.encode() + str(values.shape).encode() + np.ascontiguousarray(keep).tobytes())
        return digest.hexdigest()[:16]

    def mask(self, point: str, three_d: bool = True) -> xr.DataArray:
        """Boolean mask of a C-grid point.

        Parameters
        ----------
        point : ``"T"``, ``"U"``, ``"V"`` or ``"F"``.
        three_d : whether of the cells, ``(z, y, x)``; else of the columns ``(y, x)``, where there is water at any depth: those
            under ice shelves have no water at the surface (NEMO's ``ssmask``).

        Examples
        --------
        >>> import warmstart as ws
        >>> ws.basin(nx=6, ny=8, nz=4)[1].mask("T", three_d=False).dims
        ('y', 'x')
        """
        wet = self.ds[f"{point.lower()}mask"] > 0
        return wet if three_d else wet.any("z")

    def integrate(
        self, field: xr.DataArray, where: xr.DataArray | None = None, thickness: xr.DataArray | None = None
    ) -> xr.DataArray:
        """Integrate a field at T points over the volume of the sea; cells that repeat others are counted once.

        Parameters
        ----------
        field : ``(..., z, y, x)``, land ignored whatever it holds.
        where : boolean, broadcastable to ``(z, y, x)``; which cells to take. None takes all.
        thickness : of the cells as the free surface stretches them, ``(..., z, y, x)`` [m], as the ``thkcello`` of a state; None takes
            that of the mesh, ``e3t_0``.

        Returns
        -------
        ``(...)``, units of the field times m3.

        Examples
        --------
        >>> import warmstart as ws
        >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
        >>> bool(grid.integrate(grid.tmask * 1.0) == grid.volume.sum())
        True
        >>> grid.integrate(state.thetao).attrs["units"]
        'degC m3'
        """
        volume = self._volume(where, thickness)
        result = (field.where(volume > 0, 0.0) * volume).sum(("z", "y", "x"), skipna=False).rename(field.name)
        units = str(field.attrs.get("units", ""))
        result.attrs = {"units": "m3" if units in ("", "1") else f"{units} m3"}
        if "long_name" in field.attrs:
            result.attrs["long_name"] = f"volume integral of {field.attrs['long_name']}"
        return result

    def mean(
        self, field: xr.DataArray, where: xr.DataArray | None = None, thickness: xr.DataArray | None = None
    ) -> xr.DataArray:
        """Average a field at T points over the volume of the sea; arguments as :meth:`integrate`.

        Returns
        -------
        ``(...)``, units and long name of the field.

        Examples
        --------
        >>> import warmstart as ws
        >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
        >>> round(float(grid.mean(grid.tmask * 3.0)), 12)
        3.0
        """
        whole = self._volume(where, thickness).sum(("z", "y", "x"))
        mean = self.integrate(field, where, thickness) / whole
        mean.attrs = {n: field.attrs[n] for n in ("standard_name", "long_name", "units") if n in field.attrs}
        return mean

    def _volume(self, where: xr.DataArray | None, thickness: xr.DataArray | None) -> xr.DataArray:
        """Volume of the cells to take, 0 in the others."""
        volume = self.volume
        if thickness is not None:
            volume = (self._columns * thickness).where(self.mask("T"), 0.0)
        return volume if where is None else volume.where(where, 0.0)

    def box(
        self,
        lat: tuple[float, float] = (-90.0, 90.0),
        depth: tuple[float, float] = (0.0, np.inf),
        lon: tuple[float, float] = (-180.0, 180.0),
    ) -> xr.DataArray:
        """Select T cells by the latitude, depth and longitude of their centres.

        The second bound is excluded, so that neighbouring boxes share no cell and together lose none.

        Parameters
        ----------
        lat : southern and northern bound [degrees_north]; a northern bound of 90 is included.
        depth : upper and lower bound, positive down [m].
        lon : western and eastern bound [degrees_east], on either side of the date line; 360 degrees apart for all.

        Returns
        -------
        Boolean ``(z, y, x)``.

        Examples
        --------
        >>> import warmstart as ws
        >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
        >>> bool(grid.box().all())
        True
        """
        inside = (self.ds.gphit >= lat[0]) & ((self.ds.gphit < lat[1]) | (lat[1] >= 90.0))
        level = (self.ds.gdept_0 >= depth[0]) & (self.ds.gdept_0 < depth[1])
        if lon[1] - lon[0] < 360.0:
            inside = inside & ((self.ds.glamt - lon[0]) % 360.0 < (lon[1] - lon[0]) % 360.0)
        return (level & inside).transpose("z", "y", "x")

    def require_finite(self, what: str) -> None:
        """Refuse a mesh with holes in its positions, lengths or levels, or without sea.

        Parameters
        ----------
        what : its file, for the message.

        Raises
        ------
        UserError
            Naming the variable.
        """
        joined = self.ds.attrs.get("periodic_x", 0)
        if np.ndim(joined) or str(joined) not in ("0", "1", "True", "False", "0.0", "1.0"):
            raise UserError(f"{what}: periodic_x is {joined!r}; expected 0 or 1: make the file again")
        wet = self.ds.tmask.values > 0
        if not wet.any():
            raise UserError(f"{what}: no cell is wet; expected a mask that is 1 in the sea")
        for name in (*HORIZONTAL, *VERTICAL, "e3t_0", "gdept_0"):
            values = self.ds[name].values
            bad = ~np.isfinite(values) & (wet if values.ndim == 3 else True)
            if name in ("e1t", "e2t", "e3t_0", "e3t_1d"):
                bad |= (values <= 0) & (wet if values.ndim == 3 else True)
            if bad.any():
                raise UserError(
                    f"{what}: the mesh variable {name} is no length or place at {int(bad.sum())} points; the file is damaged: "
                    "copy or make it again"
                )

    def require_same(self, other: Grid, what: str) -> None:
        """Refuse another mesh.

        Raises
        ------
        UserError
            If shape, masks or metrics differ.
        """
        if self.shape != other.shape or self.fingerprint != other.fingerprint:
            raise UserError(
                f"{what} is on another grid: {_describe(other)}; expected {_describe(self)}. "
                "Use files of one configuration and resolution"
            )

    def __repr__(self) -> str:
        return f"<warmstart.Grid {_describe(self)}>"


def units_of(name: str) -> str:
    """Units of a variable of the mesh.

    Examples
    --------
    >>> units_of("gphit"), units_of("e3t_0"), units_of("tmask")
    ('degrees_north', 'm', '1')
    """
    known = {"glam": "degrees_east", "gphi": "degrees_north", "ff_t": "s-1", "ff_f": "s-1"}
    return known.get(name[:4], "1" if "mask" in name else "m")


def _digits(values: np.ndarray) -> Any:
    """Round to 6 significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (5 - np.floor(np.log10(np.abs(values))))
        return np.where(values == 0, 0.0, np.round(values * scale) / scale)


def _describe(grid: Grid) -> str:
    name = grid.ds.attrs.get("configuration", "mesh")
    wet = int((grid.ds.tmask.values > 0).sum())
    return (
        f"{name} {'x'.join(map(str, grid.shape))} (z, y, x), {wet} wet cells, fingerprint {grid.fingerprint}"
    )
