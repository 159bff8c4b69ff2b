"""The content check: it lets the project's own clips through, refuses what is explicit, and fails closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facedouble.errors import ContentError, MachineError
from facedouble.provenance import content
from facedouble.provenance.content import ContentCheck, sampled
from support import SAMPLE, SHARED, backdrop, pictures

CLIPS = [*sorted(SAMPLE.glob("*.mp4")), *(SHARED / "data" / f"{name}.mp4" for name in ("woman-a", "wide-shot"))]


class Told(ContentCheck):
    """A classifier that says what it was told to."""

    def __init__(self, *scores: float) -> None:
        self._scores = iter(scores)

    def score(self, pixels: object) -> float:
        return next(self._scores)


def frames(count: int) -> list[tuple[int, np.ndarray]]:
    return [(10 * number, picture) for number, picture in enumerate(backdrop(count, (64, 48)))]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_ordinary_footage_passes(clip: Path) -> None:
    if not clip.is_file():
        pytest.skip(f"{clip} is not there")
    scores = ContentCheck().refuse_explicit(enumerate(pictures(clip, 60)[::15]), clip.name)
    assert len(scores) == 4 and max(scores) < 0.5


@pytest.mark.parametrize("scores", [[0.1] * 6 + [0.9, 0.1, 0.1, 0.95], [0.1, 0.85]])
def test_explicit_footage_is_refused_with_the_frame(scores: list[float]) -> None:
    first = 10 * next(number for number, score in enumerate(scores) if score >= content.EXPLICIT)
    with pytest.raises(ContentError, match=rf"out\.mp4: explicit footage \(frame {first} ") as caught:
        Told(*scores).refuse_explicit(frames(len(scores)), "out.mp4")
    assert caught.value.exit_code == 7


def test_one_frame_of_many_may_be_misjudged() -> None:
    scores = [0.1] * 9 + [0.99]
    assert Told(*scores).refuse_explicit(frames(10), "out.mp4") == scores


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_without_the_known_model_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    model = tmp_path / "open-nsfw.onnx"
    if damage == "altered":
        model.write_bytes(content.bundled_model().read_bytes()[:-1] + b"x")
    monkeypatch.setattr(content, "bundled_model", lambda: model)
    with pytest.raises(MachineError, match=f"{damage}, and nothing is made"):
        ContentCheck()


def test_frames_are_sampled_over_the_whole_clip() -> None:
    assert sampled(1) == [0] and sampled(5) == [0, 1, 2, 3, 4]
    taken = sampled(10_000)
    assert len(taken) == content.SAMPLES and taken[0] == 0 and taken[-1] == 9999
