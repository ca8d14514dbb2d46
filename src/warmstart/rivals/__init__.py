"""What a generator has to beat."""
