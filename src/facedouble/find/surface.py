"""The skin of a face laid flat, and laid back: the same point of a face at the same place, however it turns and acts.

The flat picture is that of the canonical mesh's own texture coordinates (see mesh.Mesh.texture); inside each triangle
the map is affine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .mesh import Mesh

FLAT_PX = 512
"""usual side of the flat picture: about 400 px a face square, so that crops of twice the usual size still fit in"""
_VERTICES = 468
_LEAST_FACING = 0.02
"""px shown to a flat px of the usual side, under which a place is turned away too far to be known"""
_NOWHERE = -1e4
"""px, far outside of any picture"""


class Surface:
    """Takes pictures of a face to its skin laid flat, a picture of so many px a side. Threads may share it."""

    def __init__(self, side_px: int = FLAT_PX) -> None:
        from scipy.sparse import csr_array

        mesh = _mesh()
        self.side_px = side_px
        self.places = (mesh.texture * (side_px - 1)).astype(np.float32)
        """(468, 2) where landmarks lie in the flat picture; the irises' do not"""
        corners = self.places[mesh.triangles]
        self._extent = _extents(corners)
        self._where = _drawn(corners, (side_px, side_px))
        # What part each landmark has in each px; one more stands for nowhere.
        parts = _parts(self._where, corners)
        whose = np.where(self._where[..., None] < 0, _VERTICES, mesh.triangles[self._where])
        begins = np.arange(0, whose.size + 1, 3)
        self._weights = csr_array((parts.ravel(), whose.ravel(), begins), shape=(side_px**2, _VERTICES + 1))

    def flattened(self, picture: NDArray[Any], points: NDArray[np.float32]) -> NDArray[Any]:
        """(k, k, c): the skin of the face with landmarks (478, 2) in `picture` (H, W, c); 0 outside the mesh."""
        import cv2

        known = np.concatenate([points[:_VERTICES], np.full((1, 2), _NOWHERE)]).astype(np.float32)
        places = np.asarray(self._weights @ known, np.float32).reshape(self.side_px, self.side_px, 2)
        return np.asarray(cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))

    def facing(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(k, k): how many px of the picture a flat px is shown on, from landmarks (478, 2); 0 where it is turned
        away, and outside the mesh."""
        shown = np.maximum(_extents(points[:_VERTICES][_mesh().triangles]) / self._extent, 0)
        return np.append(shown, np.float32(0))[self._where]

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


@dataclass(frozen=True, eq=False)
class SkinMap:
    """Where each px of a picture lies on the skin of the face in it."""

    places: NDArray[np.float32]
    """(H, W, 2) x and y, parts of the flat picture's side, far from 0..1 outside the face"""

    @classmethod
    def of(cls, points: NDArray[np.float32], size: tuple[int, int]) -> Self:
        """Of the face with landmarks (478, 2) in a picture of `size` (width, height)."""
        import cv2

        mesh, middle, half = _mesh(), (np.array(size, np.float32) - 1) / 2, np.float32(size[1] / 2)
        seen = np.ascontiguousarray(mesh.triangles[_extents(points[mesh.triangles]) > 0], np.int32)
        # OpenCV's camera looks along -z, at 45 degrees up and down, with y upwards; the third channel is no one's.
        corners = np.full((_VERTICES, 3), -1, np.float32)
        corners[:, :2] = (points[:_VERTICES] - middle) / half * (1, -1)
        places = np.full((*size[::-1], 3), _NOWHERE, np.float32)
        settings = cv2.TriangleRasterizeSettings()
        settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
        settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
        cv2.triangleRasterizeColor(
            corners, seen, _texture(), places, np.eye(4, dtype=np.float32), np.pi / 2, 0.5, 2.0, settings
        )
        return cls(np.ascontiguousarray(places[..., :2]))

    def every(self, step: int) -> Self:
        """Of the picture made smaller by a whole number; the last px of it may stand for fewer."""
        if step == 1:
            return self

        def beside(shift: int) -> NDArray[np.float32]:
            few = self.places
            for axis, side in enumerate(few.shape[:2]):
                few = np.take(few, np.minimum(np.arange(shift, side + shift, step), side - 1), axis)
            return few

        # Between two px, as a map is affine there; where there is one in the middle, that one.
        return type(self)((beside((step - 1) // 2) + beside(step // 2)) * np.float32(0.5))

    def laid(self, flat: NDArray[Any], edges: bool = False) -> NDArray[Any]:
        """(H, W, c): a flat picture (k, k, c), of any size k, on the face; 0 outside it. Hard `edges` are kept, which
        else would be a px softer."""
        import cv2

        places, how = self.places * np.float32(len(flat) - 1), cv2.INTER_CUBIC if edges else cv2.INTER_LINEAR
        return np.asarray(cv2.remap(flat, places, None, how, borderMode=cv2.BORDER_CONSTANT))


@cache
def _mesh() -> Mesh:
    return Mesh.load()


@cache
def _texture() -> NDArray[np.float32]:
    """(468, 3): x and y of each landmark in the flat picture, parts of its side."""
    return np.pad(_mesh().texture, ((0, 0), (0, 1))).astype(np.float32)


def _extents(corners: NDArray[Any]) -> NDArray[np.float32]:
    """(t,) signed areas of triangles (t, 3, 2); those that look at the camera have one sign, as the flat ones have."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray((first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1]) / 2, np.float32)


def _drawn(corners: NDArray[Any], size: tuple[int, int]) -> NDArray[np.int32]:
    """(H, W) which of the triangles (t, 3, 2) a px lies in; -1 in none."""
    import cv2

    drawn = np.full(size[::-1], -1, np.int32)
    for row, triangle in enumerate(np.round(corners * 16).astype(np.int32)):
        cv2.fillConvexPoly(drawn, triangle, row, cv2.LINE_8, 4)
    return drawn


def _parts(where: NDArray[np.int32], corners: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W, 3): what part the corners of its triangle (t, 3, 2) have in each px; `where` as above, 1, 0, 0 in none."""
    rows, columns = np.indices(where.shape)
    first, second, third = (corners[where, k].astype(np.float64) for k in range(3))
    (x, y), (x_2, y_2) = (np.moveaxis(edge - first, -1, 0) for edge in (second, third))
    right, down, area = columns - first[..., 0], rows - first[..., 1], x * y_2 - x_2 * y
    there = (where >= 0) & (np.abs(area) > 1e-6)
    of_second, of_third = (
        np.divide(part, area, out=np.zeros(where.shape), where=there)
        for part in (right * y_2 - down * x_2, down * x - right * y)
    )
    return np.stack([1 - of_second - of_third, of_second, of_third], -1).astype(np.float32)
