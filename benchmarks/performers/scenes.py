"""The suites: what the camera sees, the light, the performance, and what passes in front. Metres, unless said.

Places are Blender's: x to the performer's left (the picture's right), y away from the camera, z up; the midpoint of the
performer's eyes at rest is the origin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from performance import Performance, Track, keyed

FRAMES = 48
Place = tuple[float, float, float]


@dataclass(frozen=True)
class Lamp:
    place: Place
    size: float
    watts: float
    colour: Place
    """linear red, green, blue"""


@dataclass(frozen=True)
class HandPath:
    """The wrist's way through the picture, and the lean of the fingers in degrees to the performer's right."""

    x: Track
    y: Track
    z: Track
    lean: Track

    def at(self, frame: float) -> tuple[Place, float]:
        x, y, z = (keyed(track, frame) for track in (self.x, self.y, self.z))
        return (x, y, z), keyed(self.lean, frame)


@dataclass(frozen=True)
class Scene:
    performance: Performance
    lamps: Callable[[float], tuple[Lamp, ...]]
    """of a frame"""
    ambient: float
    size: tuple[int, int] = (512, 512)
    """px"""
    view: float = 0.345
    """width of the picture where the performer is"""
    distance: float = 1.25
    """of the camera"""
    low: float = 0.045
    """how far the picture's centre is under the eyes, in its widths"""
    hand: HandPath | None = None


SOFT = (
    Lamp((-0.85, -1.15, 0.75), 0.6, 19, (1, 0.95, 0.87)),
    Lamp((1.2, -0.9, 0.15), 1.2, 3.6, (0.86, 0.93, 1)),
    Lamp((0.7, 1.0, 0.7), 0.5, 4.5, (0.95, 0.97, 1)),
    Lamp((-0.9, 0.9, 0.3), 0.4, 1.6, (1, 0.93, 0.85)),
)
"""the light of the sample's clips, the source of B among them"""


def soft(frame: float) -> tuple[Lamp, ...]:
    return SOFT


def hard(frame: float) -> tuple[Lamp, ...]:
    """A small strong lamp wandering from straight beside the performer towards the camera and back, and a weak rim."""
    angle = np.radians(keyed(((0, 88), (24, 50), (47, 80)), frame))
    key = (1.25 * float(np.sin(angle)), -1.25 * float(np.cos(angle)), 0.45)
    return (Lamp(key, 0.12, 30, (1, 0.90, 0.76)), Lamp((-0.8, 0.9, 0.5), 0.4, 4, (0.72, 0.85, 1)))


TALK = Performance(
    yaw=((0, 0), (9, 12), (20, -16), (32, 10), (47, -6)),
    pitch=((0, 0), (12, 6), (26, -8), (38, 5), (47, 0)),
    roll=((0, 0), (14, 4), (30, -5), (47, 2)),
    jaw=((0, 0), (4, 0.3), (7, 0.05), (11, 0.5), (15, 0.1), (19, 0.35), (23, 0), (38, 0.02), (42, 0.7), (47, 0.25)),
    funnel=((12, 0), (16, 0.5), (20, 0)),
    pucker=((5, 0), (8, 0.4), (11, 0), (13, 0), (16, 0.45), (19, 0)),
    stretch=((0, 0), (4, 0.4), (8, 0), (19, 0.45), (23, 0)),
    smile=((22, 0), (29, 0.95), (34, 0.9), (39, 0)),
    brows_up=((36, 0), (42, 0.8), (47, 0.5)),
    brows_down=((6, 0), (12, 0.5), (18, 0)),
    gaze_left=((0, 0), (10, 0), (13, 0.6), (18, 0.5), (21, -0.4), (28, 0)),
    gaze_up=((30, 0), (33, 0.4), (38, 0)),
    blinks=(9, 25, 40),
)
SUITES = {
    "easy": Scene(TALK, soft, ambient=0.17),
    "hard-light": Scene(
        Performance(
            yaw=((0, -5), (14, 18), (30, -20), (47, 8)),
            pitch=((0, 4), (18, -7), (34, 8), (47, -2)),
            roll=((0, -2), (20, 5), (40, -4), (47, 0)),
            jaw=((0, 0.1), (5, 0.45), (9, 0.05), (13, 0.35), (17, 0), (33, 0), (38, 0.65), (43, 0.1), (47, 0.3)),
            funnel=((13, 0), (17, 0.5), (21, 0)),
            pucker=((6, 0), (9, 0.5), (12, 0)),
            stretch=((10, 0), (13, 0.5), (17, 0)),
            smile=((18, 0), (25, 0.95), (30, 0.85), (34, 0)),
            brows_up=((0, 0.5), (6, 0), (32, 0), (38, 0.8), (44, 0)),
            brows_down=((8, 0), (14, 0.6), (20, 0)),
            gaze_left=((14, 0), (17, -0.6), (23, -0.5), (27, 0.4), (34, 0)),
            gaze_up=((6, 0), (9, 0.4), (14, 0)),
            blinks=(4, 21, 36),
        ),
        hard,
        ambient=0.05,
    ),
    "hard-pose": Scene(
        Performance(
            yaw=((0, 0), (11, 60), (15, 60), (33, -60), (37, -60), (47, -5)),
            pitch=((0, 0), (7, 25), (13, 5), (22, -25), (26, -22), (36, 5), (42, 25), (47, 15)),
            roll=((0, 0), (12, 8), (24, 0), (36, -9), (47, 0)),
            jaw=((0, 0), (6, 0.5), (11, 0.1), (18, 0.6), (22, 0.1), (27, 0.4), (31, 0), (39, 0), (43, 0.5), (47, 0.1)),
            pucker=((8, 0), (12, 0.5), (16, 0)),
            stretch=((24, 0), (27, 0.5), (30, 0)),
            smile=((29, 0), (35, 0.9), (38, 0.8), (42, 0)),
            brows_up=((15, 0), (20, 0.7), (25, 0)),
            gaze_left=((20, 0), (24, 0.4), (28, 0)),
            blinks=(8, 24, 40),
            hold_camera=0.35,
        ),
        soft,
        ambient=0.17,
    ),
    "occlusion": Scene(
        Performance(
            yaw=((0, 3), (16, -10), (32, 12), (47, 0)),
            pitch=((0, 0), (14, 4), (30, -5), (47, 2)),
            roll=((0, 0), (24, 4), (47, -3)),
            jaw=(
                (0, 0.05),
                (4, 0.4),
                (8, 0),
                (12, 0.45),
                (16, 0.1),
                (21, 0.55),
                (25, 0),
                (40, 0),
                (44, 0.5),
                (47, 0.2),
            ),
            pucker=((14, 0), (17, 0.5), (20, 0)),
            stretch=((9, 0), (12, 0.4), (15, 0)),
            smile=((24, 0), (31, 0.95), (36, 0.8), (41, 0)),
            brows_up=((2, 0), (7, 0.7), (12, 0)),
            brows_down=((16, 0), (21, 0.5), (26, 0)),
            gaze_left=((12, 0), (15, 0.6), (20, 0.2), (26, -0.4), (33, 0)),
            blinks=(10, 27, 43),
        ),
        soft,
        ambient=0.17,
        hand=HandPath(
            x=((3, 0.22), (13, 0.075), (24, 0.035), (34, -0.045), (45, -0.20)),
            y=((3, -0.15), (24, -0.13), (45, -0.15)),
            z=((3, -0.42), (13, -0.22), (24, -0.175), (34, -0.20), (45, -0.42)),
            lean=((3, 10), (24, 32), (45, 45)),
        ),
    ),
    "small-face": Scene(
        Performance(
            yaw=((0, -8), (12, 15), (26, -18), (38, 6), (47, 14)),
            pitch=((0, -3), (14, 6), (28, -7), (40, 6), (47, 0)),
            roll=((0, 3), (16, -5), (32, 5), (47, 0)),
            jaw=((0, 0.2), (4, 0), (8, 0.5), (12, 0.1), (16, 0.4), (20, 0), (34, 0), (39, 0.7), (44, 0.1), (47, 0.3)),
            funnel=((9, 0), (12, 0.5), (16, 0)),
            pucker=((2, 0), (4, 0.4), (7, 0)),
            stretch=((13, 0), (16, 0.5), (20, 0)),
            smile=((20, 0), (26, 0.95), (31, 0.9), (35, 0)),
            brows_up=((33, 0), (39, 0.8), (45, 0.2)),
            brows_down=((3, 0), (9, 0.5), (15, 0)),
            gaze_left=((8, 0), (12, -0.5), (18, -0.4), (22, 0.5), (28, 0)),
            gaze_up=((36, 0), (40, 0.3), (46, 0)),
            blinks=(6, 23, 43),
        ),
        soft,
        ambient=0.17,
        size=(1280, 720),
        view=1.7,
        distance=3.4,
        low=0.05,
    ),
}
