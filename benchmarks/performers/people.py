"""Who plays: A, B, and the ideal swap - A with B's face. None of them exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from head import INSIDE_THE_HEAD, PARTS, Array, Base, turned
from skin import Canvas, Colour, Complexion, Paint, face_share, paint, scalp
from strands import Brows, BrowShape, Cropped, Knot, Lashes, Style, grow_brows, grow_hair

ARMS_DOWN = 28
"""degrees that the arms hang lower than on the base figure"""


@dataclass(frozen=True)
class Build:
    """MakeHuman's shape: female 0 .. male 1, 25 years 0 .. old 1, shares of origin, and single targets."""

    gender: float
    age: float
    african: float
    asian: float
    caucasian: float
    muscle: float
    weight: float
    details: dict[str, float]


@dataclass(frozen=True)
class Iris:
    colour: Colour
    rim: Colour
    inner: Colour


@dataclass(frozen=True)
class Hair:
    style: Style
    colour: Colour
    """of the scalp under it"""
    density: float
    """how much it hides the scalp"""
    melanin: float
    redness: float
    radius: float
    """dm"""


@dataclass(frozen=True)
class Person:
    seed: int
    build: Build
    skin: Complexion
    iris: Iris
    hair: Hair
    brow: BrowShape
    lashes: tuple[int, float]
    """hairs of an upper lid, length"""
    shirt: Colour


A = Person(
    seed=3,
    build=Build(
        gender=0.92, age=0.12, african=0, asian=0.12, caucasian=0.88, muscle=0.62, weight=0.5,
        details={
            "chin/chin-width-incr": 0.45, "chin/chin-bones-incr": 0.35,
            "nose/nose-hump-incr": 0.35, "nose/nose-scale-horiz-incr": 0.15,
            "head/head-rectangular": 0.35, "forehead/forehead-scale-vert-incr": 0.15,
            "eyes/l-eye-height2-incr": 0.45, "eyes/r-eye-height2-incr": 0.40,
            "eyes/l-eye-scale-incr": 0.12, "eyes/r-eye-scale-incr": 0.12, "mouth/mouth-scale-horiz-incr": 0.15,
            "asym/asym-nose-1-l": 0.35, "asym/asym-mouth-1-l": 0.3, "asym/asym-brown-1-r": 0.3,
        },
    ),
    skin=Complexion(
        base=(0.80, 0.625, 0.53), blush=1.0, shadow_under_eyes=0.16, freckles=60,
        moles=((0.36, -0.52, 0.014, 0.6), (-0.22, 0.42, 0.010, 0.5)),
        stubble=0.42, lips=(0.70, 0.38, 0.35), lids=(0.05, 0.09, 0.08), roughness=0.47,
    ),
    iris=Iris(colour=(0.30, 0.42, 0.52), rim=(0.08, 0.12, 0.17), inner=(0.52, 0.44, 0.28)),
    hair=Hair(Cropped(), (0.16, 0.105, 0.07), density=0.85, melanin=0.93, redness=0.22, radius=0.0011),
    brow=BrowShape(
        ((0.20, 0.31, 0.052), (0.36, 0.345, 0.06), (0.58, 0.39, 0.055), (0.76, 0.39, 0.042), (0.93, 0.32, 0.016)),
        hairs=420, length=0.095, density=0.95,
    ),
    lashes=(130, 0.85),
    shirt=(0.10, 0.13, 0.17),
)  # fmt: skip
B = Person(
    seed=8,
    build=Build(
        gender=0, age=0.03, african=0.08, asian=0.22, caucasian=0.70, muscle=0.45, weight=0.55,
        details={
            "head/head-oval": 0.5, "cheek/l-cheek-bones-incr": 0.35, "cheek/r-cheek-bones-incr": 0.35,
            "nose/nose-point-up": 0.3, "nose/nose-scale-horiz-decr": 0.1, "chin/chin-width-decr": 0.2,
            "mouth/mouth-upperlip-volume-incr": 0.35, "mouth/mouth-lowerlip-volume-incr": 0.35,
            "eyes/l-eye-scale-incr": 0.2, "eyes/r-eye-scale-incr": 0.2,
            "eyes/l-eye-height2-incr": 0.5, "eyes/r-eye-height2-incr": 0.5,
            "asym/asym-nose-1-r": 0.3, "asym/asym-jaw-1-l": 0.3,
        },
    ),
    skin=Complexion(
        base=(0.78, 0.60, 0.50), blush=0.85, shadow_under_eyes=0.10, freckles=220,
        moles=((-0.33, -0.62, 0.013, 0.7),),
        stubble=0, lips=(0.72, 0.34, 0.35), lids=(0.09, 0.15, 0.13), roughness=0.44,
    ),
    iris=Iris(colour=(0.33, 0.19, 0.09), rim=(0.10, 0.05, 0.03), inner=(0.45, 0.27, 0.12)),
    hair=Hair(Knot(), (0.11, 0.06, 0.035), density=0.7, melanin=0.9, redness=0.5, radius=0.0010),
    brow=BrowShape(
        ((0.23, 0.33, 0.045), (0.40, 0.37, 0.048), (0.60, 0.425, 0.042), (0.76, 0.425, 0.032), (0.90, 0.37, 0.012)),
        hairs=460, length=0.08, density=0.9,
    ),
    lashes=(190, 1.2),
    shirt=(0.35, 0.12, 0.12),
)  # fmt: skip


@dataclass
class Performer:
    """A person ready to be filmed: `body` gives hair, clothes and all outside the face, `face` what is inside."""

    base: Base
    canvas: Canvas
    body: Person
    face: Person
    vertices: Array
    """(V, 3) dm, at rest, the midpoint of the body's own eyes at the origin"""
    in_face: Array
    """(V,) 1 in the face, 0 from hairline, ears and neck on"""
    paint: Paint
    hair: Array
    """strands (N, points, 3), dm"""
    brows: Brows
    lashes: Lashes


def performer(body: Person, face: Person) -> Performer:
    """`body` with the face of `face`, which is brought to the size and place of the body's own."""
    base = Base()
    canvas = Canvas(base)
    hairline = body.hair.style.hairline
    in_face = face_share(base.vertices, base, hairline, canvas.of_vertices("inside-mouth"))
    vertices = _shaped(base, body.build)
    vertices -= (vertices[PARTS["left eye"]].mean(0) + vertices[PARTS["right eye"]].mean(0)) / 2
    bare = scalp(canvas, hairline)
    look = paint(body.skin, body.seed, canvas, bare, body.hair.colour, body.hair.density)
    hair = grow_hair(body.hair.style, vertices, canvas, np.random.default_rng((body.seed, 1)))
    if face is not body:
        fitted = _fitted(_shaped(base, face.build), vertices, in_face)
        for part in INSIDE_THE_HEAD:
            in_face[PARTS[part]] = 1
        vertices += in_face[:, None] * (fitted - vertices)
        other = paint(face.skin, face.seed, canvas, bare, body.hair.colour, body.hair.density)
        look = look.mixed(other, face_share(canvas.points, base, hairline, canvas.mouth))
    rng = np.random.default_rng((face.seed, 2))
    return Performer(
        base, canvas, body, face, vertices, in_face, look, hair,
        brows=grow_brows(face.brow, vertices, canvas, rng),
        lashes=Lashes(*face.lashes, vertices, rng),
    )  # fmt: skip


def _shaped(base: Base, build: Build) -> Array:
    """(V, 3) the base figure with a person's build."""
    vertices = base.vertices.copy()
    sexes = {"male": build.gender, "female": 1 - build.gender}
    ages = {"young": 1 - build.age, "old": build.age}
    origins = {"african": build.african, "asian": build.asian, "caucasian": build.caucasian}
    for sex, sex_share in sexes.items():
        for age, age_share in ages.items():
            share = sex_share * age_share
            for origin, origin_share in origins.items():
                base.add_target(vertices, f"macrodetails/{origin}-{sex}-{age}", share * origin_share)
            for muscle, muscle_share in _thirds(build.muscle, "muscle").items():
                for weight, weight_share in _thirds(build.weight, "weight").items():
                    target = f"macrodetails/universal-{sex}-{age}-{muscle}-{weight}"
                    base.add_target(vertices, target, share * muscle_share * weight_share)
    for detail, share in build.details.items():
        base.add_target(vertices, detail, share)
    for side, sign in (("L", -1), ("R", 1)):
        arm = base.weight(dict.fromkeys(base.bones_under(f"upperarm01.{side}"), 1.0))
        shoulder = vertices[abs(arm - 0.5) < 0.1].mean(0)
        vertices = turned(vertices, np.radians([0, 0, sign * ARMS_DOWN]), arm, shoulder)
    return vertices


def _thirds(value: float, name: str) -> dict[str, float]:
    """The shares of MakeHuman's minimum, average and maximum that make a value 0..1."""
    return {
        f"min{name}": max(0.0, 1 - 2 * value),
        f"average{name}": 1 - abs(2 * value - 1),
        f"max{name}": max(0.0, 2 * value - 1),
    }


def _fitted(vertices: Array, goal: Array, weights: Array) -> Array:
    """`vertices` (V, 3) scaled and moved, not turned, to lie closest to `goal` where `weights` (V,) are."""
    weight = weights[:, None] / weights.sum()
    centre, goal_centre = (vertices * weight).sum(0), (goal * weight).sum(0)
    arms = vertices - centre
    scale = (weight * arms * (goal - goal_centre)).sum() / (weight * arms * arms).sum()
    return goal_centre + scale * arms
