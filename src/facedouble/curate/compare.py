"""Two face sets beside each other, in numbers: what the target A asks for, and what the source B has to give.

Nothing is judged here; curate.match says what is good and what to do about the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..faces import GAZE
from ..find.identity import apart
from ..find.mesh import Mesh
from ..geometry import FACE_OVAL, apply, face_width, similarity
from ..recipes import TrainRecipe
from .appearance import Appearance, shading, skin_pieces
from .aside import WRONG_PERSON
from .faceset import FaceSet
from .prune import choose
from .quality import Quality

NEAR_DEG = 10.0
"""how far from faces it learned a decoder is trusted; six times the 1.6 degrees to which the landmarks agree"""
STEEP_DEG = 40.0
"""beyond it the far side of a swapped face stays A's: benchmarks/README.md, hard-pose"""
BEYOND = 0.15
"""by how much A outdoes B; the rendered known answer's own expressions are read 0.10 off (judge.verdict)"""
_SKIN_Y = 0.34
"""luminance of skin of L* 65, on which differences of light are told in L*"""
_REST = 20
_CALM = 0.15
_FRONT_DEG = 20.0
_AHEAD_DEG, _AHEAD_FACES = 15.0, 10

ACTIONS: dict[str, tuple[int, ...]] = {
    "mouth open": (25,), "smile": (44, 45), "corners of the mouth down": (30, 31), "lips pursed": (32, 38),
    "mouth aside": (33, 39), "lips pressed or rolled in": (36, 37, 40, 41),
    "upper lip raised, nose wrinkled": (48, 49, 50, 51), "lower lip drawn down": (34, 35), "eyes closed": (9, 10),
    "eyes wide": (21, 22), "eyes narrowed": (19, 20), "brows raised": (3, 4, 5), "brows lowered": (1, 2),
    "looks to the own left": (14, 15), "looks to the own right": (13, 16), "looks up": (17, 18), "looks down": (11, 12),
}  # fmt: skip
"""what a face may do -> MediaPipe's blendshapes that tell of it"""
_EITHER = {"mouth aside", "lips pursed", "lips pressed or rolled in", "upper lip raised, nose wrinkled"}
"""told by the strongest of their blendshapes, the others by the mean"""


@dataclass(frozen=True, eq=False)
class Side:
    """One set, looked at: rows are those of `seen`, a part of the set's."""

    faces: FaceSet
    quality: Quality
    """of the whole set"""
    seen: Appearance

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def angles(self) -> NDArray[np.float64]:
        """(n, 2) yaw and pitch, degrees"""
        return np.degrees(self.faces.faces.pose[self.seen.row, :2].astype(np.float64))

    @property
    def acting(self) -> NDArray[np.float64]:
        """(n, actions) 0..1 counted from the person's own rest, which for gaze is 0.

        Blendshapes are read off the shape too (high brows as raised ones), and most are at rest most of the time, so
        rest is their 20th percentile, as training takes it.
        """
        values = self.faces.faces.expression[self.seen.row].astype(np.float64)
        rest = np.percentile(values, _REST, axis=0)
        rest[GAZE] = 0
        values = values - rest
        told = [
            values[:, parts].max(1) if name in _EITHER else values[:, parts].mean(1) for name, parts in ACTIONS.items()
        ]
        return np.stack(told, 1)

    @property
    def shown(self) -> NDArray[np.float64]:
        """(actions,) how far each expression goes: what the third strongest face does, see _few"""
        return np.asarray(np.sort(self.acting, axis=0)[-_few(len(self))])

    @property
    def square_px(self) -> NDArray[np.float32]:
        """(n,) side of the face square in the frame"""
        return np.asarray(self.quality.size_px[self.seen.row])

    @property
    def steep(self) -> NDArray[np.bool_]:
        return np.abs(self.angles[:, 0]) > STEEP_DEG

    def shape(self) -> NDArray[np.float64]:
        """(468, 2) the calm face from straight ahead, in face squares; nan where hardly any face is seen from there, as
        the canonical mesh does not know this person's depth.

        From calm faces within 20 degrees, or the calmest and straightest 20, each landmark is a straight line over yaw
        and pitch, read at 0.
        """
        angles, effort = np.radians(self.angles), self.acting[:, :13].max(1)
        turned = np.degrees(np.linalg.norm(angles, axis=1))
        if (turned < _AHEAD_DEG).sum() < _AHEAD_FACES:
            return np.full((468, 2), np.nan)
        rows = np.nonzero((turned < _FRONT_DEG) & (effort < _CALM))[0]
        if len(rows) < 20:
            rows = np.argsort(turned / _FRONT_DEG + effort / _CALM, kind="stable")[:20]
        square = self.faces.recipe.size_px / self.faces.recipe.coverage
        where = [
            apply(self.faces.transform[row], self.faces.faces.points[row])[:468] / square for row in self.seen.row[rows]
        ]
        left = np.column_stack([np.ones(len(rows)), angles[rows]])
        right = np.asarray(where, np.float64).reshape(len(rows), -1)
        penalty = np.diag([0, 1e-2, 1e-2]) * len(rows)  # for sets that hold still
        return np.asarray(np.linalg.solve(left.T @ left + penalty, left.T @ right)[0].reshape(-1, 2))

    def unlike(self) -> NDArray[np.float64]:
        """(n,) how much the visible skin differs from the same places in the set's other faces, CIELAB units, exposure
        and white balance left out; nan when steep.

        An order to look in and not a verdict: hair, a cup and a hard shadow that moves are all unlike, a bare hand has
        the skin's own colour, and what is always there (glasses, a beard, a fringe) is like itself.
        """
        surface = self.seen.surface.astype(np.float32)
        with np.errstate(all="ignore"):
            away = surface - _nanmedian(surface, 0)
            away -= _nanmedian(away, 1)[:, None]
        unlike = np.linalg.norm(away, axis=-1)
        known = np.isfinite(unlike)
        mean = np.where(known, unlike, 0).sum(1) / np.maximum(known.sum(1), 1)
        return np.where(self.steep | (known.sum(1) < 30), np.nan, mean)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What both sides give together. Numbers by name; nan is not measured."""

    a: Side
    b: Side
    recipe: TrainRecipe
    values: dict[str, float]
    angles_missing: NDArray[np.bool_]
    """(nA,) faces of A that B never shows from this side"""
    acting_missing: NDArray[np.bool_]
    """(nA, actions)"""
    lamps: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(3,) mean light of A and of B, see Appearance.light"""
    shapes: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(468, 2) of A, and of B laid onto it, in face squares"""
    skins: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(3,) mean CIELAB of the lit skin of A and of B"""
    distinct: tuple[NDArray[np.int64], NDArray[np.int64]]
    """table rows of A and of B that are no duplicates and nobody else's, as `faces prune` finds them"""
    strangers: tuple[NDArray[np.int64], NDArray[np.int64]]
    """table rows of A and of B that are somebody else's, as `faces prune` finds them"""

    @classmethod
    def of(cls, a: Side, b: Side, recipe: TrainRecipe) -> Self:
        sides = (a, b)
        away = _away(a.angles, b.angles)
        acting_missing = (a.acting > b.shown + BEYOND) & ~a.steep[:, None]
        fields = [light_field(side.seen.light) for side in sides]
        light_away = _away(*fields)
        lamps = _mean(a.seen.light), _mean(b.seen.light)
        turn, contrast = _light_parts(*lamps)
        shapes = a.shape(), b.shape()
        laid = apply(similarity(shapes[1], shapes[0]), shapes[1]).astype(np.float64)
        width = face_width(shapes[0])
        away_from_a = np.linalg.norm(laid - shapes[0], axis=1) / width
        inner = np.ones(len(laid), bool)
        inner[FACE_OVAL] = False
        others, distinct = zip(*(_pruned(side.quality) for side in sides), strict=True)
        measured = [int((~np.isnan(side.quality.away)).sum()) for side in sides]
        skins = _mean(a.seen.skin), _mean(b.seen.skin)
        network_px = recipe.size_px / recipe.coverage
        squares = [float(np.median(side.square_px)) for side in sides]
        details = [_median(side.seen.detail) for side in sides]
        values = {
            "angles": 100 * float((away > NEAR_DEG).mean()),
            "steep": 100 * float(a.steep.mean()),
            "expressions": 100 * float(acting_missing.any(1).mean()),
            "light_direction": turn,
            "light_direction_deg": _angle_between(*lamps),
            "light_contrast": contrast,
            "light": float(_mean(light_away[:, None])[0]),
            "light_spread": max(_spread(field) for field in fields),
            "skin_tone": abs(ita(skins[0]) - ita(skins[1])),
            "skin_hue": float(np.linalg.norm(skins[0][1:] - skins[1][1:])),
            "shape": 100 * float(np.sqrt((away_from_a[FACE_OVAL] ** 2).mean())),
            "features": 100 * float(np.sqrt((away_from_a[inner] ** 2).mean())),
            "size_b": squares[1] / network_px,
            "size_a": squares[0] / network_px,
            "sharpness": details[1] / max(details[0], 1e-6),
            "blocks": _larger(_median(a.seen.blocks), _median(b.seen.blocks)),
            "distinct": min(len(rows) for rows in distinct),
            "strangers": 100 * _larger(
                *(len(rows) / of if of else float("nan") for rows, of in zip(others, measured, strict=True))
            ),
            "alike": apart(a.faces.faces.embedding, b.faces.faces.embedding),
        }  # fmt: skip
        return cls(
            a, b, recipe, values, away > NEAR_DEG, acting_missing, lamps, (shapes[0], laid),
            skins, (distinct[0], distinct[1]), (others[0], others[1]),
        )  # fmt: skip


def _pruned(quality: Quality) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are somebody else's, and rows that are neither these nor duplicates."""
    found = choose(quality, {WRONG_PERSON: None, "duplicates": None})
    others, doubled = found[WRONG_PERSON].rows, found["duplicates"].rows
    return others, np.setdiff1d(quality.rows(), np.concatenate([others, doubled]))


def ita(lab: NDArray[Any]) -> float:
    """Individual typology angle of skin (3,) CIELAB, degrees: over 55 very light, under -30 dark.

    Chardon, Cretois & Hourseau, "Skin colour typology and suntanning pathways", Int. J. Cosmetic Science 13, 1991. It
    is made for skin under a known lamp; off a film it says how skin looks there, exposure and white balance included.
    """
    return float(np.degrees(np.arctan2(lab[0] - 50, lab[2])))


def light_field(lamps: NDArray[Any]) -> NDArray[np.float64]:
    """(n, k): lamps (n, 3) told as the lightness they give a face seen from the front, so that the distance of two rows
    is the root mean square difference of the two faces in CIELAB's L*, overall brightness left out."""
    mesh = Mesh.load()
    skin = skin_pieces(mesh)[::8]
    weight = mesh.areas[skin] / mesh.areas[skin].sum()
    bright = shading(np.asarray(lamps, np.float64), mesh.normals[skin])
    bright = _SKIN_Y * bright / np.maximum(bright @ weight, 1e-6)[:, None]
    lightness = 116 * np.cbrt(np.maximum(bright, 1e-4))
    lightness -= (lightness @ weight)[:, None]
    return np.asarray(lightness * np.sqrt(weight))


def _light_parts(first: NDArray[Any], second: NDArray[Any]) -> tuple[float, float]:
    """How much two lamps differ, in L* on a face: by direction alone, and by contrast alone."""
    share = [float(np.linalg.norm(lamp)) for lamp in (first, second)]
    ways = [lamp / max(size, 1e-6) for lamp, size in zip((first, second), share, strict=True)]
    mean = ways[0] + ways[1]
    mean = mean / max(float(np.linalg.norm(mean)), 1e-6)
    one, other, hard, soft = light_field(
        np.stack([ways[0] * np.mean(share), ways[1] * np.mean(share), mean * share[0], mean * share[1]])
    )
    return float(np.linalg.norm(one - other)), float(np.linalg.norm(hard - soft))


def _angle_between(first: NDArray[Any], second: NDArray[Any]) -> float:
    size = max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-9)
    return float(np.degrees(np.arccos(np.clip(first @ second / size, -1, 1))))


def _away(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) how far each row of `first` (n, k) lies from the third nearest of `second` (m, k)."""
    second = second[np.isfinite(second).all(1)]
    if not len(second):
        return np.full(len(first), np.nan)
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    few = _few(len(second)) - 1
    return np.asarray(np.sqrt(np.maximum(np.partition(squares, few, axis=1)[:, few], 0)))


def _few(count: int) -> int:
    """By how many faces of a set an angle, a light or an expression must be shown to count: 3, as one may be misread;
    of under 150 faces fewer."""
    return min(3, max(1, count // 50))


def _mean(values: NDArray[Any]) -> NDArray[np.float64]:
    """(k,) over the rows of (n, k) that are known; nan where none is."""
    known = values[np.isfinite(values).all(1)].astype(np.float64)
    return np.asarray(known.mean(0)) if len(known) else np.full(values.shape[1], np.nan)


def _spread(field: NDArray[Any]) -> float:
    """Root mean square distance from the mean."""
    field = field[np.isfinite(field).all(1)]
    return float(np.sqrt(((field - field.mean(0)) ** 2).sum(1).mean())) if len(field) else float("nan")


def _median(values: NDArray[Any]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _larger(first: float, second: float) -> float:
    """The larger; the other where one is nan."""
    return float(np.fmax(first, second))


def _nanmedian(values: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """As numpy's, at a tenth of its time and without its warning where nothing is known."""
    ordered = np.sort(values, axis=axis)  # nan comes last
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low, high = np.maximum((count - 1) // 2, 0), count // 2
    high = np.minimum(high, values.shape[axis] - 1)
    both = np.take_along_axis(ordered, low, axis) + np.take_along_axis(ordered, high, axis)
    return np.asarray(np.squeeze(both / 2, axis), np.float32)
