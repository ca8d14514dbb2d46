"""The generator: regression mean, residual diffusion, sampling, constraints, training."""
