"""Which encoder makes a film, and with which settings: one in software, or one of the machine's own chips where it has
one that opens."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from ..errors import InputError
from ..footage import Clip, Colour, Mastering
from .pixels import FULL, LIMITED, has_sites, layout, nearest_format, usual_matrix

SOFTWARE = {"h264": "libx264", "h265": "libx265", "ffv1": "ffv1"}
HARDWARE = {
    "h264": ("h264_nvenc", "h264_videotoolbox", "h264_qsv", "h264_amf"),
    "h265": ("hevc_nvenc", "hevc_videotoolbox", "hevc_qsv", "hevc_amf"),
    "ffv1": (),
}
"""FFmpeg's names; the first that opens is taken. VA-API's and V4L2's are not among them: they take pictures in the
chip's memory, where PyAV does not put them."""
_CRF = {"h264": 14, "h265": 16}  # visually lossless: the swapped face was encoded once already
_VIDEOTOOLBOX_BITS_A_PX = 0.4  # it knows no constant quality on older machines


@dataclass(frozen=True)
class Settings:
    encoder: str
    """FFmpeg's name"""
    options: dict[str, str]
    pixel_format: str
    colour: Colour
    gop: int

    def describe(self, context: Any, like: Clip) -> None:
        """Tell a fresh encoder what it will get."""
        context.width, context.height = like.size
        context.pix_fmt, context.framerate = self.pixel_format, like.rate
        context.time_base = Fraction(1, like.time_base.denominator)
        context.sample_aspect_ratio = like.sample_aspect
        context.gop_size = self.gop
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        context.colorspace, context.color_range = self.colour.matrix, self.colour.range


def choose(codec: str, wanted: str, like: Clip) -> tuple[str, str]:
    """The encoder for films like `like`, and a sentence where it is another than asked for, else "".

    wanted: software; auto, the machine's own where one opens with this size and depth; or FFmpeg's name of one. Raises
    InputError for a name that is none of the codec's.
    """
    software = SOFTWARE[codec]
    if wanted in ("software", software):
        return software, ""
    if wanted != "auto" and wanted not in HARDWARE[codec]:
        names = ", ".join((*HARDWARE[codec], software))
        raise InputError(
            f"--encoder {wanted}: no encoder for {codec} known here. Choose auto, software, or one of {names}."
        )
    for name in HARDWARE[codec] if wanted == "auto" else (wanted,):
        if _opens(name, codec, like):
            return name, f"encoding with {name}, this machine's own"
    what = "no hardware encoder" if wanted == "auto" else wanted
    width, height = like.size
    return software, (
        f"{what} opens on this machine for {codec}, {width} x {height}, {like.pixel_format}; encoding with {software}"
    )


def _opens(name: str, codec: str, like: Clip) -> bool:
    try:
        chosen = settings(name, codec, None, like)
        context = av.CodecContext.create(name, "w")
        context.options = dict(chosen.options)
        chosen.describe(context, like)
        context.open()
    except (av.FFmpegError, av.codec.codec.UnknownCodecError, ValueError):
        return False
    return True


def settings(encoder: str, codec: str, crf: int | None, like: Clip) -> Settings:
    """What `encoder` is set to for `codec` (h264, h265, ffv1) and films like `like`; crf None is visually lossless."""
    options = {
        "libx264": {"preset": "veryfast"},
        "libx265": {"preset": "superfast", "x265-params": "log-level=none"},
        "ffv1": {"level": "3", "slicecrc": "1"},
    }.get(encoder, {})
    quality = str(_CRF.get(codec, 0) if crf is None else crf)
    if encoder in ("libx264", "libx265"):
        options["crf"] = quality
        options |= _mastering_options(codec, like.mastering, options)
    elif encoder.endswith("_nvenc"):
        options |= {"preset": "p5", "rc": "vbr", "cq": quality, "b": "0"}
    elif encoder.endswith("_qsv"):
        options |= {"global_quality": quality}
    elif encoder.endswith("_amf"):
        options |= {"rc": "cqp", "qp_i": quality, "qp_p": quality}
    elif encoder.endswith("_videotoolbox"):
        options |= {"b": str(round(_VIDEOTOOLBOX_BITS_A_PX * like.size[0] * like.size[1] * like.rate))}
    source = layout(like.pixel_format)
    offered = [form.name for form in av.Codec(encoder, "w").video_formats]
    offered = [name for name in offered if has_sites(name) and (codec == "ffv1" or not layout(name).is_rgb)]
    odd = codec != "ffv1" and any(side % 2 for side in like.size)
    wanted = "yuv420p10le" if source.bits > 8 else "yuv420p"
    form = nearest_format(wanted if source.is_rgb and codec != "ffv1" else like.pixel_format, offered, odd)
    colour = _stored_colour(like, layout(form).is_rgb)
    return Settings(encoder, options, form, colour, 1 if codec == "ffv1" else gop_frames(like))


def gop_frames(like: Clip) -> int:
    return max(1, min(250, round(2 * like.rate)))


def _mastering_options(codec: str, mastering: Mastering, options: dict[str, str]) -> dict[str, str]:
    """The encoder's private options with what an HDR clip says of its making; FFV1 has no place for it."""
    key = {"h264": "x264-params", "h265": "x265-params"}.get(codec)
    said = [options[key]] if key in options else []
    if mastering.display:
        rx, ry, gx, gy, bx, by, wx, wy, least, most = mastering.display
        name = "mastering-display" if codec == "h264" else "master-display"
        said.append(f"{name}=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})")
    if mastering.light:
        said.append(f"{'cll' if codec == 'h264' else 'max-cll'}={mastering.light[0]},{mastering.light[1]}")
    return {key: ":".join(said)} if key and said else {}


def _stored_colour(like: Clip, stored_rgb: bool) -> Colour:
    """The colour tags of the output: those of `like`, completed where RGB is stored as YUV."""
    colour = like.colour
    if stored_rgb:
        return Colour(colour.primaries, colour.transfer, 0, FULL)
    if not layout(like.pixel_format).is_rgb:
        return colour
    return Colour(colour.primaries, colour.transfer, usual_matrix(like.size), LIMITED)
