"""The variables table: one line a variable, from which CF attributes, engine names, bounds and labels derive.

The table is open: an engine may have variables of its own (a tracer, the thickness of a layer). Files then say in attributes what the
table says of the others, and which variables make up a state (:func:`held`), so that reading them needs no engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warmstart.errors import UserError
from warmstart.ocean.listing import Listing

if TYPE_CHECKING:
    import xarray as xr

#: Attribute of a variable of a state that is not in the table, ``role``.
ROLE = "state"
#: Attribute of a file that names the variables of its states, in their order; without it they are :data:`STATE_VARIABLES`.
HELD = "state_variables"
#: Spellings of the units of the table, in lower case and without blanks, dots, underscores, ``^`` and ``*``.
SPELLINGS = {
    "degC": {"degc", "c", "celsius", "degcelsius"},
    "1e-3": {"1e-3", "1e-03", "0001", "001", "psu", "pss-78", "g/kg", "gkg-1", "ppt", "1"},
    "m s-1": {"m/s", "ms-1"},
    "m": {"m", "meter", "meters", "metre", "metres"},
    "kg m-3": {"kg/m3", "kgm-3"},
}


def same_units(units: str, expected: str) -> bool:
    """Say whether a value in `units`, as a file has them, is a value in those of the table, `expected`, however they are spelled.

    Examples
    --------
    >>> same_units("degrees_Celsius", "degC"), same_units("degF", "degC"), same_units("m.s**-1", "m s-1")
    (True, False, True)
    """
    plain = re.sub(r"[ ._^*]", "", units.strip().lower().replace("°", "deg")).replace("degrees", "degree")
    return units.strip() == expected or plain.replace("degree", "deg") in SPELLINGS.get(expected, set())


def require_units(name: str, units: str, expected: str) -> None:
    """Refuse a variable of the name `name` in other units than the variables table's; as :func:`same_units`.

    Raises
    ------
    UserError
        If they are not the same.

    Examples
    --------
    >>> require_units("thetao", "degC", "degC")
    """
    if not same_units(units, expected):
        raise UserError(
            f"{name} is in {units}; expected {expected}: convert it, or correct its units attribute"
        )


@dataclass(frozen=True)
class Variable:
    """One physical variable of a state.

    Attributes
    ----------
    name : CMIP6 short name, or the engine's own.
    standard_name : CF standard name; empty where there is none.
    long_name : label for figures and tables.
    units : UDUNITS string of the values.
    point : C-grid point, ``"T"``, ``"U"``, ``"V"`` or ``"W"``.
    three_d : whether the variable has a ``z`` dimension.
    bounds : physical range outside which a value is an error, in `units`.
    nemo : names in NEMO files (XIOS output, restart, IOIPSL output).
    veros : name in Veros.
    cmap : cmocean colour map.
    """

    name: str
    standard_name: str
    long_name: str
    units: str
    point: str
    three_d: bool
    bounds: tuple[float, float]
    nemo: tuple[str, ...] = ()
    veros: str | None = None
    cmap: str = "matter"

    @property
    def dims(self) -> tuple[str, ...]:
        """Spatial dimensions in order."""
        return ("z", "y", "x") if self.three_d else ("y", "x")

    @property
    def mask(self) -> str:
        """Name of the mesh mask that says where the variable is defined."""
        return {"T": "tmask", "U": "umask", "V": "vmask", "W": "tmask"}[self.point]

    @property
    def attrs(self) -> dict[str, str]:
        """CF attributes of the variable in a file; of one that is not in the table all that :func:`carried` needs."""
        said = {"standard_name": self.standard_name} if self.standard_name else {}
        said |= {"long_name": self.long_name, "units": self.units, "c_grid_point": self.point}
        if self.name in VARIABLES or self.name in DIAGNOSTICS:
            return said
        low, high = (f"{bound:.17g}" for bound in self.bounds)
        return said | {"role": ROLE, "physical_range": f"{low} {high}", "colour_map": self.cmap}


#: Columns of the table that are shown.
SHOWN = ("long_name", "units", "point", "bounds", "standard_name")

VARIABLES: Listing[Variable] = Listing(
    (
        Variable(
            "thetao", "sea_water_potential_temperature", "potential temperature", "degC", "T", True,
            (-3.0, 40.0), ("toce_pot", "toce", "toce_inst", "tn", "votemper", "thetao"), "temp", "thermal",
        ),
        Variable(
            "so", "sea_water_salinity", "salinity", "1e-3", "T", True,
            (0.0, 50.0), ("soce", "soce_inst", "sn", "vosaline", "so"), "salt", "haline",
        ),
        Variable(
            "uo", "sea_water_x_velocity", "zonal velocity", "m s-1", "U", True,
            (-5.0, 5.0), ("uoce", "un", "vozocrtx", "uo"), "u", "balance",
        ),
        Variable(
            "vo", "sea_water_y_velocity", "meridional velocity", "m s-1", "V", True,
            (-5.0, 5.0), ("voce", "vn", "vomecrty", "vo"), "v", "balance",
        ),
        Variable(
            "zos", "sea_surface_height_above_geoid", "sea surface height", "m", "T", False,
            (-10.0, 10.0), ("ssh", "ssh_inst", "sshn", "sossheig", "zos"), None, "curl",
        ),
    ), SHOWN,
)  # fmt: skip

#: The variables that make up a state, in the order of the generator's channels.
STATE_VARIABLES: tuple[str, ...] = tuple(VARIABLES)
#: Those that an ensemble may lack: a start from rest of the sea level is adjusted within days.
OPTIONAL_VARIABLES: tuple[str, ...] = ("zos",)

#: What a file may hold beside the state, for metrics that need it.
DIAGNOSTICS: Listing[Variable] = Listing(
    (
        Variable(
            "thkcello", "cell_thickness", "thickness of the T cells", "m", "T", True,
            (0.0, 12000.0), ("e3t", "vovvle3t", "thkcello", "e3t_n"), None, "deep",
        ),
        Variable(
            "thkcelluo", "cell_thickness", "thickness of the U cells", "m", "U", True,
            (0.0, 12000.0), ("e3u", "thkcelluo", "e3u_n"), None, "deep",
        ),
        Variable(
            "thkcellvo", "cell_thickness", "thickness of the V cells", "m", "V", True,
            (0.0, 12000.0), ("e3v", "thkcellvo", "e3v_n"), None, "deep",
        ),
        Variable(
            "rhop", "sea_water_potential_density", "potential density", "kg m-3", "T", True,
            (900.0, 1100.0), ("rhop",), None, "dense",
        ),
        Variable(
            "wo", "upward_sea_water_velocity", "vertical velocity", "m s-1", "W", True,
            (-1.0, 1.0), ("woce", "vovecrtz", "wo"), "w", "balance",
        ),
        Variable(
            "uo_bolus", "bolus_sea_water_x_velocity", "zonal bolus velocity", "m s-1", "U", True,
            (-5.0, 5.0), ("uoce_eiv", "vozoeivx", "uo_bolus"), None, "balance",
        ),
        Variable(
            "vo_bolus", "bolus_sea_water_y_velocity", "meridional bolus velocity", "m s-1", "V", True,
            (-5.0, 5.0), ("voce_eiv", "vomeeivy", "vo_bolus"), None, "balance",
        ),
    ), SHOWN,
)  # fmt: skip


def carried(ds: xr.Dataset) -> dict[str, Variable]:
    """Describe the variables of states that a Dataset holds: those of the table, and any other that it marks as one.

    Parameters
    ----------
    ds : states whose variables have the attributes :attr:`Variable.attrs`.

    Returns
    -------
    Name to variable, those of the table first.

    Raises
    ------
    UserError
        If the attributes of a variable do not say its point or its range.

    Examples
    --------
    >>> import xarray as xr
    >>> dye = Variable("dye", "", "dye", "1", "T", True, (0.0, 1.0))
    >>> carried(xr.Dataset({"dye": (dye.dims, [[[0.5]]], dye.attrs)}))["dye"] == dye
    True
    """
    found = {name: table for name, table in VARIABLES.items() if name in ds}
    for name, da in ds.variables.items():
        if da.attrs.get("role") == ROLE and name not in found:
            found[str(name)] = _described(str(name), da)
    return found


def _described(name: str, da: xr.Variable) -> Variable:
    """A variable by its attributes."""
    attrs = da.attrs
    try:
        low, high = (float(bound) for bound in str(attrs["physical_range"]).split())
        if (point := str(attrs["c_grid_point"])) not in ("T", "U", "V", "W") or not low < high:
            raise ValueError(f"point {point}, range {low:g} to {high:g}")
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{name} does not say its point on the grid and its range ({error}); expected the attributes c_grid_point and physical_range"
        ) from error
    return Variable(
        name, str(attrs.get("standard_name", "")), str(attrs.get("long_name", name)), str(attrs.get("units", "1")),
        point, "z" in da.dims, (low, high), cmap=str(attrs.get("colour_map", "matter")),
    )  # fmt: skip


def held(ds: xr.Dataset) -> tuple[str, ...]:
    """Names of the variables that make up the states of a file, in their order, whether it holds them or not.

    Examples
    --------
    >>> import xarray as xr
    >>> held(xr.Dataset(attrs={HELD: "thetao dye"})), held(xr.Dataset())[:2]
    (('thetao', 'dye'), ('thetao', 'so'))
    """
    return tuple(str(ds.attrs.get(HELD, "")).split()) or STATE_VARIABLES


def said(names: Iterable[str]) -> dict[str, str]:
    """The attribute by which a file names the variables of its states; nothing for those that need not be named.

    Examples
    --------
    >>> said(STATE_VARIABLES), said(("thetao", "dye"))
    ({}, {'state_variables': 'thetao dye'})
    """
    names = tuple(names)
    usual = set(STATE_VARIABLES) - set(OPTIONAL_VARIABLES) <= set(names) <= set(STATE_VARIABLES)
    return {} if usual else {HELD: " ".join(names)}


def in_order(tables: Mapping[str, Variable]) -> tuple[str, ...]:
    """Names of variables, those of the table first, in its order.

    Examples
    --------
    >>> in_order({"dye": VARIABLES["so"], "so": VARIABLES["so"], "thetao": VARIABLES["thetao"]})
    ('thetao', 'so', 'dye')
    """
    return (*(n for n in STATE_VARIABLES if n in tables), *(n for n in tables if n not in STATE_VARIABLES))
