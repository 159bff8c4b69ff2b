"""From files to frames: what a clip is, and its pictures one after the other."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import InputError
from ..footage import Clip, Colour, Frame, Mastering
from .pixels import FULL, LIMITED, layout, resized, to_rgb, turned, usual_matrix
from .tone import shown

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}

# These containers give every packet its time and find any key frame, and these codecs show one picture a packet: the
# packets alone tell the frames' times. Anything else is decoded once to learn them and always read from its start.
_MOV, _MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
_PICTURE_A_PACKET = {"h264", "hevc", "av1", "vp9", "ffv1", "prores", "mjpeg", "dnxhd", "png"}
_UNSAID = 2
_HEAD = 8  # frames decoded to confirm the packets' times: a stream may open with pictures no decoder can show
_REORDER = 32  # frames; twice what any codec may hold back, so a key frame found that much earlier is early enough


class _Damaged(Exception):
    """A packet that cannot be read or decoded."""


def probe(path: Path, sizes_may_differ: bool = False) -> Clip:
    """What `path` - a video file, or a folder of pictures - holds, with the exact time of every frame `read` delivers.

    A folder's pictures are taken in natural order (2 before 10), 25 a second. Times a file does not give are counted on
    at its nominal rate. Raises InputError where the path is missing, is no video, holds no picture, is cut off, or
    where a folder's pictures differ in size and may not.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder. Check the path.")
    if path.is_dir():
        return _probe_folder(path, sizes_may_differ)
    with _opened(path) as (container, stream):
        frames: list[Any] = []
        pts: list[int] = []
        pictures = _pictures(container, stream)
        try:
            for picture, time in islice(pictures, _HEAD):
                frames.append(picture)
                pts.append(time)
            listed = _packet_times(path)
            if listed is not None and listed[: len(pts)] == pts:
                pts = listed
            else:
                pts.extend(time for _, time in pictures)
        except _Damaged as damage:
            after = (pts[-1] - pts[0]) * stream.time_base if pts else Fraction(0)
            raise _damaged_at(path, len(pts), after, damage) from damage
        if not pts:
            raise InputError(f"{path}: holds no picture that can be decoded. Export the clip again.")
        first = frames[0]
        rotation = _rotation(path, first)
        upright = turned(first, rotation, VideoReformatter())
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return Clip(
            path=path,
            sha256=_file_hash(path),
            size=(upright.width, upright.height),
            pts=np.array(pts, np.int64),
            time_base=stream.time_base,
            rate=_rate(stream),
            pixel_format=first.format.name,
            colour=_colour(first),
            sample_aspect=1 / aspect if rotation in (90, 270) else aspect,
            rotation=rotation,
            audio_tracks=len(container.streams.audio),
            mastering=_mastering(first),
        )


def reduced(clip: Clip, part: float) -> Clip:
    """The clip with its pictures read smaller, at about this part of their size: even sides, the same shape."""
    width, height = (max(2, 2 * round(side * part / 2)) for side in clip.size)
    colour = clip.colour
    if colour.matrix == _UNSAID and not layout(clip.pixel_format).is_rgb:
        # What is not said is taken by the size, which was another.
        colour = replace(colour, matrix=usual_matrix(clip.size), range=colour.range or LIMITED)
    return replace(clip, size=(width, height), filmed=clip.filmed or clip.size, colour=colour)


def frame_at(clip: Clip, index: int) -> Frame:
    """One frame, decoded from the nearest point before it. Raises InputError as `read`."""
    return next(read(clip, index, index + 1))


def frames_at(clip: Clip, indices: Iterable[int]) -> Iterator[Frame]:
    """The frames of these ascending `indices`, each as often as it is there.

    No picture is decoded twice, and none before the last key frame that leads to the next of them. Raises InputError as
    `read`.
    """
    for run in _runs(clip, list(indices)):
        for frame in _frames(clip, run[0], run[-1] + 1, frozenset(run)):
            yield from repeat(frame, run.count(frame.index))


def read(clip: Clip, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Yield the frames `start` .. `stop` (half-open; None: to the end) of `clip` in order, upright, with their times.

    Pixels are RGB (H, W, 3): uint8, or uint16 over 0..65535 where the file has more than 8 bits. `Frame.native` is the
    decoder's picture (upright), for the writer. A late start gives exactly the frames that reading from 0 gives. One
    picture is held at a time, and the file is closed with the generator.

    Raises InputError naming the frame where the file is damaged, has lost a frame, or has changed since `probe`.
    """
    return _frames(clip, start, clip.count if stop is None else min(stop, clip.count))


def _frames(clip: Clip, start: int, stop: int, wanted: frozenset[int] | None = None) -> Iterator[Frame]:
    """As `read`; of these the `wanted` ones alone, `start` among them."""
    if start >= stop:
        return
    if clip.is_folder:
        yield from _read_folder(clip, [index for index in range(start, stop) if wanted is None or index in wanted])
        return
    delivered = False
    if start > _REORDER:
        try:
            for frame in _read_film(clip, start, stop, wanted, seek=True):
                yield frame
                delivered = True
            return
        except InputError:  # some streams cannot be entered at a key frame: open groups of H.264
            if delivered:
                raise
    yield from _read_film(clip, start, stop, wanted, seek=False)


def _runs(clip: Clip, indices: list[int]) -> list[list[int]]:
    """Ascending `indices` in runs that are best decoded in one go: as far as no key frame could be entered at
    between."""
    keys = np.zeros(0, np.int64)
    if len(indices) > 1 and not clip.is_folder:
        with _opened(clip.path) as (container, stream):
            if _is_indexed(container, stream):
                container.seek(int(clip.pts[indices[-1]]), stream=stream)  # Matroska's index is read only now
                keys = np.array([entry.timestamp for entry in stream.index_entries if entry.is_keyframe], np.int64)
                if not len(keys):
                    return [[index] for index in indices]
    runs: list[list[int]] = []
    for index in indices:
        entered = clip.pts[max(index - _REORDER, 0)]
        if runs and not ((keys > clip.pts[runs[-1][-1]]) & (keys <= entered)).any():
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _read_film(clip: Clip, start: int, stop: int, wanted: frozenset[int] | None, seek: bool) -> Iterator[Frame]:
    """Frames decoded from the clip's start, or from the last key frame that is surely before `start`."""
    scaler, turner, reducer = VideoReformatter(), VideoReformatter(), VideoReformatter()
    filmed = clip.filmed or clip.size
    deep = layout(clip.pixel_format).bits > 8
    index = start
    with _opened(clip.path) as (container, stream):
        if seek and _is_indexed(container, stream):
            container.seek(int(clip.pts[start - _REORDER]), stream=stream)
        try:
            for picture, time in _pictures(container, stream):
                if time < clip.pts[index]:
                    if index == start:
                        continue  # between the key frame and the start
                    raise _Damaged("a picture out of order")
                if time > clip.pts[index]:
                    raise _Damaged("a picture is missing")
                if wanted is not None and index not in wanted:
                    index += 1
                    continue
                upright = turned(picture, clip.rotation, turner)
                if (upright.width, upright.height) != filmed:
                    raise InputError(
                        f"{clip.path}: frame {index} is {upright.width} x {upright.height}, the clip {filmed[0]} x "
                        f"{filmed[1]}. Export the clip at one size."
                    )
                if clip.size != filmed:
                    upright = resized(upright, clip.size, reducer)
                pixels = shown(to_rgb(upright, deep, clip.colour, scaler), clip.colour.transfer)
                yield Frame(index, time, pixels, upright)
                index += 1
                if index == stop:
                    return
            raise _Damaged("the pictures end early")
        except _Damaged as damage:
            raise _damaged_at(clip.path, index, clip.time(index), damage) from damage


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container of `path` and its video stream, set to decode on several threads and to report all damage."""
    try:
        container = open_file(path)
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{path}: cannot be read (permission denied). Change its permissions.") from error
        raise InputError(
            f"{path}: is not a video file, or is cut off or damaged at its start or end ({error.strerror}). "
            "Export the clip again, as .mp4, .mov or .mkv."
        ) from error
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if container.format.name == "tty":  # FFmpeg shows plain text as a film of a terminal
            raise InputError(f"{path}: is a text file, not a video. Give a video file or a folder of pictures.")
        if not streams:
            raise InputError(f"{path}: has no video track. Give a video file or a folder of pictures.")
        if streams[0].codec_context is None:
            raise InputError(f"{path}: its video codec is unknown here. Export the clip as H.264, H.265 or FFV1.")
        streams[0].thread_type = "AUTO"
        streams[0].codec_context.options = {"err_detect": "explode"}  # else damage is painted over silently
        yield container, streams[0]


def open_file(path: Path) -> Any:
    """The av container of a file, as it is; raises av.FFmpegError."""
    # Absolute, so that a colon in the name is no protocol; files only, so that no playlist reaches the network; tags in
    # an old encoding are no reason to refuse the pictures.
    return av.open(str(path.absolute()), options={"protocol_whitelist": "file"}, metadata_errors="replace")


def _is_indexed(container: Any, stream: Any) -> bool:
    known = stream.codec_context.codec.canonical_name in _PICTURE_A_PACKET
    return known and container.format.name in (_MOV, _MATROSKA)


def _pictures(container: Any, stream: Any) -> Iterator[tuple[Any, int]]:
    """Decoded pictures with their ascending times; a time that is missing or repeated is counted on from the last.

    Starts at the first key frame, as a recording may begin between two.
    """
    step = max(1, round(1 / (_rate(stream) * stream.time_base)))
    last: int | None = None
    started = False
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise _Damaged("a packet is incomplete")
            started = started or packet.is_keyframe or not packet.size  # the last packet is empty: it flushes
            for picture in packet.decode() if started else ():
                time = picture.pts
                if time is None:
                    time = 0 if last is None else last + step
                elif last is not None and time <= last:
                    time = last + step
                last = time
                yield picture, time
    except av.FFmpegError as error:
        raise _Damaged(error.strerror) from error


def _packet_times(path: Path) -> list[int] | None:
    """The times of the pictures the packets hold, ascending; None where they do not tell. Finds a file that is cut."""
    with _opened(path) as (container, stream):
        if not _is_indexed(container, stream):
            return None
        times: list[int | None] = []
        end = Fraction(0)
        whole = True
        seen = 0
        try:
            for packet in container.demux():
                whole = whole and not packet.is_corrupt
                if packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
                if packet.stream_index == stream.index and packet.size:
                    seen += 1
                    if (times or packet.is_keyframe) and not packet.is_discard:
                        times.append(packet.pts)
        except av.FFmpegError:
            whole = False
        length = Fraction(container.duration or 0, av.time_base)
        if container.format.name == _MOV:
            whole = whole and seen >= len(stream.index_entries)
        elif end < length - 1:  # Matroska has no list of packets; its tracks may end a little before its length
            whole = False
        if not whole:
            raise InputError(
                f"{path}: is cut off: {float(end):.1f} s of {float(length):.1f} s are there. Copy or export it again."
            )
        known = sorted(time for time in times if time is not None)
        return known if len(set(known)) == len(times) else None


def _damaged_at(path: Path, index: int, time: Fraction, damage: _Damaged) -> InputError:
    return InputError(
        f"{path}: frame {index} (at {float(time):.2f} s) cannot be decoded ({damage}). The file is damaged there, or "
        "was changed meanwhile: export the clip again, or cut it before that frame."
    )


def _rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or 25)


def _colour(picture: Any) -> Colour:
    range_ = FULL if picture.format.name.startswith("yuvj") else picture.color_range
    return Colour(picture.color_primaries, picture.color_trc, picture.colorspace, range_)


def _mastering(picture: Any) -> Mastering:
    """From FFmpeg's AVMasteringDisplayMetadata (ten fractions, two flags) and AVContentLightMetadata (two numbers)."""
    data = {side.type.name: bytes(side) for side in picture.side_data}
    display: tuple[int, ...] = ()
    light: tuple[int, ...] = ()
    if (found := data.get("MASTERING_DISPLAY_METADATA")) is not None:
        values = np.frombuffer(found[:88], np.int32).tolist()
        if all(values[20:22]) and all(values[1:20:2]):
            units = (*[50000] * 8, 10000, 10000)
            display = tuple(round(Fraction(values[2 * i], values[2 * i + 1]) * unit) for i, unit in enumerate(units))
    if (found := data.get("CONTENT_LIGHT_LEVEL")) is not None:
        light = tuple(np.frombuffer(found[:8], np.uint32).tolist())
    return Mastering(display, light)


def _rotation(path: Path, picture: Any) -> int:
    """Degrees counter-clockwise that set the picture upright, from its display matrix (fixed point, row first)."""
    data = next((bytes(side) for side in picture.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return 0
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32).astype(float)
    angle = -math.degrees(math.atan2(b, a))
    if a * d - b * c <= 0 or abs(angle / 90 - round(angle / 90)) > 0.01:
        raise InputError(
            f"{path}: is to be shown mirrored or turned by {angle:.0f} degrees; only turns by 90, 180 and 270 are "
            "understood. Export it upright from any video editor."
        )
    return round(angle / 90) * 90 % 360


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order (2 before 10), hidden files left out."""
    found = (file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES and file.name[0] != ".")
    return sorted(
        found,
        key=lambda file: [
            (part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", file.name.lower())
        ],
    )


def _probe_folder(folder: Path, sizes_may_differ: bool) -> Clip:
    files = picture_files(folder)
    if not files:
        raise InputError(f"{folder}: holds no pictures. Put .png, .jpg, .tif or .webp files there.")
    digest = hashlib.sha256()
    sizes: list[tuple[int, int]] = []
    deepest = "rgb24"
    for file in files:
        data = file.read_bytes()
        digest.update(file.name.encode() + b"\0" + len(data).to_bytes(8, "little") + data)
        picture = _picture(file, data)
        if layout(picture.format.name).bits > 8:
            deepest = "rgb48le"
        sizes.append((picture.width, picture.height))
        if not sizes_may_differ and sizes[-1] != sizes[0]:
            raise InputError(
                f"{file}: is {picture.width} x {picture.height}, {files[0].name} is {sizes[0][0]} x {sizes[0][1]}. "
                "All pictures of a folder must have one size here."
            )
    return Clip(
        path=folder,
        sha256=digest.hexdigest(),
        size=(max(width for width, _ in sizes), max(height for _, height in sizes)),
        pts=np.arange(len(files), dtype=np.int64),
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        pixel_format=deepest,
        colour=Colour(range=FULL),
        sample_aspect=Fraction(1),
        rotation=0,
        audio_tracks=0,
        is_folder=True,
        sizes_differ=len(set(sizes)) > 1,
    )


def _read_folder(clip: Clip, indices: Iterable[int]) -> Iterator[Frame]:
    scaler, reducer = VideoReformatter(), VideoReformatter()
    files, filmed = picture_files(clip.path), clip.filmed or clip.size
    if len(files) != clip.count:
        raise InputError(f"{clip.path}: held {clip.count} pictures, now {len(files)}. Leave it alone during the work.")
    for index in indices:
        picture = _picture(files[index], files[index].read_bytes())
        if not clip.sizes_differ and (picture.width, picture.height) != filmed:
            raise InputError(f"{files[index]}: has changed its size. Leave the folder alone during the work.")
        if clip.size != filmed:
            picture = resized(picture, clip.size, reducer)
        yield Frame(index, index, to_rgb(picture, clip.pixel_format == "rgb48le", _still_colour(picture), scaler))


def _picture(file: Path, data: bytes) -> Any:
    """One picture, upright by its EXIF orientation."""
    try:
        with av.open(io.BytesIO(data)) as container:
            picture = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise InputError(f"{file}: is no picture that can be read. Remove it, or save it again as .png.") from error
    return turned(picture, _rotation(file, picture), VideoReformatter())


def _still_colour(picture: Any) -> Colour:
    """Still pictures are full range where they do not say otherwise (JPEG, grey PNG), and BT.601 (JFIF, WebP)."""
    webp = picture.format.name in ("yuv420p", "yuva420p") and not picture.color_range
    limited = picture.color_range == 1 or webp
    return Colour(matrix=picture.colorspace if picture.colorspace != 2 else 5, range=1 if limited else FULL)
