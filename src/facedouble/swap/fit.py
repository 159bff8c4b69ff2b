"""The new face made as fine as the picture around it: B's own skin detail, the plate's grain, and edges as sharp.

A network that minimises mean error, and draws 96 px where the frame has 200, leaves a smooth face in a crisp picture.
What it leaves out is of several kinds. Freckles, moles and pores stand still on the skin, so they are B's (learn.skin).
Lashes, hairs of brows and lines of lips are B's as well, but move (swap.features). Grain and compression noise are the
plate's, and change from frame to frame as the plate's do. Edges it draws at the right place, only too softly. And the
few px of an iris it mixes with the red of the lids: their colour is as B's faces had it (learn.iris).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..find.mask import bare_skin, feature_mask
from ..find.surface import Surface
from ..geometry import face_width
from ..learn.iris import UNKNOWN
from ..learn.skin import SkinDetail
from ..learn.usual import logarithm, relit
from .detail import Detail, Looked
from .drawn import Drawn
from .eyes import Eyes, Look
from .features import Features
from .focus import Focus
from .softness import blur_px, crisper

_LEAST_PX = 50
_GRAIN_PX, _OUTLIER = 1.5, 3.0
_EDGE_PX, _AN_EDGE = 1.5, (0.15, 0.3)
"""px around, and what part of these stands out where there is hardly an edge and where there is one"""
_AWAY = 0.25
"""of the face's width, up or down, where an eye, a brow or the mouth finds skin"""
_COARSE = 1.5
"""px of the clip a px of the network above which its softness shows"""
_MOST_SHARPENED = 0.35
"""twice as much brings hardly more, and costs likeness to B (benchmarks/README.md)"""


@dataclass(frozen=True, eq=False)
class Fit:
    """What a clip's faces lack. Threads may share it."""

    sharpened: float = 0.0
    """how much of the network's finest octave is added once more"""
    detail: Detail | None = None
    """B's skin detail that the network does not draw"""
    features: Features | None = None
    """B's own eyes, brows, nose and lips"""
    grain: float = 0.0
    """what part of the plate's grain the faces lack"""
    pixel: float = 1.0
    """px of the clip that one px of the network's picture covers"""
    focus: Focus | None = None
    """how soft the plate mostly is, by which frames that are softer are told"""
    eyes: Eyes = field(default_factory=Eyes)
    """the colours of B's eyes here"""
    softened_px: float = 0.0
    """spread of the blur that makes the source's finer camera as soft as the clip's"""

    @classmethod
    def measured(
        cls,
        drawn: Iterable[tuple[Drawn, NDArray[np.float32]]],
        detail: SkinDetail | None,
        sharpen: bool,
        grain: bool,
        iris: NDArray[np.float32] = UNKNOWN,
        features: Features | None = None,
    ) -> Self:
        """From some of the clip's faces, as the network draws them by itself, each with what it looks like in the light
        of the plate (h, w, 3); `detail` and `features` are B's, if they are to be added, `iris` is as in learn.iris."""
        surface = Surface() if detail is not None else None
        looked: list[Looked] = []
        edges: list[float] = []
        smooth: list[float] = []
        pixels: list[float] = []
        plates = []
        eyes: list[Look] = []
        crisp: list[NDArray[np.float64]] = []
        for one, lit in drawn:
            if sharpen:
                eyes.append(Look.at(one, lit))
                plates.append((one.plate, one.points))
            pixels.append(one.pixel)
            lack = _lack_of_edges(one) if sharpen and features is None else 0.0
            edges.append(lack)
            if features is not None:
                laid = features(one.face, one.points_b, one.square_px)
                # In the same light, as a lamp's shadows are coarse edges.
                laid = relit(laid, logarithm(lit) - logarithm(one.face))
                if (look := crisper(laid, one)) is not None:
                    crisp.append(look)
            smooth.append(_lack_of_grain(one, lack) if grain else 0.0)
            if surface is not None:
                looked.append(Looked.of(one, surface))
        own = None if detail is None or surface is None else Detail.of(detail, looked, surface)
        focus = Focus.measured(plates)
        return cls(
            sharpened=_middle(edges),
            detail=own,
            features=features,
            grain=_middle(smooth),
            pixel=_middle(pixels),
            focus=focus,
            eyes=Eyes.of(eyes, iris),
            softened_px=blur_px(crisp),
        )

    def text(self) -> str:
        """What was found and done, and what would do more."""
        done = [f"sharpened by {self.sharpened:.2f}"] if self.sharpened else []
        done += ["given skin detail"] if self.detail else []
        done += ["given the source's own fine eyes, brows, nose and lips"] if self.features else []
        done += ["given the colour of the source's irises"] if self.eyes.iris is not None else []
        done += [f"softened by {self.softened_px:.1f} px, as the clip is"] if self.softened_px else []
        done += [f"given {self.grain:.0%} of the plate's grain"] if self.grain else []
        text = f"the model draws 1 px where the clip has {self.pixel:.1f}"
        if done:
            text += f": {', '.join(done)}"
        if self.pixel > _COARSE:
            text += "; a finer model (--preset standard, --size) draws more, --fit reduce makes the clip smaller"
        return text

    def __call__(self, drawn: Drawn) -> NDArray[np.float32]:
        """The face (h, w, 3), sharpened and with B's fine eyes, brows, lips and skin, and the colour of B's irises, but
        no crisper than the clip."""
        import cv2

        face = self.eyes.whitened(_sharpened(drawn, self.sharpened), drawn)
        if self.features is not None:
            face = self.features(face, drawn.points_b, drawn.square_px)
        # After B's fine eyes, whose highlights would get the colour of the iris.
        face = self.eyes.coloured(face, drawn)
        if self.detail is not None:
            face = self.detail(face, drawn)
        if self.softened_px:
            face = np.asarray(cv2.GaussianBlur(face, (0, 0), self.softened_px), np.float32)
        return np.asarray(np.clip(face, 0, 1), np.float32)

    def grained(
        self, face: NDArray[np.float32], plate: NDArray[np.float32], points: NDArray[Any]
    ) -> NDArray[np.float32]:
        """`face` with the grain of `plate`, both (h, w, 3) 0..1, read where landmarks (478, 2) of A show skin.

        What stands out of the grain by far - a mole, the edge of a shadow - is A's, and is left out; eyes, brows and
        mouth get the grain of skin nearby.
        """
        import cv2

        skin = _skin(plate, points)
        if not self.grain or not skin.any():
            return face
        width = face_width(points)
        noise = plate - cv2.GaussianBlur(plate, (0, 0), _GRAIN_PX)
        # A quarter of the px tell the spread as well.
        some = noise[::2, ::2][skin[::2, ::2]] if skin[::2, ::2].any() else noise[skin]
        most = _OUTLIER / 0.6745 * np.median(np.abs(some).T, axis=1)
        least, most = (*(-most).tolist(), 0.0), (*most.tolist(), 0.0)
        # All along the edge of a shadow, not only where it is strongest.
        outside = 1 - cv2.inRange(noise, least, most).astype(np.float32) / 255
        few, many = _AN_EDGE
        calm = np.clip((many - cv2.GaussianBlur(outside, (0, 0), _EDGE_PX)) / (many - few), 0, 1)
        noise = cv2.min(cv2.max(noise, least), most) * cv2.merge([calm] * 3)
        known, grain = skin, noise * cv2.merge([skin.astype(np.float32)] * 3)
        for away in (_AWAY, -_AWAY):
            shift = round(away * width)
            there = ~known & np.roll(skin, shift, 0)
            cv2.copyTo(np.roll(noise, shift, 0), there.astype(np.uint8), grain)
            known = known | there
        return np.asarray(np.clip(face + self.grain * grain, 0, 1), np.float32)


def _middle(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else 0.0


def _lack_of_edges(drawn: Drawn) -> float:
    """How much of the finest octave that the network has is to be added to the drawn eyes, brows and mouth, for them to
    have as much as the plate's; nan where they are too small to tell."""
    import cv2

    size = (drawn.face.shape[1], drawn.face.shape[0])
    spreads = []
    for picture, points in ((drawn.plate, drawn.points), (drawn.face, drawn.points_b)):
        area = feature_mask(points, size) > 127
        if area.sum() < _LEAST_PX:
            return math.nan
        octave = picture - cv2.GaussianBlur(picture, (0, 0), drawn.pixel)
        spreads.append(float(octave[area].std()))
    return min(max(spreads[0] / max(spreads[1], 1e-6) - 1, 0), _MOST_SHARPENED)


def _lack_of_grain(drawn: Drawn, sharpened: float) -> float:
    """What part of the plate's grain the skin of the drawn face is to be given, for it to have as much in the finest
    octave; nan where there is too little skin to tell. Independent variances add."""
    import cv2

    spreads = []
    for picture, points in ((drawn.plate, drawn.points), (_sharpened(drawn, sharpened), drawn.points_b)):
        skin = _skin(picture, points)
        if skin.sum() < _LEAST_PX:
            return math.nan
        fine_part = picture - cv2.GaussianBlur(picture, (0, 0), _GRAIN_PX)
        spreads.append(float(np.median(np.abs(fine_part[skin]))))
    return math.sqrt(max(0, 1 - (spreads[1] / max(spreads[0], 1e-6)) ** 2))


def _sharpened(drawn: Drawn, amount: float) -> NDArray[np.float32]:
    import cv2

    if not amount > 0:  # nan as well
        return drawn.face
    soft = cv2.GaussianBlur(drawn.face, (0, 0), drawn.pixel)
    return np.asarray(np.clip(drawn.face + amount * (drawn.face - soft), 0, 1), np.float32)


def _skin(picture: NDArray[np.float32], points: NDArray[Any]) -> NDArray[np.bool_]:
    size = (picture.shape[1], picture.shape[0])
    return bare_skin(points, size)
