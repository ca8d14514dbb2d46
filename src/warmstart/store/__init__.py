"""The store of states: the members of an ensemble gathered, written and read."""
