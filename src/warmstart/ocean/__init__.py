"""What an ocean is to this package: its mesh, variables, parameters, equation of state, and an analytic one."""
