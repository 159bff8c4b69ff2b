"""From frames to files: the picture encoded with exact times, the sound copied packet for packet."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from ..footage import Clip, Frame
from .encoders import SOFTWARE, gop_frames, settings
from .pictures import Box, PictureWriter
from .pixels import converted, from_rgb, labelled, relabelled, sites
from .reader import open_file
from .segments import Segment, finished, packets
from .tone import stored

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_MARGIN = 16  # px around a box that chroma filters may look at


def open_writer(
    path: Path,
    like: Clip,
    codec: str = "h264",
    crf: int | None = None,
    keep: Path | None = None,
    encoder: str | None = None,
) -> Writer | PictureWriter:
    """The writer that suits `path`: a PictureWriter where it has no suffix (a folder), else a Writer. Both say in
    `begin` which frame they want first: those before it are there from a run that was stopped."""
    if is_folder(path, like):
        return PictureWriter(path, like)
    return Writer(path, like, codec, crf, keep, encoder)


def is_folder(path: Path, like: Clip) -> bool:
    """Whether an output of this name is a folder of pictures."""
    return path.suffix == "" or (like.is_folder and path.suffix.lower() not in _CONTAINERS)


def check_output(path: Path, like: Clip, codec: str) -> None:
    """Raise InputError for a name or codec that open_writer would refuse, before any work is done."""
    if is_folder(path, like):
        return
    if path.suffix.lower() not in _CONTAINERS:
        raise InputError(f"{path}: cannot be written as '{path.suffix}'. Name it .mp4, .mov or .mkv.")
    if codec not in SOFTWARE:
        raise InputError(f"{path}: there is no codec '{codec}'. Choose h264, h265 or ffv1.")
    if codec == "ffv1" and path.suffix.lower() != ".mkv":
        raise InputError(f"{path}: ffv1 goes into Matroska only. Name the file .mkv.")


def encoder_version() -> str:
    """Two versions of an encoder may not give the same packets for the same pictures."""
    return f"av {av.__version__}"


class Writer:
    """A video file with the size, times, sound, colour tags and bit depth of the clip `like`.

    Used as a context manager; `write` takes the frames in order from `begin` on. They are encoded in segments of some
    seconds, each with an encoder of its own and kept in the folder `keep` once whole; at the end all their packets go
    into the file as they are. A Writer that is given the `keep` of one that was stopped begins where that one's last
    whole segment ends, and the file becomes what it would have been: byte for byte, but where the width is no multiple
    of 128 px (as 1920, 1280, 640 and 512 are) - there x264's decisions, not the pictures given to it, differ a little
    from run to run. None is a folder of its own, beside the file.

    The pixel format is that of `like` where the codec has it, else the nearest that loses least; RGB sources become YUV
    4:2:0 in h264 and h265, which players expect, and odd sizes 4:4:4, as nothing is padded or cropped. The rotation of
    `like` is already in the pictures and not written.

    .mp4 and .mov keep all times exactly, Matroska rounds them to 1 ms: its own unit. HDR keeps its tags, and in h264
    and h265 its mastering metadata. Interlacing flags are not carried over; FFV1 tells a pixel aspect other than 1 in
    its frames alone, where players find it and `probe` does not.

    codec: h264 (crf 14 unless said), h265 (crf 16) or ffv1 (lossless, .mkv only); `encoder`: of `choose`, None in
    software.
    Raises InputError for another container or codec, OutputError where the container cannot carry a sound track,
    OSError with its errno where writing fails (disk full).
    """

    def __init__(
        self,
        path: Path,
        like: Clip,
        codec: str = "h264",
        crf: int | None = None,
        keep: Path | None = None,
        encoder: str | None = None,
    ) -> None:
        check_output(path, like, codec)
        self._path, self._like, self._codec = path, like, codec
        self._scaler, self._store_scaler = VideoReformatter(), VideoReformatter()
        self._settings = settings(encoder or SOFTWARE[codec], codec, crf, like)
        self._format, self._colour = self._settings.pixel_format, self._settings.colour
        self._segment: tuple[Segment, Any] | None = None
        with ExitStack() as stack:
            self._sound = stack.enter_context(open_file(like.path)) if like.audio_tracks else None
            self._output = self._opened()
            stack.callback(self._close)
            self._stream = self._video_stream()
            self._sound_streams = {track.index: self._sound_stream(track) for track in self._tracks()}
            if keep is None:
                beside = path.absolute().parent
                keep = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=beside)))
            keep.mkdir(parents=True, exist_ok=True)
            self._keep, self._each = keep, segment_frames(like)
            self.begin = min(finished(keep) * self._each, like.count)
            self._written = self.begin
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None:
                if not self._written:
                    raise OutputError(f"{self._path}: no frame was written. Choose a part of the clip that has frames.")
                self._end_segment()
                self._assemble()
            elif self._segment:
                self._segment[0].__exit__(kind, error, traceback)

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
        picture.pts, picture.time_base = frame.pts * scale, Fraction(1, self._like.time_base.denominator)
        if frame.index % self._each == 0 or self._segment is None:
            self._end_segment()
            self._segment = Segment(self._keep, frame.index // self._each), self._encoder()
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
        # Chroma filters look a little around: convert a wider window and keep the box of it. It begins and ends at
        # chroma sites: were its size odd, all chroma in it would be stretched by half a site.
        left, top = max(0, x0 - _MARGIN) & ~15, max(0, y0 - _MARGIN) & ~15
        right, low = -(-(x1 + _MARGIN) // 16) * 16, -(-(y1 + _MARGIN) // 16) * 16
        old = before[top:low, left:right]
        new = old.copy()
        new[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
        old_picture, new_picture = (
            from_rgb(stored(part, self._like.colour.transfer), self._format, self._colour, self._scaler)
            for part in (old, new)
        )
        for target, was, now in zip(sites(picture), sites(old_picture), sites(new_picture), strict=True):
            step_x, step_y = round(width / target.shape[1]), round(height / target.shape[0])
            rows = slice(y0 // step_y, -(-y1 // step_y))
            columns = slice(x0 // step_x, -(-x1 // step_x))
            rows_in = slice(rows.start - top // step_y, rows.stop - top // step_y)
            columns_in = slice(columns.start - left // step_x, columns.stop - left // step_x)
            was, now = was[rows_in, columns_in], now[rows_in, columns_in]
            inside = target[rows, columns]
            np.copyto(inside, now, where=was != now)

    def _encoder(self) -> Any:
        """A fresh encoder: its first picture is a key frame that nothing before it is needed for."""
        context = av.CodecContext.create(self._settings.encoder, "w")
        context.options = dict(self._settings.options)
        self._settings.describe(context, self._like)
        context.flags |= av.codec.context.Flags.global_header  # as the containers have it: once, not in each segment
        return context

    def _opened(self) -> Any:
        return av.open(
            str(self._path.absolute()),
            "w",
            _CONTAINERS[self._path.suffix.lower()],
            container_options=_options(self._path, self._like, self._tracks()),
        )

    def _close(self) -> None:
        with suppress(av.FFmpegError):  # what went wrong first is what the caller should hear of
            self._output.close()

    def _video_stream(self) -> Any:
        """The file's track; its encoder makes the header alone."""
        stream = self._output.add_stream(
            self._settings.encoder, rate=self._like.rate, options=dict(self._settings.options)
        )
        self._settings.describe(stream.codec_context, self._like)
        stream.time_base = stream.codec_context.time_base
        if self._codec == "h265" and self._path.suffix.lower() != ".mkv":
            stream.codec_context.codec_tag = "hvc1"  # Apple's players know no hev1
        return stream

    def _tracks(self) -> Any:
        return self._sound.streams.audio if self._sound else ()

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

    def _sound_packets(self) -> Iterator[tuple[Fraction, Any]]:
        """All sound packets of the source in file order, each with its decoding time in seconds."""
        if self._sound is None:
            return
        for packet in self._sound.demux(audio=tuple(range(len(self._sound_streams)))):
            if packet.size:
                time = packet.dts if packet.dts is not None else packet.pts or 0
                packet.stream = self._sound_streams[packet.stream_index]
                yield time * packet.time_base, packet

    def _encode(self, picture: Any | None) -> None:
        """Encode `picture` (None: what the encoder still holds) and keep what comes out."""
        assert self._segment is not None
        segment, encoder = self._segment
        with self._refusals():
            for packet in encoder.encode(picture):
                segment.add(packet)

    def _end_segment(self) -> None:
        if self._segment is not None:
            with self._segment[0] as segment:
                self._encode(None)
                segment.finish()
            self._segment = None

    def _assemble(self) -> None:
        """All packets into the file, the sound beside the picture."""
        like, base = self._like, self._stream.codec_context.time_base
        scale = like.time_base.numerator
        durations = {int(pts) * scale: _duration(like, index) * scale for index, pts in enumerate(like.pts)}
        sound = self._sound_packets()
        next_sound = next(sound, None)
        with self._refusals():
            for packet in packets(self._keep, durations):
                while next_sound is not None and next_sound[0] <= packet.dts * base:
                    self._output.mux(next_sound[1])
                    next_sound = next(sound, None)
                packet.stream, packet.time_base = self._stream, base
                self._output.mux(packet)
            while next_sound is not None:
                self._output.mux(next_sound[1])
                next_sound = next(sound, None)
            self._output.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            if isinstance(error, OSError) and not isinstance(error, NotImplementedError):
                raise
            width, height = self._like.size
            raise OutputError(
                f"{self._path}: the codec or container refuses {width} x {height} {self._format} ({error.strerror}). "
                "Try another codec, or .mkv."
            ) from error


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


def _duration(like: Clip, index: int) -> int:
    """How long frame `index` is shown, in units of time_base; the last as long as the one before it."""
    if like.count < 2:
        return max(1, round(1 / (like.rate * like.time_base)))
    index = min(index, like.count - 2)
    return int(like.pts[index + 1] - like.pts[index])


def segment_frames(like: Clip) -> int:
    """How many frames a segment has: two groups of pictures, some four seconds, so that hardly a key frame is one the
    encoder would not have made anyway."""
    return 2 * gop_frames(like)
