"""media/: what is read is exact, what is not changed is not touched, what cannot be done is said."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.errors import InputError, OutputError
from facedouble.footage import Clip, Frame, Mastering
from facedouble.media import open_writer, probe, read, reader, tone
from facedouble.media.encoders import HARDWARE, SOFTWARE, choose
from facedouble.media.reader import frames_at, reduced
from facedouble.media.writer import segment_frames
from facedouble.project import output_errors

SIZE = (96, 80)
TICK = Fraction(1, 12800)
STEADY = [512 * index for index in range(60)]


def picture(index: int, size: tuple[int, int] = SIZE, deep: bool = False) -> NDArray[Any]:
    """A smooth moving pattern, different in each frame; lighter towards the right."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float64)
    waves = [
        60 * np.sin((x + 3 * index) / 23),
        50 * np.cos((y - 2 * index) / 19),
        40 * np.sin((x + y) / 31 + index / 9),
    ]
    rgb = np.clip(np.stack([110 + wave + 40 * x / size[0] for wave in waves], -1), 0, 255)
    return (rgb * 257).astype(np.uint16) if deep else rgb.astype(np.uint8)


def make(
    path: Path,
    pts: Sequence[int] = STEADY,
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    form: str = "yuv420p",
    tick: Fraction = TICK,
    sounds: Sequence[str] = (),
    turn: int = 0,
    mirror: bool = False,
    tags: dict[str, int] | None = None,
    aspect: Fraction = Fraction(1),
    options: dict[str, str] | None = None,
) -> Path:
    """A clip of `picture`s at the given times, with a sine of each codec in `sounds`."""
    muxer = {".mp4": {"video_track_timescale": str(tick.denominator), "movie_timescale": "1152000"}}
    with av.open(str(path), "w", container_options=muxer.get(path.suffix, {})) as out:
        video = out.add_stream(codec, rate=25, options=options or {})
        video.width, video.height, video.pix_fmt = *size, form
        video.codec_context.time_base = video.time_base = tick
        video.codec_context.sample_aspect_ratio = aspect
        for name, value in (tags or {}).items():
            setattr(video.codec_context, name, value)
        if turn or mirror:
            video.set_display_rotation(turn, hflip=mirror)
        tracks = [out.add_stream(sound, rate=48000, layout="mono") for sound in sounds]
        deep = "10" in form
        for index, time in enumerate(pts):
            rgb = picture(index, size, deep)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb48le" if deep else "rgb24").reformat(format=form)
            frame.pts, frame.time_base, frame.pict_type = time, tick, 0
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for number, track in enumerate(tracks):
            for start in range(0, int((pts[-1] - pts[0]) * tick * 48000), 1024):
                wave = 0.3 * np.sin((300 + 100 * number) * 2 * np.pi * (start + np.arange(1024)) / 48000)
                pcm = track.codec_context.name == "pcm_u8"
                samples = (wave * 127 + 128).astype(np.uint8) if pcm else wave.astype(np.float32)
                piece = av.AudioFrame.from_ndarray(samples[None], "u8" if pcm else "fltp", "mono")
                piece.sample_rate, piece.pts, piece.time_base = 48000, start, Fraction(1, 48000)
                out.mux(track.encode(piece))
            out.mux(track.encode(None))
    return path


def decoded_pts(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0)]


def sound_packets(path: Path) -> list[list[tuple[Fraction, bytes]]]:
    """Of each sound track the packets' times in seconds and bytes."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[Fraction, bytes]]] = {track.index: [] for track in container.streams.audio}
        for packet in container.demux(audio=tuple(range(len(found)))) if found else ():
            if packet.size:
                found[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(found.values())


def rewrite(clip: Clip, path: Path, codec: str = "h264", crf: int | None = None) -> Clip:
    with open_writer(path, clip, codec, crf) as writer:
        for frame in read(clip):
            writer.write(frame)
    return probe(path)


def times(clip: Clip) -> list[Fraction]:
    return [int(time) * clip.time_base for time in clip.pts]


def planes(frame: Frame) -> list[NDArray[Any]]:
    """The native planes, one sample an element, padding cut off."""
    kind = np.uint8 if max(part.bits for part in frame.native.format.components) == 8 else np.uint16
    found = []
    for plane in frame.native.planes:
        rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
        found.append(rows[:, : plane.width].copy())
    return found


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    peak = 65535.0 if a.dtype == np.uint16 else 255.0
    return float(10 * np.log10(peak**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2))))


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b-frames.mp4", "libx264", {"bf": "3", "g": "250"}),
        ("short-groups.mp4", "libx264", {"bf": "2", "g": "12"}),
        ("open-groups.mkv", "libx264", {"bf": "3", "g": "10", "x264-params": "open-gop=1"}),
        ("hevc.mp4", "libx265", {"x265-params": "log-level=none:keyint=15"}),
        ("broadcast.ts", "libx264", {"g": "12"}),
        ("old.avi", "mpeg4", {}),
        ("raw.h264", "libx264", {"bf": "2"}),
    ],
)
def test_any_start_gives_the_frames_of_a_read_from_the_beginning(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    tick = Fraction(1, 25) if name.endswith("avi") else TICK
    pts = list(range(60)) if name.endswith("avi") else STEADY
    clip = probe(make(tmp_path / name, pts, codec=codec, options=options, tick=tick))
    whole = list(read(clip))
    assert [frame.pts for frame in whole] == clip.pts.tolist()
    assert [frame.index for frame in whole] == list(range(60))
    assert clip.count == 60 and clip.size == SIZE
    for start in (1, 31, 33, 34, 40, 45, 52, 59):
        for late, frame in zip(read(clip, start, start + 3), whole[start : start + 3], strict=True):
            assert (late.index, late.pts) == (frame.index, frame.pts)
            assert np.array_equal(late.pixels, frame.pixels)
    assert list(read(clip, 60)) == [] and list(read(clip, 5, 5)) == []
    some = [0, 3, 3, 31, 45, 58, 59]
    for index, frame in zip(some, frames_at(clip, some), strict=True):
        assert (frame.index, frame.pts) == (index, whole[index].pts)
        assert np.array_equal(frame.pixels, whole[index].pixels)
    assert list(frames_at(clip, [])) == []


@pytest.mark.parametrize("name", ["groups.mp4", "groups.mkv"])
def test_some_frames_are_decoded_in_as_few_goes_as_key_frames_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    clip = probe(make(tmp_path / name, [512 * index for index in range(400)], options={"g": "100", "bf": "2"}))
    decoded: list[int] = []
    pictures = reader._pictures

    def counted(container: Any, stream: Any) -> Iterator[tuple[Any, int]]:
        for shown in pictures(container, stream):
            decoded.append(shown[1])
            yield shown

    monkeypatch.setattr(reader, "_pictures", counted)
    assert [frame.index for frame in frames_at(clip, [10, 20, 40, 370, 399])] == [10, 20, 40, 370, 399]
    assert len(decoded) == len(set(decoded))  # none twice
    assert len(decoded) < 250, len(decoded)  # and few of those between


def test_times_are_those_of_decoding_for_variable_rate_late_start_and_edit_list(tmp_path: Path) -> None:
    variable = [1000, 1512, 1600, 3000, 3001, 5000, 9000, 9100, 9200, 12000, 12800, 20000]
    made = make(tmp_path / "variable.mp4", variable, options={"bf": "2"})
    assert probe(made).pts.tolist() == variable == decoded_pts(made)
    # Frames before time 0 become an edit list, which players and decoders skip.
    trimmed = make(tmp_path / "trimmed.mp4", [512 * (index - 7) for index in range(40)], options={"bf": "2"})
    clip = probe(trimmed)
    assert clip.pts.tolist() == [512 * index for index in range(33)] == decoded_pts(trimmed)
    assert [frame.pts for frame in read(clip)] == clip.pts.tolist()
    assert psnr(next(read(clip)).pixels, picture(7)) > 30


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p"])
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_is_undone_and_written_upright(tmp_path: Path, turn: int, form: str) -> None:
    clip = probe(make(tmp_path / "turned.mp4", STEADY[:5], turn=turn, form=form, aspect=Fraction(4, 3)))
    assert clip.rotation == turn
    assert clip.size == (SIZE if turn == 180 else SIZE[::-1])
    assert clip.sample_aspect == (Fraction(4, 3) if turn == 180 else Fraction(3, 4))
    for frame in read(clip):
        assert psnr(frame.pixels, np.rot90(picture(frame.index), turn // 90)) > 33
    film = rewrite(clip, tmp_path / "upright.mp4")
    assert (film.rotation, film.size, film.sample_aspect) == (0, clip.size, clip.sample_aspect)
    upright = rewrite(clip, tmp_path / "upright.mkv", "ffv1")
    assert (upright.rotation, upright.size) == (0, clip.size)
    assert upright.pixel_format == form
    for before, after in zip(read(clip), read(upright), strict=True):
        assert psnr(before.pixels, after.pixels) > 45


@pytest.mark.parametrize(
    ("matrix", "coefficients"), [(1, (0.2126, 0.0722)), (6, (0.299, 0.114)), (9, (0.2627, 0.0593))]
)
@pytest.mark.parametrize("wide", [1, 2])
def test_pixels_follow_the_matrix_and_range_tags(
    tmp_path: Path, matrix: int, coefficients: tuple[float, float], wide: int
) -> None:
    path = tmp_path / "flat.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 32, 16, "yuv420p"
        video.codec_context.colorspace, video.codec_context.color_range = matrix, wide
        frame = av.VideoFrame(32, 16, "yuv420p")
        for plane, value in zip(frame.planes, (120, 150, 90), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace, frame.color_range = matrix, wide
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    y, u, v = ((120 - 16) / 219, 22 / 224, -38 / 224) if wide == 1 else (120 / 255, 22 / 255, -38 / 255)
    kr, kb = coefficients
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    expected = np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]) * 255
    clip = probe(path)
    assert (clip.colour.matrix, clip.colour.range) == (matrix, wide)
    assert np.abs(next(read(clip)).pixels.reshape(-1, 3) - expected).max() < 1.5


@pytest.mark.parametrize(("size", "matrix"), [((64, 718), 5), ((720, 720), 1)])
def test_untagged_pictures_are_taken_by_convention(tmp_path: Path, size: tuple[int, int], matrix: int) -> None:
    clip = probe(make(tmp_path / "untagged.mkv", [0, 512], size=size, codec="ffv1"))
    assert clip.colour.matrix == 2
    frame = next(read(clip))
    named = frame.native.reformat(format="rgb24", src_colorspace=matrix, src_color_range=1, dst_color_range=2)
    other = frame.native.reformat(format="rgb24", src_colorspace=6 - matrix, src_color_range=1, dst_color_range=2)
    assert psnr(frame.pixels, named.to_ndarray()) > 40 > psnr(frame.pixels, other.to_ndarray())


def test_bad_inputs_are_named_with_a_remedy(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a film\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    whole = make(tmp_path / "whole.mp4", sounds=["aac"]).read_bytes()
    (tmp_path / "no-index.mp4").write_bytes(whole[: len(whole) // 2])  # its index lay at the end
    (tmp_path / "folder").mkdir()
    with av.open(str(tmp_path / "sound.m4a"), "w") as out:
        track = out.add_stream("aac", rate=48000, layout="mono")
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        piece.sample_rate = 48000
        out.mux([*track.encode(piece), *track.encode(None)])
    for name, why in [
        ("missing.mp4", "no such file"),
        ("notes.txt", "text file|not a video"),
        ("empty.mp4", "not a video"),
        ("no-index.mp4", "not a video"),
        ("sound.m4a", "no video track"),
        ("folder", "no pictures"),
    ]:
        with pytest.raises(InputError, match=why) as caught:
            probe(tmp_path / name)
        assert name in str(caught.value)
    mirrored = make(tmp_path / "mirrored.mp4", STEADY[:3], mirror=True)
    with pytest.raises(InputError, match="mirrored"):
        probe(mirrored)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_file_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    whole = probe(make(tmp_path / name, [512 * index for index in range(120)], sounds=["aac"]))
    again = rewrite(whole, tmp_path / f"faststart{Path(name).suffix}")
    data = again.path.read_bytes()
    cut = tmp_path / f"cut{Path(name).suffix}"
    cut.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(InputError, match="cut off"):
        probe(cut)


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("h264", ".mkv"), ("h265", ".mp4"), ("ffv1", ".mkv")])
def test_damage_in_the_middle_names_the_frame(tmp_path: Path, codec: str, suffix: str) -> None:
    clip = rewrite(probe(make(tmp_path / "in.mp4")), tmp_path / f"whole{suffix}", codec)
    with av.open(str(clip.path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    hurt = next(packet for packet in packets[30:] if packet.size > 40)
    data = bytearray(clip.path.read_bytes())
    start = data.index(bytes(hurt)) + hurt.size // 2
    data[start : start + hurt.size // 2 + 24] = bytes(hurt.size // 2 + 24)  # into the head of the next one
    damaged = tmp_path / f"damaged{suffix}"
    damaged.write_bytes(data)
    at = clip.pts.tolist().index(hurt.pts)
    got = []
    with pytest.raises(InputError, match=r"frame \d+ \(at \d\.\d\d s\) cannot be decoded|is cut off") as raised:
        for frame in read(probe(damaged)):
            got.append(frame.index)
    if "cut off" in str(raised.value):
        assert suffix == ".mkv"  # a cluster whose sizes no longer add up reads as the end of the file
        return
    assert got == list(range(len(got)))
    assert at - 20 < len(got) <= at + 4  # the picture hurt, or one it was held back for


def test_a_read_closed_early_lets_go_of_the_file(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "clip.mp4"))
    opened = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    frames = read(clip)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    if opened:
        assert len(list(Path("/proc/self/fd").iterdir())) == opened


# --- writing ---------------------------------------------------------------------------------------------------------

VARIABLE = [1000 + 512 * index + (index % 5) * 70 for index in range(50)]


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mov", "h264"), (".mp4", "h265"), (".mkv", "h264")])
def test_times_sound_and_tags_survive(tmp_path: Path, suffix: str, codec: str) -> None:
    tags = {"color_primaries": 9, "color_trc": 14, "colorspace": 9, "color_range": 1}
    made = make(
        tmp_path / "in.mp4", VARIABLE, sounds=["aac", "aac"], tags=tags, aspect=Fraction(4, 3), options={"bf": "2"}
    )
    clip = probe(made)
    assert clip.audio_tracks == 2
    out = rewrite(clip, tmp_path / f"out{suffix}", codec)
    assert out.size == clip.size and out.colour == clip.colour and out.sample_aspect == Fraction(4, 3)
    assert out.pixel_format == "yuv420p" and out.audio_tracks == 2
    before, after = sound_packets(made), sound_packets(out.path)
    assert before[0] != before[1]
    for was, now in zip(before, after, strict=True):
        assert [data for _, data in was] == [data for _, data in now]
    if suffix == ".mkv":  # Matroska counts milliseconds
        assert max(abs(a - b) for a, b in zip(times(clip), times(out), strict=True)) <= Fraction(1, 2000)
        assert max(abs(a - b) for (a, _), (b, _) in zip(before[0], after[0], strict=True)) <= Fraction(1, 1000)
    else:
        assert out.time_base == clip.time_base and out.pts.tolist() == VARIABLE
        assert before == after
        assert before[0][0][0] < 0  # the encoder's priming
        assert out.seconds == clip.seconds
        head = out.path.read_bytes()
        assert head.index(b"moov") < head.index(b"mdat")
        assert (b"hvc1" in head) == (codec == "h265")


def test_sound_lies_beside_the_picture(tmp_path: Path) -> None:
    made = make(tmp_path / "in.mp4", [512 * index for index in range(300)], sounds=["aac"], size=(32, 32))
    out = rewrite(probe(made), tmp_path / "out.mp4")
    with av.open(str(out.path)) as container:
        order = sorted((packet.pos, packet.dts * packet.time_base) for packet in container.demux() if packet.size)
    assert max(abs(a[1] - b[1]) for a, b in pairwise(order)) < 1


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le", "yuv444p", "yuvj420p", "gray", "yuv422p10le"])
def test_ffv1_passes_the_untouched_picture_bit_for_bit(tmp_path: Path, form: str) -> None:
    tags = {"color_range": 2 if form == "yuvj420p" else 1}
    source, codec = ("in.mkv", "ffv1") if form == "gray" else ("in.mp4", "libx264")
    clip = probe(make(tmp_path / source, STEADY[:6], form=form, tags=tags, codec=codec))
    assert clip.pixel_format == form
    out = rewrite(clip, tmp_path / "out.mkv", "ffv1")
    assert out.pixel_format == form.replace("yuvj", "yuv")
    for before, after in zip(read(clip), read(out), strict=True):
        assert before.pixels.dtype == (np.uint16 if "10" in form else np.uint8)
        assert np.array_equal(before.pixels, after.pixels)
        assert all(np.array_equal(a, b) for a, b in zip(planes(before), planes(after), strict=True))


@pytest.mark.parametrize("codec", ["h264", "h265", "ffv1"])
def test_ten_bits_stay_ten_bits(tmp_path: Path, codec: str) -> None:
    clip = probe(make(tmp_path / "in.mp4", STEADY[:6], form="yuv420p10le"))
    out = rewrite(clip, tmp_path / "out.mkv", codec)
    assert out.pixel_format == "yuv420p10le"
    frame = next(read(out))
    assert frame.pixels.dtype == np.uint16 and frame.pixels.max() > 40000
    assert psnr(frame.pixels, next(read(clip)).pixels) > 38


DISPLAY = (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 1, 10000000)
"""BT.2020's primaries at D65, 0.0001 to 1000 cd/m2"""
MADE_ON = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"


def hdr(path: Path, transfer: int, count: int = 4) -> Clip:
    tags = {"color_primaries": 9, "color_trc": transfer, "colorspace": 9, "color_range": 1}
    options = {"x265-params": f"log-level=none:{MADE_ON}"}
    return probe(make(path, STEADY[:count], codec="libx265", form="yuv420p10le", tags=tags, options=options))


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("h265", ".mkv"), ("ffv1", ".mkv")])
def test_hdr_stays_hdr_and_outside_the_box_untouched(tmp_path: Path, transfer: int, codec: str, suffix: str) -> None:
    clip = hdr(tmp_path / "in.mp4", transfer)
    assert clip.mastering == Mastering(DISPLAY, (1000, 400)) and clip.colour.transfer == transfer
    box, given = (20, 14, 60, 50), []
    with open_writer(tmp_path / f"out{suffix}", clip, codec) as writer:
        for frame in read(clip):
            given.append(picture(frame.index + 100, deep=True))
            writer.write(frame, given[-1], box)
    out = probe(tmp_path / f"out{suffix}")
    assert out.colour == clip.colour and out.pixel_format == "yuv420p10le"
    if codec != "ffv1":
        assert out.mastering == clip.mastering
    for before, after, pixels in zip(read(clip), read(out), given, strict=True):
        inside = (slice(20, 44), slice(26, 54))
        assert psnr(after.pixels[inside], pixels[inside]) > (30 if codec != "ffv1" else 40)
        for was, now in zip(planes(before), planes(after), strict=True):
            outside = np.ones(was.shape, bool)
            across, down = SIZE[0] // was.shape[1], SIZE[1] // was.shape[0]
            outside[14 // down : 50 // down, 20 // across : 60 // across] = False
            if codec == "ffv1":
                assert np.array_equal(was[outside], now[outside])
            else:
                assert np.abs(was[outside].astype(int) - now[outside]).mean() < 4  # of 1023


@pytest.mark.parametrize("transfer", [16, 18])
def test_tones_of_hdr_have_a_way_back(transfer: int) -> None:
    codes = np.round(np.arange(1024) / 1023 * 65535).astype(np.uint16)
    sdr = tone.shown(codes, transfer)
    assert (np.diff(sdr.astype(int)) >= 0).all()
    assert np.array_equal(np.round(tone.stored(sdr, transfer) / 65535 * 1023), np.arange(1024))
    white = round((0.58069 if transfer == 16 else 0.75) * 65535)  # ITU-R BT.2408, table 1
    assert 0.88 < tone.shown(np.array([white], np.uint16), transfer)[0] / 65535 < 0.95
    assert tone.shown(codes, 1) is codes and tone.stored(codes.astype(np.uint8), transfer).dtype == np.uint8


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("box", [(21, 13, 64, 50), (0, 0, 19, 19), (71, 55, 96, 80)])
def test_outside_the_box_nothing_is_touched_and_inside_is_what_was_given(
    tmp_path: Path, form: str, box: tuple[int, int, int, int]
) -> None:
    clip = probe(make(tmp_path / "in.mkv", STEADY[:3], form=form, codec="ffv1"))
    x0, y0, x1, y1 = box
    given = []
    with open_writer(tmp_path / "out.mkv", clip, "ffv1") as writer:
        for frame in read(clip):
            kept = planes(frame)
            pixels = np.full_like(frame.pixels, 7)  # outside the box it must not be looked at
            pixels[y0:y1, x0:x1] = picture(frame.index + 200, deep="10" in form)[y0:y1, x0:x1]
            given.append(pixels)
            writer.write(frame, pixels, box)
            assert all(np.array_equal(a, b) for a, b in zip(kept, planes(frame), strict=True))
    for before, after, pixels in zip(read(clip), read(probe(tmp_path / "out.mkv")), given, strict=True):
        for was, now in zip(planes(before), planes(after), strict=True):
            across, down = SIZE[0] // was.shape[1], SIZE[1] // was.shape[0]
            outside = np.ones(was.shape, bool)
            outside[y0 // down : -(-y1 // down), x0 // across : -(-x1 // across)] = False
            assert np.array_equal(was[outside], now[outside])
        inner = (slice(y0 + 4 * (y0 > 0), y1 - 4 * (y1 < 80)), slice(x0 + 4 * (x0 > 0), x1 - 4 * (x1 < 96)))
        assert psnr(after.pixels[inner], pixels[inner]) > 45


def test_chroma_inside_the_box_does_not_depend_on_its_size(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "in.mkv", STEADY[:2], codec="ffv1"))
    seen = []
    for box in ((20, 14, 60, 50), (20, 14, 61, 53), (3, 5, 77, 71)):
        with open_writer(tmp_path / "out.mkv", clip, "ffv1") as writer:
            for frame in read(clip):
                writer.write(frame, picture(frame.index + 100), box)
        seen.append([part[12:24, 14:28] for part in planes(next(read(probe(tmp_path / "out.mkv"))))[1:]])
    for other in seen[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(seen[0], other, strict=True))


def test_equal_pixels_inside_the_box_keep_the_stored_samples(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "in.mp4", STEADY[:3]))
    with open_writer(tmp_path / "out.mkv", clip, "ffv1") as writer:
        for frame in read(clip):
            writer.write(frame, frame.pixels.copy())
    for before, after in zip(read(clip), read(probe(tmp_path / "out.mkv")), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes(before), planes(after), strict=True))


def test_pixels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "in.mp4", STEADY[:3]))
    with (
        pytest.raises(ValueError, match="uint16"),
        open_writer(tmp_path / "out.mp4", clip) as writer,
    ):
        for frame in read(clip):
            writer.write(frame, frame.pixels.astype(np.uint16))


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("h265", ".mp4"), ("ffv1", ".mkv")])
def test_odd_sizes_are_neither_padded_nor_cropped(tmp_path: Path, codec: str, suffix: str) -> None:
    clip = probe(make(tmp_path / "in.mkv", STEADY[:4], size=(101, 75), codec="ffv1"))
    assert clip.size == (101, 75) and clip.pixel_format == "yuv420p"
    with open_writer(tmp_path / f"out{suffix}", clip, codec) as writer:
        for frame in read(clip):
            pixels = frame.pixels.copy()
            pixels[40:, 60:] = 255 - pixels[40:, 60:]
            writer.write(frame, pixels, (60, 40, 101, 75))
    out = probe(tmp_path / f"out{suffix}")
    assert out.size == (101, 75)
    assert out.pixel_format == ("yuv420p" if codec == "ffv1" else "yuv444p")
    for before, after in zip(read(clip), read(out), strict=True):
        assert psnr(before.pixels[:38, :58], after.pixels[:38, :58]) > 36
        assert psnr(255 - before.pixels[43:, 63:], after.pixels[43:, 63:]) > 30


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_frames_is_a_clip_too(tmp_path: Path, codec: str, count: int) -> None:
    clip = probe(make(tmp_path / "in.mp4", STEADY[:count]))
    assert rewrite(clip, tmp_path / "out.mp4", codec).pts.tolist() == STEADY[:count]


def test_what_a_container_cannot_carry_is_said(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "in.mkv", STEADY[:20], sounds=["pcm_u8"]))
    with pytest.raises(OutputError, match=r"\.mp4 cannot carry the sound codec 'pcm_u8'.*\.mkv"):
        open_writer(tmp_path / "out.mp4", clip)
    out = rewrite(clip, tmp_path / "out.mkv")
    assert sound_packets(out.path) == sound_packets(clip.path)
    for name, codec, why in [("out.mp4", "ffv1", r"\.mkv"), ("out.gif", "h264", r"\.mp4"), ("out.mkv", "av2", "h264")]:
        with pytest.raises(InputError, match=why):
            open_writer(tmp_path / name, clip, codec)


def test_an_error_among_the_frames_ends_the_writer(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "in.mp4", sounds=["aac"]))
    with pytest.raises(RuntimeError, match="mine"), open_writer(tmp_path / "out.mp4", clip) as writer:
        for frame in read(clip):
            writer.write(frame)
            if frame.index == 30:
                raise RuntimeError("mine")
    with pytest.raises(OutputError, match="no frame"), open_writer(tmp_path / "out.mp4", clip):
        pass


def stopped_at(clip: Clip, path: Path, codec: str, keep: Path, last: int) -> None:
    """Write a clip, up to and with the frame `last`."""
    with pytest.raises(KeyboardInterrupt), open_writer(path, clip, codec, keep=keep) as writer:
        for frame in read(clip, writer.begin):
            writer.write(frame)
            if frame.index == last:
                raise KeyboardInterrupt


def all_packets(path: Path) -> list[tuple[int | None, int | None, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts, packet.dts, packet.duration, bytes(packet)) for packet in container.demux() if packet.size]


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".mp4", "h265"), (".mkv", "ffv1")]
)
def test_stopped_twice_a_film_becomes_what_it_would_have_been(tmp_path: Path, suffix: str, codec: str) -> None:
    # Rates that grow and shrink where segments meet.
    pts = (np.cumsum([700, 300, 300, 1500, 90] * 62) + 1000).tolist()
    # 128 px wide: at other widths x264 does not give the same packets twice (see Writer).
    clip = probe(make(tmp_path / "in.mp4", pts, sounds=["aac"], options={"bf": "2"}, size=(128, 80)))
    each = segment_frames(clip)
    assert 80 < each < 100
    out, keep = tmp_path / f"out{suffix}", tmp_path / "keep"
    stopped_at(clip, out, codec, keep, each + 30)
    with open_writer(out, clip, codec, keep=keep) as writer:
        assert writer.begin == each
        writer.write(next(read(clip, each)))  # ends early, and yet is a film
    (keep / "000001.npy").unlink()
    stopped_at(clip, out, codec, keep, 2 * each + 50)
    with open_writer(out, clip, codec, keep=keep) as writer:
        assert writer.begin == 2 * each
        for frame in read(clip, writer.begin):
            writer.write(frame)
    once = rewrite(clip, tmp_path / f"once{suffix}", codec)
    assert all_packets(out) == all_packets(once.path)
    film = probe(out)
    assert film.count == 310 and [frame.index for frame in read(film)] == list(range(310))
    if suffix != ".mkv":
        assert film.pts.tolist() == pts and sound_packets(out) == sound_packets(clip.path)
    for before, after in zip(read(clip), read(film), strict=True):
        assert psnr(before.pixels, after.pixels) > (36 if codec != "ffv1" else 99)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.mp4", f"once{suffix}", out.name, "keep"])


def test_stopped_pictures_are_not_made_again(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "in.mp4", STEADY[:9]))
    out = tmp_path / "out"
    stopped_at(clip, out, "h264", tmp_path / "keep", 4)
    made = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    with open_writer(out, clip) as writer:
        assert writer.begin == 5 == len(made)
        for frame in read(clip, writer.begin):
            writer.write(frame)
    assert {file: file.stat().st_mtime_ns for file in made} == made
    assert [np.array_equal(a.pixels, b.pixels) for a, b in zip(read(clip), read(probe(out)), strict=True)] == [True] * 9


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_hardware_encoder_is_taken_where_one_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    clip = probe(make(tmp_path / "in.mp4", STEADY[:30]))
    assert choose(codec, "software", clip) == (SOFTWARE[codec], "")
    monkeypatch.setitem(HARDWARE, codec, ("no_such_encoder",))
    for wanted, what in (("auto", "no hardware encoder"), ("no_such_encoder", "no_such_encoder")):
        name, said = choose(codec, wanted, clip)
        assert name == SOFTWARE[codec] and said.startswith(f"{what} opens on this machine for {codec}, 96 x 80")
    # An encoder that is here stands for a chip's own: it must open with the clip's size and depth, and make the film.
    monkeypatch.setitem(HARDWARE, codec, ("no_such_encoder", "mpeg4"))
    assert choose(codec, "auto", clip)[0] == "mpeg4" == choose(codec, "mpeg4", clip)[0]
    with open_writer(tmp_path / "out.mkv", clip, codec, encoder="mpeg4") as writer:
        for frame in read(clip):
            writer.write(frame)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert [frame.pts for frame in read(probe(tmp_path / "out.mkv"))] == [40 * index for index in range(30)]  # ms
    with pytest.raises(InputError, match=rf"no encoder for {codec} known here\. Choose auto, software, or one of"):
        choose(codec, "vp9_vaapi", clip)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_a_full_disk_is_reported(tmp_path: Path, codec: str) -> None:
    clip = probe(make(tmp_path / "in.mp4", sounds=["aac"]))
    path = tmp_path / "out.mkv"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        rewrite(clip, path, codec)
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OutputError, match="disk is full"), output_errors(path):
        rewrite(clip, path, codec)


# --- folders of pictures ---------------------------------------------------------------------------------------------


def save(path: Path, pixels: NDArray[Any], codec: str = "png", form: str = "rgb24") -> None:
    with av.open(io.BytesIO(), "w", "image2pipe") as out:
        still = out.add_stream(codec, rate=1)
        still.height, still.width = pixels.shape[:2]
        still.pix_fmt = form
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24" if pixels.dtype == np.uint8 else "rgb48le")
        encoded = still.encode(frame.reformat(format=form, dst_color_range=2))
        path.write_bytes(b"".join(bytes(packet) for packet in [*encoded, *still.encode(None)]))


def test_a_folder_is_a_clip_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for index in range(12):
        save(folder / f"shot{index}.png", picture(index))
    (folder / "readme.txt").write_text("no picture")
    clip = probe(folder)
    assert clip.is_folder and clip.size == SIZE and clip.audio_tracks == 0
    assert clip.pts.tolist() == list(range(12)) and clip.time_base == Fraction(1, 25)
    for frame in read(clip, 2):
        assert np.array_equal(frame.pixels, picture(frame.index))
    assert [frame.index for frame in read(clip, 3, 5)] == [3, 4]
    with open_writer(tmp_path / "out", clip) as writer:
        for frame in read(clip):
            pixels = np.zeros_like(frame.pixels)
            writer.write(frame, pixels if frame.index == 5 else None, (10, 20, 30, 40))
    out = probe(tmp_path / "out")
    assert sorted(file.name for file in out.path.iterdir()) == sorted(f"shot{index}.png" for index in range(12))
    for frame in read(out):
        expected = picture(frame.index)
        if frame.index == 5:
            expected[20:40, 10:30] = 0
        assert np.array_equal(frame.pixels, expected)
    film = rewrite(clip, tmp_path / "film.mp4")
    assert times(film) == times(clip) and film.pixel_format == "yuv420p" and film.colour.matrix == 6
    assert psnr(next(read(film, 7)).pixels, picture(7)) > 33
    assert all(
        np.array_equal(a.pixels, b.pixels)
        for a, b in zip(read(clip), read(rewrite(clip, tmp_path / "l.mkv", "ffv1")), strict=True)
    )
    save(folder / "shot12.png", picture(0, (50, 40)))
    with pytest.raises(InputError, match=r"shot12\.png: is 50 x 40, shot0\.png is 96 x 80"):
        probe(folder)
    (folder / "shot12.png").write_bytes(b"no picture at all")
    with pytest.raises(InputError, match=r"shot12\.png: is no picture"):
        probe(folder)


def test_deep_and_lossy_pictures(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    save(deep / "1.png", picture(0, deep=True), form="rgb48be")
    clip = probe(deep)
    frame = next(read(clip))
    assert frame.pixels.dtype == np.uint16 and np.array_equal(frame.pixels, picture(0, deep=True))
    with open_writer(tmp_path / "out", clip) as writer:
        writer.write(frame)
    assert np.array_equal(next(read(probe(tmp_path / "out"))).pixels, frame.pixels)
    lossy = tmp_path / "lossy"
    lossy.mkdir()
    save(lossy / "1.jpg", picture(0), "mjpeg", "yuvj444p")
    save(lossy / "2.png", picture(0)[..., :1].repeat(3, -1), form="gray")
    first, second = read(probe(lossy))
    assert psnr(first.pixels, picture(0)) > 33
    assert psnr(second.pixels, picture(0)[..., :1].repeat(3, -1)) > 45


def test_a_video_becomes_a_folder_of_pictures(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "in.mp4", STEADY[:3]))
    with open_writer(tmp_path / "pictures", clip) as writer:
        for frame in read(clip):
            writer.write(frame)
    assert sorted(file.name for file in (tmp_path / "pictures").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    for frame, saved in zip(read(clip), read(probe(tmp_path / "pictures")), strict=True):
        assert np.array_equal(frame.pixels, saved.pixels)


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_a_reduced_clip_is_read_smaller_and_nothing_is_shifted(tmp_path: Path, form: str) -> None:
    big = (512, 384)
    clip = probe(make(tmp_path / "a.mkv", STEADY[:4], codec="ffv1", form=form, size=big))
    small = reduced(clip, 0.375)
    assert small.size == (192, 144) and small.filmed == big
    for frame, whole in zip(read(small), read(clip), strict=True):
        assert frame.pixels.shape == (144, 192, 3) and frame.pixels.dtype == whole.pixels.dtype
        expected = cv2.resize(whole.pixels, (192, 144), interpolation=cv2.INTER_AREA)
        most = np.iinfo(frame.pixels.dtype).max
        inside = (slice(8, -8), slice(8, -8))  # Lanczos and averages differ at the picture's edge
        away = np.abs(frame.pixels[inside].astype(float) - expected[inside]) / most
        assert away.mean() < 0.003 and away.max() < 0.02
    again = rewrite(small, tmp_path / "b.mkv", "ffv1")
    assert again.size == small.size and times(again) == times(clip)
    for written, given in zip(read(again), read(small), strict=True):
        for plane, origin in zip(planes(written), planes(given), strict=True):
            np.testing.assert_array_equal(plane, origin)


def test_an_untagged_clip_keeps_its_colours_when_reduced(tmp_path: Path) -> None:
    clip = probe(make(tmp_path / "a.mkv", STEADY[:2], codec="ffv1", size=(1280, 720)))
    small = reduced(clip, 0.5)
    assert clip.colour.matrix == 2 and small.colour.matrix == 1  # as the size it had says
    whole, half = next(read(clip)).pixels, next(read(small)).pixels
    expected = cv2.resize(whole, (640, 360), interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(float) - expected)[8:-8, 8:-8].mean() < 0.8
    assert probe(make(tmp_path / "c.mkv", STEADY[:2], codec="ffv1", turn=0)).filmed is None


def test_a_folder_of_pictures_is_reduced_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        save(tmp_path / "in" / f"{index}.png", picture(index, (200, 160)))
    small = reduced(probe(tmp_path / "in"), 0.5)
    frames = list(read(small))
    assert [frame.pixels.shape for frame in frames] == [(80, 100, 3)] * 3
    expected = cv2.resize(picture(1, (200, 160)), (100, 80), interpolation=cv2.INTER_AREA)
    assert np.abs(frames[1].pixels.astype(float) - expected)[4:-4, 4:-4].mean() < 1
