"""Examples in docstrings have the package at hand as ``ws``, as whoever reads them has it."""

from typing import Any

import pytest

import warmstart as ws


@pytest.fixture(autouse=True, scope="session")
def package(doctest_namespace: dict[str, Any]) -> None:
    """Give every example the name ``ws``."""
    doctest_namespace["ws"] = ws
