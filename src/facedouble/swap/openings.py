"""What is seen in the openings of a face: A's own teeth and tongue between B's lips, the gleam of A's eyes between B's
lids.

Landmarks say how far a mouth is open and where an eye looks, not what is in it, and few sources show all of theirs; so
a network draws a mouth as a dark hole and an eye without its light. What is there is in the footage, in the very light
of the scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..find.mask import iris_mask, iris_radius, outline_mask
from ..footage import LUMINANCE
from ..geometry import INNER_LIPS, LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from .drawn import Drawn
from .eyes import pure_white

# Parts of a face square.
_SHUT, _OPEN = 0.012, 0.035
"""the gap between the lips, from which nothing and from which all of the plate's mouth is seen"""
_SOFT = 0.012
"""over which an opening's edge fades"""
_GLEAM = 0.03
"""finer than this the light in an eye is A's"""
_BRIGHT = 0.25
"""natural logarithm of how much lighter than the drawn eye a gleam is, and more than an iris's own pattern"""
_SHADE = 0.7
"""natural logarithm of how much darker an eye may be made"""
_TOLD_BY = 1.0
"""squares of an iris's radius: how much white tells all of the shade"""
_DIM, _DIMMEST = 0.4, 2.0
"""natural logarithms: up to how much darker than A's usually is an iris may be by chance, and is then left as it is,
from twice that on all of it is shade; and how much darker one may be made"""
_SEEN = 0.5
"""of an iris, that tells all of the shade"""
_INNER = 0.8
"""of an iris's radius: beyond it, it mixes with the white"""
_LEAST_PX = 4
_DARK = 0.05
"""below which light no ratio is taken of it"""


def with_mouth(face: NDArray[np.float32], drawn: Drawn) -> NDArray[np.float32]:
    """`face` (h, w, 3) 0..1 with what the plate shows between A's lips laid between the drawn ones; as it was where the
    mouth is shut."""
    share = (_gap(drawn.points_b[INNER_LIPS]) / drawn.square_px - _SHUT) / (_OPEN - _SHUT)
    opening = _Opening.of(INNER_LIPS, INNER_LIPS, drawn) if share > 0 else None
    if opening is None:
        return face
    result = face.copy()
    result[opening.there] += min(share, 1.0) * opening.alpha * (opening.inside - face[opening.there])
    return result


def with_gleam(face: NDArray[np.float32], drawn: Drawn, lighter_iris: float | None = None) -> NDArray[np.float32]:
    """`face` (h, w, 3) 0..1 with the fine part of how light the plate is between A's lids - highlights, the iris's
    edge - in place of the drawn one's; how light an iris is beside the white is B's, as are their colours, and that of
    highlights is none.

    And an eye that lies in the shade does so on every face: where the plate's white is darker than the drawn one, which
    has the light of the skin around it, all of the eye is as much darker. An iris is darker still where the plate's is
    so by more than A's usually is against B's, `lighter_iris` (learn.usual), as lids and lashes shade it more than the
    white. Not lighter: what lids of B's own shade it is B's.
    """
    import cv2

    sigma, result = _GLEAM * drawn.square_px, face.copy()
    for lids, iris in ((RIGHT_EYE, RIGHT_IRIS), (LEFT_EYE, LEFT_IRIS)):
        opening = _Opening.of(lids, np.concatenate([lids, iris]), drawn)
        if opening is None:
            continue
        # Blurred within the opening alone: lids and lashes are the drawn ones.
        alpha = opening.alpha[..., 0]
        light, light_b = (np.log(part @ LUMINANCE + _DARK) for part in (opening.inside, face[opening.there]))
        lighter, points = light - light_b, drawn.points_b - (opening.there[1].start, opening.there[0].start)
        size = (alpha.shape[1], alpha.shape[0])
        white = pure_white(points, size)
        (disc, _), (inner, whole) = (iris_mask(points, size, part) for part in (1.0, _INNER))
        middle = inner > 0.5
        fine = (lighter - _unlike(lighter, white, disc, middle)) * alpha
        within = np.maximum(cv2.GaussianBlur(alpha, (0, 0), sigma), 1e-3)
        shade = np.full_like(lighter, _shade(lighter, white, points))
        if lighter_iris is not None:
            told = min(1.0, float(inner.sum()) / max(_SEEN * whole, 1.0))
            shade += disc * np.minimum(told * _shade_of_iris(light, light_b, middle, lighter_iris) - shade, 0)
        fine += alpha * (shade - cv2.GaussianBlur(fine, (0, 0), sigma) / within)
        part = result[opening.there]
        # A gleam, and white beside an iris, are bright by light that has no colour of the iris's.
        gleam = np.maximum(np.exp(fine) - math.exp(_BRIGHT), 0) * np.exp(light_b)
        result[opening.there] = part * np.exp(np.minimum(fine, _BRIGHT))[..., None] + gleam[..., None]
    return np.asarray(np.clip(result, 0, 1), np.float32)


@dataclass(frozen=True, eq=False)
class _Opening:
    """What the plate shows in an opening of A's face, brought to where the drawn face has it."""

    there: tuple[slice, slice]
    """rows and columns"""
    inside: NDArray[np.float32]
    """(h, w, 3) 0..1"""
    alpha: NDArray[np.float32]
    """(h, w, 1) 0..1, fading towards the outline from inside"""

    @classmethod
    def of(cls, outline: NDArray[Any], landmarks: NDArray[Any], drawn: Drawn) -> _Opening | None:
        """The opening within landmarks `outline`; None where it is outside the picture, or a few px.

        Each px is taken from where the `landmarks` around it came from: their shifts, weighted by 1 / distance^2
        (Shepard, "A two-dimensional interpolation function for irregularly-spaced data", ACM 1968).
        """
        import cv2

        edge, own, goal = drawn.points_b[outline], drawn.points[landmarks], drawn.points_b[landmarks]
        low = np.maximum(np.floor(edge.min(0)).astype(int), 0)
        high = np.minimum(np.ceil(edge.max(0)).astype(int) + 1, drawn.face.shape[1::-1])
        if (high - low < _LEAST_PX).any():
            return None
        x, y = np.meshgrid(*(np.arange(*ends, dtype=np.float32) for ends in zip(low, high, strict=True)))
        weight = 1 / ((x[..., None] - goal[:, 0]) ** 2 + (y[..., None] - goal[:, 1]) ** 2 + 0.25)
        shift = np.asarray((weight / weight.sum(-1, keepdims=True)) @ (own - goal), np.float32)
        inside = cv2.remap(
            drawn.plate, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        alpha = _within(drawn.points_b - low, outline, inside.shape[1::-1], _SOFT * drawn.square_px)
        return cls((slice(low[1], high[1]), slice(low[0], high[0])), np.clip(inside, 0, 1), alpha[..., None])


def _unlike(
    lighter: NDArray[np.float32], white: NDArray[np.bool_], disc: NDArray[np.float32], iris: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """(h, w): how much of what the plate's eye is `lighter` by (h, w), than the drawn one, is due to what both are, not
    to light: the `white` (h, w), and an iris of another colour, of which `iris` (h, w) is the inner part and `disc` (h,
    w) 0..1 all that is seen. 0 where either is not."""
    if not iris.any() or not white.any():
        return np.zeros_like(lighter)
    of_iris, of_white = (float(np.median(lighter[there])) for there in (iris, white))
    return np.asarray(of_white + disc * (of_iris - of_white), np.float32)


def _shade(lighter: NDArray[np.float32], white: NDArray[np.bool_], points: NDArray[np.float32]) -> float:
    """0 or less: how dark, as a logarithm, an eye is in the plate beside the drawn one with landmarks (478, 2), than
    which that is `lighter` (h, w); told by the `white` (h, w), which is the same on everybody, as far as enough of it
    is seen."""
    if not white.any():
        return 0.0
    told = min(1.0, float(white.sum()) / (_TOLD_BY * iris_radius(points) ** 2))
    return told * float(np.clip(np.median(lighter[white]), -_SHADE, 0))


def _shade_of_iris(
    light: NDArray[np.float32], light_b: NDArray[np.float32], iris: NDArray[np.bool_], usual: float
) -> float:
    """0 or less: how dark, as a logarithm, an `iris` (h, w) is in the plate, of `light` (h, w), beside the drawn one's,
    of `light_b`, where A's is by the logarithm `usual` lighter than B's. 0 where it is not seen."""
    if not iris.any():
        return 0.0
    expected = math.log((math.exp(np.median(light_b[iris])) - _DARK) * math.exp(usual) + _DARK)
    darker = float(np.median(light[iris])) - expected
    return min(max(darker, 2 * (darker + _DIM), -_DIMMEST), 0.0)


def _gap(lips: NDArray[Any]) -> float:
    """px between upper and lower lip: the outline's area by its width."""
    import cv2

    return float(cv2.contourArea(lips.astype(np.float32))) / max(float(np.ptp(lips, axis=0).max()), 1.0)


def _within(points: NDArray[Any], outline: NDArray[Any], size: tuple[int, int], soft_px: float) -> NDArray[np.float32]:
    """(h, w) 0..1 in a picture of `size` (width, height): 1 inside the outline, fading towards it from inside."""
    import cv2

    # Room around, so that the outline never touches the edge, from which nothing would fade.
    around = 1 + int(3 * soft_px)
    mask = outline_mask(points + around, (size[0] + 2 * around, size[1] + 2 * around), outline)
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(soft_px, 0.5))
    return np.asarray(np.clip(2 * soft - 1, 0, 1)[around:-around, around:-around], np.float32)
