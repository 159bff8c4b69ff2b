"""One face's alignment corrected by hand: its crop recut from the source's frame, and its landmarks moved along."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceError, InputError
from ..faces import Faces
from ..find.crop import crop_face
from ..geometry import Array, about, apply, box_around, compose, invert, turned_pose
from .change import changing, write_table
from .faceset import FaceSet
from .quality import Looks, in_crop, look, stamp

LEAST_SCALE, MOST_SCALE = 0.25, 4.0


@dataclass(frozen=True)
class Nudge:
    """By how much what a crop shows is moved: shifted in px of the crop (x right, y down), turned clockwise in radians
    and enlarged, both about the crop's middle. Raises InputError where that is no number or leads out of the crop."""

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x, self.y, self.turn, self.scale))):
            raise InputError("a nudge: expected four finite numbers.")
        if not LEAST_SCALE <= self.scale <= MOST_SCALE:
            raise InputError(f"a nudge: scale {self.scale:g}, expected {LEAST_SCALE:g} to {MOST_SCALE:g}.")

    def map(self, size_px: int) -> Array:
        """(2, 3), in px of a crop."""
        if max(abs(self.x), abs(self.y)) > size_px:
            raise InputError(f"a nudge: by {self.x:g}, {self.y:g} px, expected no more than the crop's {size_px} px.")
        return about(np.full(2, (size_px - 1) / 2), np.array([self.x, self.y]), self.turn, self.scale)


def cut(faces: FaceSet, row: int, pixels: NDArray[np.uint8], nudge: Nudge) -> NDArray[np.uint8]:
    """The crop (S, S, 3) of a row as it would be, from the pixels (H, W, 3) of its frame."""
    size = faces.recipe.size_px
    return np.asarray(crop_face(pixels, compose(nudge.map(size), faces.transform[row]), size), np.uint8)


def nudged(faces: FaceSet, row: int, nudge: Nudge) -> FaceSet:
    """The set in memory with one row's alignment changed.

    The landmarks keep their places in the crop, so in the frame they go where the picture came from: by
    T^-1 N^-1 T of the row's map T to the crop and the nudge N. Aligning them anew gives N T, since the least squares of
    `geometry.similarity` follow a similarity map of their points.
    """
    before = faces.transform[row]
    after = compose(nudge.map(faces.recipe.size_px), before)
    points = apply(compose(invert(after), before), faces.faces.points[row])
    return with_row(
        faces,
        row,
        {"points": points, "box": box_around(points), "pose": turned_pose(faces.faces.pose[row], -nudge.turn)},
        after,
    )


def with_row(faces: FaceSet, row: int, columns: dict[str, Array], transform: Array) -> FaceSet:
    """The set with other numbers in one row of these columns of its Faces, and another map to the crop."""
    changed: dict[str, Array] = faces.faces.columns()
    for name, values in columns.items():
        changed[name] = changed[name].copy()
        changed[name][row] = values
    transforms = faces.transform.copy()
    transforms[row] = transform
    return replace(faces, faces=Faces(**changed), transform=transforms)


def keep(faces: FaceSet, row: int, picture: bytes, looks: Looks) -> FaceSet:
    """Write the table of `faces` and the PNG of one row's crop into its folder, both or neither; the set, with the
    picture's measures, which `looks` takes up too.

    Raises FaceError where the row has no picture there, OutputError where the folder cannot be written.
    """
    name = faces.pictures().get(row)
    if name is None:
        raise FaceError(f"{faces.path}: the picture of {faces.crop[row] or f'row {row}'} is not in its folder crops.")
    sharpness = faces.sharpness.copy()
    with changing(faces.path) as work:
        file = work / "crops" / name
        file.write_bytes(picture)
        found = look(faces.read_picture(file), in_crop(faces, row), faces.recipe.coverage)
        sharpness[row] = found.sharpness
        looks.note(row, found, stamp(file))
        write_table(replace(faces, sharpness=sharpness), looks, work)
    return replace(faces, sharpness=sharpness)
