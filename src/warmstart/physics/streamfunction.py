"""The streamfunction of the depth-integrated flow: from velocities to it, along the coasts, and back."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg

from warmstart.ocean.grid import Grid


def barotropic_streamfunction(uo: np.ndarray, vo: np.ndarray, grid: Grid) -> np.ndarray:
    """Streamfunction of the depth-integrated transport: U = -dpsi/dy, V = dpsi/dx.

    The least-squares solution that is constant along each coast and minimises the barotropic kinetic energy of
    the difference; exact where the transport has no divergence.

    Parameters
    ----------
    uo, vo : velocity with zeros on land [m s-1], dims ``(z, y, x)``.
    grid : the mesh.

    Returns
    -------
    Streamfunction at F points [m3 s-1], shape ``(ny + 1, nx)``; row 0 is the coast south of the first row; zero
    on the northern coast.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> psi = barotropic_streamfunction(state.uo.fillna(0).values, state.vo.fillna(0).values, grid)
    >>> psi.shape, bool((psi[-1] == 0).all())
    ((9, 6), True)
    """
    names = ("e1u", "e2u", "e1v", "e2v", "e3u_0", "e3v_0", "umask", "vmask")
    g = {name: grid.ds[name].values for name in names}
    thick_u, thick_v = g["e3u_0"] * g["umask"], g["e3v_0"] * g["vmask"]
    transport = np.concatenate(
        [((uo * thick_u).sum(0) * g["e2u"]).ravel(), ((vo * thick_v).sum(0) * g["e1v"]).ravel()]
    )
    depth = np.concatenate([thick_u.sum(0).ravel(), thick_v.sum(0).ravel()])
    aspect = np.concatenate([(g["e1u"] / g["e2u"]).ravel(), (g["e2v"] / g["e1v"]).ravel()])
    difference = face_differences(grid)
    wet = depth > 0
    groups, members = coasts(difference, wet, grid.shape[2])
    places = np.arange(members.size), members
    join = scipy.sparse.csr_matrix((np.ones(members.size), places), shape=(members.size, groups))
    weight = scipy.sparse.diags(aspect[wet] / depth[wet])
    slope = difference[wet] @ join
    free = np.flatnonzero(np.arange(groups) != members[-1])
    matrix = (slope.T @ weight @ slope).tocsc()[free][:, free]
    solution = np.zeros(groups)
    solution[free] = scipy.sparse.linalg.spsolve(matrix.tocsc(), (slope.T @ (weight @ transport[wet]))[free])
    _, ny, nx = grid.shape
    return solution[members].reshape(ny + 1, nx)


def face_differences(grid: Grid) -> scipy.sparse.csr_matrix:
    """Make the matrix from the streamfunction at F points to the transport through U faces, then V faces.

    Returns
    -------
    Sparse ``(2 ny nx, (ny + 1) nx)`` of 1, -1 and 0; the first row of F points is the edge south of the first row of cells.

    Examples
    --------
    >>> face_differences(ws.basin(nx=6, ny=8, nz=4)[1]).shape
    (96, 54)
    """
    _, ny, nx = grid.shape
    index = np.arange((ny + 1) * nx).reshape(ny + 1, nx)
    north, south = index[1:].ravel(), index[:-1].ravel()
    west = np.roll(index[1:], 1, axis=1).ravel()
    n = ny * nx
    rows = np.concatenate([np.arange(n), np.arange(n), n + np.arange(n), n + np.arange(n)])
    columns = np.concatenate([north, south, north, west])
    values = np.repeat([-1.0, 1.0, 1.0, -1.0], n)
    return scipy.sparse.csr_matrix((values, (rows, columns)), shape=(2 * n, index.size))


def coasts(difference: scipy.sparse.csr_matrix, wet: np.ndarray, columns: int) -> tuple[int, np.ndarray]:
    """Group the F points that no transport separates: all ends of dry faces, and of the edge south of the first row.

    Parameters
    ----------
    difference : from :func:`face_differences`.
    wet : which faces have water, shape ``(2 ny nx,)``.
    columns : ``nx``.

    Returns
    -------
    Number of groups, and the group of each F point, shape ``((ny + 1) nx,)``.

    Examples
    --------
    >>> grid = ws.basin()[1]
    >>> open_faces = np.concatenate([grid.mask(point).any("z").values.ravel() for point in "UV"])
    >>> coasts(face_differences(grid), open_faces, grid.shape[2])[0] < 17 * 10
    True
    """
    south = np.arange(columns)
    edge = scipy.sparse.csr_matrix(
        (np.ones(2 * columns), (np.tile(south, 2), np.concatenate([south, np.roll(south, 1)]))),
        shape=(columns, difference.shape[1]),
    )
    dry = scipy.sparse.vstack([abs(difference[~wet]), edge])
    return scipy.sparse.csgraph.connected_components(dry.T @ dry, directed=False)


def with_streamfunction(
    uo: np.ndarray, vo: np.ndarray, psi: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the depth mean of the velocity by that of a streamfunction; the shear stays, land is 0.

    Parameters
    ----------
    uo, vo : velocity with zeros on land [m s-1], dims ``(z, y, x)``.
    psi : streamfunction at F points [m3 s-1], shape ``(ny + 1, nx)``.
    grid : the mesh.

    Examples
    --------
    >>> state, grid = ws.basin(nx=6, ny=8, nz=4)
    >>> still = np.zeros(grid.shape)
    >>> bool(np.any(with_streamfunction(still, still, np.zeros((9, 6)), grid)))
    False
    """
    out = []
    eastward = -(psi[1:] - psi[:-1]) / grid.e2u.values
    northward = (psi[1:] - np.roll(psi[1:], 1, axis=1)) / grid.e1v.values
    for velocity, transport, name in ((uo, eastward, "u"), (vo, northward, "v")):
        mask = grid.ds[f"{name}mask"].values
        thickness = grid.ds[f"e3{name}_0"].values * mask
        depth = np.maximum(thickness.sum(0), 1e-20)
        mean = ((velocity * thickness).sum(0) - transport) / depth
        out.append((velocity - mean) * mask)
    return out[0], out[1]
