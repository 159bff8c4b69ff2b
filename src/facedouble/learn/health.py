"""How well the swap itself goes, whatever the loss says: is held-out A, converted, B, and does B do what A does?"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..faces import Faces
from ..find.acting import between, correlation
from ..find.identity import Identity, distance
from ..find.landmarks import Landmarker
from ..footage import spread
from .data import Canvases
from .model import Network, Seen

_FACES = 10
"""with finder and descriptor 0.05 s each on one core, a glance of half a second"""
_SHARE = 0.05
"""of the time that may go into it"""
_SHOWN_PX = 256
# The face finder wants room around a face, and the network's picture is filled by it.
_AROUND_PX = 64
# Where the judge says bad, three times over: there is no use in telling worse from worse.
_TURNED_DEG = 9.0


@dataclass(frozen=True)
class Health:
    """Of some held-out faces of A, converted; nan where no face was found in them."""

    to_b: float
    """mean distance of identity to B's mean; dlib's line for one person is 0.6"""
    to_a: float
    pose_error: float
    """degrees between A's head and the converted one"""
    expression: float
    """mean correlation of the blendshapes that move in A"""
    found: float
    """in what part of them there is a face"""
    likeness: float
    """how far on the way from A to B it is: 0 as far from B as A's own pictures, 1 as near to B as B's own"""

    @property
    def overall(self) -> float:
        """0..1: all three must be good, so their geometric mean."""
        if not self.found:
            return 0.0
        steady = 1 - self.pose_error / _TURNED_DEG
        parts = [min(1.0, max(0.0, part)) for part in (self.likeness, steady, self.expression) if not math.isnan(part)]
        return self.found * math.prod(parts) ** (1 / max(len(parts), 1))

    def entry(self) -> dict[str, float]:
        """For the score history, what is known of it."""
        values = {"health": self.overall, **{f"swap_{name}": value for name, value in vars(self).items()}}
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def text(self) -> str:
        if not self.found:
            return "no face to be found in the swap yet"
        return (
            f"swapped: {self.to_b:.2f} from B and {self.to_a:.2f} from A, head off by {self.pose_error:.1f} degrees, "
            f"expression r {self.expression:.2f} (health {self.overall:.2f} of 1)"
        )


class Physician:
    """Looks at the same held-out faces of A each time. `identity`: side -> mean descriptor (128,), nan if unknown.

    All pictures are looked at as small as the network gives them, A's and B's own too, so that only what it does is
    measured. Raises MachineError where the face finder cannot run.
    """

    def __init__(
        self, held: dict[str, Canvases], identity: dict[str, NDArray[np.float32]], device: torch.device
    ) -> None:
        few = {side: faces[spread(len(faces), _FACES)] for side, faces in held.items()}
        self._faces, self._people, self._device = few["a"], identity, device
        self._identity = Identity()
        own = {side: _shown(faces.centred(device)[0].pictures) for side, faces in few.items()}
        found = {side: _find(pictures) for side, pictures in own.items()}
        self._before = found["a"]
        self._from_b = {side: self._away(own[side], found[side], "b") for side in own}
        self._again_s = 0.0

    def __call__(self, network: Network, must: bool = False) -> Health | None:
        """None where looking again so soon would take more than a twentieth of the time, if it `must` not be; and where
        A's own pictures are too small or tight for the face finder."""
        if (begun := time.monotonic()) < self._again_s and not must:
            return None
        if not any(len(face) for face in self._before):
            return None
        health = self._look(network)
        now = time.monotonic()
        self._again_s = now + (now - begun) / _SHARE
        return health

    @torch.no_grad()
    def _look(self, network: Network) -> Health:
        network.eval()
        seen, _ = self._faces.redrawn(network.shape_offset).centred(self._device)
        pictures = _shown(_laid_in(network, seen))
        network.train()
        after = _find(pictures)
        pairs = [(new, old) for new, old in zip(after, self._before, strict=True) if len(new) and len(old)]
        found = len(pairs) / max(1, sum(len(old) for old in self._before))
        if not pairs:
            return Health(math.nan, math.nan, math.nan, math.nan, 0.0, math.nan)
        to_b, to_a = (self._away(pictures, after, side) for side in "ba")
        (poses, shapes), (own_poses, own_shapes) = (
            (np.array([face.pose[0] for face in faces]), np.array([face.expression[0] for face in faces]))
            for faces in zip(*pairs, strict=True)
        )
        turned = float(np.degrees(between(poses, own_poses)).mean())
        way = self._from_b["a"] - self._from_b["b"]
        likeness = (self._from_b["a"] - to_b) / way if way > 0.05 else math.nan  # else they are too alike to tell
        return Health(to_b, to_a, turned, correlation(shapes, own_shapes), found, likeness)

    def _away(self, pictures: list[NDArray[np.uint8]], found: list[Faces], side: str) -> float:
        """Mean distance of the faces found in pictures to a side's mean; nan where there are none."""
        who = [
            self._identity(picture, face.points[0]) for picture, face in zip(pictures, found, strict=True) if len(face)
        ]
        return float(distance(np.array(who), self._people[side]).mean()) if who else math.nan


def _find(pictures: list[NDArray[np.uint8]]) -> list[Faces]:
    """The face of each picture, or none. A finder is opened for each look: one left open at the end of a program stops
    it from ending."""
    with Landmarker(video=False, max_people=1) as landmarker:
        return [landmarker(picture)[:1] for picture in pictures]


def _laid_in(network: Network, seen: Seen) -> torch.Tensor:
    """(n, 3, S, S): A's pictures with what B makes of them where its mask says so."""
    answer = network.rebuild(seen, "a", "b")
    mask = answer[:, 3:]
    return answer[:, :3] * mask + seen.pictures * (1 - mask)


def _shown(pictures: torch.Tensor) -> list[NDArray[np.uint8]]:
    """Pictures (n, 3, S, S) in 0..1 as the face finder likes them: larger, with something around them."""
    import cv2

    result, rim = [], _AROUND_PX
    for picture in (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        larger = cv2.resize(picture, (_SHOWN_PX, _SHOWN_PX), interpolation=cv2.INTER_CUBIC)
        result.append(np.asarray(cv2.copyMakeBorder(larger, rim, rim, rim, rim, cv2.BORDER_REPLICATE), np.uint8))
    return result
