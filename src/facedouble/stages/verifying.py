"""The mark looked for in a file's faces, where its credential is gone, changed or another program's."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MachineError
from ..events import Event, Progress
from ..faces import Faces
from ..find.finder import Finder, to_8_bit
from ..find.person import people
from ..find.track import cuts, track
from ..footage import Clip, spread
from ..media.reader import probe, read
from ..provenance import mark
from ..provenance.answer import Answer
from ..provenance.credential import Verdict
from ..provenance.mark import Found

_STRETCH = 8
"""frames that are looked at one after the other, so that a face can be followed"""
_ROUNDS = (12, 48)
"""stretches spread over a clip: at first, and where these do not show a mark"""
_MOST_PEOPLE = 8


def verify(path: Path, verdict: Verdict) -> Generator[Event, None, Answer]:
    """Look for the mark in a file whose credential does not say that facedouble made it and nobody changed it.

    Raises InputError for what cannot be decoded; MachineError where weights or libraries to find faces are missing.
    """
    try:
        likeliest, faces = yield from read_mark(probe(path, sizes_may_differ=True))
    except (InputError, MachineError):
        if verdict.state == "none":
            raise
        likeliest, faces = None, 0  # what its credential says still holds
    sure = likeliest is not None and likeliest.chance < mark.CHANCE
    return Answer.of(path, verdict, likeliest if sure else None, faces)


def read_mark(clip: Clip) -> Generator[Event, None, tuple[Found | None, int]]:
    """The likeliest mark in a clip, however unlikely, and in how many faces it was looked for; None without a face.

    Of a long clip frames are sampled: 96, and where these do not show a mark for sure, 384 more. Each person's faces
    are read together.
    """
    starts = np.arange(0, clip.count, _STRETCH)
    faces, strengths, done = Faces.empty(), np.zeros((0, mark.PATTERNS), np.float32), set[int]()
    likeliest: Found | None = None
    finder = Finder(_MOST_PEOPLE, film=not clip.is_folder and clip.count > 1)
    try:
        for number, most in enumerate(_ROUNDS, 1):
            chosen = [start for start in starts[spread(len(starts), most)].tolist() if start not in done]
            for place, start in enumerate(chosen, 1):
                more, of_them = _look(finder, clip, start)
                faces, strengths = Faces.join_clips([faces, more]), np.concatenate([strengths, of_them])
                yield Progress(f"looking for the mark in {clip.path.name}", place, len(chosen), "places")
            done.update(chosen)
            known = people(faces) if chosen else []
            for person in known:
                found = mark.read(strengths[np.isin(faces.track, person.tracks)], number * len(known))
                if likeliest is None or found.chance < likeliest.chance or found.strength > likeliest.strength:
                    likeliest = found
            if likeliest is not None and likeliest.chance < mark.CHANCE:
                break
    finally:
        finder.close()
    return likeliest, len(faces)


def _look(finder: Finder, clip: Clip, start: int) -> tuple[Faces, NDArray[np.float32]]:
    """The faces of one stretch, followed through it, and how strong the patterns (n, 160) are in each."""
    frames = list(read(clip, start, start + _STRETCH))
    finder.restart()
    faces, thumbs = finder.find(frames)
    if clip.count > 1 and not clip.is_folder:
        begins = np.zeros(start + len(frames), bool)
        begins[start:] = cuts(thumbs)
        faces = track(faces, begins, float(clip.rate))
        faces = faces[faces.score > 0]
    else:
        faces.track[:] = np.arange(len(faces))
    seen = [
        mark.strengths(to_8_bit(frames[frame - start].pixels), points)
        for frame, points in zip(faces.frame, faces.points, strict=True)
    ]
    return faces, np.array(seen, np.float32).reshape(-1, mark.PATTERNS)
