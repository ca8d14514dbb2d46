"""The toy is installed by a fixture, not by looking for tests in it."""

collect_ignore = ["site"]
