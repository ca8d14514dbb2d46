"""Sphinx configuration."""

import importlib.metadata
import sys

project = "warmstart"
author = "The warmstart developers"
copyright = f"2026, {author}"
release = importlib.metadata.version("warmstart")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
myst_enable_extensions = ["dollarmath", "deflist"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "warmstart"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
autodoc_typehints = "none"
autodoc_mock_imports = ["veros", "jax"]


def _parameters_page() -> str:
    """The table of parameters, from the table itself."""
    from warmstart.ocean.parameters import PARAMETERS

    lines = [
        "# Parameters",
        "",
        "Values may carry any convertible unit (`--set wind_stress_south=300mPa`). The default is DINO's reference value; the range is what",
        "plans may sample; a generator accepts the range that it was trained on. Where NEMO's DINO holds the number in one namelist entry, it is named.",
        "",
        "| parameter | unit | default | range | scale | meaning | NEMO |",
        "|---|---|---|---|---|---|---|",
    ]
    for p in PARAMETERS.values():
        nemo = f"`&{p.namelist[0]} {p.namelist[1]}`" if p.namelist else ""
        lines.append(
            f"| `{p.name}` | {p.units} | {p.default:g} | {p.low:g} … {p.high:g} | {p.scale} | {p.description} | {nemo} |"
        )
    return "\n".join(lines) + "\n"


def setup(app: object) -> None:
    """Write the pages that derive from tables in the code before Sphinx reads them."""
    from pathlib import Path

    here = Path(__file__).parent
    (here / "parameters.md").write_text(_parameters_page(), encoding="utf-8")
    sys.path.insert(0, str(here))
    import metrics_page

    (here / "metrics.md").write_text(
        metrics_page.page(metrics_page.pictures(here / "_pictures")), encoding="utf-8"
    )
