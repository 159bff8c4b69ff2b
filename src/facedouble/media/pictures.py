"""Pictures to a folder: whole or not there, one a frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from ..footage import Clip, Frame
from ..project import atomic_file
from .reader import picture_files
from .tone import stored

Box = tuple[int, int, int, int]


class PictureWriter:
    """A folder of PNG pictures, 8 or 16 bits as `like` has them; named as the pictures of `like`, else by frame index.

    Used as a context manager, as Writer is. Times and sound are not kept. Pictures that are there already stay, up to
    the first that is not: `begin`. Raises OSError where writing fails.
    """

    def __init__(self, path: Path, like: Clip) -> None:
        self._path, self._transfer = path, like.colour.transfer
        digits = max(6, len(str(like.count)))
        self._names = [f"{index:0{digits}}.png" for index in range(like.count)]
        if like.is_folder:
            names = [f"{file.stem}.png" for file in picture_files(like.path)]
            if len(set(names)) == like.count:  # a.jpg beside a.png would fall on one name
                self._names = names
        path.mkdir(parents=True, exist_ok=True)
        there = (index for index, name in enumerate(self._names) if not (path / name).is_file())
        self.begin = next(there, like.count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def name(self, index: int) -> str:
        """Of the picture of frame `index`."""
        return self._names[index]

    def write(self, frame: Frame, pixels: NDArray[Any] | None = None, box: Box | None = None) -> None:
        """Save `frame`, with `pixels` in place of its own inside `box` (see Writer.write)."""
        picture = frame.pixels
        if pixels is not None:
            if pixels.shape != picture.shape or pixels.dtype != picture.dtype:
                raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, the frame {picture.dtype} {picture.shape}")
            x0, y0, x1, y1 = box or (0, 0, picture.shape[1], picture.shape[0])
            inside = (slice(max(0, y0), max(0, y1)), slice(max(0, x0), max(0, x1)))
            picture = picture.copy()
            picture[inside] = pixels[inside]
        save_picture(self._path / self._names[frame.index], stored(picture, self._transfer))


def save_picture(path: Path, pixels: NDArray[Any]) -> None:
    """Write (H, W, 3) RGB or (H, W) grey, uint8 or uint16, as a PNG, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(_png(pixels))


def _png(pixels: NDArray[Any]) -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    grey, deep = pixels.ndim == 2, pixels.dtype != np.uint8
    encoder.pix_fmt = ("gray16be" if deep else "gray") if grey else ("rgb48be" if deep else "rgb24")
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"pred": "up", "compression_level": "3"}  # four times as fast as the default, no larger
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), encoder.pix_fmt)
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
