"""Equilibrium: how far a run is from it, when it arrives, how fast it gets there."""
