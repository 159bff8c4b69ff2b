"""Converting: colour on skin, the blend's alpha, and a whole clip in and out."""

from __future__ import annotations

import datetime as dt
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import ConsentError, ContentError, InputError
from facedouble.events import Progress
from facedouble.find.mask import cover_mask
from facedouble.find.mesh import Mesh, rotation
from facedouble.footage import Frame
from facedouble.geometry import FACE_OVAL, LEFT_BROW, RIGHT_BROW, align
from facedouble.media.reader import probe, read
from facedouble.provenance import credential, ledger, xmp
from facedouble.provenance.content import ContentCheck
from facedouble.recipes import ConvertRecipe
from facedouble.stages.conversion import _windows
from facedouble.swap.blend import BLENDS, multiband, plain, poisson
from facedouble.swap.colour import METHODS, match_skin
from facedouble.swap.face import Swapper, _into_region, _region
from facedouble.swap.label import Label
from facedouble.swap.steady import COVERED, REACH, Glimpse, steady
from support import CPU, backdrop, pictures, run, write_clip


def test_alpha_is_applied_once() -> None:
    face, plate = np.full((64, 64, 3), 0.8, np.float32), np.full((64, 64, 3), 0.2, np.float32)
    alpha = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    np.testing.assert_allclose(plain(face, plate, alpha)[..., 0], 0.2 + 0.6 * alpha, atol=1e-6)


def test_multiband_keeps_what_alpha_does_not_touch() -> None:
    rng = np.random.default_rng(1)
    face, plate = (rng.random((96, 96, 3), np.float32) for _ in range(2))
    alpha = np.zeros((96, 96), np.float32)
    alpha[24:72, 24:72] = 1
    mixed = multiband(face, plate, alpha)
    np.testing.assert_array_equal(mixed[alpha == 0], plate[alpha == 0])
    assert np.abs(mixed[46:50, 46:50] - face[46:50, 46:50]).mean() < 0.12
    flat = multiband(np.full_like(face, 0.8), np.full_like(plate, 0.2), np.ones_like(alpha))
    np.testing.assert_allclose(flat, 0.8, atol=1e-5)


def test_colour_moves_skin_alone() -> None:
    rng = np.random.default_rng(2)
    face = (0.4 + 0.05 * rng.random((40, 40, 3))).astype(np.float32)
    plate = face * np.array([1.3, 1.1, 0.9], np.float32)
    skin = np.zeros((40, 40), np.float32)
    skin[:, :20] = 1
    matched = match_skin(face, plate, skin, skin)
    np.testing.assert_array_equal(matched[:, 20:], face[:, 20:])
    np.testing.assert_allclose(matched[:, :20].mean((0, 1)), plate[:, :20].mean((0, 1)), atol=0.01)


@pytest.mark.parametrize("method", sorted([*METHODS, "light"]))
def test_every_colour_method_moves_skin_to_the_plate_and_nothing_else(method: str) -> None:
    rng = np.random.default_rng(3)
    grain = 0.03 * rng.random((60, 80, 3))
    face = (np.array([0.55, 0.4, 0.35]) + grain).astype(np.float32)
    shade = np.linspace(0.85, 1.15, 80)[None, :, None]  # A is lit from the right, B from nowhere
    plate = ((np.array([0.6, 0.42, 0.3]) + 0.03 * rng.random((60, 80, 3))) * shade).astype(np.float32)
    skin = np.zeros((60, 80), np.float32)
    skin[:40] = 1
    matched = match_skin(face, plate, skin, skin, method)
    if method != "light":
        np.testing.assert_array_equal(matched[40:], face[40:])
    np.testing.assert_allclose(matched[:40].mean((0, 1)), plate[:40].mean((0, 1)), atol=0.02)
    slope = matched[:40, -20:].mean() - matched[:40, :20].mean()
    if method == "light":
        assert slope > 0.6 * (plate[:40, -20:].mean() - plate[:40, :20].mean())
        fine = matched[:40, :, 1] - cv2.GaussianBlur(matched[:40, :, 1], (0, 0), 4)
        assert np.corrcoef(fine.ravel(), grain[:40, :, 1].ravel())[0, 1] > 0.7  # and has its own detail
        below = matched[40:45, -20:].mean() - matched[40:45, :20].mean()
        assert below > 0.3 * slope  # an eye is lit as the skin around it
    else:
        assert abs(slope) < 0.02


def test_a_hard_shadow_is_carried_over_and_features_are_not() -> None:
    y, x = np.mgrid[:128, :128].astype(np.float32)
    spot = np.exp(-((x - 40) ** 2 + (y - 64) ** 2) / (2 * 24**2))[..., None]  # a shadow, or a cheek that is hollow
    face, skin = np.full((128, 128, 3), 0.5, np.float32), np.ones((128, 128), np.float32)

    def carried(depth: float) -> float:
        plate = np.asarray(face * (1 - depth * spot), np.float32)
        dips = [picture[64, 100:110].mean() - picture[60:68, 36:44].mean() for picture in
                (match_skin(face, plate, skin, skin, "light"), plate)]  # fmt: skip
        return float(dips[0] / dips[1])

    assert carried(0.04) < 0.35
    assert 0.5 < carried(0.9) < 1.1


def test_covariance_is_carried_by_mkl_alone() -> None:
    rng = np.random.default_rng(4)
    one = rng.normal(size=(50, 50, 3)) * 0.02
    face = (0.5 + one).astype(np.float32)
    plate = (0.5 + one @ np.array([[1, 0.3, 0], [0.3, 1, 0], [0, 0, 1]])).astype(np.float32)
    skin = np.ones((50, 50), np.float32)

    def away(method: str) -> float:
        matched = match_skin(face, plate, skin, skin, method)
        lab = [cv2.cvtColor(part, cv2.COLOR_RGB2LAB).reshape(-1, 3) for part in (matched, plate)]
        return float(np.abs(np.cov(lab[0].T) - np.cov(lab[1].T)).max())

    assert away("mkl") < 0.35 * away("reinhard")


@pytest.mark.parametrize("blend", sorted(BLENDS))
def test_a_face_that_is_the_plate_changes_nothing(blend: str) -> None:
    rng = np.random.default_rng(5)
    plate = cv2.GaussianBlur(rng.random((80, 64, 3), np.float32), (0, 0), 3)
    alpha = np.zeros((80, 64), np.float32)
    alpha[20:80, 10:50] = 1  # as far as the frame's lower edge
    alpha = cv2.GaussianBlur(alpha, (0, 0), 3, borderType=cv2.BORDER_REPLICATE)
    alpha[alpha < 0.01] = 0
    mixed = BLENDS[blend](plate, plate, alpha)
    np.testing.assert_allclose(mixed, plate, atol=2.1 / 255)
    np.testing.assert_array_equal(mixed[alpha == 0], plate[alpha == 0])


def test_poisson_takes_the_colour_from_around() -> None:
    rng = np.random.default_rng(6)
    detail = cv2.GaussianBlur(rng.random((96, 96, 3), np.float32), (0, 0), 1)
    plate = np.full((96, 96, 3), 0.4, np.float32)
    alpha = np.zeros((96, 96), np.float32)
    alpha[20:76, 20:76] = 1
    mixed = poisson(0.3 + 0.2 * detail, plate, alpha)
    inside = mixed[26:70, 26:70]
    assert abs(float(inside.mean()) - 0.4) < 0.02
    assert np.corrcoef((inside - inside.mean()).ravel(), detail[26:70, 26:70].ravel())[0, 1] > 0.9


def hand(index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A grey picture of something that moves over a patterned face, and where it is."""
    y, x = np.mgrid[:128, :128].astype(np.float32)
    left = 20 + 5 * index
    there = ((x > left) & (x < left + 45) & (y > 30) & (y < 100)).astype(np.float32)
    face, thing = 120 + 30 * np.sin(x / 6) * np.cos(y / 7), 60 + 25 * np.sin((x - left) / 3) * np.cos(y / 4)
    return np.where(there > 0, thing, face).astype(np.uint8), there


def test_masks_of_what_moves_agree_over_time() -> None:
    """Each frame alone misses other parts of the mask; the thing moves 5 px a frame."""
    rng = np.random.default_rng(7)
    shown = [hand(index) for index in range(9)]
    holes = [cv2.GaussianBlur(rng.random((128, 128), np.float32), (0, 0), 6) for _ in shown]
    doubted = [
        Glimpse(there * (hole > np.quantile(hole, 0.3)), np.eye(2, 3), grey)
        for (grey, there), hole in zip(shown, holes, strict=True)
    ]
    together = [steady(doubted[index - REACH : index + REACH + 1]).covered for index in range(2, 7)]
    alone = [glimpse.covered for glimpse in doubted[2:7]]
    truth = [there for _, there in shown[2:7]]

    def iou(found: list[NDArray[np.float32]]) -> float:
        both = sum(((mask > COVERED) & (real > 0)).sum() for mask, real in zip(found, truth, strict=True))
        return float(both / sum(((mask > COVERED) | (real > 0)).sum() for mask, real in zip(found, truth, strict=True)))

    assert iou(together) > iou(alone) + 0.05
    lone = steady([None, doubted[3], None])
    np.testing.assert_allclose(lone.covered, doubted[3].covered, atol=1e-6)


def test_what_one_frame_alone_takes_for_a_thing_is_not_there() -> None:
    face, (grey, there) = hand(30)[0], hand(4)
    nothing = np.zeros_like(there)
    stain = nothing.copy()
    stain[40:60, 40:70] = 1
    bare, stained = (Glimpse(mask, np.eye(2, 3), face) for mask in (nothing, stain))
    assert steady([bare, stained, bare]).covered.max() < 0.01
    assert steady([None, stained, bare]).covered.max() < 0.01
    assert (steady([stained, stained, bare]).covered[45:55, 45:65] > COVERED).all(), "it stays for two"
    # A thing that comes in is as large as it is, but for where it has come from nowhere.
    before = Glimpse(hand(3)[1], np.eye(2, 3), hand(3)[0])
    come = steady([before, Glimpse(there, np.eye(2, 3), grey), None]).covered
    assert ((come > COVERED) == (there > 0)).mean() > 0.97


@pytest.mark.parametrize("begin", [0, 3, 6])
def test_a_late_begin_knows_the_frames_before_it(begin: int) -> None:
    def looked(start: int) -> Generator[tuple[Frame, dict[tuple[int, int], Glimpse]], None, None]:
        for index in range(start, 8):
            yield Frame(index, index, np.zeros((1, 1, 3), np.uint8)), {}

    windows = list(_windows(looked(max(0, begin - REACH)), begin))
    seen = [[None if place is None else place[0].index for place in window] for window in windows]
    whole = [
        [index if 0 <= index < 8 else None for index in range(middle - REACH, middle + REACH + 1)]
        for middle in range(8)
    ]
    assert seen == whole[begin:]


def test_too_little_skin_changes_nothing() -> None:
    face, none = np.full((10, 10, 3), 0.5, np.float32), np.zeros((10, 10), np.float32)
    np.testing.assert_array_equal(match_skin(face, face * 0.5, none, none), face)


def test_a_clip_is_converted(short_a: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    _, done = run(stages.convert(short_a, model, out, ConvertRecipe(), CPU, 2))
    before, after = probe(short_a), probe(out)
    assert [int(p) * before.time_base for p in before.pts] == [int(p) * after.time_base for p in after.pts]
    assert after.size == before.size
    assert len(done.faces[0]) == before.count
    first, swapped = next(iter(read(before))).pixels, next(iter(read(after))).pixels
    x0, y0, x1, y1 = done.faces[0].box[0].astype(int)
    assert np.abs(first[y0:y1, x0:x1].astype(int) - swapped[y0:y1, x0:x1]).mean() > 5
    verdict = credential.verify(out)
    assert verdict.state == "valid" and verdict.made_here
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_what_is_made_is_told_to_others_and_noted_here(
    short_a: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEDOUBLE_CONFIG", str(tmp_path / "config"))
    out = tmp_path / "out.mp4"
    run(stages.convert(short_a, model, out, ConvertRecipe(), CPU, 2))
    assert xmp.SENTENCE.encode() in out.read_bytes()
    (noted,) = ledger.outputs()
    consents = credential.verify(out).details["swap"]["people"]
    assert noted.path == str(out) and set(noted.consents) == {person["consent_id"] for person in consents}
    # Either person takes the consent back: nothing more is made.
    ledger.revoke(ledger.Revocation(noted.consents[1], noted.people[1], dt.date(2026, 11, 24)))
    with pytest.raises(ConsentError, match="revoked on 2026-11-24"):
        run(stages.convert(short_a, model, tmp_path / "again.mp4", ConvertRecipe(), CPU, 2))
    assert not (tmp_path / "again.mp4").exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_explicit_footage_stops_the_work(
    short_a: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    refused = short_a.name if when == "before" else "out.mp4"

    def refuse(self: object, pictures: Iterable[object], what: str) -> None:
        if what == refused:
            raise ContentError(f"{what}: explicit footage")

    monkeypatch.setattr(ContentCheck, "refuse_explicit", refuse)
    with pytest.raises(ContentError):
        run(stages.convert(short_a, model, tmp_path / "out.mp4", ConvertRecipe(), CPU, 2))
    assert list(tmp_path.iterdir()) == []


def test_a_model_under_other_records_is_refused(model: Path, short_a: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    text = (other / "consent.toml").read_text()
    (other / "consent.toml").write_text(text.replace("2026-11-01", "2026-11-02"))
    with pytest.raises(ConsentError, match="not the records this model was trained under"):
        run(stages.convert(short_a, other, tmp_path / "out.mp4", ConvertRecipe(), CPU, 2))


@pytest.mark.parametrize("raised", [0.0, 0.08])
def test_the_brows_are_covered_however_high_and_nothing_ends_hard(faces_a: FaceSet, raised: float) -> None:
    """`raised` in face widths. What is left of A's brows beside B's would be a second pair."""
    points, size = faces_a.faces.points[0].copy(), (512, 512)
    width = float(np.ptp(points[FACE_OVAL, 0]))
    brows = np.concatenate([RIGHT_BROW, LEFT_BROW])
    points[brows, 1] -= raised * width
    to_crop = align(points, 96, 1.7)
    box = _region(points, to_crop, 96, (512, 512, 3))
    picture, mask = np.full((96, 96, 3), 0.5, np.float32), np.ones((96, 96), np.float32)
    moved = points - np.array(box[:2], np.float32)
    _, alpha = _into_region(picture, mask, moved, to_crop, box, (512, 512, 3))
    x, y = moved[brows].round().astype(int).T
    assert alpha[y, x].min() > 0.8
    edge = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    assert edge.max() < 0.05
    everything = np.zeros(size[::-1], np.float32)
    everything[box[1] : box[3], box[0] : box[2]] = alpha
    assert everything[cover_mask(points, size) == 0].max() < 0.5


@pytest.mark.parametrize("yaw", [-60, -45, 45, 60])
def test_beside_a_head_seen_from_the_side_nothing_is_covered(yaw: float) -> None:
    """The further brow lies on the head's outline; ahead of the face's there is hair and ear."""
    head = Mesh.load().vertices @ rotation(np.radians([yaw, 0, 0])).T
    points = np.zeros((478, 2), np.float32)
    points[:468] = 256 + 20 * head[:, :2] * [1, -1]
    columns = np.nonzero(cover_mask(points, (512, 512)).any(0))[0]
    brows = points[[*RIGHT_BROW, *LEFT_BROW], 0]
    room = {"further": points[:468, 0].max() - columns.max(), "nearer": brows.min() - columns.min()}
    if yaw < 0:
        room = {"further": columns.min() - points[:468, 0].min(), "nearer": columns.max() - brows.max()}
    assert room["further"] > -2 and room["nearer"] > 20, room


@pytest.mark.parametrize("size", [(1920, 1080), (512, 512), (640, 360), (60, 40)])
def test_the_label_is_small_inside_and_legible(size: tuple[int, int]) -> None:
    label = Label.of(size)
    x0, y0, x1, y1 = label.box
    assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]
    for shade in (0, 128, 255):
        picture = np.full((size[1], size[0], 3), shade, np.uint8)
        made = label(picture)
        outside = np.ones(made.shape[:2], bool)
        outside[y0:y1, x0:x1] = False
        np.testing.assert_array_equal(made[outside], picture[outside])
        if size[0] > 100:
            assert (~outside).mean() < 0.04
            inside = made[y0:y1, x0:x1, 0].astype(int)
            assert inside.max() > 240 and inside.max() - np.median(inside) > 90  # white letters on darker glass
    deep = label(np.full((size[1], size[0], 3), 40000, np.uint16))
    assert deep.dtype == np.uint16 and deep.max() > 58000


@pytest.mark.parametrize(
    ("when", "labelled"), [pytest.param("none", 0, marks=pytest.mark.slow), ("start", 4), ("whole", 40)]
)
def test_the_label_stays_as_long_as_asked(
    short_a: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, labelled: int
) -> None:
    monkeypatch.setattr(stages.conversion, "START_S", 4 / 24)
    out = tmp_path / "out.mkv"
    run(stages.convert(short_a, model, out, ConvertRecipe(codec="ffv1", label=when), CPU, 2))
    x0, y0, x1, y1 = Label.of((512, 512)).box
    changed = [
        not np.array_equal(before.pixels[y0:y1, x0:x1], after.pixels[y0:y1, x0:x1])
        for before, after in zip(read(probe(short_a)), read(probe(out)), strict=True)
    ]
    assert changed == [True] * labelled + [False] * (40 - labelled)


def test_frames_without_the_person_pass_bit_for_bit(short_a: Path, model: Path, tmp_path: Path) -> None:
    faces = pictures(short_a)
    clip = write_clip(tmp_path / "part.mp4", [*backdrop(16, (512, 512)), *faces, *backdrop(16, (512, 512))])
    out = tmp_path / "out.mkv"
    _, done = run(stages.convert(clip, model, out, ConvertRecipe(codec="ffv1"), CPU, 2))
    shown = set(done.faces[0].frame.tolist())
    assert shown and min(shown) >= 15 and max(shown) <= 16 + len(faces)
    for before, after in zip(read(probe(clip)), read(probe(out)), strict=True):
        assert np.array_equal(before.pixels, after.pixels) == (before.index not in shown)


def test_only_ranges_are_converted(short_a: Path, model: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "unknown.mp4", pictures(short_a))
    for source in (short_a, clip):  # whose faces are known, and are searched
        out = tmp_path / f"{source.stem}-out.mkv"
        recipe = ConvertRecipe(codec="ffv1", ranges=("00:01-", "3-7"))
        _, done = run(stages.convert(source, model, out, recipe, CPU, 2))
        shown = [*range(3, 7), *range(24, 40)]
        assert done.faces[0].frame.tolist() == shown
        for before, after in zip(read(probe(source)), read(probe(out)), strict=True):
            assert np.array_equal(before.pixels, after.pixels) == (before.index not in shown)
        assert credential.verify(out).details["swap"]["changed_frames"] == [[3, 7], [24, 40]]
    for ranges, why in ((("7-3",), "START before END"), (("900-",), "has no frame in --range 900-")):
        with pytest.raises(InputError, match=why):
            run(stages.convert(short_a, model, tmp_path / "no.mkv", ConvertRecipe(ranges=ranges), CPU, 2))


def test_the_input_is_never_replaced(short_a: Path, model: Path) -> None:
    with pytest.raises(InputError, match="replace the input"):
        run(stages.convert(short_a, model, short_a, ConvertRecipe(), CPU, 2))


def killed(command: list[str], there: Path) -> None:
    """Run a command, and kill it once a file is there."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 100
    while not there.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert there.exists() and process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("name", ["out.mp4", pytest.param("out", marks=pytest.mark.slow)])
def test_a_killed_conversion_goes_on_and_ends_as_if_never_killed(
    model: Path, short_a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    film = name == "out.mp4"
    # At 3 frames/s, so that a segment of the film has 12 frames.
    clip = write_clip(tmp_path / "slow.mp4", pictures(short_a), rate=3) if film else short_a
    out, work = tmp_path / name, tmp_path / f".{name}.part"
    kept = work / "made" / ("segments/000001.npy" if film else "pictures/000014.png")
    convert = [sys.executable, "-m", "facedouble.cli", "convert", str(clip), str(model), "-o", str(out)]
    killed([*convert, "--workers", "2"], kept)
    assert not out.exists()
    swapped: list[int] = []
    swap = Swapper.__call__
    monkeypatch.setattr(Swapper, "__call__", lambda self, pixels, *rest: swapped.append(1) or swap(self, pixels, *rest))
    events, _ = run(stages.convert(clip, model, out, ConvertRecipe(), CPU, 2))
    again, whole = len(swapped), probe(clip).count
    assert any("going on with an earlier conversion" in getattr(event, "text", "") for event in events)
    assert not any("searching" in getattr(event, "stage", "") for event in events)
    assert again <= whole - (24 if film else 15)
    assert not work.exists() and credential.verify(out).state == "valid"
    run(stages.convert(clip, model, tmp_path / f"once-{name}", ConvertRecipe(), CPU, 2))
    assert len(swapped) == again + whole
    ends, once = (list(read(probe(tmp_path / file))) for file in (name, f"once-{name}"))
    assert [frame.pts for frame in ends] == [frame.pts for frame in once]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(ends, once, strict=True))


def test_a_conversion_with_other_settings_starts_over(model: Path, short_a: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped = stages.convert(short_a, model, out, ConvertRecipe(), CPU, 2)
    while not isinstance(next(stopped), Progress):
        pass
    stopped.close()
    assert (tmp_path / ".out.part" / "made" / "pictures" / "000009.png").is_file()
    events, _ = run(stages.convert(short_a, model, out, ConvertRecipe(colour="none"), CPU, 2))
    assert any("other footage or settings; starting over" in getattr(event, "text", "") for event in events)
    run(stages.convert(short_a, model, tmp_path / "once", ConvertRecipe(colour="none"), CPU, 2))
    for one, other in zip(read(probe(out)), read(probe(tmp_path / "once")), strict=True):
        assert np.array_equal(one.pixels, other.pixels)


def test_a_model_holds_no_code(model: Path) -> None:
    kinds = {path.suffix for path in model.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".toml", ".png"}
