"""Ocean models (engines): their configurations, their runs, ensembles of them."""
