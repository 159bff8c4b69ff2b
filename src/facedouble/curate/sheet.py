"""Contact sheets: faces of a set side by side, with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .faceset import FaceSet

_COLUMNS, _SIDE_PX, _GAP_PX = 12, 120, 4
_TEXT_PX, _HEAD_PX = 12, 15
_PAPER, _INK, _KEPT = (255, 255, 255), (30, 30, 30), (20, 130, 60)


@dataclass(frozen=True)
class Section:
    title: str
    rows: Sequence[int]
    captions: Sequence[str]
    kept: Sequence[bool] = ()
    """of each row, whether it is framed in green; none where empty"""


def sheet(faces: FaceSet, sections: Sequence[Section], columns: int = _COLUMNS) -> NDArray[np.uint8]:
    """(H, W, 3): each section's title over its faces, `columns` in a line. Raises FaceError for a crop that cannot be
    read."""
    from PIL import Image, ImageDraw, ImageFont

    columns = max(1, min(columns, max((len(section.rows) for section in sections), default=1)))
    step, line = _SIDE_PX + _GAP_PX, _SIDE_PX + _TEXT_PX + 3 * _GAP_PX
    head = _HEAD_PX + 3 * _GAP_PX
    width = max(columns, 4) * step + _GAP_PX
    height = sum(head + -(-len(section.rows) // columns) * line for section in sections) + _GAP_PX
    paper = Image.new("RGB", (width, height), _PAPER)
    draw, text, title = ImageDraw.Draw(paper), ImageFont.load_default(_TEXT_PX), ImageFont.load_default(_HEAD_PX)
    top = 0
    for section in sections:
        draw.text((_GAP_PX, top + _GAP_PX), section.title, _INK, title)
        top += head
        for place, (row, caption) in enumerate(zip(section.rows, section.captions, strict=True)):
            x, y = _GAP_PX + place % columns * step, top + place // columns * line
            paper.paste(Image.fromarray(_small(faces.read_crop(row))), (x, y))
            if section.kept and section.kept[place]:
                draw.rectangle((x, y, x + _SIDE_PX - 1, y + _SIDE_PX - 1), outline=_KEPT, width=4)
            draw.text((x, y + _SIDE_PX + 1), caption, _INK, text)
        top += -(-len(section.rows) // columns) * line
    return np.asarray(paper, np.uint8)


def _small(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    kind = cv2.INTER_AREA if len(crop) > _SIDE_PX else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (_SIDE_PX, _SIDE_PX), interpolation=kind), np.uint8)
