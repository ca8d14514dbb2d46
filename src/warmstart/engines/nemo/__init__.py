"""NEMO: its meshes, restarts, output and namelists, versions 3.6 to 5.0, as the package's grids, states and parameters."""
