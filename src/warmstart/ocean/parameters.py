"""The parameters table: the physical numbers that name one simulation, and plans that sample them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart.errors import UserError, shortened
from warmstart.ocean.listing import Listing

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Parameter:
    """One physical parameter of a simulation.

    Attributes
    ----------
    name : name in files, YAML and ``--set``.
    units : UDUNITS string; values without a unit are taken to be in it.
    default : value of this package's reference simulation, in `units`: that of DINO (Kamm et al. 2025), but for vertical diffusivity
        (DINO 1.2e-5), vertical viscosity (DINO 1.2e-4) and eddy diffusivity (DINO's follows the flow, 1500 at most).
    low, high : range in which the engine was shown to be stable and which plans may sample, in `units`.
    scale : ``"linear"`` or ``"log"``: how plans sample the range and how generators see the value.
    description : one sentence.
    namelist : NEMO namelist group and the entry that holds it in DINO, or the product of entries that it is
        (``-rn_trp``: the entry has the other sign), in `units`; None where DINO has it in its source code or not at all.
    """

    name: str
    units: str
    default: float
    low: float
    high: float
    scale: str
    description: str
    namelist: tuple[str, str] | None = None

    def coordinate(self, value: float | np.ndarray) -> Any:
        """Map a value to 0..1 across the range, linearly or in the logarithm.

        Parameters
        ----------
        value : one or many values in `units`.

        Returns
        -------
        Dimensionless position; below 0 or above 1 is outside the range.

        Examples
        --------
        >>> float(PARAMETERS["wind_stress_south"].coordinate(0.05))
        0.0
        """
        if self.scale == "log":
            return np.log(np.asarray(value) / self.low) / math.log(self.high / self.low)
        return (np.asarray(value) - self.low) / (self.high - self.low)

    def value(self, coordinate: float | np.ndarray) -> Any:
        """Map a position 0..1 back to a value in `units`; the inverse of :meth:`coordinate`.

        Examples
        --------
        >>> float(PARAMETERS["wind_stress_south"].value(1.0))
        0.4
        """
        if self.scale == "log":
            return self.low * (self.high / self.low) ** np.asarray(coordinate)
        return self.low + np.asarray(coordinate) * (self.high - self.low)

    def over(self, low: float, high: float) -> Parameter:
        """The parameter with another range, in `units`.

        Raises
        ------
        UserError
            If the range is empty, or not positive where the logarithm is taken.

        Examples
        --------
        >>> PARAMETERS["wind_stress_south"].over(0.1, 0.3).high
        0.3
        """
        if not low < high or (self.scale == "log" and low <= 0):
            raise UserError(
                f"{self.name}: the range {low:g} to {high:g} {self.units} is empty or not positive; give the lower value first"
            )
        return replace(self, low=low, high=high)


PARAMETERS: Listing[Parameter] = Listing(
    (
        Parameter("wind_stress_south", "Pa", 0.2, 0.05, 0.4, "linear", "Zonal wind stress at the southern westerlies (45S).", ("namusr_def", "rn_ztau0")),
        Parameter("wind_stress_north", "Pa", 0.1, 0.05, 0.2, "linear", "Zonal wind stress at the northern westerlies (45N)."),
        Parameter("restoring_temperature_north", "degC", 5.0, 0.0, 6.0, "linear", "Restoring temperature at the northern wall, annual mean.", ("namusr_def", "rn_tstar_n")),
        Parameter("restoring_temperature_south", "degC", -0.5, -1.5, 1.0, "linear", "Restoring temperature at the southern wall, annual mean.", ("namusr_def", "rn_tstar_s")),
        Parameter("restoring_temperature_equator", "degC", 27.0, 24.0, 30.0, "linear", "Restoring temperature at the equator.", ("namusr_def", "rn_tstar_eq")),
        Parameter("restoring_salinity_north", "1e-3", 35.1, 34.8, 35.6, "linear", "Restoring salinity at the northern wall.", ("namusr_def", "rn_sstar_n")),
        Parameter("restoring_salinity_south", "1e-3", 35.0, 34.6, 35.4, "linear", "Restoring salinity at the southern wall.", ("namusr_def", "rn_sstar_s")),
        Parameter("restoring_salinity_equator", "1e-3", 37.25, 36.5, 38.0, "linear", "Restoring salinity at the equator, without the dip of the rain belt.", ("namusr_def", "rn_sstar_eq")),
        Parameter("heat_restoring", "W m-2 K-1", 40.0, 20.0, 80.0, "log", "Heat flux per kelvin between restoring and surface temperature.", ("namusr_def", "-rn_trp")),
        Parameter("salt_restoring", "kg m-2 s-1", 3.858e-3, 1.9e-3, 7.7e-3, "log", "Salt flux per unit of salinity between restoring and surface salinity.", ("namusr_def", "-rn_srp")),
        Parameter("seasonal_amplitude_north", "K", 3.0, 0.0, 6.0, "linear", "Amplitude of the seasonal cycle of the northern restoring temperature."),
        Parameter("seasonal_amplitude_south", "K", 0.5, 0.0, 2.0, "linear", "Amplitude of the seasonal cycle of the southern restoring temperature."),
        Parameter("vertical_diffusivity", "m2 s-1", 2e-5, 1e-5, 2e-4, "log", "Background vertical diffusivity of temperature and salinity.", ("namzdf", "rn_avt0")),
        Parameter("vertical_viscosity", "m2 s-1", 2e-4, 1e-4, 1e-3, "log", "Background vertical viscosity.", ("namzdf", "rn_avm0")),
        Parameter("eddy_diffusivity", "m2 s-1", 1000.0, 400.0, 3000.0, "log", "Eddy-induced (Gent-McWilliams) and isopycnal (Redi) diffusivity at the equator, times the cosine of latitude.", ("namtra_eiv", "rn_Ue * rn_Le / 2")),
        Parameter("bottom_drag", "s-1", 1e-6, 3e-7, 1e-5, "log", "Linear drag in the bottom cell."),
        Parameter("lateral_viscosity_factor", "1", 1.0, 0.5, 2.0, "log", "Lateral viscosity as a multiple of 2e-11 m-1 s-1 times the grid spacing cubed (Munk scaling)."),
    ), ("units", "default", "low", "high", "scale", "description"),
)  # fmt: skip


def defaults(known: Mapping[str, Parameter] | None = None) -> dict[str, float]:
    """The parameters of the reference simulation; they are not all DINO's own, see :class:`Parameter`.

    Parameters
    ----------
    known : the table; None takes that of this module, an engine may have its own.

    Returns
    -------
    One value a parameter, in the units of the table.

    Examples
    --------
    >>> defaults()["wind_stress_south"]
    0.2
    """
    return {name: p.default for name, p in (PARAMETERS if known is None else known).items()}


def own(
    name: str, units: str = "1", description: str = "", namelist: tuple[str, str] | None = None
) -> Parameter:
    """Describe a parameter that is not in the table: one of the user's own ensemble.

    Parameters
    ----------
    name : name in files and ``--set``.
    units : of its values.
    description : one sentence.
    namelist : NEMO's group and entry that hold it.

    Returns
    -------
    The parameter; it has no default and no range, and a linear scale.

    Raises
    ------
    UserError
        If the name is no name.

    Examples
    --------
    >>> own("wind", "Pa", namelist=("namusr_def", "rn_ztau0")).units
    'Pa'
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        raise UserError(
            f"'{name}' is no name of a parameter; expected letters, digits and '_', for example wind"
        )
    if not description:
        description = (
            f"&{namelist[0]} {namelist[1]} of NEMO." if namelist else "Parameter of the user's own ensemble."
        )
    return Parameter(name, units, math.nan, math.nan, math.nan, "linear", description, namelist)


def get(name: str, known: Mapping[str, Parameter] | None = None) -> Parameter:
    """Look a parameter up by name.

    Parameters
    ----------
    name : of the parameter.
    known : the table; None takes that of this module, an engine may have its own.

    Raises
    ------
    UserError
        If no parameter has that name; the message offers the nearest names.

    Examples
    --------
    >>> get("bottom_drag").units
    's-1'
    """
    table = PARAMETERS if known is None else known
    try:
        return table[name]
    except KeyError:
        near = difflib.get_close_matches(name, table, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known parameters: {', '.join(table)}"
        raise UserError(f"unknown parameter '{name}': {hint}") from None


#: Units in which these have the same numbers, so that nothing is converted: salinities, temperature
#: differences (1 degC is 1 K), pure numbers.
_SAME_NUMBERS = {
    "1e-3": ("g/kg", "g kg-1", "psu", "PSU", "1"),
    "K": ("degC", "delta_degC", "kelvin", "°C"),
    "1": ("dimensionless",),
}


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint  # 0.3 s to import: only where a unit has to be converted

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


#: Longest value with its unit [characters].
LONGEST = 200
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_UNIT = re.compile(r"\s*(?:(?P<unit>[^\W\d_]+(?:_[^\W\d_]+)*|[°%][^\W\d_]*)|1(?![\d.eE]))")
_POWER = re.compile(r"\s*(?:\^|\*\*)\s*\(?(?P<marked>[-+]?[1-9])\)?|(?P<bare>[-+]?[1-9])")
_BETWEEN = re.compile(r"\s*(?P<sign>[*/·.])|\s+(?=[\w(°%])")


def _unit_expression(units: str) -> str:
    """Turn a UDUNITS string such as ``kg m-2 s-1`` or ``W/(m2 K)`` into an expression that pint reads; ValueError for anything else."""
    text = units.translate(_SUPERSCRIPTS)
    factors, at = _product(text, 0, 1)
    if at < len(text):
        raise ValueError(f"'{units}' is no product of units")
    return "*".join(f"{unit}**({power})" for unit, power in factors) or "dimensionless"


def _product(text: str, at: int, power: int) -> tuple[list[tuple[str, int]], int]:
    """Units and powers from a place on, each to a power more; and the place after them."""
    factors: list[tuple[str, int]] = []
    sign = 1
    if leading := re.compile(r"\s*/").match(text, at):
        sign, at = -1, leading.end()
    while True:
        if opened := re.compile(r"\s*\(").match(text, at):
            inner, at = _product(text, opened.end(), 1)
            closed = re.compile(r"\s*\)").match(text, at)
            if closed is None:
                raise ValueError(f"'{text}' has a bracket that is not closed")
            at = closed.end()
        elif found := _UNIT.match(text, at):
            inner, at = [(found["unit"], 1)] if found["unit"] else [], found.end()
        else:
            raise ValueError(f"'{text}' is no product of units")
        if raised := _POWER.match(text, at):
            at = raised.end()
            inner = [(unit, n * int(raised["marked"] or raised["bare"])) for unit, n in inner]
        factors += [(unit, n * sign * power) for unit, n in inner]
        between = _BETWEEN.match(text, at)
        if between is None:
            return factors, at
        sign, at = (-1 if between["sign"] == "/" else 1), between.end()


def parse(
    text: str | float | int, name: str | Parameter, known: Mapping[str, Parameter] | None = None
) -> float:
    """Read a value, with or without a unit, into the units of a parameter.

    Parameters
    ----------
    text : a number, or text such as ``"0.3 Pa"``, ``"3 dyn/cm2"`` or ``"0.2 cm2 s-1"``.
    name : the parameter it is for: of the table, or described by :func:`own`.
    known : the table; None takes that of this module, an engine may have its own.

    Raises
    ------
    UserError
        If the parameter is unknown, the text is no number, the unit does not convert, or the value is not positive where
        the logarithm is taken.

    Examples
    --------
    >>> parse("300 mPa", "wind_stress_south")
    0.3
    """
    parameter = name if isinstance(name, Parameter) else get(name, known)
    name = parameter.name
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        value = float(text)
    else:
        given = str(text).strip()
        match = _NUMBER.match(given) if len(given) <= LONGEST else None
        if match is None:
            example = 1.0 if math.isnan(parameter.default) else parameter.default
            raise UserError(
                f"{name}: '{shortened(given, 60)}' is not a number with an optional unit; expected for example {name}={example:g} {parameter.units}"
            )
        value = _convert(float(match[0]), given[match.end() :].strip(), parameter)
    if not math.isfinite(value):
        raise UserError(f"{name}: '{text}' is not a finite number; expected a value in {parameter.units}")
    if parameter.scale == "log" and value <= 0:
        raise UserError(f"{name}: '{text}' is not positive; expected a positive value in {parameter.units}")
    return value


def _convert(number: float, units: str, parameter: Parameter) -> float:
    """Convert a number from `units` to the parameter's; no unit means the parameter's own."""
    if units in ("", parameter.units):
        return number
    wanted = parameter.units
    wrong = f"{parameter.name}: cannot convert '{units}' to {wanted}; give the value in {wanted}"
    if parameter.units in _SAME_NUMBERS:
        if units in _SAME_NUMBERS[parameter.units]:
            return number
        raise UserError(wrong)
    registry = _registry()
    from pint.errors import PintError

    try:
        quantity = registry.Quantity(number, registry.parse_units(_unit_expression(units)))
        converted = float(quantity.to(registry.parse_units(_unit_expression(parameter.units))).magnitude)
    except (PintError, ValueError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
        raise UserError(wrong) from error
    return float(f"{converted:.15g}")  # 300 mPa is 0.3 Pa, not 0.30000000000000004


def parse_ranges(given: Any, known: Mapping[str, Parameter] | None = None) -> dict[str, tuple[float, float]]:
    """Read the ranges of a plan.

    Parameters
    ----------
    given : parameter names with [lowest, highest], numbers or text with units.
    known : the table; None takes that of this module, an engine may have its own.

    Raises
    ------
    UserError
        If it is something else, as :func:`parse`, or a range is empty.

    Examples
    --------
    >>> parse_ranges({"wind_stress_south": ["50 mPa", 0.4]})
    {'wind_stress_south': (0.05, 0.4)}
    """
    if not isinstance(given, dict):
        raise UserError("expected parameter names with [lowest, highest]")
    found = {}
    for name, pair in given.items():
        if not isinstance(name, str):
            raise UserError(f"{name}: expected the name of a parameter")
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise UserError(f"{name}: expected [lowest, highest], for example [0.05 Pa, 0.4 Pa]")
        low, high = (parse(bound, name, known) for bound in pair)
        get(name, known).over(low, high)
        found[name] = (low, high)
    return found


def resolve(given: Mapping[str, Any], known: Mapping[str, Parameter] | None = None) -> dict[str, float]:
    """Complete a partial set of parameters with the defaults.

    Parameters
    ----------
    given : values by parameter name, numbers or text with units.
    known : the table; None takes that of this module, an engine may have its own.

    Returns
    -------
    One value for each parameter of the table, in its units.

    Raises
    ------
    UserError
        As :func:`parse`.

    Examples
    --------
    >>> resolve({"bottom_drag": "2e-6 s-1"})["bottom_drag"]
    2e-06
    """
    return defaults(known) | {name: parse(value, name, known) for name, value in given.items()}


def sobol(
    ranges: Mapping[str, tuple[float, float]],
    members: int,
    seed: int,
    known: Mapping[str, Parameter] | None = None,
) -> list[dict[str, float]]:
    """Sample parameters with a scrambled Sobol sequence; member *i* does not depend on `members`.

    Parameters
    ----------
    ranges : lowest and highest value of each sampled parameter, in the units of the table.
    members : how many members to return.
    seed : seed of the scrambling (Owen 1998).
    known : the table; None takes that of this module, an engine may have its own.

    Returns
    -------
    One dictionary a member with the sampled parameters only.

    Raises
    ------
    UserError
        If a name is unknown or a range is empty or outside what a logarithmic scale allows.

    Examples
    --------
    >>> sobol({"bottom_drag": (3e-7, 1e-5)}, 2, seed=1) == sobol({"bottom_drag": (3e-7, 1e-5)}, 8, seed=1)[:2]
    True
    """
    from scipy.stats import qmc

    table = [get(name, known).over(*ranges[name]) for name in sorted(ranges)]
    if not table or members < 1:
        return [{} for _ in range(max(members, 0))]
    points = qmc.Sobol(len(table), scramble=True, rng=np.random.default_rng(seed)).random_base2(
        max(1, math.ceil(math.log2(members)))
    )
    return [{p.name: float(p.value(x)) for p, x in zip(table, row, strict=True)} for row in points[:members]]


def scaled(values: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Scale parameters to -0.5 to 0.5 across their ranges, in the logarithm where the parameters table says so.

    Parameters
    ----------
    values : parameter name to numbers, units of the table.
    ranges : lowest and highest value of the parameters to take, in the order wanted; those that are not in the table are
        scaled linearly.

    Returns
    -------
    ``(..., parameter)``.

    Examples
    --------
    >>> scaled({"wind_stress_south": 0.1}, {"wind_stress_south": (0.1, 0.3)}).tolist()
    [-0.5]
    """
    columns = []
    for name, limits in ranges.items():
        span = (PARAMETERS.get(name) or own(name)).over(*limits)
        columns.append(np.asarray(span.coordinate(np.asarray(values[name], float))) - 0.5)
    some = next(iter(values.values()), 0.0)
    return np.stack(columns, -1) if columns else np.zeros((*np.shape(some), 0))


SPLITS = ("train", "validation", "test")


def split_of(index: int) -> str:
    """Return the split of a member whose plan gives none: one in eight validates, one in eight tests.

    Parameters
    ----------
    index : number of the member, its place in the Sobol sequence or in the plan's list.

    Returns
    -------
    ``"validation"`` for 3, 11, 19 …, ``"test"`` for 7, 15, 23 …, else ``"train"``.

    Examples
    --------
    >>> [split_of(i) for i in (0, 3, 7)]
    ['train', 'validation', 'test']
    """
    return {3: "validation", 7: "test"}.get(index % 8, "train")


def attach(
    ds: xr.Dataset,
    values: Mapping[str, Any],
    dim: str | None = None,
    described: Mapping[str, Parameter] | None = None,
) -> xr.Dataset:
    """Write parameters into a Dataset, one variable a parameter, with units and description.

    Parameters
    ----------
    ds : any Dataset.
    values : parameter name to a number, or to a sequence along `dim`.
    dim : name of the dimension the values run along; None for scalars.
    described : those that are not in the table, by :func:`own`.

    Returns
    -------
    A new Dataset with the parameter variables added.

    Examples
    --------
    >>> import xarray as xr
    >>> attach(xr.Dataset(), {"bottom_drag": 1e-6})["bottom_drag"].attrs["units"]
    's-1'
    """
    new = {}
    for name, value in values.items():
        p = described[name] if described and name in described else get(name)
        attrs = {"units": p.units, "long_name": p.description.rstrip("."), "role": "parameter"}
        if name not in PARAMETERS:
            attrs |= {"namelist": "/".join(p.namelist)} if p.namelist else {}
            attrs |= {} if math.isnan(p.default) else {"default": f"{p.default:.17g}"}
        new[name] = ((dim,) if dim else (), np.asarray(value, dtype="float64"), attrs)
    return ds.assign(new)


def carried(ds: xr.Dataset) -> dict[str, Parameter]:
    """Describe the parameters that a Dataset carries: those of the table, and any other that it marks as one.

    Returns
    -------
    Name to parameter, those of the table first.

    Examples
    --------
    >>> import xarray as xr
    >>> list(carried(attach(xr.Dataset(), {"wind": 0.1}, described={"wind": own("wind", "Pa")})))
    ['wind']
    """
    found = {name: p for name, p in PARAMETERS.items() if name in ds}
    for name, da in ds.variables.items():
        if da.attrs.get("role") == "parameter" and name not in found:
            group, _, entry = str(da.attrs.get("namelist", "")).partition("/")
            p = own(
                str(name),
                str(da.attrs.get("units", "1")),
                str(da.attrs.get("long_name", "")),
                (group, entry) if entry else None,
            )
            found[str(name)] = replace(p, default=_number(da.attrs.get("default")))
    return found


def _number(text: Any) -> float:
    """A number that a file says, NaN where it says none."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def extract(ds: xr.Dataset, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read the parameters that a Dataset carries.

    Parameters
    ----------
    ds : a Dataset written with :func:`attach`.
    names : which parameters; None means all that are present, those of the table first.

    Returns
    -------
    Parameter name to values, in the units of the table.

    Raises
    ------
    UserError
        If a parameter that was asked for is missing.

    Examples
    --------
    >>> import xarray as xr
    >>> float(extract(attach(xr.Dataset(), {"bottom_drag": 1e-6}))["bottom_drag"])
    1e-06
    """
    wanted = list(carried(ds)) if names is None else list(names)
    if missing := [n for n in wanted if n not in ds]:
        raise UserError(
            f"the file carries no parameter {', '.join(missing)}; expected variables of those names"
        )
    return {n: np.asarray(ds[n].values) for n in wanted}
