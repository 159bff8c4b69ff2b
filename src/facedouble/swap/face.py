"""One face of one frame: align, predict, light, blend, mark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..faces import HALF_RADIAN
from ..find.crop import crop_face
from ..find.mask import cover_mask, skin_mask
from ..geometry import FACE_OVAL, align, apply, face_width, invert, scale_of
from ..learn.features import FeatureDetail
from ..learn.model import Network
from ..learn.occlusion import Occlusion
from ..learn.skin import SkinDetail
from ..learn.specialists import Routed
from ..provenance.mark import Marker
from ..recipes import ConvertRecipe, TrainRecipe
from .blend import BLENDS, plain
from .colour import match_skin
from .drawn import Drawn
from .features import Features
from .fit import Fit
from .light import Light
from .openings import with_gleam, with_mouth
from .outline import Outline
from .predict import predict
from .steady import COVERED, Glimpse

Box = tuple[int, int, int, int]
_SOFT_PX = 8


@dataclass(frozen=True, eq=False)
class Layer:
    """What was laid over a frame."""

    box: Box
    """half-open px"""
    drawn: NDArray[np.float32]
    """(h, w, 3) 0..1 over the box, the face as it was before blending"""
    mark: NDArray[np.float32]
    """(h, w, 3) what the mark added to the blend"""
    mask: NDArray[np.float32]
    """(h, w) 0..1 over the box: how much of the face is seen, where the blend is plain"""
    outline: Outline | None
    """how the frame was moved before"""

    @property
    def face(self) -> NDArray[np.float32]:
        """(h, w, 3) 0..1: the face and as much more of the mark as the mask takes away."""
        return np.asarray(self.drawn + self.mark / np.maximum(self.mask, 1 / 512)[..., None], np.float32)


@dataclass(frozen=True, eq=False)
class Swapper:
    """A model ready to put B's face on A's. Threads may share it."""

    network: Network | Routed
    trained: TrainRecipe
    recipe: ConvertRecipe
    mark: Marker
    occlusion: Occlusion | None = None
    """what stands before the face, as the model knows it; none where it has not learned it"""
    light: Light | None = None
    """lays the plate's light on the face; none where the model does not know how both usually look, or other colours
    are asked for"""
    fit: Fit = field(default_factory=Fit)
    """what the network's faces lack in this clip"""

    def fitted(
        self,
        faces: Iterable[tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]],
        detail: SkinDetail | None,
        features: FeatureDetail | None,
    ) -> Self:
        """Fitted to a clip by some of its faces: frames (H, W, 3), landmarks (478, 2) and what they do (54,). `detail`
        and `features` are B's, as the model knows them."""
        sharpen, grain = self.recipe.fit != "none", self.recipe.grain == "keep"
        if not sharpen and not grain:
            return self
        seen = ((face, alpha) for face, alpha, _ in (self.drawn(*one) for one in faces) if face is not None)
        drawn = ((face, self._lit(face.face, face, alpha, np.ones_like(alpha))) for face, alpha in seen)
        iris = self.network.iris.cpu().numpy()
        own = Features.of(features) if sharpen and features is not None else None
        return replace(self, fit=Fit.measured(drawn, detail if sharpen else None, sharpen, grain, iris, own))

    def __call__(
        self,
        pixels: NDArray[Any],
        points: NDArray[np.float32],
        acting: NDArray[np.float32],
        before: Glimpse | None = None,
    ) -> tuple[NDArray[Any], Layer | None]:
        """The frame (H, W, 3), of the same type, with the face at landmarks (478, 2) that does `acting` (54,)
        replaced, and what was laid over it; None where the face lies outside the frame.

        `before` is what stands before the face, where more is known of it than this frame alone tells.
        """
        import cv2

        drawn, alpha, box = self.drawn(pixels, points, acting)
        if drawn is None:
            return pixels, None
        x0, y0, x1, y1 = box
        most, plate, moved = np.iinfo(pixels.dtype).max, drawn.plate, drawn.points
        bare, face = self._bare(before or self.glimpse(pixels, points), box, drawn.outline), self.fit(drawn)
        face = self._lit(face, drawn, alpha, bare)
        if self.fit.focus is not None:
            face = self.fit.focus(face, plate, moved, bare)
        face = self.fit.grained(face, plate, moved)
        if self.recipe.mouth == "keep":
            face = with_mouth(face, drawn)
        if self.recipe.eyes == "keep":
            face = with_gleam(face, drawn, None if self.light is None else self.light.usual.iris)
        mixed = plain(BLENDS[self.recipe.blend](face, plate, alpha), plate, bare)
        seen = alpha * bare
        marked = self.mark(mixed, moved, seen)
        result = pixels.copy()
        # Only what the alpha reaches, or the outline moved, is written, so nothing else is rounded twice.
        changed = seen > 0 if drawn.outline is None else (seen > 0) | drawn.outline.there
        cv2.copyTo(np.rint(marked * most).astype(pixels.dtype), changed.astype(np.uint8), result[y0:y1, x0:x1])
        return result, Layer(box, face, marked - mixed, seen, drawn.outline)

    def drawn(
        self, pixels: NDArray[Any], points: NDArray[np.float32], acting: NDArray[np.float32]
    ) -> tuple[Drawn | None, NDArray[np.float32], Box]:
        """The face as the network draws it, its alpha (h, w), and the box of the frame they fill; None where the face
        lies outside the frame. Arguments as above."""
        size, most = self.trained.size_px, np.iinfo(pixels.dtype).max
        to_crop, square = align(points, size, self.trained.coverage), size / self.trained.coverage
        x0, y0, x1, y1 = box = _region(points, to_crop, size, pixels.shape)
        if x1 - x0 < 8 or y1 - y0 < 8:
            return None, np.zeros((0, 0), np.float32), box
        crop = crop_face(pixels, to_crop, size).astype(np.float32) / most
        face, mask, points_b = predict(self.network, crop, apply(to_crop, points), acting, square)
        to_region, here, plate = _to_region(to_crop, box), (points - box[:2]).astype(np.float32), pixels[y0:y1, x0:x1]
        pixel, points_b, outline = scale_of(to_region), apply(to_region, points_b), None
        if self.recipe.outline == "move":
            outline = Outline.of(here, points_b, float(acting[-2]) * HALF_RADIAN, (x1 - x0, y1 - y0))
            here, plate = outline.moved(here), outline(plate)
        plate = np.asarray(plate / np.float32(most), np.float32)
        face, alpha = _into_region(face, mask, here, to_crop, box, pixels.shape)
        return Drawn(face, plate, here, points_b, square * pixel, pixel, outline), alpha, box

    def _lit(
        self, face: NDArray[np.float32], drawn: Drawn, alpha: NDArray[np.float32], bare: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """`face` (h, w, 3), as `drawn` but for its detail, in the light of the plate, or in its colours; `alpha` and
        `bare` (h, w): where it is laid, and where nothing stands before it."""
        if self.light is not None:
            return self.light(face, drawn, bare)
        if self.recipe.colour == "none":
            return face
        points, within = drawn.points, (alpha > 0.5).astype(np.uint8) * 255
        skin = _soft(skin_mask(points, alpha.shape[::-1], within), points, 0.02)
        return match_skin(face, drawn.plate, skin * alpha, skin * alpha * bare, self.recipe.colour)

    def glimpse(self, pixels: NDArray[Any], points: NDArray[np.float32]) -> Glimpse | None:
        """What stands before the face with landmarks (478, 2), as this frame tells; None where it is to be covered."""
        if self.occlusion is None or self.recipe.occlusion == "cover":
            return None
        return Glimpse.of(self.occlusion, pixels, points)

    def _bare(self, before: Glimpse | None, box: Box, outline: Outline | None) -> NDArray[np.float32]:
        """(h, w) over `box`, moved as the `outline`: 1 where the face is seen, 0 where something stands before it."""
        import cv2

        size = (box[2] - box[0], box[3] - box[1])
        if before is None:
            return np.ones(size[::-1], np.float32)
        to_region = _to_region(before.to_crop, box)
        there = cv2.warpAffine(before.covered, to_region, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        # An edge is as sharp as the mask can tell, not as soft as its doubts.
        least = COVERED - 0.2
        if there.max() <= least:
            return np.ones(size[::-1], np.float32)
        there = there if outline is None else outline(there)
        return np.asarray(1 - np.clip((there - least) / 0.4, 0, 1), np.float32)


def _region(points: NDArray[Any], to_crop: NDArray[Any], size: int, shape: tuple[int, ...]) -> Box:
    """The frame's part that the crop covers around the face, with room for the blend."""
    corners = apply(invert(to_crop), np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]]))
    oval = points[FACE_OVAL]
    margin = 0.15 * float(np.ptp(oval, axis=0).max())
    low = np.maximum(np.maximum(corners.min(0), oval.min(0) - margin), 0)
    high = np.minimum(np.minimum(corners.max(0), oval.max(0) + margin), np.array(shape[1::-1]) - 1)
    return int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1


def _to_region(to_crop: NDArray[Any], box: Box) -> NDArray[Any]:
    """(2, 3) from a crop's px to those of `box`."""
    back = invert(to_crop)
    back[:, 2] -= box[:2]
    return back


def _into_region(
    face: NDArray[Any],
    mask: NDArray[Any],
    points: NDArray[Any],
    to_crop: NDArray[Any],
    box: Box,
    shape: tuple[int, ...],
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Face and alpha over `box`, where A's landmarks are `points` (478, 2), in a frame of `shape`."""
    import cv2

    size = (box[2] - box[0], box[3] - box[1])
    to_region = _to_region(to_crop, box)
    warped = cv2.warpAffine(face, to_region, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    learned = cv2.warpAffine(
        mask, to_region, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    # A's own face must be covered whole, whatever B's does; only at the rim has the learned mask its say.
    whole = cover_mask(points, size)
    # Beyond the box the model shows nothing, so the border fades inside it - except where the frame itself ends.
    whole[: box[1] > 0] = whole[whole.shape[0] - (box[3] < shape[0]) :] = 0
    whole[:, : box[0] > 0] = whole[:, whole.shape[1] - (box[2] < shape[1]) :] = 0
    rim = max(1, round(0.06 * face_width(points)))
    inner = cv2.erode(
        whole, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=255
    )
    hull, core = (np.asarray(part / np.float32(255), np.float32) for part in (whole, inner))
    alpha = np.maximum(core, np.minimum(hull, np.clip((learned - 0.3) / 0.4, 0, 1)))
    return np.clip(warped, 0, 1), _feathered(alpha, points, scale_of(to_region))


def _feathered(alpha: NDArray[Any], points: NDArray[Any], pixel: float) -> NDArray[np.float32]:
    """A border that fades inwards over 6% of the face's width, or over what one pixel of the model covers if that is
    more."""
    import cv2

    width = face_width(points)
    reach = max(0.06 * width, pixel)
    # What is to be soft needs no more pixels than its softness: on a large face this is dear at full size.
    shrink = max(1, int(reach / _SOFT_PX))
    size = alpha.shape[1::-1]
    # Of eight bits, as erosion of floating-point numbers takes several times as long.
    eight = np.round(alpha * 255).astype(np.uint8)
    coarse = cv2.resize(eight, (-(-size[0] // shrink), -(-size[1] // shrink)), interpolation=cv2.INTER_AREA)
    radius = max(1, round(reach / shrink))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    # The region's edge is no border of the face unless the frame ends there, so it must not erode from there.
    inner = cv2.erode(coarse, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=255) / np.float32(255)
    soft = cv2.GaussianBlur(inner, (0, 0), radius / 2.5, borderType=cv2.BORDER_REPLICATE)
    soft = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.where(soft < 1 / 512, 0, soft), np.float32)


def _soft(mask: NDArray[np.uint8], points: NDArray[Any], part: float) -> NDArray[np.float32]:
    import cv2

    sigma = max(0.5, part * face_width(points))
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), sigma), np.float32)
