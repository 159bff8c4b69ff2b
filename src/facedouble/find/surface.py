"""The skin of a face laid flat, and laid back: the same point of a face at the same place, however it turns and acts.

The flat picture is that of the canonical mesh's own texture coordinates (see mesh.Mesh.texture); inside each triangle
the map is affine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mesh import Mesh

FLAT_PX = 512
"""usual side of the flat picture: about 400 px a face square, so that crops of twice the usual size still fit in"""
_VERTICES = 468
_LEAST_FACING = 0.02
"""px shown to a flat px of the usual side, under which a place is turned away too far to be known"""


class Surface:
    """Between pictures of a face and its skin laid flat, a picture of so many px a side. Threads may share it."""

    def __init__(self, side_px: int = FLAT_PX) -> None:
        mesh = Mesh.load()
        self.side_px = side_px
        self.places = (mesh.texture * (side_px - 1)).astype(np.float32)
        """(468, 2) where landmarks lie in the flat picture; the irises' do not"""
        self._triangles = mesh.triangles
        self._extent = _extents(self.places[self._triangles])
        self._where = _drawn(self.places[self._triangles], np.arange(len(self._triangles)), (side_px, side_px))

    def flattened(self, picture: NDArray[Any], points: NDArray[np.float32]) -> NDArray[Any]:
        """(k, k, c): the skin of the face with landmarks (478, 2) in `picture` (H, W, c); 0 outside the mesh."""
        import cv2

        corners = points[:_VERTICES][self._triangles]
        x, y = _moved(self._where, _affine(self.places[self._triangles], corners))
        return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))

    def facing(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(k, k): how many px of the picture a flat px is shown on, from landmarks (478, 2); 0 where it is turned
        away, and outside the mesh."""
        shown = np.maximum(_extents(points[:_VERTICES][self._triangles]) / self._extent, 0)
        return np.asarray(np.where(self._where < 0, 0, shown[self._where]), np.float32)

    def usual(self, faces: Iterable[tuple[NDArray[Any], NDArray[np.float32]]], side_px: int) -> NDArray[np.float32]:
        """(side_px, side_px, c): the middle value, place by place, of several faces laid flat, pictures (H, W, c) with
        landmarks (478, 2); so what is before few of them is not in it. 0 where none shows anything."""
        import cv2

        flats, least = [], _LEAST_FACING * (FLAT_PX / self.side_px) ** 2
        for picture, points in faces:
            flat, facing = (
                cv2.resize(part, (side_px, side_px), interpolation=cv2.INTER_AREA)
                for part in (self.flattened(picture, points), self.facing(points))
            )
            flats.append(np.where(facing[..., None] < least, np.float32(np.inf), flat))
        ordered = np.sort(np.stack(flats), axis=0)
        known = np.isfinite(ordered).sum(0)
        middle = np.take_along_axis(ordered, np.maximum(known - 1, 0)[None] // 2, axis=0)[0]
        return np.asarray(np.where(known > 0, middle, 0), np.float32)

    def laid(self, flat: NDArray[Any], points: NDArray[np.float32], size: tuple[int, int]) -> NDArray[Any]:
        """(H, W, c): a flat picture (k, k, c), of any size k, on the face with landmarks (478, 2) in a picture of
        `size` (width, height); 0 outside the face."""
        import cv2

        corners = points[:_VERTICES][self._triangles]
        seen = np.nonzero(_extents(corners) > 0)[0]
        where = _drawn(corners[seen], seen, size)
        scale = (len(flat) - 1) / (self.side_px - 1)
        x, y = _moved(where, _affine(corners, self.places[self._triangles] * scale))
        return np.asarray(cv2.remap(flat, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _extents(corners: NDArray[Any]) -> NDArray[np.float32]:
    """(t,) signed areas of triangles (t, 3, 2); those that look at the camera have one sign, as the flat ones have."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray((first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1]) / 2, np.float32)


def _drawn(corners: NDArray[Any], names: NDArray[Any], size: tuple[int, int]) -> NDArray[np.int32]:
    """(H, W) which of the triangles (t, 3, 2) a px lies in, by its name; -1 in none."""
    import cv2

    drawn = np.full(size[::-1], -1, np.int32)
    for name, triangle in zip(names.tolist(), np.round(corners * 16).astype(np.int32), strict=True):
        cv2.fillConvexPoly(drawn, triangle, name, cv2.LINE_8, 4)
    return drawn


def _affine(corners: NDArray[Any], goals: NDArray[Any]) -> NDArray[np.float32]:
    """(t, 2, 3): what takes each triangle (t, 3, 2) to its goal; where it has no area, to its goal's first corner."""
    (right, down), (right_2, down_2) = (np.asarray(corners[:, k] - corners[:, 0], np.float64).T for k in (1, 2))
    area = right * down_2 - right_2 * down
    part = np.where(np.abs(area) < 1e-6, 0, 1 / np.where(area == 0, 1, area))
    along, along_2 = ((goals[:, k] - goals[:, 0]).T for k in (1, 2))
    x, y = part * (along * down_2 - along_2 * down), part * (along_2 * right - along * right_2)
    shift = goals[:, 0].T - x * corners[:, 0, 0] - y * corners[:, 0, 1]
    return np.stack([x, y, shift], -1).swapaxes(0, 1).astype(np.float32)


def _moved(where: NDArray[np.int32], maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y (H, W) that each px goes to by its triangle's map; far outside where it is in none."""
    nowhere = np.full((1, 6), -1e4, np.float32)
    tables = np.ascontiguousarray(np.concatenate([maps.reshape(-1, 6), nowhere]).T)
    rows, columns = (np.arange(side, dtype=np.float32) for side in where.shape)
    chosen = where.astype(np.intp)
    x, y = (right[chosen] * columns + down[chosen] * rows[:, None] + shift[chosen] for right, down, shift in
            (tables[:3], tables[3:]))  # fmt: skip
    return x, y
