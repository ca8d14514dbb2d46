"""Sphinx configuration."""

import importlib.metadata

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
    from warmstart.parameters import PARAMETERS

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


def _metrics_page() -> str:
    """The metrics of check with the documentation of their functions, from the table itself."""
    import inspect

    from warmstart.check import METRICS

    lines = [
        "# Metrics",
        "",
        "What `check` computes, in the order of its table. Each is a function of a state and its grid.",
        "",
    ]
    for name, metric in METRICS.items():
        function = getattr(metric.function, "func", metric.function)
        given = getattr(metric.function, "keywords", {})
        doc = inspect.cleandoc(function.__doc__ or "").split("Examples\n---")[0].rstrip()
        settings = ", ".join(f"`{k} = {v}`" for k, v in given.items())
        place = f"`{function.__module__}.{function.__name__}`" + (f" with {settings}" if settings else "")
        lines += [f"## {name}", "", place, "", "```text", doc, "```", ""]
    return "\n".join(lines)


def setup(app: object) -> None:
    """Write the pages that derive from tables in the code before Sphinx reads them."""
    from pathlib import Path

    here = Path(__file__).parent
    (here / "parameters.md").write_text(_parameters_page(), encoding="utf-8")
    (here / "metrics.md").write_text(_metrics_page(), encoding="utf-8")
