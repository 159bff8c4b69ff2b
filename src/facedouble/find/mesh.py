"""The canonical face mesh behind MediaPipe's landmarks: where the surface of a face looks, once its pose is known.

The 468 vertices (the landmarks without the irises) and 898 triangles come with the landmarker's own weights, as the
`canonical_mesh` of its geometry pipeline (MediaPipe, face_geometry/protos/geometry_pipeline_metadata.proto). It is one
mean face for everybody, so a person's own bones are not in it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import weights
from ..errors import MachineError

_MEMBER = "geometry_pipeline_metadata_landmarks.binarypb"
_MESH, _VERTICES, _TRIANGLES = 1, 3, 4
_PER_VERTEX = 5
"""x, y, z, and two texture coordinates"""


@dataclass(frozen=True, eq=False)
class Mesh:
    vertices: NDArray[np.float32]
    """(468, 3) cm: x to the picture's right, y up, z to the viewer"""
    triangles: NDArray[np.int64]
    """(898, 3) vertices, counter-clockwise as the viewer sees them"""
    normals: NDArray[np.float32]
    """(898, 3) unit vectors out of the face, at angle 0"""
    areas: NDArray[np.float32]
    """(898,) cm2"""
    texture: NDArray[np.float32]
    """(468, 2) where each vertex lies in a picture of the whole surface laid flat, 0..1, x right, y down"""

    @classmethod
    def load(cls) -> Self:
        """Raises MachineError where the weights are missing, or hold no mesh."""
        file = weights.path("face_landmarker")
        try:
            with zipfile.ZipFile(file) as bundle:
                mesh = next(part for number, part in _fields(bundle.read(_MEMBER)) if number == _MESH)
            parts = list(_fields(mesh))
            numbers = np.frombuffer(b"".join(part for number, part in parts if number == _VERTICES), "<f4")
            vertices, texture = np.split(numbers.reshape(-1, _PER_VERTEX), [3], axis=1)
            triangles = np.array([part for number, part in parts if number == _TRIANGLES]).reshape(-1, 3)
        except (OSError, KeyError, ValueError, IndexError, StopIteration, zipfile.BadZipFile) as error:
            raise MachineError(
                f"{file}: no face mesh in it ({error}). Delete it; facedouble weights fetch gets it again."
            ) from error
        first, second, third = vertices[triangles].transpose(1, 0, 2)
        cross = np.cross(second - first, third - first)
        length = np.linalg.norm(cross, axis=1)
        return cls(vertices, triangles, cross / length[:, None], length / 2, texture)

    def centres(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """(898, 2): the middles of the triangles between landmarks (478, 2)."""
        return np.asarray(points[self.triangles].mean(1), np.float32)


def rotation(pose: NDArray[Any]) -> NDArray[np.float64]:
    """(3, 3): turns the canonical mesh to the camera, for yaw, pitch and roll (3,); undoes geometry.pose_angles."""
    yaw, pitch, roll = (float(angle) for angle in pose)
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protocol buffer: an int, or bytes (fixed 32 or 64 bits, or a length of them).

    Source: protobuf.dev, "Encoding". mediapipe's wheel carries no class for this one message.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            size, place = _varint(message, place)
        elif not size:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
