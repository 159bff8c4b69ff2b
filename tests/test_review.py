"""`facedouble faces review`: what the page may see and do, who may ask for it, and that no set is ever harmed."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from facedouble.curate import prune
from facedouble.curate.faceset import FaceSet, Source
from facedouble.curate.order import order
from facedouble.curate.quality import CACHE, Looks, Quality, measure, quality_of
from facedouble.events import Progress
from facedouble.find.crop import aligned
from facedouble.geometry import align, apply
from facedouble.media.reader import probe, read
from facedouble.review import server
from facedouble.review.desk import Desk
from support import Picture, command, contents, pictures, run

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

TOKEN = "a-token-of-a-test"


@pytest.fixture
def copy(faces_a: FaceSet, tmp_path: Path) -> FaceSet:
    """A set of one's own: 40 crops of 128 px."""
    return FaceSet.load(Path(shutil.copytree(faces_a.path, tmp_path / "faces")))


class Page:
    """What a browser does, without one."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, path: str, body: Any = None, token: str = TOKEN, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Status, content (JSON, or bytes) and headers; a POST where there is a body (JSON, or raw bytes)."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        kind = {} if body is None else {"content-type": "application/json"}
        try:
            asked.request("GET" if body is None else "POST", f"/{token}{path}", content, {**kind, **(headers or {})})
            answer = asked.getresponse()
            told = answer.read()
        finally:
            asked.close()
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(told) if is_json else told, answer.headers

    def get(self, path: str) -> Any:
        status, told, _ = self.ask(path)
        assert status == 200, told
        return told

    def post(self, path: str, **body: Any) -> Any:
        status, told, _ = self.ask(path, body)
        assert status == 200, told
        return told

    def trouble(self, path: str, body: Any = None) -> str:
        status, told, _ = self.ask(path, body)
        assert status >= 400
        return str(told["error"])

    def picture(self, path: str) -> Picture:
        encoded = np.frombuffer(self.get(path), np.uint8)
        return np.asarray(cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def served(faces: FaceSet, *others: FaceSet) -> Iterator[Page]:
    with server.listen(None) as listening:
        port = listening.getsockname()[1]
        ours = server.server_of(Desk(faces, others), port, TOKEN)
        thread = threading.Thread(target=lambda: ours.run(sockets=[listening]))
        thread.start()
        try:
            yield Page(port)
        finally:
            ours.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def page(copy: FaceSet) -> Iterator[Page]:
    with served(copy) as found:
        yield found


def measured(faces: FaceSet) -> tuple[Quality, int]:
    """The measures, and how many crops were read for them."""
    events, quality = run(measure(faces, 2))
    return quality, max((int(event.done) for event in events if isinstance(event, Progress)), default=0)


# --- who may ask ----------------------------------------------------------------------------------------------------


def test_only_who_knows_the_token_is_answered(page: Page, copy: FaceSet) -> None:
    before, dropping = contents(copy.path), {"rows": [1], "reason": "review"}
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x", "%C3%A4"):
        for path, body in (
            ("/", None),
            ("/about", None),
            ("/thumb/1", None),
            ("/drop", dropping),
        ):
            status, told, _ = page.ask(path, body, token=token)
            assert status == 403 and b"it holds a secret" in told, (token, path)
    for headers in (
        {"host": f"evil.example:{page.port}"}, {"host": "127.0.0.1"}, {"host": "127.0.0.1:1"}, {"host": ""},
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": f"http://127.0.0.1:{page.port + 1}"},
    ):  # fmt: skip
        status, told, _ = page.ask("/drop", dropping, headers=headers)
        assert status == 403 and b"for this machine alone" in told, headers
    assert contents(copy.path) == before
    ours = f"127.0.0.1:{page.port}"
    assert page.ask("/about", headers={"host": ours.replace("127.0.0.1", "localhost")})[0] == 200
    assert page.ask("/drop", dropping, headers={"origin": f"http://{ours}"})[0] == 200


def test_only_this_machine_is_listened_to() -> None:
    with server.listen(None) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # 40 ms a picture
        assert server.address(listening, "t") == f"http://127.0.0.1:{listening.getsockname()[1]}/t/"
    assert len({server.new_token() for _ in range(20)}) == 20 and len(server.new_token()) >= 32


def test_no_answer_is_kept_and_the_page_is_whole(page: Page) -> None:
    for path in ("/", "/page.css", "/page.js", "/about", "/thumb/3"):
        headers = page.ask(path)[2]
        assert headers["cache-control"] == "no-store" and "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
    for name in ("/", "/page.css", "/page.js"):
        text = page.get(name).decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text  # nothing from elsewhere


def test_what_is_not_there_is_not_found(page: Page) -> None:
    for path in (
        "/thumb/40", "/thumb/-1", "/thumb/x", "/thumb/1e3", "/thumb/99999999999", "/thumb/..%2fconsent.toml",
        "/thumb/%00", "/picture/40", "/outlines/40", "/frame/40/0", "/frame/1/x", "/seen/1/1.5", "/preview/41?x=1",
        "/order?by=yaw&to=40", "/faces.parquet", "/../faceset.json", "/server.py", "/%2e%2e/consent.toml", "/page.py",
    ):  # fmt: skip
        status, told, _ = page.ask(path)
        assert status == 404 and len(told["error"]) < 200, path


def test_bad_questions_get_a_sentence_and_change_nothing(page: Page, copy: FaceSet) -> None:
    before = contents(copy.path)
    questions: list[tuple[str, Any, int]] = [
        ("/drop", {}, 400), ("/drop", {"rows": []}, 400), ("/drop", {"rows": "all"}, 400), ("/drop", [1], 400),
        ("/drop", b"{", 400), ("/drop", b"[" * 100_000, 400), ("/drop", {"rows": [1]}, 409),
        ("/drop", {"rows": [1], "reason": "../crops"}, 409), ("/drop", {"rows": [1, 40], "reason": "review"}, 404),
        ("/drop", {"rows": [True], "reason": "review"}, 404), ("/drop", {"rows": [1.5], "reason": "review"}, 404),
        ("/drop", {"rows": ["../x"], "reason": "review"}, 404), ("/drop", b" " * 2_000_001, 413),
        ("/restore", {"rows": [1]}, 409), ("/undo", {}, 409), ("/nudge", {"rows": [1, 2]}, 400),
        ("/nudge", {"rows": [1], "x": "far"}, 400), ("/nudge", {"rows": [1], "x": None}, 400),
        ("/nudge", {"rows": [1], "x": 129}, 409), ("/nudge", {"rows": [1], "x": 1e400}, 409),
        ("/nudge", {"rows": [1], "turn": "nan"}, 409), ("/nudge", {"rows": [1], "scale": 0}, 409),
        ("/nudge", {"rows": [1], "scale": -1}, 409), ("/about", {}, 405),
    ]  # fmt: skip
    for path, body, status in questions:
        found, told, _ = page.ask(path, body)
        assert (found, set(told)) == (status, {"error"}) and 0 < len(told["error"]) < 300, (path, str(body)[:80])
    assert contents(copy.path) == before


def test_a_form_of_another_page_is_no_question(page: Page, copy: FaceSet) -> None:
    body = json.dumps({"rows": [1], "reason": "review"}).encode()
    assert page.ask("/drop", body, headers={"content-type": "text/plain"})[0] == 400
    assert (copy.path / "crops" / "000001.png").exists()


# --- looking --------------------------------------------------------------------------------------------------------


def test_the_page_is_told_what_the_commands_say(page: Page, copy: FaceSet) -> None:
    quality, _ = measured(copy)
    about = page.get("/about")
    assert (about["person"], about["size_px"], about["rows"]) == ("a", 128, list(range(40)))
    assert about["frames"] == copy.faces.frame.tolist() and about["states"] == [""] * 40
    assert page.get("/measure/sharpness") == pytest.approx(quality.sharpness.tolist(), abs=1e-3)
    for by in ("frame", "yaw", "away", "duplicates"):
        found = order(copy, quality, by, None, 0.03)
        told = page.get(f"/order?by={by}")
        assert told["rows"] == found.rows.tolist() and told["labels"][5] == found.labels[5].removeprefix(by)
    assert page.get("/order?by=similarity&to=7")["rows"][0] == 7
    page.post("/drop", rows=[11], reason="review")
    left = np.delete(np.arange(40), 11)
    doomed = prune.choose(quality_of(copy, Looks.load(copy), left), dict.fromkeys(prune.REASONS))
    assert page.get("/doubts") == {reason: found.rows.tolist() for reason, found in doomed.items()}
    assert "no measure 'mood'" in page.trouble("/measure/mood")
    assert "no order 'mood'" in page.trouble("/order?by=mood")


def test_pictures_are_of_their_row_wherever_they_are(page: Page, copy: FaceSet) -> None:
    (copy.path / "crops" / "000004.png").rename(copy.path / "crops" / "00001_yaw-02_000004.png")
    page.post("/drop", rows=[5], reason="review")
    for row in (3, 4, 5):
        file = next(copy.path.rglob(f"*{row:06d}.png"))
        truth = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB).astype(int)
        for path in (f"/picture/{row}", f"/thumb/{row}"):
            assert np.abs(page.picture(path) - truth).mean() < 3
    next((copy.path / "crops").glob("*000006.png")).unlink()
    assert page.trouble("/thumb/6") == "000006.png: its picture is gone. Load this page again."
    (copy.path / "crops" / "000007.png").write_bytes(b"no picture")
    assert "not a picture, expected 128x128 px" in page.trouble("/thumb/7")


def test_a_face_is_seen_in_its_frame_and_the_frames_beside_it(page: Page, copy: FaceSet, short_a: Path) -> None:
    film = pictures(short_a)
    for row, step in ((20, 0), (20, -3), (20, 7), (0, 0), (39, 0), (0, 39)):
        shown = page.picture(f"/frame/{row}/{step}")
        assert np.abs(shown.astype(int) - film[row + step]).mean() < 3, (row, step)
        seen = page.get(f"/seen/{row}/{step}")
        assert (seen["index"], seen["count"], seen["size"]) == (row + step, 40, [512, 512])
        assert [face["row"] for face in seen["faces"]] == [row + step]
        assert seen["seconds"] == pytest.approx((row + step) / 24)
        face = seen["faces"][0]
        points = copy.faces.points[row + step]
        np.testing.assert_allclose(face["lines"][0][0], points[10], atol=0.01)
        # The face square is from brow end to brow end, and two of them lie across a crop of the default coverage.
        square, crop = np.array(face["square"]), np.array(face["crop"])
        np.testing.assert_allclose(square.mean(0), crop.mean(0), atol=0.05)
        assert np.linalg.norm(crop[1] - crop[0]) == pytest.approx(2 * np.linalg.norm(square[1] - square[0]), rel=1e-3)
        inside = apply(align(points, 1, 1.0), points[[4, 33, 263]]) + 0.5
        assert (inside > 0).all() and (inside < 1).all()
    for row, step in ((0, -1), (39, 1), (5, 9999)):
        for path in ("frame", "seen"):
            assert "has frames 0 to 39, and no frame" in page.trouble(f"/{path}/{row}/{step}")


def test_a_face_of_the_second_clip_is_seen_and_cut_there(
    faces_a: FaceSet, short_a: Path, short_b: Path, tmp_path: Path
) -> None:
    (tmp_path / "two" / "crops").mkdir(parents=True)
    for row, name in ((3, "000003.png"), (4, "s1-000003.png"), (5, "s1-000005.png")):
        shutil.copyfile(faces_a.path / "crops" / faces_a.crop[row], tmp_path / "two" / "crops" / name)
    rows, frames = np.array([3, 3, 5]), np.array([3, 3, 5])
    two = replace(
        faces_a, path=tmp_path / "two", sources=(faces_a.sources[0], Source.of(probe(short_b))),
        source=np.array([0, 1, 1]), faces=replace(faces_a.faces[rows], frame=frames), pts=faces_a.pts[rows],
        sharpness=faces_a.sharpness[rows], transform=faces_a.transform[rows],
        crop=["000003.png", "s1-000003.png", "s1-000005.png"],
    )  # fmt: skip
    two.save()
    with served(FaceSet.load(two.path)) as page:
        for row, clip in ((0, short_a), (1, short_b)):
            assert np.abs(page.picture(f"/frame/{row}/2").astype(int) - pictures(clip)[5]).mean() < 3
            assert [face["row"] for face in page.get(f"/seen/{row}/0")["faces"]] == [row]
            assert [face["row"] for face in page.get(f"/seen/{row}/2")["faces"]] == ([] if row == 0 else [2])
        page.post("/nudge", rows=[1], x=4)
        now = FaceSet.load(two.path)
        truth, _ = aligned(next(read(probe(short_b), 3, 4)).pixels, now.faces.points[1], 128, 2.0)
        assert np.abs(now.read_crop(1).astype(int) - truth).max() <= 2 and now.sources == two.sources


# --- dropping and restoring -----------------------------------------------------------------------------------------


def test_drop_restore_and_undo_lose_nothing(page: Page, copy: FaceSet) -> None:
    before = contents(copy.path)
    (copy.path / "crops" / "000004.png").rename(copy.path / "crops" / "00001_yaw-02_000004.png")
    told = page.post("/drop", rows=[4, 5, 5, 6], reason="review")
    assert (told["text"], told["rows"], told["states"]) == ("3 faces dropped", [4, 5, 6], ["review"] * 3)
    assert (copy.path / "aside" / "review" / "00001_yaw-02_000004.png").exists()
    told = page.post("/drop", rows=[6, 7], reason="not-this-person")  # 6 is aside already, and stays where it is
    assert (told["rows"], told["states"]) == ([7], ["not-this-person"])
    assert "none of these faces is in the set" in page.trouble("/drop", {"rows": [7], "reason": "review"})
    told = page.post("/restore", rows=[4, 7, 8])
    assert (told["rows"], told["states"]) == ([4, 7], ["", ""])
    assert "none of these faces is aside" in page.trouble("/restore", {"rows": [8]})
    about = page.get("/about")
    assert {row: state for row, state in zip(about["rows"], about["states"], strict=True) if state} == {
        5: "review", 6: "review"}  # fmt: skip
    for text, states in (
        ("undone: 2 faces put back", ["review", "not-this-person"]),
        ("undone: 1 face put aside as not this person", [""]),
        ("undone: 3 faces dropped", ["", "", ""]),
    ):
        told = page.post("/undo")
        assert (told["text"], told["states"]) == (text, states)
    assert page.trouble("/undo", {}) == "there is nothing to undo."
    (copy.path / "crops" / "00001_yaw-02_000004.png").rename(copy.path / "crops" / "000004.png")
    assert contents(copy.path) == before


def test_what_review_put_aside_restore_puts_back(page: Page, copy: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy.path)
    page.post("/drop", rows=list(range(10, 20)), reason="review")
    assert len(FaceSet.load(copy.path).rows_with_crops()) == 30
    assert command("faces", "restore", copy.path, "--reason", "review") == 0
    assert "10 pictures put back, 0 still aside" in capsys.readouterr().out
    assert contents(copy.path) == before
    assert page.trouble("/restore", {"rows": [10]}) == "none of these faces is aside."  # the page hears of it


# --- nudging --------------------------------------------------------------------------------------------------------


def crop_of(faces: FaceSet, row: int) -> Picture:
    return FaceSet.load(faces.path).read_crop(row)


def test_a_shift_moves_the_crop_by_that_many_pixels(page: Page, copy: FaceSet) -> None:
    before = copy.read_crop(12).astype(int)
    told = page.post("/nudge", rows=[12], x=7, y=-4)
    assert (told["rows"], told["recut"], told["states"]) == ([12], True, [""])
    after = crop_of(copy, 12).astype(int)
    moved = before[4:, :-7]  # what was at (x, y) is at (x + 7, y - 4)
    assert np.abs(after[:-4, 7:] - moved).max() <= 3
    assert np.abs(after - before).mean() > 3  # and it is no picture that would fit anywhere
    now = FaceSet.load(copy.path)
    np.testing.assert_allclose(now.transform[12], copy.transform[12] + [[0, 0, 7], [0, 0, -4]], atol=1e-9)
    # In the frame the landmarks go the other way, by as much: the lines stay in the crop, the picture moves below.
    scale = np.sqrt(np.linalg.det(copy.transform[12][:, :2]))
    np.testing.assert_allclose(
        np.linalg.norm(now.faces.points[12] - copy.faces.points[12], axis=1), np.hypot(7, 4) / scale, rtol=1e-3
    )
    np.testing.assert_allclose(now.faces.pose[12], copy.faces.pose[12], atol=1e-5)


def test_the_crop_is_what_extraction_would_have_cut(page: Page, copy: FaceSet, short_a: Path) -> None:
    preview = page.picture("/preview/20?x=5&y=3&turn=8&scale=1.1")
    page.post("/nudge", rows=[20], x=5, y=3, turn=8, scale=1.1)
    now = FaceSet.load(copy.path)
    frame = next(read(probe(short_a), 20, 21))
    truth, _ = aligned(frame.pixels, now.faces.points[20], 128, 2.0)
    found = now.read_crop(20).astype(int)
    assert np.abs(found - truth).max() <= 2
    assert np.abs(found - preview).mean() < 2  # lossy, else what was shown
    # Turned clockwise in the crop: the head was found too far clockwise in the frame.
    assert np.degrees(copy.faces.pose[20, 2] - now.faces.pose[20, 2]) == pytest.approx(8, abs=1)
    quality, looked_at = measured(now)
    assert looked_at == 0 and quality.sharpness[20] == pytest.approx(now.sharpness[20])
    (copy.path / CACHE).unlink()
    again, looked_at = measured(now)
    assert looked_at == 40
    for name, column in vars(again).items():
        np.testing.assert_allclose(column, getattr(quality, name), atol=1e-4, err_msg=name)


def test_a_nudge_is_undone_to_the_byte(page: Page, copy: FaceSet) -> None:
    before = contents(copy.path)
    for by in ({"x": 9}, {"turn": -5}, {"scale": 1.2}):
        page.post("/nudge", rows=[12], **by)
    page.post("/drop", rows=[12], reason="review")
    assert "none of these faces is in the set" in page.trouble("/nudge", {"rows": [12], "x": 1})
    for _ in range(4):
        page.post("/undo")
    after = contents(copy.path)
    assert after == before  # the table too: it is written the same way
    assert sorted(after) == sorted(before)


def test_without_the_clip_a_nudge_says_so(page: Page, copy: FaceSet, short_b: Path) -> None:
    clip = Path(copy.sources[0].path)
    kept = clip.rename(clip.with_suffix(".kept"))
    before = contents(copy.path)
    try:
        for path, body in (
            ("/nudge", {"rows": [3], "x": 2}),
            ("/preview/3?x=2", None),
            ("/frame/3/0", None),
            ("/seen/3/0", None),
        ):
            assert page.trouble(path, body) == (
                f"{clip}: is no longer there, and the faces were cut from it. Put the clip back under that name."
            )
        shutil.copyfile(short_b, clip)
        assert "has changed since the faces were cut from it" in page.trouble("/nudge", {"rows": [3], "x": 2})
        clip.write_bytes(b"no film")
        assert "is not a video file" in page.trouble("/seen/3/0")
    finally:
        kept.replace(clip)
    assert contents(copy.path) == before
    assert page.post("/nudge", rows=[3], x=2)["recut"]  # once it is there again


def test_a_table_changed_by_another_program_is_not_overwritten(page: Page, copy: FaceSet) -> None:
    page.post("/nudge", rows=[3], x=2)
    other = FaceSet.load(copy.path)
    replace(other, sharpness=other.sharpness + 1).save()
    before = contents(copy.path)
    for path, body in (("/nudge", {"rows": [4], "x": 2}), ("/undo", {})):
        assert "was changed by another program. End this review" in page.trouble(path, body)
    assert contents(copy.path) == before


# --- giving to another person ---------------------------------------------------------------------------------------


def test_faces_are_moved_to_the_other_person_and_back(pair: tuple[FaceSet, FaceSet]) -> None:
    mine, other = pair
    (mine.path / "crops" / "000003.png").rename(mine.path / "crops" / "00009_yaw-02_000003.png")
    crops = {row: mine.read_crop(row) for row in (3, 5)}
    before = contents(mine.path.parent)
    with served(mine, other) as page:
        assert page.get("/about")["others"] == ["z: other"]
        assert "there is no other set 1; 1 were named" in page.trouble("/give", {"rows": [3], "to": 1})
        assert "no whole number" in page.trouble("/give", {"rows": [3]})
        page.post("/nudge", rows=[5], x=3)
        told = page.post("/give", rows=[5, 3], to=0)
        assert (told["text"], told["anew"]) == ("2 faces moved to z", True)
        now, theirs = FaceSet.load(mine.path), FaceSet.load(other.path)
        assert now.faces.frame.tolist() == [0, 1, 2, 4, 6, 7, 8, 9]
        np.testing.assert_array_equal(now.pts, mine.pts[now.faces.frame])
        assert theirs.faces.frame.tolist() == [3, 5, 30, 31, 32, 33, 34]
        assert len(now.rows_with_crops()) == 8 and len(theirs.rows_with_crops()) == 7
        assert (now.consent, theirs.consent, theirs.person) == (mine.consent, other.consent, "z")
        np.testing.assert_array_equal(theirs.read_crop(0), crops[3])
        np.testing.assert_array_equal(theirs.faces.points[0], mine.faces.points[3])
        np.testing.assert_array_equal(theirs.faces.points[2:], other.faces.points)
        assert measured(now)[1] == measured(theirs)[1] == 0  # their measures went along
        assert page.get("/about")["frames"] == now.faces.frame.tolist()
        np.testing.assert_array_equal(page.get("/order?by=frame")["rows"], np.arange(8))
        assert page.post("/undo")["text"] == "undone: 2 faces moved to z"
        assert page.post("/undo")["text"] == "undone: alignment corrected"  # of a row that was away meanwhile
        assert "nothing to undo" in page.trouble("/undo", {})
    (mine.path / "crops" / "000003.png").rename(mine.path / "crops" / "00009_yaw-02_000003.png")
    assert contents(mine.path.parent) == before


def test_what_cannot_be_taken_back_ends_all_undoing(pair: tuple[FaceSet, FaceSet]) -> None:
    mine, other = pair
    with served(mine, other) as page:
        page.post("/nudge", rows=[5], x=3)
        page.post("/give", rows=[3], to=0)
        other.path.rename(other.path.with_name("away"))
        before = contents(mine.path)
        assert "not a face set" in page.trouble("/undo", {})
        assert "nothing to undo" in page.trouble("/undo", {})  # row 5 is another face now
        assert contents(mine.path) == before


# --- the command ----------------------------------------------------------------------------------------------------


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address it printed."""
    line = [sys.executable, "-m", "facedouble.cli", "faces", "review", *map(str, arguments), "--no-browser"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().rpartition(" at ")[2].strip()
        finally:
            process.kill()


def test_the_command_prints_an_address_and_ends_at_ctrl_c(copy: FaceSet) -> None:
    with started(copy.path) as (process, url):
        host, token, rest = url.removeprefix("http://").split("/")
        assert host.startswith("127.0.0.1:") and len(token) >= 32 and rest == ""
        page = Page(int(host.rpartition(":")[2]))
        assert page.ask("/about", token=token)[1]["person"] == "a"
        assert page.ask("/drop", {"rows": [2], "reason": "review"}, token=token)[0] == 200
        # A browser keeps its connection: the end does not wait for it.
        with socket.create_connection(("127.0.0.1", page.port)):
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and out.endswith("ended\n") and err == ""
    assert len(FaceSet.load(copy.path).rows_with_crops()) == 39


def test_a_killed_server_leaves_the_set_whole(copy: FaceSet) -> None:
    before = contents(copy.path)
    with started(copy.path) as (process, url):
        host, token, _ = url.removeprefix("http://").split("/")
        page = Page(int(host.rpartition(":")[2]))
        process_dies = threading.Timer(0.05, process.kill)
        process_dies.start()
        with pytest.raises((OSError, http.client.HTTPException)):
            for _ in range(1000):
                page.ask("/drop", {"rows": list(range(30)), "reason": "review"}, token=token)
                page.ask("/undo", {}, token=token)
        process.wait(10)
    assert command("faces", "list", copy.path) == 0
    assert command("faces", "restore", copy.path) == 0
    # A file that was being written lies there unfinished, under a name that nobody reads and the next one takes.
    unfinished = {name for name in contents(copy.path) if name.startswith(".") and ".part" in name}
    assert {name: held for name, held in contents(copy.path).items() if name not in unfinished} == before


def test_mistakes_of_the_command(copy: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command("faces", "review", copy.path, "--no-browser", "--port", port) == 1
        assert f"--port {port}: cannot be listened on" in capsys.readouterr().err
    for wrong in ("0", "65536", "http", "-1"):
        assert command("faces", "review", copy.path, "--port", wrong) == 2
    assert command("faces", "review", tmp_path / "none") == 1
    assert "not a face set. Make one with" in capsys.readouterr().err


# --- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the dev extra")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium or Chrome")
    flags = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=chromium, args=flags)
        yield found
        found.close()


@contextmanager
def opened(browser: Browser, page: Page, **look: Any) -> Iterator[Tab]:
    """The page, its first screen there; whatever it complains of fails the test, but for a refusal: Chromium tells its
    console of each."""
    tab = browser.new_page(viewport={"width": 1100, "height": 720}, **look)
    troubles: list[str] = []

    def complain(kind: str, text: str) -> None:
        if kind == "error" and "409 (Conflict)" not in text:
            troubles.append(text)

    tab.on("pageerror", lambda error: complain("error", str(error)))
    tab.on("console", lambda message: complain(message.type, message.text))
    tab.goto(f"http://127.0.0.1:{page.port}/{TOKEN}/")
    try:
        until(lambda: tab.evaluate(SEEN))
        yield tab
    finally:
        tab.close()
    assert troubles == []


SEEN = "() => { const all = [...document.images]; return all.some(i => i.closest('.face')) && " \
       "all.filter(i => i.getAttribute('src')).every(i => i.complete && i.naturalWidth); }"  # fmt: skip
"""whether all pictures of the page are there"""


def until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def press(tab: Tab, *keys: str) -> None:
    for key in keys:
        tab.keyboard.press(key)


def said(tab: Tab, text: str) -> None:
    until(lambda: text in (tab.locator("#status").text_content() or ""))


def chosen(tab: Tab) -> list[int]:
    marked = tab.evaluate("() => [...document.querySelectorAll('.face[aria-selected=true]')].map(c => +c.dataset.row)")
    return sorted(marked)


def focused(tab: Tab) -> str:
    return str(tab.evaluate("() => document.activeElement.id"))


def here(tab: Tab) -> int:
    """The row that the keys act on, as a screen reader is told it."""
    return int((tab.locator("#gallery").get_attribute("aria-activedescendant") or "").removeprefix("face-"))


def test_by_keyboard_alone(browser: Browser, page: Page, copy: FaceSet, tmp_path: Path) -> None:
    before = contents(copy.path)
    with opened(browser, page) as tab:
        assert "40 shown, 0 selected; 40 in the set, 0 aside" in (tab.locator("#count").text_content() or "")
        wide = tab.evaluate("() => across()")
        assert wide == 8 and here(tab) == 0
        # Move and select.
        press(tab, "ArrowRight", "ArrowRight", "ArrowDown")
        assert here(tab) == 2 + wide and chosen(tab) == []
        press(tab, "Space", "Shift+ArrowRight", "Shift+ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft", "Space")
        assert chosen(tab) == [9, 10, 11, 12]
        press(tab, "Escape", "End", "Home", "t")
        assert chosen(tab) == list(range(40)) and here(tab) == 0
        press(tab, "Escape", "a")
        assert len(chosen(tab)) == 40
        press(tab, "Escape", "ArrowRight", "Space", "ArrowRight", "Space")
        tab.screenshot(path=tmp_path / "selection.png")
        # Drop, go on where one was, undo.
        press(tab, "d")
        said(tab, "2 faces dropped; U undoes it")
        assert {file.name for file in (copy.path / "aside" / "review").iterdir()} == {"000001.png", "000002.png"}
        assert here(tab) == 4 and "38 shown" in (tab.locator("#count").text_content() or "")
        press(tab, "x")
        said(tab, "1 face put aside as not this person")
        assert (copy.path / "aside" / "not-this-person" / "000004.png").is_file() and here(tab) == 5
        # Filter by keys, restore there.
        press(tab, "/")
        tab.keyboard.type("dropped")
        press(tab, "Escape")
        until(lambda: "3 shown" in (tab.locator("#count").text_content() or ""))
        assert focused(tab) == "gallery"
        press(tab, "Home", "r")
        said(tab, "1 face put back")
        assert (copy.path / "crops" / "000001.png").is_file()
        for text in ("undone: 1 face put back", "undone: 1 face put aside", "undone: 2 faces dropped"):
            press(tab, "u")
            said(tab, text)
        press(tab, "u")
        said(tab, "there is nothing to undo")
        tab.locator("#show").select_option("")
        assert contents(copy.path) == before


def test_a_nudge_by_keys_shows_what_it_does(browser: Browser, page: Page, copy: FaceSet, tmp_path: Path) -> None:
    old = copy.read_crop(3).astype(int)
    with opened(browser, page) as tab:
        press(tab, "ArrowRight", "ArrowRight", "ArrowRight", "n")
        until(lambda: tab.locator("#nudge polygon").count() == 18)
        until(lambda: tab.evaluate(SEEN))
        press(tab, *["ArrowRight"] * 6, "Shift+ArrowUp", "ArrowDown", "ArrowDown")
        figures = tab.locator("#nudge-figures")
        assert figures.text_content() == "as it will be: 6 px across, -8 px down, 0.0° clockwise, 100.0%"
        until(lambda: "x=6&y=-8&" in (tab.locator("#nudge-after").get_attribute("src") or "") and tab.evaluate(SEEN))
        tab.screenshot(path=tmp_path / "nudge.png")
        press(tab, "e", "e", "+", "0", "q", "-")
        assert figures.text_content() == "as it will be: 0 px across, 0 px down, -0.5° clockwise, 99.0%"
        press(tab, "0", *["ArrowRight"] * 6, *["ArrowUp"] * 8, "Enter")
        said(tab, "alignment corrected; U undoes it")
        until(lambda: tab.locator("dialog:visible").count() == 0 and focused(tab) == "gallery")
        moved = FaceSet.load(copy.path).read_crop(3).astype(int)
        assert np.abs(moved[:-8, 6:] - old[8:, :-6]).max() <= 3
        until(lambda: tab.evaluate(SEEN))
        assert tab.locator("#face-3 img").get_attribute("src") == "thumb/3?cut=0.1"  # the gallery shows the new one
        press(tab, "u")
        said(tab, "undone: alignment corrected")
        np.testing.assert_array_equal(FaceSet.load(copy.path).read_crop(3), old)
        press(tab, "n")
        until(lambda: tab.evaluate(SEEN))
        press(tab, "ArrowRight", "Escape")
        assert not tab.locator("#nudge").is_visible() and here(tab) == 3
        np.testing.assert_array_equal(FaceSet.load(copy.path).read_crop(3), old)


def test_moving_to_another_person_by_keys(browser: Browser, pair: tuple[FaceSet, FaceSet]) -> None:
    mine, other = pair
    with served(mine, other) as page, opened(browser, page) as tab:
        press(tab, *["ArrowRight"] * 3, "Space", "ArrowRight", "Space", "m", "7")
        assert tab.locator("#give-sets li").all_text_contents() == ["z: other"]
        press(tab, "1")
        said(tab, "2 faces moved to z; U undoes it")
        assert FaceSet.load(other.path).faces.frame.tolist()[:2] == [3, 4]
        until(lambda: tab.locator(".face").count() == 8 and tab.evaluate(SEEN))
        assert tab.locator(".face").all_text_contents()[3] == "frame 5" and chosen(tab) == []
        assert focused(tab) == "gallery" and "8 in the set" in (tab.locator("#count").text_content() or "")
        press(tab, "Home", "m", "1")  # the only face whose identity is known
        until(lambda: "by which a is known" in (tab.locator("#give .trouble").text_content() or ""))
        press(tab, "Escape", "u")
        said(tab, "undone: 2 faces moved to z")
        until(lambda: tab.locator(".face").count() == 10)
    with served(FaceSet.load(mine.path)) as page, opened(browser, page) as tab:
        press(tab, "m")
        said(tab, "Name the other person's set when you start the review")


def test_the_frame_by_keys(browser: Browser, page: Page, tmp_path: Path) -> None:
    with opened(browser, page, color_scheme="dark") as tab:
        press(tab, "ArrowRight", "f")
        title = tab.locator("#frame-title")
        until(lambda: title.text_content() == "Frame 1 of 40, 0.04 s, the face's own")
        until(lambda: tab.evaluate(SEEN))
        assert tab.locator("#frame polygon").count() == 11  # square, crop and nine outlines
        tab.screenshot(path=tmp_path / "frame.png")
        # The drawing lies on the picture: its square's middle is on the face.
        middle = tab.evaluate("""() => {
            const box = document.querySelector('#frame .square').getBoundingClientRect();
            const picture = document.querySelector('#frame-picture').getBoundingClientRect();
            return [(box.x + box.width / 2 - picture.x) / picture.width, picture.width / picture.height];
        }""")
        assert 0.3 < middle[0] < 0.7 and middle[1] == pytest.approx(1, abs=0.01)
        press(tab, "ArrowRight")
        until(lambda: title.text_content() == "Frame 2 of 40, 0.08 s, +1 from the face's own")
        press(tab, "Shift+ArrowRight")
        until(lambda: title.text_content() == "Frame 12 of 40, 0.50 s, +11 from the face's own")
        press(tab, "Home")
        until(lambda: "the face's own" in (title.text_content() or ""))
        press(tab, "Escape", "?")
        assert tab.locator("#keys").is_visible()
        press(tab, "Escape")
        assert focused(tab) == "gallery"


def test_filters_and_orders(browser: Browser, page: Page, copy: FaceSet) -> None:
    quality, _ = measured(copy)
    with opened(browser, page) as tab:

        def rows() -> Any:
            return tab.evaluate("() => shown")

        tab.locator("#order").select_option("yaw")
        until(lambda: rows() == order(copy, quality, "yaw", None, 0.03).rows.tolist())
        tab.locator("#reverse").check()
        until(lambda: rows() == order(copy, quality, "yaw", None, 0.03).rows.tolist()[::-1])
        tab.locator("#reverse").uncheck()
        tab.locator("#order").select_option("frame")
        middle = float(np.median(quality.sharpness))
        tab.locator("#measure").select_option("sharpness")
        tab.locator("#from").fill(str(middle))
        until(lambda: rows() == np.flatnonzero(quality.sharpness >= np.float32(middle)).tolist())
        tab.locator("#from").fill("")
        tab.locator("#looking").select_option(label="frontal")
        until(lambda: rows() == np.flatnonzero(np.abs(quality.yaw) < 20).tolist())
        tab.locator("#looking").select_option(label="side")
        until(lambda: rows() == np.flatnonzero(np.abs(quality.yaw) >= 50).tolist())
        tab.locator("#looking").select_option("")
        tab.locator("#track").fill("77")
        until(lambda: rows() == [])
        assert "No face is like that" in (tab.locator("#nothing").text_content() or "")
        press(tab, "Escape", "d", "a", "n", "f", "s", "Space", "t", "ArrowRight")  # with nobody there
        tab.locator("#track").fill("")
        until(lambda: len(rows()) == 40)
        doomed = prune.choose(quality, dict.fromkeys(prune.REASONS))
        tab.locator("#show").select_option("duplicates")
        until(lambda: rows() == sorted(doomed["duplicates"].rows.tolist()))
        tab.locator("#show").select_option("")
        tab.locator("#gallery").focus()
        press(tab, "Home", "ArrowRight", "s")
        until(lambda: rows() == order(copy, quality, "similarity", "000001.png", 0.03).rows.tolist())


def test_a_large_set_is_not_all_on_the_page(browser: Browser, copy: FaceSet) -> None:
    many = np.arange(6000) % 40
    names = [f"{number:06d}.png" for number in range(6000)]
    shutil.copytree(copy.path / "crops", copy.path / "first")
    for row, name in zip(many, names, strict=True):
        if row != int(name[:-4]):
            os.link(copy.path / "first" / copy.crop[row], copy.path / "crops" / name)
    large = replace(
        copy, faces=replace(copy.faces[many], frame=np.arange(6000)), sources=(replace(copy.sources[0], frames=6000),),
        source=np.zeros(6000, np.int64), pts=np.arange(6000), sharpness=copy.sharpness[many],
        transform=copy.transform[many], crop=names,
    )  # fmt: skip
    with served(large) as page, opened(browser, page) as tab:

        def on_page() -> int:
            return tab.locator(".face").count()

        assert 30 < on_page() < 120
        press(tab, "End")
        until(lambda: tab.locator("#face-5999").is_visible() and tab.evaluate(SEEN))
        assert on_page() < 120 and here(tab) == 5999
        tab.locator("#face-5990").click()
        tab.locator("#face-5995").click(modifiers=["Shift"])
        assert chosen(tab) == list(range(5990, 5996))
        press(tab, "Home")
        until(lambda: tab.locator("#face-0").is_visible() and tab.evaluate(SEEN))
        assert "6 selected" in (tab.locator("#count").text_content() or "")
