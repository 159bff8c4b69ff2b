"""The colours of the new face's eyes, which a network of few px mixes with the red of the lids.

An iris gets the colour that it has against the skin in B's faces (learn.iris). The white gets the one that A's has in
this clip: white is white on everybody, and what colour it has is the light's, but B's comes from B's light, and along
with B's skin it was brought to the colour of A's. Of few px an iris also colours the white beside it, which has one
colour all over then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..find.mask import bare_skin, iris_mask, iris_radius, white_mask
from ..footage import LUMINANCE
from ..geometry import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from ..learn.iris import UNKNOWN
from .drawn import Drawn

_SOFT = 0.004
"""of a face square, over which the colours fade"""
_INSIDE = 0.93
"""of an iris's radius: its rim is dark, and landmarks may say a little more than it has; the white's is bright"""
_AN_IRIS_PX = (3, 6)
"""its radius, in px of the network: of so few the colour is that of the lids as well, of so many it is its own"""
_INNER = 0.8
"""of that, which tells how light an iris is"""
_LIGHTER = (1.4, 2.2)
"""times as light as that, from where on a place has less of the iris's colour, and none: a highlight, or white"""
_RIM = 0.2
"""of an iris's radius, along it and the lids, where the white mixes with both"""
_LEAST_PX = 20
"""of white, by which its colour is told"""
_BRIGHT = 0.2
"""of these, that may lie in the shade of lashes"""
_AS_LIGHT = 0.9
"""as A's skin: a darker white lies in the shade of lids and lashes, and has their colour"""
_FEW = 3
"""frames that show them, of which no middle is to be trusted"""
_MOST = 0.35
"""natural logarithm of how far the white's colours are brought apart"""


@dataclass(frozen=True, eq=False)
class Look:
    """What one face tells of its eyes' colours."""

    skin: NDArray[np.float32] | None
    """(3,) the drawn face's, RGB"""
    radius: float
    """of its irises together, in px of the network"""
    whites: NDArray[np.float32] | None
    """(3,) the colour of the plate's white over that of the drawn face's"""
    white: NDArray[np.float32] | None
    """(3,) the drawn face's white, RGB of luminance 1"""

    @classmethod
    def at(cls, drawn: Drawn, lit: NDArray[np.float32]) -> Self:
        """`lit` (h, w, 3) is the drawn face in the light of the plate."""
        skin, theirs = _skin(drawn.face, drawn.points_b), _skin(drawn.plate, drawn.points)
        own, wanted, whites = _white(lit, drawn.points_b), _white(drawn.plate, drawn.points), None
        if (
            own is not None
            and wanted is not None
            and theirs is not None
            and _light(wanted) > _AS_LIGHT * _light(theirs)
        ):
            whites = np.asarray(_coloured(wanted) / _coloured(own), np.float32)
        white = _white(drawn.face, drawn.points_b)
        return cls(skin, iris_radius(drawn.points_b) / drawn.pixel, whites, None if white is None else _coloured(white))


@dataclass(frozen=True, eq=False)
class Eyes:
    """Their colours in a clip. Threads may share it."""

    iris: NDArray[np.float32] | None = None
    """(3,) B's here, RGB of luminance 1"""
    lacks: float = 0.0
    """how much of their own colours the drawn eyes lack, of 1"""
    whites: NDArray[np.float32] | None = None
    """(3,) what the drawn white is to be multiplied by"""
    white: NDArray[np.float32] | None = None
    """(3,) the drawn white's middle colour, RGB of luminance 1: beside an iris it has that of the iris as well"""

    @classmethod
    def of(cls, looks: Sequence[Look], iris: NDArray[np.float32] = UNKNOWN) -> Self:
        """From looks at some of the clip's faces; `iris` as in learn.iris."""
        skins = [look.skin for look in looks if look.skin is not None]
        if not skins:
            return cls()
        few, enough = _AN_IRIS_PX
        lacks = float(np.clip((enough - np.median([look.radius for look in looks])) / (enough - few), 0, 1))
        whites = [look.whites for look in looks if look.whites is not None]
        white = [look.white for look in looks if look.white is not None]
        return cls(
            iris=_coloured(iris * np.median(skins, axis=0)) if lacks and iris.any() else None,
            lacks=lacks,
            whites=np.clip(np.median(whites, axis=0), np.exp(-_MOST), np.exp(_MOST)) if len(whites) > _FEW else None,
            white=_coloured(np.median(white, axis=0)) if len(white) > _FEW else None,
        )

    def whitened(self, face: NDArray[np.float32], drawn: Drawn) -> NDArray[np.float32]:
        """`face` (h, w, 3), as `drawn`, with whites as light as they are, but of these colours."""
        part = _Part.of(face, drawn)
        if part is None or (self.whites is None and self.white is None):
            return face
        light, white = part.light, part.picture
        if self.white is not None:
            white = white + self.lacks * (light * self.white - white)
        if self.whites is not None:
            white = white * self.whites
            white *= light / np.maximum((white @ LUMINANCE)[..., None], 1e-6)
        return part.laid(face, white, white_mask(part.points, part.size, _INSIDE))

    def coloured(self, face: NDArray[np.float32], drawn: Drawn) -> NDArray[np.float32]:
        """`face` (h, w, 3), as `drawn` but for its detail, with irises as light as they are, but of this colour; their
        highlights, and white that lies within their outline, keep theirs."""
        part = _Part.of(face, drawn)
        if self.iris is None or part is None:
            return face
        inner = iris_mask(part.points, part.size, _INNER)[0] > 0.5
        if not inner.any():
            return face
        light, (some, all_of_it) = part.light, _LIGHTER
        lighter = light / np.maximum(np.median(light[inner]), 1e-3)
        own = self.lacks * np.clip((all_of_it - lighter) / (all_of_it - some), 0, 1)
        coloured = part.picture + own * (light * self.iris - part.picture)
        return part.laid(face, coloured, iris_mask(part.points, part.size, _INSIDE)[0])


@dataclass(frozen=True, eq=False)
class _Part:
    """What of a picture is around both eyes."""

    picture: NDArray[np.float32]
    """(h, w, 3)"""
    points: NDArray[np.float32]
    """(478, 2) landmarks in it"""
    there: tuple[slice, slice]
    """rows and columns"""
    soft: float
    """px over which colours fade"""

    @classmethod
    def of(cls, face: NDArray[np.float32], drawn: Drawn) -> Self | None:
        """None where the eyes are outside the picture."""
        soft, eyes = _SOFT * drawn.square_px, drawn.points_b[[*RIGHT_EYE, *LEFT_EYE, *RIGHT_IRIS, *LEFT_IRIS]]
        x0, y0 = np.maximum(np.floor(eyes.min(0) - 3 * soft), 0).astype(int).tolist()
        x1, y1 = np.maximum(np.ceil(eyes.max(0) + 3 * soft), 0).astype(int).tolist()
        picture = face[y0:y1, x0:x1]
        if not picture.size:
            return None
        return cls(picture, drawn.points_b - np.array((x0, y0), np.float32), (slice(y0, y1), slice(x0, x1)), soft)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.picture.shape[1], self.picture.shape[0]

    @property
    def light(self) -> NDArray[np.float32]:
        """(h, w, 1)"""
        return np.asarray((self.picture @ LUMINANCE)[..., None], np.float32)

    def laid(
        self, face: NDArray[np.float32], picture: NDArray[np.float32], there: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """`face`, of which this is a part, with `picture` (h, w, 3) in its place where it is `there` (h, w) 0..1."""
        import cv2

        result, alpha = face.copy(), cv2.GaussianBlur(there, (0, 0), self.soft)[..., None]
        result[self.there] += alpha * (picture - self.picture)
        return result


def pure_white(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) where landmarks (478, 2) have the white of eyes, but for what mixes with lids and iris, in a picture of
    `size` (width, height)."""
    return np.asarray(white_mask(points, size, rim=_RIM) > 0.5)


def _light(rgb: NDArray[Any]) -> float:
    return float(rgb @ LUMINANCE)


def _coloured(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """(3,) of luminance 1."""
    return np.asarray(rgb / max(_light(rgb), 1e-3), np.float32)


def _skin(picture: NDArray[np.float32], points: NDArray[Any]) -> NDArray[np.float32] | None:
    """(3,) the middle colour of skin in a picture (h, w, 3) with landmarks (478, 2); None where none is seen."""
    size = (picture.shape[1], picture.shape[0])
    inside = bare_skin(points, size)
    return np.asarray(np.median(picture[inside], axis=0), np.float32) if inside.any() else None


def _white(picture: NDArray[np.float32], points: NDArray[Any]) -> NDArray[np.float32] | None:
    """(3,) the brighter part of the white of both eyes in a picture (h, w, 3) with landmarks (478, 2); None where too
    little is seen."""
    white = picture[pure_white(points, (picture.shape[1], picture.shape[0]))]
    if len(white) < _LEAST_PX:
        return None
    light = white @ LUMINANCE
    return np.asarray(white[light >= np.quantile(light, _BRIGHT)].mean(0), np.float32)
