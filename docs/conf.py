"""Sphinx configuration."""

import importlib.metadata

project = "warmstart"
author = "The warmstart developers"
copyright = f"2026, {author}"
release = importlib.metadata.version("warmstart")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "deflist"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "warmstart"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
autodoc_typehints = "none"
autodoc_mock_imports = ["veros", "jax"]
