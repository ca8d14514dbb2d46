"""A tripolar world whose every point knows its place: what is repeated follows from the geometry, not from the code under test."""

import numpy as np

#: Offsets of the C-grid points from T, in cells eastward and northward.
OFFSETS = {"T": (0.0, 0.0), "U": (0.5, 0.0), "V": (0.0, 0.5), "F": (0.5, 0.5)}
NZ, NX, LAST = 3, 10, 7  # LAST: the last row of T points on this side of the fold


class World:
    """Rows from a southern coast to a fold about T or F points; `beyond` adds the row beyond it, as NEMO up to 4.0 does.

    ``place[point]`` holds, for each point, the number of the place on Earth that it is: equal numbers are the same place.
    """

    def __init__(self, pivot: str, beyond: bool) -> None:
        self.pivot, self.beyond = pivot, beyond
        self.shape = (NZ, LAST + 1 + beyond, NX)
        self.place, self.turned = {}, {}
        line, axis = (LAST, 0.0) if pivot == "T" else (LAST + 0.5, -0.5)
        for point, (east, north) in OFFSETS.items():
            j, i = np.indices(self.shape[1:])
            x, y = i + east, j + north
            over = y > line
            x2, y2 = np.where(over, 2 * axis - x, x) % NX, np.where(over, 2 * line - y, y)
            mirrored = (2 * axis - x2) % NX
            on = y2 == line
            other = on & (mirrored < x2)
            self.place[point] = (np.where(other, mirrored, x2) * 2 + 1000 * (y2 * 2)).round().astype(int)
            self.turned[point] = over | other  # velocities point the other way there

    def value(self, point: str, salt: int) -> np.ndarray:
        """A number between 0 and 1 for each place, the same wherever the place is repeated, ``(y, x)``."""
        return np.modf(np.sin(self.place[point] * 12.9898 + salt) * 43758.5453)[0] % 1

    def variables(self, counts: bool = False) -> dict:
        """Variables of a mesh_mask; the southern row and the poles of the grid are land."""
        t, dims = self.place["T"], ("T", "y", "x")
        sea = (np.arange(self.shape[1])[:, None] > 0) & (self.value("T", 1) > 0.15)
        if self.pivot == "T":
            sea &= ~np.isin(t, [1000 * 2 * LAST, 1000 * 2 * LAST + NX])
        levels = np.where(sea, 1 + (self.value("T", 2) * NZ).astype(int), 0)
        wet = np.arange(NZ)[:, None, None] < levels
        known = {p: {n: wet[:, j, i] for (j, i), n in np.ndenumerate(t)} for p in "T"}["T"]

        def open_face(point: str, half: tuple[int, int]) -> np.ndarray:
            out = np.zeros(self.shape, bool)
            for (j, i), _ in np.ndenumerate(t):
                ahead = self._ahead(j, i, point)
                out[:, j, i] = wet[:, j, i] & known.get(ahead, np.zeros(NZ, bool))
            for number in np.unique(self.place[point]):  # a face of the last row is known from its other copy
                here = self.place[point] == number
                out[:, here] = out[:, here].any(axis=1)[:, None]
            return out

        masks = {"tmask": wet, "umask": open_face("U", (0, 1)), "vmask": open_face("V", (1, 0))}
        masks["fmask"] = masks["vmask"]
        out = {n: (("T", "z", "y", "x"), m.astype("int8")[None]) for n, m in masks.items()}
        for p in OFFSETS:
            n = p.lower()
            out[f"glam{n}"] = (dims, (self.place[p] % 1000 * 18.0)[None])
            out[f"gphi{n}"] = (dims, (self.place[p] // 1000 * 5.0 - 40.0)[None])
            out[f"e1{n}"] = (dims, 1e5 * (1 + self.value(p, 3))[None])
            out[f"e2{n}"] = (dims, 1e5 * (1 + self.value(p, 4))[None])
        e3t = np.array([50.0, 150.0, 400.0])
        out["e3t_1d"] = (("T", "z"), e3t[None])
        out["e3t_0"] = (("T", "z", "y", "x"), (e3t[:, None, None] * (0.5 + 0.5 * self.value("T", 5)))[None])
        out["e3w_0"] = out["e3t_0"]
        if counts:
            for p in "TUV":
                once = self.once(p) & masks[f"{p.lower()}mask"].any(axis=0)
                out[f"{p.lower()}maskutil"] = (dims, once.astype("int8")[None])
        return out

    def _ahead(self, j: int, i: int, point: str) -> int:
        """Place of the T cell east or north of one."""
        if point == "U":
            return int(self.place["T"][j, (i + 1) % NX])
        if j + 1 < self.shape[1]:
            return int(self.place["T"][j + 1, i])
        longer = World(self.pivot, True).place["T"]
        return int(longer[j + 1, i]) if j + 1 < len(longer) else -1

    def once(self, point: str) -> np.ndarray:
        """The first of each place, ``(y, x)``."""
        flat = self.place[point].ravel()
        first = np.zeros(flat.size, bool)
        first[np.unique(flat, return_index=True)[1]] = True
        return first.reshape(self.place[point].shape)

    def velocity(self, point: str) -> np.ndarray:
        """A velocity at each place, its sign that of the axes there, ``(z, y, x)``."""
        sign = np.where(self.turned[point], -1.0, 1.0)
        return np.stack([sign * (self.value(point, 10 + k) - 0.5) for k in range(NZ)])

    def tracer(self, salt: int = 20) -> np.ndarray:
        """A number at each T place, ``(z, y, x)``."""
        return np.stack([self.value("T", salt + k) for k in range(NZ)])
