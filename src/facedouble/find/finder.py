"""Frames in, Faces out: the landmarker first, CenterFace for what it misses, identity sampled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces import Faces
from ..footage import Frame
from ..geometry import overlap
from .detect import CenterFace
from .identity import Identity
from .landmarks import Landmarker, is_far

THUMB_PX = 16
CUT = 0.02
"""change of the whole picture under which there is no cut"""
# A second look is dear (about 40 ms at 640 px), so it is taken where faces went missing, and now and then.
_LOOK_EVERY = 20
# An identity takes 25 ms and holds up the other threads; whoever appears is identified at once, then now and then.
_IDENTITY_EVERY = 30


class Finder:
    """Looks through stretches of consecutive frames, one thread at a time; `restart` it before each stretch.

    `film=False`: pictures that do not follow each other; each is looked at afresh, and all in it are identified.
    """

    def __init__(self, max_people: int = 4, min_face_px: int = 24, film: bool = True) -> None:
        self._film = film
        self._min_face_px = min_face_px
        self._max_people = max_people
        self._whole = Landmarker(video=film, max_people=max_people)
        self._still = Landmarker(video=False, max_people=1)
        self._detector = CenterFace()
        self._identity = Identity()

    def restart(self) -> None:
        """Forget the frames before, so that a stretch's result depends on that stretch alone."""
        self._whole.close()
        self._whole = Landmarker(video=self._film, max_people=self._max_people)

    def close(self) -> None:
        self._whole.close()
        self._still.close()

    def find(self, frames: Iterable[Frame]) -> tuple[Faces, NDArray[np.uint8]]:
        """All faces of `frames` and a thumbnail (n, 16, 16, 3) of each frame, from which cuts are told."""
        found: list[Faces] = []
        thumbs: list[NDArray[np.uint8]] = []
        before, since_look, moved = 0, _LOOK_EVERY, 0.0
        for number, frame in enumerate(frames):
            pixels = to_8_bit(frame.pixels)
            faces = self._closer(pixels, self._whole(pixels, frame.index), frame.index)
            since_look += 1
            if not self._film or len(faces) < before or since_look >= (_LOOK_EVERY if len(faces) else 3):
                faces = self._look_again(pixels, faces, frame.index)
                since_look = 0
            thumbs.append(thumbnail(pixels))
            # Behind a cut there may be as many people as before it, and others.
            changed = float(change(np.array(thumbs[-2:]))[0]) if number else 0.0
            appeared = not self._film or len(faces) > before or changed > max(CUT, 2 * moved)
            before, moved = len(faces), changed
            wide = faces.box[:, 2] - faces.box[:, 0] >= self._min_face_px
            faces = faces[wide]
            if appeared or number % _IDENTITY_EVERY == 0:
                faces = self._identify(pixels, faces)
            found.append(faces)
        return Faces.join(found), np.array(thumbs, np.uint8).reshape(-1, THUMB_PX, THUMB_PX, 3)

    def _closer(self, pixels: NDArray[np.uint8], faces: Faces, frame: int) -> Faces:
        """`faces`, those that are far as a closer look shows them."""
        looks = []
        for row in range(len(faces)):
            face = faces[row : row + 1]
            near = self._still.at(pixels, face.box[0], frame=frame) if is_far(face.box[0], pixels) else face
            looks.append(near if len(near) and overlap(near.box, face.box).max() > 0.3 else face)
        return Faces.join(looks)

    def _look_again(self, pixels: NDArray[np.uint8], faces: Faces, frame: int) -> Faces:
        boxes, scores = self._detector(pixels)
        for box, score in zip(boxes, scores, strict=True):
            if len(faces) >= self._max_people:
                break
            if len(faces) and overlap(box[None], faces.box).max() > 0.2:
                continue
            more = self._still.at(pixels, box, float(score), frame)
            if len(more) and (not len(faces) or overlap(more.box, faces.box).max() < 0.3):
                faces = Faces.join([faces, more])
        return faces

    def _identify(self, pixels: NDArray[np.uint8], faces: Faces) -> Faces:
        if not len(faces):
            return faces
        return replace(faces, embedding=np.stack([self._identity(pixels, points) for points in faces.points]))


def to_8_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 or uint16 as uint8."""
    return pixels if pixels.dtype == np.uint8 else (pixels.astype(np.uint16) >> 8).astype(np.uint8)


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(16, 16, 3): enough of a picture to tell a cut."""
    import cv2

    return np.asarray(cv2.resize(pixels, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA), np.uint8)


def change(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n - 1,) how much each of n thumbnails differs from the one before it, of 1."""
    return np.asarray(np.abs(np.diff(thumbs.astype(np.float32), axis=0)).mean((1, 2, 3)) / 255, np.float32)
