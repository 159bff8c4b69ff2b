"""The two tables a clip turns into: Faces (found things) and Crops (aligned pictures of them)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

LANDMARKS = 478
EXPRESSIONS = 52
BLINKS, GAZE, JAW_OPEN = (10, 9), range(11, 19), 25
"""of these, in MediaPipe's order: eyes that shut, the right and the left; eyes that look somewhere; an open mouth"""
IDENTITY = 128
SAME_PERSON = 0.6
"""distance of two identity descriptors under which they are one person's: dlib's own line"""
ACTING = EXPRESSIONS + 2
HALF_RADIAN = 0.5
"""in which `acting` gives angles"""


@dataclass(frozen=True, eq=False)
class Faces:
    """n found faces, a row each; index it with a mask, a slice or row numbers: `faces[faces.score > 0.5]`."""

    frame: NDArray[np.int64]
    """(n,) index of the frame in its clip"""
    box: NDArray[np.float32]
    """(n, 4) x0, y0, x1, y1 in px around the landmarks"""
    score: NDArray[np.float32]
    """(n,) 0..1; below 1 where a second look was needed, 0 where a gap was bridged from its neighbours"""
    points: NDArray[np.float32]
    """(n, 478, 2) MediaPipe's landmarks in px"""
    pose: NDArray[np.float32]
    """(n, 3) yaw, pitch, roll in radians; see geometry.pose_angles"""
    expression: NDArray[np.float32]
    """(n, 52) ARKit-like blendshape coefficients 0..1, MediaPipe's order (the first is `_neutral`)"""
    track: NDArray[np.int64]
    """(n,) the same number on the same person through a shot; -1 before tracking"""
    embedding: NDArray[np.float32]
    """(n, 128) dlib's identity descriptor; NaN in rows where it was not measured (it is sampled, being slow)"""

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: NDArray[Any] | slice | Sequence[int]) -> Self:
        return replace(self, **{name: column[rows] for name, column in self.columns().items()})

    def columns(self) -> dict[str, NDArray[Any]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def acting(self) -> NDArray[np.float32]:
        """(n, 54) what each face does, for a decoder to be told: 52 blendshapes, and yaw and pitch in half radians."""
        return np.hstack([self.expression, self.pose[:, :2] / HALF_RADIAN]).astype(np.float32)

    def reduced(self, part: float) -> Self:
        """The same faces in pictures made smaller to this part of their size."""
        return replace(self, box=(self.box + 0.5) * part - 0.5, points=(self.points + 0.5) * part - 0.5)

    @classmethod
    def empty(cls, n: int = 0) -> Faces:
        """n rows of nothing: no points, unknown track, identity not measured."""
        return cls(
            frame=np.zeros(n, np.int64),
            box=np.zeros((n, 4), np.float32),
            score=np.zeros(n, np.float32),
            points=np.zeros((n, LANDMARKS, 2), np.float32),
            pose=np.zeros((n, 3), np.float32),
            expression=np.zeros((n, EXPRESSIONS), np.float32),
            track=np.full(n, -1, np.int64),
            embedding=np.full((n, IDENTITY), np.nan, np.float32),
        )

    @classmethod
    def join(cls, parts: Sequence[Faces]) -> Faces:
        """The rows of all parts, in order."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls.empty()
        return cls(**{name: np.concatenate([part.columns()[name] for part in parts]) for name in parts[0].columns()})

    @classmethod
    def join_clips(cls, parts: Sequence[Faces]) -> Faces:
        """`join` of different clips' faces, with tracks numbered on from clip to clip: a track is of one."""
        numbered, made = [], 0
        for part in parts:
            numbered.append(replace(part, track=np.where(part.track < 0, part.track, part.track + made)))
            made += int(part.track.max(initial=-1)) + 1
        return cls.join(numbered)


@dataclass(frozen=True, eq=False)
class Crops:
    """n aligned faces."""

    pixels: NDArray[np.uint8]
    """(n, S, S, 3) RGB"""
    mask: NDArray[np.uint8]
    """(n, S, S) 0..255: the face's area inside the crop"""
    row: NDArray[np.int64]
    """(n,) which row of the Faces table each crop shows"""

    def __len__(self) -> int:
        return len(self.row)
