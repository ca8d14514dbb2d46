"""Regression of equilibrium states on what they depend on: modes, Gaussian processes, and the relevance of inputs."""
