"""Eyeballs and teeth: geometry in dm and the painted eye, made from scratch."""

from __future__ import annotations

import numpy as np
from head import PARTS, Array, Indices, unit
from people import Iris
from skin import noise

# Places of the biting edge in the mesh's part, and the teeth's widths and heights from the middle outwards.
UPPER_EDGE = (9, 26, 11, 10, 25, 18, 17, 16, 20)
LOWER_EDGE = (18, 9, 10, 11, 12, 13, 14, 15, 16)
UPPER_SIZES = ((0.088, 0.068, 0.078, 0.072, 0.068, 0.10, 0.10), (0.105, 0.09, 0.10, 0.085, 0.08, 0.075, 0.07))
LOWER_SIZES = ((0.055, 0.06, 0.07, 0.072, 0.072, 0.105, 0.10), (0.088, 0.09, 0.098, 0.085, 0.08, 0.075, 0.07))
CANINE = 2
IRIS_RADIUS = 0.378
"""of the eyeball's"""


def eyeball(radius: float) -> tuple[tuple[Array, Indices], tuple[Array, Indices]]:
    """The white with its sunken iris, and the clear cornea over it, both about the origin and looking along +z."""
    edge = np.radians(22.2)
    edge_z, edge_r = radius * np.cos(edge), radius * np.sin(edge)
    iris = np.array((0.001, 0.15, 0.3, 0.34, 0.5, 0.7, 0.85, 0.97))
    back = np.radians(np.concatenate([np.linspace(22.2, 30, 4), np.linspace(36, 178, 22)]))
    ball_z = np.concatenate([edge_z - 0.19 * radius + 0.010 * iris**2, radius * np.cos(back)])
    ball_r = np.concatenate([edge_r * iris, radius * np.sin(back)])
    bulge = 0.51 * radius
    centre = edge_z - np.sqrt(max(bulge**2 - edge_r**2, 0))
    front = np.linspace(0.001, 0.96 * np.arcsin(min(edge_r / bulge, 1)), 10)
    back = np.radians(np.linspace(24.5, 178, 30))
    cornea_z = np.concatenate([centre + bulge * np.cos(front), 1.004 * radius * np.cos(back)])
    cornea_r = np.concatenate([bulge * np.sin(front), 1.004 * radius * np.sin(back)])
    return _revolved(ball_z, ball_r), _revolved(cornea_z, cornea_r)


def eye_picture(iris: Iris, size: int = 1024) -> Array:
    """(size, size, 3) sRGB of an eyeball seen from the front, its first row the top."""
    y, x = (0.5 - (np.mgrid[:size, :size] + 0.5) / size) * 2
    x = -x
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    q = radius / IRIS_RADIUS
    around = np.stack([np.cos(angle), np.sin(angle), 0.05 * q], -1).reshape(-1, 3)
    layers = ((0.09, 0.5), (0.035, 0.6), (0.016, 0.5))
    fibres = sum(noise(around, scale, 100 + k) * weight for k, (scale, weight) in enumerate(layers))
    fibres = fibres.reshape(size, size, 1)
    colour = np.array(iris.colour) * (1 + 0.45 * fibres)
    inner = 0.75 * np.exp(-(((q - 0.42) / 0.16) ** 2))[..., None]
    colour += (np.array(iris.inner) * (1 + 0.4 * fibres) - colour) * inner
    rim = 0.85 * np.clip((q - 0.80) / 0.17, 0, 1)[..., None] ** 1.4
    colour += (np.array(iris.rim) - colour) * rim
    pupil = 1 / (1 + np.exp(np.clip((q - 0.33) / 0.015, -50, 50)))[..., None]
    colour += (0.01 - colour) * pupil
    flat = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    veins = np.clip(1 - abs(noise(flat, 0.11, 5) + 0.5 * noise(flat, 0.05, 6)) * 9, 0, 1).reshape(size, size)
    veins = (veins * np.clip((radius - 0.5) / 0.4, 0, 1))[..., None]
    white = np.array((0.86, 0.83, 0.80)) * (1 - 0.35 * veins * (0.1, 0.7, 0.7))
    white *= 1 - 0.22 * np.clip((radius - 0.42) / 0.6, 0, 1)[..., None] * (0.25, 0.9, 0.9)
    inside = 1 / (1 + np.exp(np.clip((q - 1.0) / 0.028, -50, 50)))[..., None]
    return np.clip(white + (colour - white) * inside, 0, 1)


def teeth(vertices: Array, upper: bool) -> tuple[Array, Indices]:
    """Rounded blocks along one arch of the shaped head `vertices` (V, 3), where MakeHuman has two plain strips."""
    part = vertices[PARTS["upper teeth" if upper else "lower teeth"]]
    edge = part[list(UPPER_EDGE if upper else LOWER_EDGE)]
    edge = edge[np.argsort(-edge[:, 2])]
    edge[0, 0] = 0
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(edge[:, [0, 2]], axis=0), axis=1))])
    widths, heights = (np.array(sizes) for sizes in (UPPER_SIZES if upper else LOWER_SIZES))
    widths = widths * 1.02
    to_root = 1 if upper else -1

    def on_arch(place: float) -> Array:
        return np.array([np.interp(place, lengths, column) for column in edge.T])

    points, faces = [], []
    for k, place in enumerate(np.cumsum(widths) - widths / 2):
        centre = on_arch(place)
        along = on_arch(place + 0.02) - on_arch(max(place - 0.02, 0))
        along = unit(along * (1, 0, 1))
        out = np.array([-along[2], 0, along[0]])
        out = out if out @ (centre - (0, 0, 0.9)) > 0 else -out
        x, y, z, quads = _tooth(k == CANINE)
        block = centre + x[:, None] * along * widths[k] * 0.54 + (z[:, None] - 0.6) * out * (0.034 if k < 3 else 0.05)
        block[:, 1] += to_root * ((1 - y) * heights[k] / 2 + 0.004 * (k == 1))
        for side in (1, -1):
            mirrored = block * (0.86 * side, 1, 1) + (0, 0.003 * np.sin(7.3 * k + side + to_root), 0)
            mirrored -= (0, 0.028, 0.035) if upper else (0, 0, 0.047)
            faces.append((quads if side > 0 else quads[:, ::-1]) + sum(map(len, points)))
            points.append(mirrored)
    return np.concatenate(points), np.concatenate(faces)


def gums(vertices: Array, upper: bool) -> Array:
    """(N, 3) the mesh's own strip of one arch, flattened to lie behind the teeth."""
    strip = vertices[PARTS["upper teeth" if upper else "lower teeth"]].copy()
    root = strip[:, 1].max() if upper else strip[:, 1].min()
    strip[:, 1] = root + (strip[:, 1] - root) * 0.52
    return strip * (0.97, 1, 1) - (0, 0, 0.012)


def _tooth(canine: bool, around: int = 20, rows: int = 12) -> tuple[Array, Array, Array, Indices]:
    """A block from -1 to 1: x along the arch, y towards the biting edge, z outwards; its quads (F, 4)."""
    v, u = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, rows), np.linspace(0, 2 * np.pi, around, False), indexing="ij"
    )

    def rounded(wave: Array, power: float) -> Array:
        return np.sign(wave) * abs(wave) ** power

    x = rounded(np.cos(v), 0.45) * rounded(np.cos(u), 0.42)
    z = rounded(np.cos(v), 0.45) * rounded(np.sin(u), 0.8)
    y = rounded(np.sin(v), 0.6)
    bite = np.clip(y, 0, 1)
    x *= 1 + 0.10 * y - (0.32 * bite**2 if canine else 0.10 * bite**4)
    z *= 1 - 0.45 * bite
    return x.ravel(), y.ravel(), z.ravel(), _grid(rows, around)


def _revolved(z: Array, radius: Array, around: int = 48) -> tuple[Array, Indices]:
    """A surface of revolution about z, from the front pole to the back."""
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    points = np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle)), np.tile(z, (around, 1)).T], -1)
    return points.reshape(-1, 3), _grid(len(z), around)[:, ::-1]


def _grid(rows: int, around: int) -> Indices:
    """(F, 4) quads of rows of points, each row closed to a ring."""
    row, column = np.mgrid[: rows - 1, :around]
    following = (column + 1) % around
    corners = (
        row * around + column,
        row * around + following,
        (row + 1) * around + following,
        (row + 1) * around + column,
    )
    return np.stack(corners, -1).reshape(-1, 4)
