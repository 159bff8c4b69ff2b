"""Hair, brows and lashes as strands of points, in dm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from head import PARTS, Array, Base, Indices, triangles, unit
from scipy.spatial import cKDTree
from skin import Canvas, above_hairline, noise

STRANDS = 16000
BROW_POINTS = 5
# Rows of the two lash strips of an eye, from the root to the tip, as places in the eye's part of the mesh.
LASH_STRIPS = (
    (
        (7, 6, 5, 4, 3, 2, 0, 1, 18, 19, 20, 24, 21),
        (44, 45, 46, 47, 48, 49, 53, 52, 33, 32, 31, 27, 30),
        (55, 56, 57, 58, 59, 60, 62, 61, 54, 22, 29, 43, 8),
        (105, 109, 108, 103, 102, 107, 106, 104, 112, 101, 100, 110, 111),
        (68, 69, 70, 71, 72, 73, 75, 74, 67, 64, 65, 66, 63),
    ),
    (
        (9, 50, 10, 11, 12, 13, 14, 15, 16, 51, 17, 23),
        (42, 26, 41, 40, 39, 38, 37, 36, 35, 25, 34, 28),
        (87, 77, 86, 85, 84, 83, 82, 81, 80, 76, 79, 78),
        (122, 121, 120, 123, 124, 117, 115, 116, 114, 113, 118, 119),
        (99, 89, 98, 97, 96, 95, 94, 93, 92, 88, 91, 90),
    ),
)


class Style(Protocol):
    """How hair lies. Everything is for N strands: `over_eyes` dm over the eyes and `inside` dm from the hairline at the
    root, `along` 0..1 from root to tip."""

    hairline: Array
    """(K, 2) degrees from the front, height over the eyes in dm"""
    points: int
    """a strand"""
    mess: float
    distance: float
    """dm it keeps from the skin"""

    def direction(self, at: Array, over_eyes: Array, base: Base) -> Array: ...
    def length(self, root: Array, over_eyes: Array, inside: Array, base: Base) -> Array: ...
    def lift(self, along: float, over_eyes: Array) -> Array: ...
    def farthest(self, along: float, over_eyes: Array) -> Array: ...
    def added(self, skin: Array, base: Base, rng: np.random.Generator) -> Array: ...


class Cropped:
    """Short: swept forward and to one side on top, down and back at the sides."""

    hairline = np.array(
        [
            (0, 18, 30, 40, 48, 56, 63, 72, 86, 92, 100, 112, 128, 180),
            (0.66, 0.67, 0.68, 0.60, 0.46, 0.24, 0, -0.25, -0.28, 0, 0.05, -0.25, -0.72, -0.78),
        ]
    ).T
    points = 7
    mess = 0.38
    distance = 0.035

    def direction(self, at: Array, over_eyes: Array, base: Base) -> Array:
        top = np.clip((over_eyes - 0.55) / 0.35, 0, 1)[:, None]
        return top * (-0.75, 0.1, 0.7) + (1 - top) * (0, -0.9, -0.55)

    def length(self, root: Array, over_eyes: Array, inside: Array, base: Base) -> Array:
        return (0.055 + 0.36 * np.clip((over_eyes - 0.5) / 0.35, 0, 1)) * np.clip(0.45 + inside / 0.25, 0, 1)

    def lift(self, along: float, over_eyes: Array) -> Array:
        return (0.75 - 0.7 * along) * np.clip((over_eyes - 0.45) / 0.4, 0.06, 1)

    def farthest(self, along: float, over_eyes: Array) -> Array:
        return np.where(over_eyes < 0.62, 0.05 + 0.05 * along, 0.9)

    def added(self, skin: Array, base: Base, rng: np.random.Generator) -> Array:
        return np.empty((0, self.points, 3))


class Knot:
    """Long, pulled back to a knot."""

    hairline = np.array(
        [
            (0, 15, 30, 42, 50, 58, 66, 76, 88, 94, 102, 114, 130, 180),
            (0.66, 0.655, 0.60, 0.47, 0.32, 0.16, 0, -0.12, -0.12, 0.05, 0.05, -0.25, -0.85, -0.95),
        ]
    ).T
    points = 14
    mess = 0.07
    distance = 0.07
    radius = 0.30

    def direction(self, at: Array, over_eyes: Array, base: Base) -> Array:
        return self._knot(base) - at

    def length(self, root: Array, over_eyes: Array, inside: Array, base: Base) -> Array:
        return np.clip(np.linalg.norm(root - self._knot(base), axis=1) * 1.5, 0.15, 3.8)

    def lift(self, along: float, over_eyes: Array) -> Array:
        return np.full(len(over_eyes), 0.12 - 0.15 * along)

    def farthest(self, along: float, over_eyes: Array) -> Array:
        return np.full(len(over_eyes), 0.10)

    def added(self, skin: Array, base: Base, rng: np.random.Generator) -> Array:
        """The knot itself: arcs around a ball on the back of the head."""
        count = 1400
        nearest = np.linalg.norm(skin - (0, base.eye[1] + 0.25, -1.0), axis=1).argmin()
        centre = skin[nearest] - (0, 0, 0.7 * self.radius)
        axis = unit(rng.normal(size=(count, 3)) * (0.5, 0.5, 1.6))
        first = unit(np.cross(axis, (0, 1, 0.3)))
        second = np.cross(axis, first)
        angle = rng.uniform(0, 2 * np.pi, (count, 1)) + np.linspace(0, 2.4, self.points)
        radius = self.radius * rng.uniform(0.8, 1.03, (count, 1))
        tilt = rng.uniform(-0.6, 0.6, (count, 1))
        flat = (np.cos(angle)[..., None] * first[:, None] + np.sin(angle)[..., None] * second[:, None]) * np.cos(tilt)[
            ..., None
        ]
        return centre + radius[..., None] * (flat + np.sin(tilt)[..., None] * axis[:, None])

    def _knot(self, base: Base) -> Array:
        return np.array([0, base.eye[1] + 0.30, -1.05])


def grow_hair(style: Style, vertices: Array, canvas: Canvas, rng: np.random.Generator) -> Array:
    """Strands (N, points, 3) on the shaped head `vertices` (V, 3), each following the skin's normals as it grows."""
    base, corners = canvas.base, triangles(canvas.faces)
    ears = canvas.of_vertices("ears")[corners].mean(1)
    middle = base.vertices[corners].mean(1)
    normals = vertex_normals(vertices, corners)
    hairy = (above_hairline(middle, base, style.hairline) > -0.06) & (ears < 0.05)
    hairy = np.nonzero(hairy & (middle[:, 1] > base.eye[1] - 1.2))[0]
    area = np.linalg.norm(_cross(vertices[corners[hairy]]), axis=1)
    chosen = corners[rng.choice(hairy, STRANDS * 2, p=area / area.sum())]
    pair = rng.random((STRANDS * 2, 2))
    pair = np.where(pair.sum(1, keepdims=True) > 1, 1 - pair, pair)
    weights = np.column_stack([1 - pair.sum(1), pair])[..., None]
    origin = (base.vertices[chosen] * weights).sum(1)
    inside = above_hairline(origin, base, style.hairline) + 0.05 * noise(origin, 0.12, 5)
    inside += 0.02 * rng.normal(size=len(origin))
    kept = (inside > 0) & (rng.random(len(inside)) < np.clip(0.25 + inside / 0.12, 0, 1))
    kept = np.nonzero(kept)[0][:STRANDS]
    origin, inside, weights, chosen = origin[kept], inside[kept], weights[kept], chosen[kept]
    root_normals = unit((normals[chosen] * weights).sum(1))
    tip = (vertices[chosen] * weights).sum(1)

    head = np.unique(corners[(middle[:, 1] > base.eye[1] - 1.4) & (ears < 0.05)])
    skin, skin_normals = vertices[head], normals[head]
    nearest = cKDTree(skin)
    over_eyes = origin[:, 1] - base.eye[1]
    clump = np.stack([noise(origin, 0.10, seed) for seed in (91, 92, 93)], 1)
    own = rng.normal(size=tip.shape)
    length = style.length(origin, over_eyes, inside, base) * rng.uniform(0.7, 1.15, len(tip))
    layer = rng.random(len(tip))
    strand, heading = [tip - 0.01 * root_normals], None
    for step in range(style.points - 1):
        along = step / (style.points - 1)
        normal = skin_normals[nearest.query(tip)[1]]
        comb = style.direction(tip, over_eyes, base)
        comb = unit(comb - (comb * normal).sum(1, keepdims=True) * normal)
        mess = style.mess * (0.6 * clump + 0.5 * own * (0.4 + along))
        wanted = unit(comb + style.lift(along, over_eyes)[:, None] * normal + mess)
        heading = wanted if heading is None else unit(0.35 * heading + 0.65 * wanted)
        tip = tip + heading * (length / (style.points - 1))[:, None]
        place = nearest.query(tip)[1]
        normal = skin_normals[place]
        height = ((tip - skin[place]) * normal).sum(1)
        lowest = style.distance * (0.25 + 0.75 * layer) * min(1, (step + 1) / 2)
        highest = np.maximum(lowest, style.farthest(along, over_eyes) * (0.5 + 0.8 * layer))
        tip = tip + normal * (np.clip(height, lowest, highest) - height)[:, None]
        strand.append(tip)
    return np.concatenate([np.stack(strand, 1), style.added(skin, base, rng)])


@dataclass(frozen=True)
class BrowShape:
    line: tuple[tuple[float, float, float], ...]
    """(sideways, over the eye, half width), in distances between the eyes"""
    hairs: int
    length: float
    density: float
    """exponent: below 1 the outer end is denser"""


@dataclass
class Brows:
    """Brow hairs tied to the skin: corners (N, 3) and weights (N, 3) of the root's triangle, offsets (N, points, 3) in
    its frame, thickness (N,)."""

    corners: Indices
    weights: Array
    offsets: Array
    thickness: Array

    def on(self, vertices: Array) -> Array:
        """(N, points, 3) on the head as it is now."""
        triangle = vertices[self.corners]
        roots = (triangle * self.weights[..., None]).sum(1)
        return roots[:, None] + np.einsum("nsk,nkj->nsj", self.offsets, _frames(triangle))


def grow_brows(shape: BrowShape, vertices: Array, canvas: Canvas, rng: np.random.Generator) -> Brows:
    """Brow hairs on the shaped head `vertices` (V, 3)."""
    base, corners = canvas.base, triangles(canvas.faces)
    middle = base.vertices[corners].mean(1)
    apart, eye_y = 2 * base.eye[0], base.eye[1]
    forehead = (_cross(base.vertices[corners])[:, 2] > 0) & (middle[:, 2] > 0.7)
    corners = corners[forehead & (middle[:, 1] > eye_y - 0.05) & (middle[:, 1] < eye_y + 0.7)]
    a, b, c = base.vertices[corners].transpose(1, 0, 2)
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    line = np.array(shape.line)
    knots = np.linspace(0, 1, len(line))
    slopes = np.gradient(line[:, 1], line[:, 0])
    rows = []
    for side in (1, -1):
        for u in rng.random(shape.hairs) ** shape.density:
            out, up, half_width = (apart * np.interp(u, knots, column) for column in line.T)
            v = np.clip(rng.normal(0, 0.5), -1.15, 1.15)
            x, y = side * out + rng.normal(0, 0.010), eye_y + up + v * half_width + rng.normal(0, 0.006)
            first = ((b[:, 1] - c[:, 1]) * (x - c[:, 0]) + (c[:, 0] - b[:, 0]) * (y - c[:, 1])) / area
            second = ((c[:, 1] - a[:, 1]) * (x - c[:, 0]) + (a[:, 0] - c[:, 0]) * (y - c[:, 1])) / area
            weights = np.stack([first, second, 1 - first - second], 1)
            under = np.nonzero(weights.min(1) >= 0)[0]
            if not len(under):
                continue
            depth = (weights[under] * np.stack([a, b, c], 1)[under, :, 2]).sum(1)
            face = under[depth.argmax()]
            # Up at the inner end, then along the brow and slightly towards its spine.
            angle = np.interp(u, (0, 0.12, 0.35, 1), (62, 44, 20, -6)) + rng.normal(0, 14) - 9 * v * (u > 0.15)
            angle = np.radians(angle) + np.arctan(np.interp(u, knots, slopes))
            frame = _frames(vertices[corners[face]][None])[0]
            heading = np.array([side * np.cos(angle), np.sin(angle), 0])
            heading = unit(heading - (heading @ frame[2]) * frame[2])
            length = shape.length * rng.uniform(0.65, 1.15) * np.interp(u, (0, 0.2, 0.7, 1), (0.55, 0.95, 0.95, 0.6))
            bend = 0.30 - 0.45 * np.linspace(0, 1, BROW_POINTS)[:-1, None]
            steps = (heading + frame[2] * bend) * length / (BROW_POINTS - 1)
            points = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)])
            rows.append((corners[face], weights[face], points @ frame.T, rng.uniform(0.7, 1.1)))
    return Brows(*(np.array(column) for column in zip(*rows, strict=True)))


class Lashes:
    """Lash hairs tied to the mesh's lash strips: `count` for an upper lid, about half for a lower."""

    def __init__(self, count: int, length: float, vertices: Array, rng: np.random.Generator) -> None:
        self._strips: list[tuple[Indices, Array, Array, Array]] = []
        for eye in ("left lashes", "right lashes"):
            strips = [np.array(rows) + PARTS[eye].start for rows in LASH_STRIPS]
            roots = [vertices[strip[0], 1].mean() for strip in strips]
            for strip, root in zip(strips, roots, strict=True):
                upper = root == max(roots)
                hairs = count if upper else int(count * 0.55)
                start = np.sort(rng.uniform(0.01, 0.99, hairs))
                end = np.clip(start + rng.normal(0, 0.015, hairs), 0, 1)
                lengths = rng.uniform(0.65, 1.05, hairs) * length * (1 if upper else 0.8)
                self._strips.append((strip, start, end, lengths))

    def on(self, vertices: Array) -> Array:
        """(N, points, 3) on the head as it is now."""
        hairs = []
        for strip, start, end, lengths in self._strips:
            rows = vertices[strip]
            shares = np.linspace(0, 1, len(rows))
            root = _along(rows[0], start)
            points = [_along(row, start + (end - start) * share) for row, share in zip(rows, shares, strict=True)]
            hairs.append(np.stack([root + (point - root) * lengths[:, None] for point in points], 1))
        return np.concatenate(hairs)


def vertex_normals(vertices: Array, corners: Indices) -> Array:
    """(V, 3) normals of a mesh of triangles (T, 3), weighted by their areas."""
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, corners[:, corner], _cross(vertices[corners]))
    return unit(normals)


def _along(row: Array, share: Array) -> Array:
    """(N, 3) points at `share` (N,), 0..1, of a row (K, 3)."""
    place = share * (len(row) - 1)
    index = np.clip(place.astype(int), 0, len(row) - 2)
    return row[index] + (row[index + 1] - row[index]) * (place - index)[:, None]


def _cross(triangle: Array) -> Array:
    """(T, 3) normals, twice the area long, of (T, 3, 3)."""
    return np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])


def _frames(triangle: Array) -> Array:
    """(T, 3, 3) rows tangent, bitangent and normal, of (T, 3, 3)."""
    tangent, normal = unit(triangle[:, 1] - triangle[:, 0]), unit(_cross(triangle))
    return np.stack([tangent, np.cross(normal, tangent), normal], 1)
