"""The visible label: "AI modified", small and legible, in the picture's lower left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

TEXT = "AI modified"
"""the wording of the EU's code of practice on marking and labelling for what was altered rather than generated"""
START_S = 5.0
"""how long a label "at the start" stays"""
_HEIGHT = 0.03
_LEAST_PX = 12
_BACK, _STRENGTH = 0.08, 0.6

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Label:
    """A plate of dark glass with white letters, ready to be laid into pictures of one size."""

    box: Box
    """half-open px"""
    letters: NDArray[np.float32]
    """(h, w) 0..1"""

    @classmethod
    def of(cls, size: tuple[int, int]) -> Self:
        """For pictures of `size` (width, height): letters 3% of the height, at least 12 px, as far as they fit."""
        from PIL import Image, ImageDraw, ImageFont

        width, height = size
        letters = max(_LEAST_PX, round(_HEIGHT * height))
        font = ImageFont.load_default(letters)
        x0, y0, x1, y1 = font.getbbox(TEXT)
        pad = letters // 2
        plate = Image.new("L", (round(x1 - x0) + 2 * pad, round(y1 - y0) + 2 * pad))
        ImageDraw.Draw(plate).text((pad - x0, pad - y0), TEXT, fill=255, font=font)
        if plate.width > width or plate.height > height:
            plate.thumbnail((width, height))
        margin = min(letters, width - plate.width, height - plate.height)
        left, low = margin, height - margin
        box = (left, low - plate.height, left + plate.width, low)
        return cls(box, np.asarray(plate, np.float32) / np.float32(255))

    def __call__(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """A copy of a picture (H, W, 3), 8 or 16 bits, with the label in it."""
        x0, y0, x1, y1 = self.box
        most, result = np.iinfo(pixels.dtype).max, pixels.copy()
        under = pixels[y0:y1, x0:x1].astype(np.float32) / most
        glass = (1 - _STRENGTH) * under + _STRENGTH * _BACK
        mixed = glass + self.letters[..., None] * (1 - glass)
        result[y0:y1, x0:x1] = np.round(mixed * most).astype(pixels.dtype)
        return result


def around(*boxes: Box | None) -> Box | None:
    """The least box around those that are not empty; None where there are none."""
    real = [box for box in boxes if box is not None and box[2] > box[0] and box[3] > box[1]]
    if not real:
        return None
    return (
        min(box[0] for box in real),
        min(box[1] for box in real),
        max(box[2] for box in real),
        max(box[3] for box in real),
    )
