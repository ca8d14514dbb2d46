"""Quantities of a state with a regression of their own: a file each."""
