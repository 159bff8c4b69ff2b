"""judge/: on known answers the measures say what is known, and every harm done to a clip shows in one of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import FaceError, InputError
from facedouble.events import Finished
from facedouble.faces import Faces
from facedouble.find.finder import Finder
from facedouble.find.identity import mean_embedding
from facedouble.find.mask import face_mask
from facedouble.geometry import ALIGNMENT_POINTS, apply, similarity
from facedouble.judge import report, verdict
from facedouble.judge.measure import (
    Judgement,
    Measures,
    between,
    correlation,
    jitter,
    measure,
    psnr,
    second_difference,
)
from facedouble.judge.picture import colour_difference, gaze, mouth_opening
from facedouble.media.reader import probe, read
from support import SAMPLE, SUITE, Picture, backdrop, pictures, run, write_clip


@pytest.fixture(scope="module")
def means(faces_a: FaceSet, faces_b: FaceSet) -> dict[str, NDArray[np.float32]]:
    return {side: mean_embedding(faces.faces.embedding) for side, faces in (("a", faces_a), ("b", faces_b))}


Means = dict[str, NDArray[np.float32]]


def judged(target: Path, swap: Path, faces: Faces, means: Means, truth: Path | None = None) -> Measures:
    known = probe(truth) if truth else None
    found = run(measure(probe(target), probe(swap), faces, means["a"], means["b"], known, workers=2))[1]
    assert isinstance(found, Judgement)
    return found.measures


@pytest.fixture(scope="module")
def itself(
    short_a: Path, faces_a: FaceSet, faces_b: FaceSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Any], Measures, Path]:
    """The stage `judge` on a "swap" that is the target: its events, its answer and where it wrote."""
    folder = tmp_path_factory.mktemp("report")
    done = stages.Converted(probe(short_a), (faces_a.faces,), short_a)
    identities = {side: mean_embedding(faces.faces.embedding) for side, faces in (("a", faces_a), ("b", faces_b))}
    about = {"people": "B's face on A's performance", "training": "Not trained <at all>."}
    events, found = run(stages.judge(done, identities, folder, about, short_a, workers=2))
    return events, found, folder


def test_a_clip_is_like_itself(itself: tuple[list[Any], Measures, Path]) -> None:
    found = itself[1]
    assert (found.frames, found.faces, found.found) == (40, 40, 40)
    assert found.pose_error < 0.01
    assert found.expression == pytest.approx(1, abs=1e-4)
    assert found.jitter == pytest.approx(1, abs=1e-4)
    assert found.background_psnr == found.truth_psnr == 100
    assert found.nearer_to_b == 0
    assert found.identity_to_a < 0.35 < found.identity_to_b
    assert found.same_times and found.same_sound and found.same_tags
    same = (found.seam, found.sharpness, found.sharpness_in_place, found.truth_ssim)
    assert same == pytest.approx((1, 1, 1, 1), abs=1e-4)
    nothing = (found.place_error, found.expression_error, found.gaze_error, found.mouth_error, found.skin_difference)
    assert nothing == pytest.approx((0, 0, 0, 0, 0), abs=1e-4)


def test_the_report_says_it_in_words_numbers_and_pictures(itself: tuple[list[Any], Measures, Path]) -> None:
    events, found, folder = itself
    assert [event.path.name for event in events if isinstance(event, Finished)] == ["contact-sheet.png", "report.html"]
    assert sorted(file.name for file in folder.iterdir()) == [
        "contact-sheet.png",
        "report.html",
        "report.json",
        "worst-frames.png",
    ]
    sheet = cv2.imread(str(folder / "contact-sheet.png"))
    assert sheet.shape == (28 + 6 * 360, 3 * 360, 3)  # a head, six frames; A, the swap, the known answer
    values = json.loads((folder / "report.json").read_text())
    assert values["measures"]["found"] == 40
    assert values["measures"]["pose_error"] == found.pose_error
    assert len(values["course"]["pose_error"]) == len(values["frame"]) == 40
    page = (folder / "report.html").read_text()
    assert "nearer to B than to A" in page
    assert "<td>0.0%</td>" in page
    assert "Not trained &lt;at all&gt;." in page
    assert "data:image/png;base64," in page
    assert "http://" not in page and "https://" not in page  # self-contained


def test_the_known_answer_is_a_good_swap(found_a: Faces, means: Means) -> None:
    a, known = SAMPLE / "a-take1.mp4", SAMPLE / "ba-take1.mp4"
    found = judged(a, known, found_a, means, known)
    assert found.found == found.faces == 144
    assert found.nearer_to_b > 0.9
    assert found.identity_to_b < 0.45 < found.identity_to_a
    assert found.pose_error < 2
    assert found.expression > 0.8  # 0.83: with another face the same smile reads differently
    assert found.jitter < 1.1
    assert found.truth_psnr == 100
    assert found.same_times and found.same_sound
    assert {line.verdict for line in verdict.lines(found)} <= {"good", "", "bad"}
    bad = [line.name for line in verdict.lines(found) if line.verdict == "bad"]
    assert bad == ["background"]  # the sample's answer has shoulders of its own


def test_a_picture_out_of_place_shows_in_the_background(
    short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path
) -> None:
    moved = write_clip(tmp_path / "moved.mp4", [np.roll(picture, 8, axis=1) for picture in pictures(short_a)])
    found = judged(short_a, moved, faces_a.faces[:8], means)
    assert found.background_psnr < 30
    assert found.pose_error < 2  # the performance is the same
    assert found.same_times


def test_a_performance_out_of_time_shows_in_pose_and_expression(
    short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path
) -> None:
    taken = pictures(short_a)
    late = write_clip(tmp_path / "late.mp4", taken[:1] * 10 + taken[:-10])
    found = judged(short_a, late, faces_a.faces, means)
    assert found.expression < 0.5
    assert found.pose_error > 1.5
    assert found.nearer_to_b == 0


def test_a_face_that_shakes_shows_in_the_jitter(short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path) -> None:
    shaken = [np.roll(picture, number % 2 * 3, axis=1) for number, picture in enumerate(pictures(short_a))]
    found = judged(short_a, write_clip(tmp_path / "shaken.mp4", shaken), faces_a.faces[:8], means)
    assert found.jitter > 2


def test_a_face_that_is_gone_is_counted(short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path) -> None:
    taken = pictures(short_a)
    half = write_clip(tmp_path / "half.mp4", taken[:20] + backdrop(20, (512, 512)))
    found = judged(short_a, half, faces_a.faces, means)
    assert found.faces == 40 and 18 <= found.found <= 22
    verdicts = {line.name: line.verdict for line in verdict.lines(found)}
    assert verdicts["frames of A converted"] == verdicts["background"] == "bad"


def test_a_swap_without_any_face_is_refused(short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path) -> None:
    empty = write_clip(tmp_path / "empty.mp4", backdrop(40, (512, 512)))
    with pytest.raises(FaceError, match=r"empty\.mp4: no face found"):
        judged(short_a, empty, faces_a.faces, means)


Harm = Callable[[Picture, NDArray[np.bool_], int], Picture]


def blurred(picture: Picture, face: NDArray[np.bool_], number: int) -> Picture:
    return np.where(face[..., None], cv2.GaussianBlur(picture, (0, 0), 3), picture)


def shifted(picture: Picture, face: NDArray[np.bool_], number: int) -> Picture:
    return np.where(face[..., None], np.roll(picture, 12, axis=1), picture)


def flickering(picture: Picture, face: NDArray[np.bool_], number: int) -> Picture:
    return np.where(face[..., None], np.clip(picture.astype(int) + 8 * (-1) ** number, 0, 255), picture)


def tinted(picture: Picture, face: NDArray[np.bool_], number: int) -> Picture:
    return np.where(face[..., None], np.clip(picture + np.array([0.0, 18.0, 30.0]), 0, 255), picture)


@pytest.mark.parametrize(
    ("harm", "caught"),
    [
        (blurred, {"sharpness", "sharpness_in_place"}),
        (shifted, {"place_error"}),
        (flickering, {"flicker"}),
        (tinted, {"skin_difference"}),
    ],
)
def test_a_harm_is_caught_by_its_own_measure(
    short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path, harm: Harm, caught: set[str]
) -> None:
    """Bad in the measure meant for it; identity aside (it is A's own face), bad in nothing else but the border."""
    made = [
        harm(picture, face_mask(points, (512, 512)) > 127, number).astype(np.uint8)
        for number, (picture, points) in enumerate(zip(pictures(short_a), faces_a.faces.points, strict=True))
    ]
    found = judged(short_a, write_clip(tmp_path / "harmed.mp4", made), faces_a.faces, means)
    verdicts = {goal.measure: goal.verdict(getattr(found, goal.measure)) for goal in verdict.GOALS}
    bad = {name for name, text in verdicts.items() if text == "bad"}
    assert caught <= bad
    assert bad <= {*caught, "seam", "nearer_to_b", "identity_to_b"}
    assert found.nearer_to_b == 0


def test_a_crude_paste_over_is_caught(
    short_a: Path, faces_a: FaceSet, faces_b: FaceSet, means: Means, tmp_path: Path
) -> None:
    """One still of B cut out and laid over every face of A: B to the letter, and bad all the same."""
    still, own = pictures(SAMPLE / "b-take2.mp4", 1)[0], faces_b.faces.points[0]
    made = []
    for picture, points in zip(pictures(short_a), faces_a.faces.points, strict=True):
        to_a = similarity(own[ALIGNMENT_POINTS], points[ALIGNMENT_POINTS])
        pasted = cv2.warpAffine(still, to_a, (512, 512))
        made.append(np.where(face_mask(apply(to_a, own), (512, 512))[..., None] > 127, pasted, picture))
    found = judged(short_a, write_clip(tmp_path / "pasted.mp4", made), faces_a.faces, means)
    assert found.nearer_to_b > 0.9
    verdicts = {goal.measure: goal.verdict(getattr(found, goal.measure)) for goal in verdict.GOALS}
    assert verdicts["expression"] == "bad"  # nothing moves
    assert "good" not in {verdicts[name] for name in ("expression_error", "mouth_error", "pose_error")}


def test_frames_dropped_and_doubled_are_caught(short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path) -> None:
    """As a rate conversion does it: every third frame is the one before again, so that the count agrees."""
    taken = pictures(short_a)
    stuttering = write_clip(tmp_path / "stuttering.mp4", [taken[n - (n % 3 == 2)] for n in range(len(taken))])
    found = judged(short_a, stuttering, faces_a.faces, means)
    verdicts = {goal.measure: goal.verdict(getattr(found, goal.measure)) for goal in verdict.GOALS}
    assert verdicts["jitter"] == "bad"
    assert verdicts["pose_error"] == verdicts["place_error"] == "good"


def test_a_small_face_is_looked_at_closely(short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path) -> None:
    """A face of 36 px in a wide picture: what the landmarker misses there must not count as a frame not converted."""
    scale, place = 0.18, np.array([900, 100], np.float32)
    made = []
    for picture, wide in zip(pictures(short_a, 8), backdrop(8, (1280, 720)), strict=True):
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        wide[100 : 100 + small.shape[0], 900 : 900 + small.shape[1]] = small
        made.append(wide)
    faces = faces_a.faces[:8]
    points = (faces.points * scale + place).astype(np.float32)
    box = (faces.box * scale + np.tile(place, 2)).astype(np.float32)
    clip = write_clip(tmp_path / "wide.mp4", made)
    found = judged(clip, clip, replace(faces, points=points, box=box), means)
    assert found.found == found.faces == 8
    assert found.pose_error < 0.1 and found.place_error < 0.1


@pytest.mark.slow
def test_judging_twice_gives_the_same(short_a: Path, short_b: Path, faces_a: FaceSet, means: Means) -> None:
    first, second = (judged(short_a, short_b, faces_a.faces, means) for _ in range(2))
    assert repr(first) == repr(second)


def test_the_wrong_person_is_caught(found_a: Faces, means: Means) -> None:
    """The known answer is B; asked for a swap onto A's own face, it must not pass."""
    found = judged(SAMPLE / "a-take1.mp4", SAMPLE / "ba-take1.mp4", found_a[:30], {"a": means["b"], "b": means["a"]})
    assert found.nearer_to_b == 0


def test_other_times_are_noticed(short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path) -> None:
    taken = pictures(short_a, 8)
    first, late = (write_clip(tmp_path / f"{late}.mp4", taken, late) for late in (0, 3))
    found = judged(first, late, faces_a.faces[:1], means)
    assert not found.same_times


def test_missing_and_changed_sound_is_noticed(short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path) -> None:
    silent = write_clip(tmp_path / "silent.mp4", pictures(short_a, 8))
    loud, quiet = (with_sound(silent, tmp_path / f"{gain}.mp4", gain) for gain in (0.5, 0.1))
    one = faces_a.faces[:1]
    assert judged(loud, loud, one, means).same_sound
    assert not judged(loud, quiet, one, means).same_sound
    assert not judged(loud, silent, one, means).same_sound
    assert not judged(silent, loud, one, means).same_sound


def with_sound(clip: Path, path: Path, gain: float) -> Path:
    with av.open(str(clip)) as before, av.open(str(path), "w") as out:
        film = out.add_stream_from_template(before.streams.video[0])
        sound: Any = out.add_stream("aac", rate=48000)
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = film
                out.mux(packet)
        wave = (gain * np.sin(np.arange(48000) / 20)).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.sample_rate = 48000
        for packet in [*sound.encode(frame), *sound.encode()]:
            out.mux(packet)
    return path


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda taken: taken[:39], "39 frames of 512x512 px, expected the 40 of 512x512 px"),
        (lambda taken: [picture[::2, ::2] for picture in taken], "40 frames of 256x256 px, expected the 40 of 512x512"),
    ],
    ids=["shorter", "smaller"],
)
def test_clips_that_cannot_be_compared(
    short_a: Path, faces_a: FaceSet, means: Means, tmp_path: Path, harm: Any, text: str
) -> None:
    other = write_clip(tmp_path / "other.mp4", harm(pictures(short_a)))
    with pytest.raises(InputError, match=rf"other\.mp4: {text}"):
        judged(short_a, other, faces_a.faces, means)
    with pytest.raises(InputError, match=rf"other\.mp4: {text}"):
        judged(short_a, short_a, faces_a.faces, means, truth=other)


# --- the arithmetic -------------------------------------------------------------------------------------------------


def test_between_is_the_angle_of_the_turn() -> None:
    straight = np.zeros((4, 3), np.float32)
    turned = np.array([[0.3, 0, 0], [0, -0.2, 0], [0, 0, 0.1], [0, 0, 0]], np.float32)
    np.testing.assert_allclose(between(straight, turned), [0.3, 0.2, 0.1, 0], atol=1e-6)
    # Two small turns about axes at right angles add like the sides of a triangle, and none is counted twice.
    np.testing.assert_allclose(between(straight[:1], np.array([[0.03, 0.04, 0]], np.float32)), [0.05], atol=1e-4)
    assert between(straight[:0], straight[:0]).shape == (0,)


def test_between_grows_small_towards_the_pole() -> None:
    """Of a head that looks straight up, a turn and a roll are nearly the same: it is the whole rotation that counts."""
    up = np.array([[0.2, 1.5, 0.0]], np.float32)
    same = np.array([[0.0, 1.5, 0.2]], np.float32)
    assert min(between(up, same)[0], between(up, same * [1, 1, -1])[0]) < 0.05


def test_correlation_counts_what_moves() -> None:
    time = np.arange(50)[:, None]
    before = np.zeros((50, 52), np.float32)
    before[:, [3]], before[:, [9]] = np.sin(time / 5), np.cos(time / 7)
    before[:, 20] = 0.001 * np.random.default_rng(1).normal(size=50)  # noise that would count as much as a smile
    after = before.copy()
    after[:, 20] = 0
    assert correlation(after, before) == pytest.approx(1)
    after[:, 9] *= -1
    assert correlation(after, before) == pytest.approx(0)
    after[:, 9] = 0.5  # a frozen part follows nothing
    assert correlation(after, before) == pytest.approx(0.5)
    assert math.isnan(correlation(before * 0, before * 0))
    assert math.isnan(correlation(before[:0], before[:0]))


def test_psnr() -> None:
    assert psnr(300.0, 300) == pytest.approx(48.13, abs=0.01)
    assert psnr(0.0, 300) == 100
    assert math.isnan(psnr(0.0, 0))


GOOD = Measures(
    frames=100, faces=90, found=90, identity_to_b=0.35, identity_to_a=0.7, nearer_to_b=0.99, pose_error=1.0,
    place_error=1.0, expression=0.9, expression_error=0.05, gaze_error=3.0, mouth_error=2.0, jitter=1.0, flicker=0.0,
    seam=1.0, sharpness=1.0, sharpness_in_place=1.0, skin_difference=0.0, background_psnr=60.0, same_times=True,
    same_sound=True, same_tags=True,
)  # fmt: skip


def test_verdicts_hold_to_their_goals() -> None:
    assert {line.verdict for line in verdict.lines(GOOD)} == {"good"}
    harms: dict[str, tuple[Any, Any]] = {  # visible, bad
        "found": (89.5, 80), "nearer_to_b": (0.97, 0.89), "identity_to_b": (0.5, 0.61), "pose_error": (2.5, 3.1),
        "expression": (0.7, 0.5), "jitter": (1.2, 2.0), "background_psnr": (44.0, 30.0), "seam": (1.5, 2.0),
        "sharpness": (0.6, 0.4), "flicker": (0.5, 2.0), "skin_difference": (3.0, 9.0),
    }  # fmt: skip
    for name, values in harms.items():
        for value, text in zip(values, ("visible", "bad"), strict=True):
            verdicts = [line.verdict for line in verdict.lines(replace(GOOD, **{name: value}))]
            assert verdicts.count("good") == len(verdicts) - 1 and text in verdicts, name
    for name in ("same_times", "same_sound", "same_tags"):
        assert "bad" in {line.verdict for line in verdict.lines(replace(GOOD, **{name: False}))}
    assert "bad" in {line.verdict for line in verdict.lines(replace(GOOD, expression=math.nan))}
    with_truth = verdict.lines(replace(GOOD, truth_psnr=31.26, truth_ssim=0.9))
    assert {("31.3 dB PSNR", ""), ("0.900 SSIM", "")} <= {(line.value, line.verdict) for line in with_truth}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("background_psnr", 44.97, "44.97 dB"), ("background_psnr", 45.02, "45.0 dB"),
        ("background_psnr", 44.9, "44.9 dB"), ("identity_to_b", 0.4003, "0.4003"), ("sharpness", 0.798, "0.798x"),
        ("nearer_to_b", 0.9798, "97.98%"), ("jitter", 1.0999, "1.10x"),
    ],
)  # fmt: skip
def test_what_misses_a_bound_does_not_read_as_if_it_reached_it(name: str, value: float, shown: str) -> None:
    goal = next(goal for goal in verdict.GOALS if goal.measure == name)
    line = next(line for line in verdict.lines(replace(GOOD, **{name: value})) if line.name == goal.name)
    assert line.value == shown
    assert line.verdict == goal.verdict(value)


def test_the_worst_frames_are_apart_and_on_the_wrong_side() -> None:
    goals = {goal.measure: goal for goal in verdict.GOALS}
    frame = np.arange(100)
    error = np.where(frame % 40 < 3, 9.0, 1.0).astype(np.float32)
    error[50] = np.nan
    assert [row % 40 for row in report.worst(error, frame, goals["pose_error"], 12)] == [0, 0, 0]
    ratio = np.ones(100, np.float32)
    ratio[7], ratio[30] = 0.4, 1.8
    assert report.worst(ratio, frame, goals["sharpness"], 12)[:2] == [7, 30]


def test_colour_difference_is_ciede2000() -> None:
    # Pair 1 of the test data of Sharma et al. 2005.
    assert colour_difference(np.array([50, 2.6772, -79.7751]), np.array([50, 0, -82.7485])) == pytest.approx(
        2.0425, abs=1e-4
    )


def test_gaze_is_in_eye_widths() -> None:
    points = np.zeros((1, 478, 2), np.float32)
    points[0, [33, 133, 362, 263]] = [[0, 0], [20, 0], [40, 0], [60, 0]]
    points[0, [468, 473]] = [[12, 1], [52, 1]]
    np.testing.assert_allclose(gaze(points), [[0.1, 0.05]], atol=1e-6)


def test_mouth_opening_is_in_lengths_of_the_nose() -> None:
    points = np.zeros((1, 478, 2), np.float32)
    points[0, [168, 2, 13, 14]] = [[50, 40], [50, 80], [50, 90], [53, 94]]
    np.testing.assert_allclose(mouth_opening(points), [5 / 40], atol=1e-6)


def test_a_far_face_of_one_performance_moves_alike(means: Means) -> None:
    """Its face is a twelfth of the frame, where landmarks that are followed leap."""
    target, answer = SUITE / "small-face-target.mp4", SUITE / "small-face-truth.mp4"
    with closing(Finder(max_people=1)) as finder:
        faces, _ = finder.find(read(probe(target)))
    found = judged(target, answer, faces, means)
    assert found.faces == found.found == 48
    assert found.jitter == pytest.approx(1, abs=0.06)
    assert found.expression > 0.83


def test_another_way_of_looking_is_no_movement() -> None:
    frame, afresh = np.arange(12), np.array([0] * 4 + [1] * 4 + [0] * 4)
    still = np.zeros((12, 2, 2), np.float32)
    shaken = still + (-1) ** frame[:, None, None]
    leaps = 30 * afresh[:, None, None]
    assert jitter(frame, 2 * shaken + leaps, shaken, afresh) == pytest.approx(2)
    assert jitter(frame, shaken, shaken + leaps, afresh) == pytest.approx(1)


def test_second_difference_stops_at_gaps() -> None:
    frame = np.array([0, 1, 2, 5, 6, 7])
    values = np.array([0, 1, 4, 0, 0, 3], np.float32).reshape(6, 1, 1)
    np.testing.assert_allclose(second_difference(frame, values), [np.nan, 2, np.nan, np.nan, 3, np.nan])


def test_a_sheet_is_pictures_in_rows_at_one_width() -> None:
    wide: Picture = np.full((100, 200, 3), 50, np.uint8)
    made = report.sheet([(wide, wide // 2), (wide, wide)], ["one", "two"], width_px=80)
    assert made.shape == (28 + 2 * 40, 160, 3)
    assert (made[28:68, :80] == 50).all()
    assert (made[28:68, 80:] == 25).all()
