"""Ensembles of engine runs: their design, their starts, and how each member is run."""
