"""Clips for tests, written with PyAV alone (the project's own writer is under test), and stages run to their end."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Generator, Iterable
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.cli import main
from facedouble.curate.faceset import FaceSet
from facedouble.curate.quality import Looks, in_crop
from facedouble.device import Device
from facedouble.provenance.consent import RENDERED_BASIS, ConsentRecord
from facedouble.recipes import TrainRecipe
from facedouble.swap.drawn import Drawn
from facedouble.swap.fit import Fit

SAMPLE = Path(__file__).parent.parent / "src" / "facedouble" / "sample"
SUITE = Path(__file__).parent.parent / "benchmarks" / "suite"
SHARED = Path(__file__).parent.parent.parent / "shared"
"""real clips for trying, beside the project and never in it; tests that need them are skipped where they are missing"""

Picture = NDArray[np.uint8]
CPU = Device("cpu", "fp32", 1, 8_000_000_000, "test")
SMALL = TrainRecipe.of(
    "compact",
    size_px=32,
    widths=(16, 24, 32),
    latent=64,
    batch=4,
    mixed_precision=False,
    score_every_s=1e9,
    occlusion_steps=0,
    skin_faces=0,
    feature_faces=0,
    usual_faces=0,
)
"""trains in seconds, and is good for nothing else"""


def fitted(drawn: Iterable[Drawn], *args: Any, **kwargs: Any) -> Fit:
    """To faces that are drawn in the very light of the plate."""
    return Fit.measured(((one, one.face) for one in drawn), *args, **kwargs)


def crop_of(faces: FaceSet, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A crop (S, S, 3) 0..1, and the landmarks (478, 2) in it."""
    return faces.read_crop(row).astype(np.float32) / 255, in_crop(faces, row)


def write_clip(path: Path, pictures: Iterable[Picture], late: int = 0, rate: int = 24) -> Path:
    """An .mp4 of (H, W, 3) uint8 pictures, `rate` a second; `late` frames' time before the first."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=rate, options={"crf": "14", "preset": "ultrafast"})
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = number + late
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def pictures(path: Path, count: int | None = None) -> list[Picture]:
    """All pictures of a video, or the first `count`."""
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in islice(clip.decode(video=0), count)]


def backdrop(count: int, size: tuple[int, int] = (320, 240)) -> list[Picture]:
    """Pictures with nobody in them."""
    y, x = np.mgrid[: size[1], : size[0]]
    grey = np.stack([90 + 40 * np.sin(x / 50), 100 + 30 * np.cos(y / 40), 110 + 0 * x], -1)
    return [np.clip(grey + number % 3, 0, 255).astype(np.uint8) for number in range(count)]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their path below it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def part_of(faces: FaceSet, rows: list[int], folder: Path, person: str, **record: Any) -> FaceSet:
    """Some rows as a set of another person."""
    (folder / "crops").mkdir(parents=True)
    for row in rows:
        shutil.copyfile(faces.path / "crops" / faces.crop[row], folder / "crops" / faces.crop[row])
    part = replace(
        faces, path=folder, person=person, consent=replace(consent_of(person), **record), faces=faces.faces[rows],
        source=faces.source[rows], pts=faces.pts[rows], sharpness=faces.sharpness[rows],
        transform=faces.transform[rows],
        crop=[faces.crop[row] for row in rows],
    )  # fmt: skip
    part.save()
    Looks(**{name: column[rows] for name, column in vars(Looks.load(faces)).items()}).save(part)
    return FaceSet.load(folder)


def consent_of(person: str) -> ConsentRecord:
    return ConsentRecord(person, RENDERED_BASIS, dt.date(2026, 11, 1))


def run(stage: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    """A stage's events and what it returns."""
    events = []
    while True:
        try:
            events.append(next(stage))
        except StopIteration as end:
            return events, end.value


def step_of_a_second(patch: pytest.MonkeyPatch) -> None:
    """To the training loop every step takes a second, so that it scores at the same steps on every machine."""
    from facedouble.learn.learner import Learner

    seconds, whole = count(), Learner.step
    now = [0.0]

    def step(self: Learner, *arguments: Any) -> Any:
        now[0] = next(seconds)
        return whole(self, *arguments)

    patch.setattr(Learner, "step", step)
    patch.setattr("facedouble.learn.train.time", SimpleNamespace(monotonic=lambda: now[0]))


def command(*arguments: object) -> int:
    """The exit code of `facedouble ...`."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code
