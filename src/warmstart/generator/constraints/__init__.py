"""What a generated state has to satisfy exactly: a file a constraint, and the order they run in."""
