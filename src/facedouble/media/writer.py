"""From frames to files: the picture encoded with exact times, the sound copied packet for packet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..footage import Clip, Colour, Frame
from .pixels import FULL, LIMITED, converted, from_rgb, has_sites, labelled, layout, nearest_format, relabelled, sites
from .reader import open_file, picture_files

Box = tuple[int, int, int, int]

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_ENCODERS = {"h264": "libx264", "h265": "libx265", "ffv1": "ffv1"}
_CRF = {"h264": 14, "h265": 16}  # visually lossless: the swapped face was encoded once already
_MARGIN = 16  # px around a box that chroma filters may look at


def open_writer(path: Path, like: Clip, codec: str = "h264", crf: int | None = None) -> Writer | PictureWriter:
    """The writer that suits `path`: a PictureWriter where it has no suffix (a folder), else a Writer."""
    if path.suffix == "" or (like.is_folder and path.suffix.lower() not in _CONTAINERS):
        return PictureWriter(path, like)
    return Writer(path, like, codec, crf)


class Writer:
    """A video file with the size, times, sound, colour tags and bit depth of the clip `like`.

    Used as a context manager; `write` takes the frames in order. The pixel format is that of `like` where the codec has
    it, else the nearest that loses least; RGB sources become YUV 4:2:0 in h264 and h265, which players expect, and odd
    sizes 4:4:4, as nothing is padded or cropped. The rotation of `like` is already in the pictures and not written.

    .mp4 and .mov keep all times exactly, Matroska rounds them to 1 ms: its own unit. Interlacing flags and HDR
    mastering metadata are not carried over; FFV1 tells a pixel aspect other than 1 in its frames alone, where players
    find it and `probe` does not.

    codec: h264 (crf 14 unless said), h265 (crf 16) or ffv1 (lossless, .mkv only).
    Raises InputError for another container or codec, OutputError where the container cannot carry a sound track,
    OSError with its errno where writing fails (disk full).
    """

    def __init__(self, path: Path, like: Clip, codec: str = "h264", crf: int | None = None) -> None:
        if path.suffix.lower() not in _CONTAINERS:
            raise InputError(f"{path}: cannot be written as '{path.suffix}'. Name it .mp4, .mov or .mkv.")
        if codec not in _ENCODERS:
            raise InputError(f"{path}: there is no codec '{codec}'. Choose h264, h265 or ffv1.")
        if codec == "ffv1" and path.suffix.lower() != ".mkv":
            raise InputError(f"{path}: ffv1 goes into Matroska only. Name the file .mkv.")
        self._path, self._like, self._codec = path, like, codec
        self._scaler, self._store_scaler = VideoReformatter(), VideoReformatter()
        self._written = 0
        with ExitStack() as stack:
            sound = stack.enter_context(open_file(like.path)) if like.audio_tracks else None
            tracks = sound.streams.audio if sound else ()
            self._output = av.open(
                str(path.absolute()),
                "w",
                _CONTAINERS[path.suffix.lower()],
                container_options=_options(path, like, tracks),
            )
            self._stream = self._video_stream(crf)
            self._sound = self._sound_packets(sound, {track.index: self._sound_stream(track) for track in tracks})
            self._next_sound = next(self._sound, None)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is not None:
                with suppress(av.FFmpegError):  # what went wrong first is what the caller should hear of
                    self._output.close()
                return
            try:
                if not self._written:
                    raise OutputError(f"{self._path}: no frame was written. Choose a part of the clip that has frames.")
                self._encode(None)
                self._mux_sound(None)
            except BaseException:
                with suppress(av.FFmpegError):
                    self._output.close()
                raise
            self._output.close()

    def write(self, frame: Frame, pixels: NDArray[Any] | None = None, box: Box | None = None) -> None:
        """Encode `frame`: untouched, or with `pixels` in place of its own inside `box`.

        pixels: (H, W, 3), shape and type of `frame.pixels`; None passes the decoder's picture through bit for bit.
        box: (x0, y0, x1, y1) px, half-open; None is the whole picture. Outside of it (rounded outward to chroma sites)
        and wherever `pixels` equals `frame.pixels`, the stored samples stay those of the decoder's picture.
        Raises ValueError where `pixels` does not fit, OSError where the file cannot be written.
        """
        picture = self._stored(frame)
        if pixels is not None:
            self._patch(picture, frame.pixels, pixels, box or (0, 0, *self._like.size))
        scale = self._like.time_base.numerator  # the track counts in 1 / denominator
        if self._codec == "ffv1" and self._like.sample_aspect != 1:
            picture = labelled(picture, self._like.sample_aspect)  # FFV1 takes it from the frame
        picture.pict_type = 0  # else the encoder repeats the source's choice of key frames
        picture.pts, picture.time_base = frame.pts * scale, self._stream.codec_context.time_base
        picture.duration = _duration(self._like, frame.index) * scale
        self._written += 1
        self._encode(picture)

    def _stored(self, frame: Frame) -> Any:
        """The frame's own picture as a new av.VideoFrame in the stored format."""
        if frame.native is None:
            return from_rgb(frame.pixels, self._format, self._colour, self._store_scaler)
        if frame.native.format.name.replace("yuvj", "yuv") == self._format:
            return relabelled(frame.native, self._format)
        return converted(frame.native, self._format, self._colour, self._store_scaler)

    def _patch(self, picture: Any, before: NDArray[Any], pixels: NDArray[Any], box: Box) -> None:
        """Write into `picture` the samples that differ between `before` and `pixels` inside `box`."""
        if pixels.shape != before.shape or pixels.dtype != before.dtype:
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, the frame {before.dtype} {before.shape}")
        width, height = self._like.size
        x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
        if x0 >= x1 or y0 >= y1:
            return
        # Chroma filters look a little around: convert a wider window, aligned to chroma sites, and keep the box of it.
        left, top = max(0, x0 - _MARGIN) & ~15, max(0, y0 - _MARGIN) & ~15
        old = before[top : y1 + _MARGIN, left : x1 + _MARGIN]
        new = old.copy()
        new[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
        old_picture = from_rgb(old, self._format, self._colour, self._scaler)
        new_picture = from_rgb(new, self._format, self._colour, self._scaler)
        for target, was, now in zip(sites(picture), sites(old_picture), sites(new_picture), strict=True):
            step_x, step_y = round(width / target.shape[1]), round(height / target.shape[0])
            rows = slice(y0 // step_y, -(-y1 // step_y))
            columns = slice(x0 // step_x, -(-x1 // step_x))
            rows_in = slice(rows.start - top // step_y, rows.stop - top // step_y)
            columns_in = slice(columns.start - left // step_x, columns.stop - left // step_x)
            was, now = was[rows_in, columns_in], now[rows_in, columns_in]
            inside = target[rows, columns]
            np.copyto(inside, now, where=was != now)

    def _video_stream(self, crf: int | None) -> Any:
        like, codec = self._like, self._codec
        encoder = _ENCODERS[codec]
        options = {"h264": {"preset": "veryfast"}, "h265": {"preset": "superfast", "x265-params": "log-level=none"}}
        chosen = options.get(codec, {"level": "3", "slicecrc": "1"})
        if codec == "h265" and like.count < 8:
            chosen["x265-params"] += ":bframes=0"  # x265 invents decoding times where it runs out of frames to reorder
        if codec in _CRF:
            chosen["crf"] = str(_CRF[codec] if crf is None else crf)
        source = layout(like.pixel_format)
        offered = [form.name for form in av.Codec(encoder, "w").video_formats]
        offered = [name for name in offered if has_sites(name) and (codec == "ffv1" or not layout(name).is_rgb)]
        odd = codec != "ffv1" and any(side % 2 for side in like.size)
        wanted = "yuv420p10le" if source.bits > 8 else "yuv420p"
        self._format = nearest_format(wanted if source.is_rgb and codec != "ffv1" else like.pixel_format, offered, odd)
        stream = self._output.add_stream(encoder, rate=like.rate, options=chosen)
        stream.width, stream.height = like.size
        stream.pix_fmt = self._format
        context = stream.codec_context
        context.time_base = stream.time_base = Fraction(1, like.time_base.denominator)
        context.sample_aspect_ratio = like.sample_aspect
        context.gop_size = 1 if codec == "ffv1" else max(1, min(250, round(2 * like.rate)))
        context.flags |= av.codec.context.Flags.frame_duration
        self._colour = _stored_colour(like, layout(self._format).is_rgb)
        context.color_primaries, context.color_trc = self._colour.primaries, self._colour.transfer
        context.colorspace, context.color_range = self._colour.matrix, self._colour.range
        if codec == "h265" and self._path.suffix.lower() != ".mkv":
            context.codec_tag = "hvc1"  # Apple's players know no hev1
        return stream

    def _sound_stream(self, track: Any) -> Any:
        try:
            stream = self._output.add_stream_from_template(track)
        except ValueError as error:
            name = track.codec_context.codec.canonical_name if track.codec_context else "unknown"
            raise OutputError(
                f"{self._path}: {self._path.suffix} cannot carry the sound codec '{name}' of {self._like.path.name}. "
                "Name the output .mkv, which can."
            ) from error
        stream.metadata.update({k: v for k, v in track.metadata.items() if k in ("language", "title", "handler_name")})
        stream.disposition = track.disposition
        return stream

    def _sound_packets(self, sound: Any, streams: dict[int, Any]) -> Iterator[tuple[Fraction, Any]]:
        """All sound packets of the source in file order, each with its decoding time in seconds."""
        if sound is None:
            return
        for packet in sound.demux(audio=tuple(range(len(streams)))):
            if packet.size:
                time = packet.dts if packet.dts is not None else packet.pts or 0
                packet.stream = streams[packet.stream_index]
                yield time * packet.time_base, packet

    def _encode(self, picture: Any | None) -> None:
        """Encode `picture` (None: what the encoder still holds) and write what comes out, the sound before it first."""
        try:
            for packet in self._stream.encode(picture):
                self._mux_sound(packet.dts * packet.time_base)
                self._output.mux(packet)
        except av.FFmpegError as error:
            if isinstance(error, OSError) and not isinstance(error, NotImplementedError):
                raise
            width, height = self._like.size
            raise OutputError(
                f"{self._path}: the codec or container refuses {width} x {height} {self._format} ({error.strerror}). "
                "Try another codec, or .mkv."
            ) from error

    def _mux_sound(self, until: Fraction | None) -> None:
        """Write the sound up to the time `until` (None: all of it), so that the tracks lie side by side in the file."""
        while self._next_sound is not None and (until is None or self._next_sound[0] <= until):
            self._output.mux(self._next_sound[1])
            self._next_sound = next(self._sound, None)


class PictureWriter:
    """A folder of PNG pictures, 8 or 16 bits as `like` has them; named as the pictures of `like`, else by frame index.

    Used as a context manager, as Writer is. Times and sound are not kept. Raises OSError where writing fails.
    """

    def __init__(self, path: Path, like: Clip) -> None:
        self._path = path
        digits = max(6, len(str(like.count)))
        self._names = [f"{index:0{digits}}.png" for index in range(like.count)]
        if like.is_folder:
            names = [f"{file.stem}.png" for file in picture_files(like.path)]
            if len(set(names)) == like.count:  # a.jpg beside a.png would fall on one name
                self._names = names
        path.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

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
        (self._path / self._names[frame.index]).write_bytes(_png(picture))


def _png(pixels: NDArray[Any]) -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt = "rgb24" if pixels.dtype == np.uint8 else "rgb48be"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"pred": "up", "compression_level": "3"}  # four times as fast as the default, no larger
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), encoder.pix_fmt)
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def _options(path: Path, like: Clip, tracks: Any) -> dict[str, str]:
    """Muxer options that keep times exact and the file streamable."""
    if path.suffix.lower() == ".mkv":
        return {"avoid_negative_ts": "disabled"}  # else sound that starts before 0 moves every track
    scale = like.time_base.denominator
    common = math.lcm(scale, *(track.sample_rate for track in tracks))  # in it, every track's start is a whole number
    return {
        "movflags": "+faststart",
        "video_track_timescale": str(scale),
        "movie_timescale": str(common if common < 2**31 else scale),
    }


def _stored_colour(like: Clip, stored_rgb: bool) -> Colour:
    """The colour tags of the output: those of `like`, completed where RGB is stored as YUV."""
    colour = like.colour
    if stored_rgb:
        return Colour(colour.primaries, colour.transfer, 0, FULL)
    if not layout(like.pixel_format).is_rgb:
        return colour
    return Colour(colour.primaries, colour.transfer, 1 if min(like.size) >= 720 else 6, LIMITED)


def _duration(like: Clip, index: int) -> int:
    """How long frame `index` is shown, in units of time_base; the last as long as the one before it."""
    if like.count < 2:
        return max(1, round(1 / (like.rate * like.time_base)))
    index = min(index, like.count - 2)
    return int(like.pts[index + 1] - like.pts[index])
