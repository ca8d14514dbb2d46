"""Ocean models: what each is asked to do, and its files as states, meshes and parameters."""
