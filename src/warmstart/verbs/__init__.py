"""The verbs: one file each, in the order of the way of the data."""
