"""The elliptic problem of the barotropic streamfunction, solved directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from veros.core.external.solvers.scipy import SciPySolver

#: Unknowns up to which the inverse is kept as a dense matrix (2 degrees has about 2000).
DENSE_LIMIT = 4000


class DirectSolver:
    """Veros's linear solver as a traceable function.

    The matrix of the wet interior points is inverted once (or factorised, beyond `dense_limit` unknowns, where each
    solve calls back to the host). Everywhere else the increment of the streamfunction is zero: Veros keeps the part of
    the islands apart, in ``dpsin``.

    Parameters
    ----------
    state : Veros state of an initialised setup.
    dense_limit : number of unknowns up to which the inverse is dense.
    """

    def __init__(self, state: Any, dense_limit: int = DENSE_LIMIT) -> None:
        matrix, boundary = SciPySolver._assemble_poisson_matrix(state)
        scaling = SciPySolver._jacobi_preconditioner(state, matrix)
        matrix = (scaling * matrix).tocsr()
        interior = np.zeros(np.asarray(boundary).shape, bool)
        interior[2:-2, 2:-2] = True
        off_diagonal = abs(matrix) - abs(scipy.sparse.diags(matrix.diagonal()))
        coupled = np.asarray(off_diagonal.sum(axis=1)).reshape(-1) > 0  # a land point has the diagonal only
        self.unknown = np.flatnonzero((interior & np.asarray(boundary).astype(bool)).reshape(-1) & coupled)
        self.scale = np.asarray(scaling.diagonal())[self.unknown]
        self.place = np.full(matrix.shape[0], self.unknown.size)
        self.place[self.unknown] = np.arange(self.unknown.size)
        self.invert = _inverse(matrix[self.unknown][:, self.unknown].tocsc(), dense_limit)

    def solve(self, state: Any, rhs: Any, x0: Any, boundary_val: Any = None) -> Any:
        """Solve for the wet interior points; the others are zero."""
        solution = self.invert(rhs.reshape(-1)[self.unknown] * self.scale)
        return jnp.append(solution, 0.0)[self.place].reshape(x0.shape)


def _inverse(matrix: Any, dense_limit: int) -> Callable[[Any], Any]:
    if matrix.shape[0] <= dense_limit:
        inverse = jnp.asarray(np.linalg.inv(matrix.toarray()))
        return lambda right: inverse @ right
    factors = scipy.sparse.linalg.splu(matrix)

    def on_host(right: Any) -> np.ndarray:
        values = np.asarray(right, dtype="float64")
        rows = values.reshape(-1, values.shape[-1])
        return np.ascontiguousarray(factors.solve(rows.T).T.reshape(values.shape))

    def solve(right: Any) -> Any:
        like = jax.ShapeDtypeStruct(right.shape, right.dtype)
        return jax.pure_callback(on_host, like, right, vmap_method="expand_dims")

    return solve
