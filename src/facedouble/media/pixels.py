"""Pixel formats: planes as arrays, and RGB <-> the stored format with one and the same matrix and range both ways."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.filter
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..footage import Colour

LIMITED, FULL = 1, 2

# H.273 matrix code -> libswscale's code of the same coefficients; 10 (constant luminance) is taken as 9, its nearest
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
# Without these flags the fast paths of libswscale round luma down: 46 dB there and back, 77 dB with them.
_EXACT = Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND


class Layout(NamedTuple):
    """What matters of a pixel format: bits a component, chroma width and height of a 16 x 16 picture (0: none)."""

    bits: int
    is_rgb: bool
    has_alpha: bool
    chroma: tuple[int, int]


def layout(name: str) -> Layout:
    """The Layout of FFmpeg's pixel format `name`; RGB counts as having full chroma."""
    form = av.VideoFormat(name, 16, 16)
    parts = form.components
    is_rgb = bool(form.is_rgb or form.has_palette or form.is_bayer)
    chroma = next(((part.width, part.height) for part in parts if part.is_chroma), (0, 0))
    return Layout(
        8 if form.has_palette else max(part.bits for part in parts),
        is_rgb,
        any(part.is_alpha for part in parts),
        (16, 16) if is_rgb else chroma,
    )


def nearest_format(source: str, offered: Sequence[str], odd_size: bool) -> str:
    """Of the formats `offered` by an encoder the one that loses least of `source`, itself where it is there.

    `odd_size` says that the encoder cannot subsample this size, so that only full chroma will do.
    """
    source = source.replace("yuvj", "yuv")  # the same samples: full range is told by the range tag
    wanted = layout(source)

    def loss(name: str) -> tuple[Any, ...]:
        have = layout(name)
        return (
            have.bits < wanted.bits,
            have.is_rgb != wanted.is_rgb,
            have.chroma < wanted.chroma,
            wanted.has_alpha and not have.has_alpha,
            abs(have.bits - wanted.bits),
            have.chroma,
            name != source,
            have.has_alpha,
        )

    usable = [name for name in offered if "yuvj" not in name and "f16" not in name and "f32" not in name]
    return min((name for name in usable if not odd_size or layout(name).chroma in ((16, 16), (0, 0))), key=loss)


def has_sites(name: str) -> bool:
    """Whether each plane of the format is a grid of whole samples, so that `sites` can show it as an array."""
    form = av.VideoFormat(name, 16, 16)
    parts = form.components
    if not parts or form.has_palette or form.is_bit_stream or form.is_big_endian:
        return False  # no parts: a picture in a chip's own memory
    if any(part.plane for part in parts):
        return all(len({part.width for part in parts if part.plane == plane}) < 2 for plane in range(4))
    sample_bits = 8 if max(part.bits for part in parts) <= 8 else 16
    return len({part.width for part in parts}) == 1 and form.padded_bits_per_pixel >= sample_bits * len(parts)


def sites(frame: Any) -> list[NDArray[Any]]:
    """The planes of an av.VideoFrame as writable views (rows, columns, samples), uint8 or uint16, without padding.

    Only for formats that `has_sites`. A plane holds one sample a site in planar formats, several in packed ones.
    """
    parts = frame.format.components
    sample = np.dtype("u1") if max(part.bits for part in parts) <= 8 else np.dtype("<u2")
    views = []
    for index, plane in enumerate(frame.planes):
        if len(frame.planes) == 1:
            samples = frame.format.padded_bits_per_pixel // (8 * sample.itemsize)
        else:
            samples = sum(part.plane == index for part in parts)
        rows = np.frombuffer(plane, sample).reshape(plane.height, abs(plane.line_size) // sample.itemsize)
        rows = rows if plane.line_size > 0 else rows[::-1]
        views.append(rows[:, : plane.width * samples].reshape(plane.height, plane.width, samples))
    return views


def labelled(frame: Any, aspect: Fraction = Fraction(1)) -> Any:
    """The same samples in a frame that says where its chroma lies (left, as in nearly all video) and its pixel aspect.

    Decoders, encoders and files each tell the place or leave it out; said once, the same for both ways, RGB and back
    again does not move chroma by half a pixel. PyAV has no name for these two fields: libavfilter sets them.
    """
    graph = av.filter.Graph()
    graph.threads = 1  # to start more takes longer than all there is to do
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    place = graph.add("setparams", "chroma_location=left")
    shape = graph.add("setsar", f"{aspect.numerator}/{aspect.denominator}")
    graph.link_nodes(source, place, shape, graph.add("buffersink")).configure()
    graph.push(frame)
    return graph.pull()


def relabelled(frame: Any, name: str) -> Any:
    """A copy of `frame`'s samples in a new frame of format `name`, which must have the same planes; no other data."""
    copy = av.VideoFrame(frame.width, frame.height, name)
    for target, origin in zip(sites(copy), sites(frame), strict=True):
        target[:] = origin
    return copy


def turned(frame: Any, rotation: int, scaler: VideoReformatter) -> Any:
    """`frame` turned counter-clockwise by `rotation` degrees (a multiple of 90), sample by sample.

    Formats whose sites are not square (4:2:2, packed) go to full chroma first.
    """
    if rotation == 0:
        return frame
    shape = layout(frame.format.name)
    if not has_sites(frame.format.name) or shape.chroma[0] != shape.chroma[1]:
        depth = next(bits for bits in (8, 10, 12, 16) if bits >= shape.bits)
        name = ("gbrp" if shape.is_rgb else "yuv444p") + ("" if depth == 8 else f"{depth}le")
        frame = converted(frame, name, Colour(matrix=frame.colorspace, range=frame.color_range), scaler)
    size = (frame.width, frame.height) if rotation == 180 else (frame.height, frame.width)
    upright = av.VideoFrame(*size, frame.format.name)
    for target, origin in zip(sites(upright), sites(frame), strict=True):
        target[:] = np.rot90(origin, rotation // 90)
    upright.colorspace, upright.color_range = frame.colorspace, frame.color_range
    return upright


def resized(frame: Any, size: tuple[int, int], scaler: VideoReformatter) -> Any:
    """`frame` in `size` (width, height), in its own pixel format: Lanczos, as wide as the reduction asks for."""
    range_ = FULL if frame.format.name.startswith("yuvj") or layout(frame.format.name).is_rgb else LIMITED
    smaller = scaler.reformat(
        labelled(frame),
        *size,
        src_color_range=range_,
        dst_color_range=range_,
        interpolation=_EXACT | Interpolation.LANCZOS,
        threads=1,
    )
    smaller.colorspace, smaller.color_range = frame.colorspace, frame.color_range
    return smaller


def usual_matrix(size: tuple[int, int]) -> int:
    """The H.273 code of the matrix that is taken where a picture of `size` does not say: BT.709 where the shorter side
    has 720 px or more, else BT.601 (the shorter side, so that turning a picture upright changes nothing)."""
    return 1 if min(size) >= 720 else 6


def converted(frame: Any, name: str, colour: Colour, scaler: VideoReformatter) -> Any:
    """`frame` in pixel format `name`, where YUV has the matrix and range of `colour` on either side.

    What `colour` leaves unsaid is taken by convention: the usual matrix, and limited range.
    """
    deep = max(layout(frame.format.name).bits, layout(name).bits) > 8
    matrix = _SWS_MATRIX.get(colour.matrix) or _SWS_MATRIX[usual_matrix((frame.width, frame.height))]
    full = colour.range == FULL or frame.format.name.startswith("yuvj")
    return scaler.reformat(
        labelled(frame),
        format=name,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=FULL if layout(frame.format.name).is_rgb or full else LIMITED,
        dst_color_range=FULL if layout(name).is_rgb or full else LIMITED,
        # libswscale 9 overflows from deep 4:2:0 to RGB when bilinear; where it does not, bilinear is twice as fast
        interpolation=_EXACT | (Interpolation.BICUBIC if deep else Interpolation.BILINEAR),
        threads=1,
    )


def to_rgb(frame: Any, deep: bool, colour: Colour, scaler: VideoReformatter) -> NDArray[Any]:
    """The picture as (H, W, 3) RGB: uint8, or uint16 over the full 0..65535 where `deep`."""
    rgb = converted(frame, "rgb48le" if deep else "rgb24", colour, scaler)
    return np.ascontiguousarray(sites(rgb)[0])


def from_rgb(pixels: NDArray[Any], name: str, colour: Colour, scaler: VideoReformatter) -> Any:
    """An av.VideoFrame of format `name` from (H, W, 3) RGB, uint8 or uint16: the way back of `to_rgb`."""
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24" if pixels.dtype == np.uint8 else "rgb48le")
    return converted(rgb, name, colour, scaler)
