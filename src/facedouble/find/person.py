"""Who is meant: tracks grouped into people by identity, and one of them picked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceError
from ..faces import SAME_PERSON, Faces
from ..footage import Clip, spread
from ..media.reader import frames_at
from .finder import to_8_bit
from .identity import Identity, distance, mean_embedding
from .landmarks import Landmarker

# Within one clip light and lens are the same, so one person's tracks lie well inside the line between people.
_IN_CLIP = 5 / 6
_ELSEWHERE = 0.1
_SAMPLES = 40


@dataclass(frozen=True, eq=False)
class Person:
    tracks: tuple[int, ...]
    faces: int
    embedding: NDArray[np.float32]
    """(128,) the mean"""


def same_in_clip(same_person: float = SAME_PERSON) -> float:
    """The distance under which two tracks of one clip are one person's."""
    return round(_IN_CLIP * same_person, 3)


def people(faces: Faces, same_person: float = SAME_PERSON) -> list[Person]:
    """The people of a tracked clip, the one with most faces first.

    Tracks are joined, longest first, to the nearest person within `same_in_clip` who is not seen elsewhere at the same
    time. A track too short to have been identified stays out. Single linkage to the mean, a first step of
    agglomerative clustering.
    """
    measured = ~np.isnan(faces.embedding[:, 0])
    numbers, counts = np.unique(faces.track, return_counts=True)
    found: list[tuple[list[int], int, list[NDArray[np.float32]]]] = []
    for order in np.argsort(-counts, kind="stable"):
        rows = (faces.track == numbers[order]) & measured
        if not rows.any():
            continue
        samples = faces.embedding[rows]
        mine = np.flatnonzero(faces.track == numbers[order])
        near = [
            np.inf if _elsewhere(faces, mine, np.flatnonzero(np.isin(faces.track, tracks))) > _ELSEWHERE
            else float(distance(mean_embedding(samples), np.mean(theirs, axis=0))[0])
            for tracks, _, theirs in found
        ]  # fmt: skip
        if near and min(near) < same_in_clip(same_person):
            person = found[int(np.argmin(near))]
            person[0].append(int(numbers[order]))
            person[2].extend(samples)
            found[int(np.argmin(near))] = (person[0], person[1] + int(counts[order]), person[2])
        else:
            found.append(([int(numbers[order])], int(counts[order]), list(samples)))
    result = [Person(tuple(tracks), count, np.mean(samples, axis=0)) for tracks, count, samples in found]
    return sorted(result, key=lambda person: -person.faces)


def _elsewhere(faces: Faces, track: NDArray[np.int64], person: NDArray[np.int64]) -> float:
    """The share of a track's rows in whose frames a person's rows show them too, but at another place: nobody is in two
    at once. A face that is found twice for a moment is at one: within half a face width, the tracker's own line."""
    _, mine, theirs = np.intersect1d(faces.frame[track], faces.frame[person], return_indices=True)
    box, other = faces.box[track[mine]], faces.box[person[theirs]]
    apart = np.linalg.norm(box[:, :2] + box[:, 2:] - other[:, :2] - other[:, 2:], axis=1) / 2
    return float((apart > (box[:, 2] - box[:, 0]) / 2).sum() / len(track))


def pick(
    faces: Faces,
    example: NDArray[np.float32] | None,
    clip: str,
    same_person: float = SAME_PERSON,
    like: str = "the example picture",
) -> tuple[Faces, Person, str]:
    """The faces of one person, at most one a frame, who that is, and a sentence that says how they were chosen.

    `example`: (128,) descriptor of the person wanted, who is known from `like`; None takes the most frequent. Raises
    FaceError where there is no face, nobody within `same_person` of the example, or nobody who dominates (the next has
    over 0.6 of the first one's faces).
    """
    known = people(faces, same_person)
    if not known:
        raise FaceError(
            f"{clip}: no face found. Expected footage in which the person's face can be seen; try another clip."
        )
    if example is not None:
        away = [float(distance(person.embedding, example)[0]) for person in known]
        nearest = int(np.argmin(away))
        if away[nearest] >= same_person:
            raise FaceError(
                f"{clip}: nobody like the person of {like} (nearest {away[nearest]:.2f}, same person under "
                f"{same_person:.2f}). Give another --person picture, raise --same-person, or leave that clip out."
            )
        person = known[nearest]
        text = f"the person of {like} (distance {away[nearest]:.2f}, same person under {same_person:.2f})"
    else:
        person = known[0]
        if len(known) > 1 and known[1].faces > 0.6 * person.faces:
            raise FaceError(
                f"{clip}: {len(known)} people and none dominates ({person.faces} and {known[1].faces} faces). "
                "Say whom you mean with --person PICTURE."
            )
        text = f"the most frequent of {len(known)} people (same person under {same_person:.2f})"
        text = "the only person" if len(known) == 1 else text
    mine = _one_a_frame(faces[np.isin(faces.track, person.tracks)])
    return mine, person, f"{clip}: kept {text}, {len(mine)} faces"


def _one_a_frame(faces: Faces) -> Faces:
    """The surest face of each frame, then the largest."""
    area = (faces.box[:, 2] - faces.box[:, 0]) * (faces.box[:, 3] - faces.box[:, 1])
    order = np.lexsort((-area, -faces.score, faces.frame))
    return faces[order[np.unique(faces.frame[order], return_index=True)[1]]]


def tell_apart(
    faces: Faces, wanted: Mapping[str, NDArray[np.float32]], clip: str, same_person: float = SAME_PERSON
) -> tuple[dict[str, Faces], list[str]]:
    """The faces of several people, each known by a descriptor (128,), at most one a frame and nobody's twice; and
    sentences that say how they were told.

    Each must be the nearest of the `wanted` to one person of the clip, and that person nearest to them. Single tracks
    that are nearer to another of the wanted than to their own are left out. Raises FaceError where somebody is not in
    the clip, or where two are most like the same person.
    """
    names, known = list(wanted), people(faces, same_person)
    if not known:
        raise FaceError(f"{clip}: no face found. Expected footage in which the people's faces can be seen.")
    away = np.array([[distance(person.embedding, wanted[name])[0] for person in known] for name in names])
    found, said = {}, []
    for row, name in enumerate(names):
        nearest = int(np.argmin(away[row]))
        if away[row, nearest] >= same_person:
            raise FaceError(
                f"{clip}: nobody like {name} (nearest {away[row, nearest]:.2f}, same person under {same_person:.2f}). "
                "Leave that --map out, or give a picture of who is meant in this clip: --map PICTURE=MODEL."
            )
        rival = int(np.argmin(away[:, nearest]))
        if rival != row:
            raise FaceError(
                f"{clip}: {names[rival]} and {name} are both most like the same person there (distances "
                f"{away[rival, nearest]:.2f} and {away[row, nearest]:.2f}). Leave one --map out, or give pictures of "
                "who is meant in this clip: --map PICTURE=MODEL."
            )
        theirs = [number for number in known[nearest].tracks if _is_nearest(faces, number, name, wanted)]
        found[name] = _one_a_frame(faces[np.isin(faces.track, theirs)])
        left = len(known[nearest].tracks) - len(theirs)
        aside = f"; {left} stretches that look more like somebody else's are left as they are" if left else ""
        said.append(f"{clip}: {name} is seen in {len(found[name])} frames (distance {away[row, nearest]:.2f}){aside}")
    return found, said


def _is_nearest(faces: Faces, track: int, name: str, wanted: Mapping[str, NDArray[np.float32]]) -> bool:
    """Whether a track is at least as near to `name` as to any other of the wanted."""
    samples = faces.embedding[faces.track == track]
    mean = mean_embedding(samples[~np.isnan(samples[:, 0])])
    away = {other: float(distance(mean, descriptor)[0]) for other, descriptor in wanted.items()}
    return away[name] <= min(away.values())


def sampled_identity(clip: Clip) -> NDArray[np.float32]:
    """The mean descriptor (128,) of the person most often seen in up to 40 frames spread over a clip.

    Raises FaceError where there is no face, or nobody who dominates (as `pick` does).
    """
    identity = Identity()
    samples: list[NDArray[np.float32]] = []
    with Landmarker(video=False) as landmarker:
        for frame in frames_at(clip, spread(clip.count, _SAMPLES).tolist()):
            pixels = to_8_bit(frame.pixels)
            samples += [identity(pixels, points) for points in landmarker(pixels).points]
    if not samples:
        raise FaceError(
            f"{clip.path}: no face found. Expected footage in which the person's face can be seen; try another clip."
        )
    known = np.array(samples)
    near = np.stack([distance(known, sample) < same_in_clip() for sample in known])
    mine = near[near.sum(1).argmax()]
    others = near[~mine][:, ~mine].sum(1).max(initial=0)
    if others > 0.6 * mine.sum():
        raise FaceError(
            f"{clip.path}: several people and none dominates ({mine.sum()} and {others} sampled faces). Give a clip of "
            "the person meant alone."
        )
    return np.asarray(known[mine].mean(0), np.float32)
