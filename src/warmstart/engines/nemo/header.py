"""What a NetCDF file is, and which version of NEMO wrote it, as far as the file shows it."""

from __future__ import annotations

from pathlib import Path

from warmstart.engines.base import Kind
from warmstart.engines.nemo.dimensions import role
from warmstart.engines.nemo.subdomains import whole_number
from warmstart.engines.nemo.times import means, sampling
from warmstart.errors import UserError
from warmstart.io.files import is_own
from warmstart.io.netcdf import Header, read_header

MESH, DOMAIN, RESTART, XIOS, IOIPSL, SNAPSHOT, CMIP, OTHER = (
    "mesh_mask", "domain_cfg", "restart", "XIOS output", "IOIPSL output", "snapshot", "CMIP6 output", "other",
)  # fmt: skip

_XIOS_NAMES = {"toce", "soce", "uoce", "voce", "woce", "toce_inst", "soce_inst", "ssh_inst",
               "toce_e3t", "soce_e3t", "uoce_e3u", "voce_e3v"}  # fmt: skip
#: Names that others give to their files too.
_COMMON_NAMES = {"ssh", "sst", "sss"}
_IOIPSL_NAMES = {"votemper", "vosaline", "vozocrtx", "vomecrty", "vovecrtz", "sossheig"}
_CMIP_NAMES = {"thetao", "so", "uo", "vo", "zos"}
#: Attributes in which a file of CMIP6 says where it comes from.
_CMIP_ATTRS = ("variable_id", "source_id", "experiment_id", "variant_label")
#: Wind stress in IOIPSL's output: at T points since 5.0, at U and V points before.
_STRESS = {"sozotaux": "vozocrtx", "sometauy": "vomecrty"}
PARTIAL = "part of a mesh in several files"
UNSAID = "the file does not show it"


def recognise(path: str | Path) -> Kind:
    """Tell what a NetCDF file is to NEMO: a mesh, a restart or output of it, or a file of CMIP6.

    Parameters
    ----------
    path : the file, gzipped or not.

    Returns
    -------
    Its kind, by its header; ``other`` for what is none of these.

    Raises
    ------
    UserError
        If it cannot be read.

    Examples
    --------
    >>> recognise("no-such-file.nc")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: no-such-file.nc does not exist; give an existing NetCDF file
    """
    return kind_of(read_header(path), path)


def kind_of(header: Header, path: str | Path) -> Kind:
    """As :func:`recognise`, of a file whose header was read."""
    names = set(header.variables)
    if is_own(header):
        return Kind(OTHER)
    pieces, number = (
        whole_number(header.attrs, n, d, path) for n, d in (("DOMAIN_number_total", 1), ("DOMAIN_number", 0))
    )
    detail = (f"piece {number} of {pieces}",) if pieces > 1 else ()
    if {"e1t", "e2t"} <= names and names & {"tmask", "bottom_level"}:
        name = MESH if "tmask" in names else DOMAIN
        return _kind(name, _mesh_version(header), detail)
    levels = names & {"e3t_1d", "e3t_0"} and names & {"gdept_1d", "gdept_0", "e3w_1d", "mbathy"}
    if names & {"glamt", "e1t"} or {"tmask", "umask"} <= names or levels:
        return _kind(MESH, "3.6", (*detail, PARTIAL))
    if {"tn", "sn"} <= names or ({"kt", "ndastp"} <= names and "tb" in names):
        return _kind(RESTART, *_restart_version(header, detail))
    if names & _IOIPSL_NAMES:
        return _old_names(header, detail)
    if names & _XIOS_NAMES or (names & _COMMON_NAMES and _is_xios(header)):
        return _kind(XIOS, _xios_version(header), (*detail, *_sampling(header)))
    if names & _CMIP_NAMES or header.attrs.get("mip_era") == "CMIP6":
        said = " ".join(str(header.attrs[a]) for a in _CMIP_ATTRS if a in header.attrs)
        return Kind(CMIP, ("states",), detail=(*([said] if said else []), *_sampling(header)))
    return Kind(OTHER)


def _kind(name: str, version: str, detail: tuple[str, ...]) -> Kind:
    """A kind of file that only NEMO writes."""
    return Kind(name, ("mesh",) if name in (MESH, DOMAIN) else ("states",), "NEMO", version, detail)


def version_beside(path: str | Path) -> str:
    """The version that a mesh or a restart beside a file shows: ``5.0, by mesh_mask.nc beside it``; empty if none does."""
    path = Path(path)
    for pattern in ("*mesh_mask*.nc*", "*restart*.nc*", "*domain_cfg*.nc*"):
        for other in sorted(p for p in path.parent.glob(pattern) if p != path and p.is_file())[:1]:
            try:
                kind = recognise(other)
            except UserError:
                continue
            if kind.name in (MESH, RESTART, DOMAIN) and kind.version and UNSAID not in kind.version:
                return f"{kind.version}, by {other.name} beside it"
    return ""


def _is_xios(header: Header) -> bool:
    """Whether XIOS left its marks: its axis of time, or the operations it notes."""
    attrs = [attrs for _, _, attrs in header.variables.values()]
    return "time_counter" in header.dims or any("online_operation" in a for a in attrs)


def _mesh_version(header: Header) -> str:
    names = header.variables
    if "jperio" in names:
        return "4.0"
    if "CfgName" not in header.attrs:
        return "3.6" if "top_level" not in names else UNSAID
    if "x" in names and len(names["x"][1]) == 2:
        return "4.2.0"
    if not {"tmask", "fmask"} <= names.keys():
        return "4.2.1 to 5.0"
    return "5.0" if names["fmask"][0].endswith("f4") or "stiffness" in names else "4.2"


def _restart_version(header: Header, detail: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    names = set(header.variables)
    if "kt" not in names:
        return UNSAID, (*detail, f"{len(names & {'tn', 'sn', 'un', 'vn', 'sshn'})} prognostic fields only")
    if "uu_n" in names and "tb" not in names:
        return "5.0", (*detail, "Runge-Kutta time stepping")
    stepping = (*detail, "leapfrog time stepping") if "tb" in names else detail
    if "rhop" not in names:
        return "5.0", stepping
    if "x" in names and len(header.variables["x"][1]) == 2:
        return "4.2.0", stepping
    return ("4.0 or 4.2" if "ntime" in names else "3.6"), stepping


def _old_names(header: Header, detail: tuple[str, ...]) -> Kind:
    """``votemper`` and its kin: written by IOIPSL, by XIOS under the old names, or as a snapshot of the state."""
    if "IPSL" in str(header.attrs.get("production", "")):
        content = "vovvle3t" in header.variables and "votemper" in header.variables
        extra = ("tracers times thickness",) if content else ()
        return _kind(IOIPSL, _ioipsl_version(header), (*detail, *_sampling(header), *extra))
    if not _sampling(header):
        return _kind(SNAPSHOT, UNSAID, (*detail, "state at one instant, as output.init.nc"))
    return _kind(XIOS, _xios_version(header), (*detail, *_sampling(header)))


def _ioipsl_version(header: Header) -> str:
    """By the place of the wind stress, in files that nobody cut."""
    names = set(header.variables)
    whole = not {"history", "NCO", "CDO"} & set(header.attrs)
    if whole and "sohefldo" in names:
        return "5.0" if names & set(_STRESS) else "3.6 to 4.2"
    for stress, velocity in _STRESS.items():
        if whole and velocity in names:
            return "3.6 to 4.2" if stress in names else "5.0"
    return "3.6 to 5.0, " + UNSAID


def _xios_version(header: Header) -> str:
    if any("_inner" in dim for dim in header.dims) or any(d.startswith("x_grid") for d in header.dims):
        return "5.0"
    units = {str(attrs.get("units")) for _, _, attrs in header.variables.values()}
    if units & {"degree_C", "0.001"}:
        return "3.6"
    said = {str(attrs.get("standard_name")) for _, _, attrs in header.variables.values()}
    if "bulk_sea_surface_temperature" in said:
        return "4.2 or 5.0"
    return ("4.0 to 4.2, " if units & {"degC", "1e-3"} else "3.6 to 4.2, ") + UNSAID


def _sampling(header: Header) -> tuple[str, ...]:
    """Whether the fields are means or instants: by what they say, else by the bounds of the time axis."""
    fields = [(dims, attrs) for _, dims, attrs in header.variables.values() if len(dims) > 2]
    said = [sampling(attrs) for dims, attrs in fields if any(role(d) == "time" for d in dims)]
    return means(said) or means(header.intervals.values())
