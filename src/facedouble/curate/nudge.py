"""One face's alignment corrected by hand: its crop recut from the source's frame, and its landmarks moved along.

What changes is first made whole in a folder of its own; one rename decides that it holds, and whatever was not moved to
its place when the program was killed is moved there by the next command.

FACES/.nudged/   faces.parquet, quality.parquet and crops/NAME.png, there only while they are moved to their places
"""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceError, InputError
from ..faces import Faces
from ..find.crop import crop_face
from ..geometry import Array, about, apply, box_around, compose, invert, turned_pose
from ..project import atomic_folder, output_errors
from .faceset import FaceSet
from .quality import CACHE, Looks, in_crop, look, stamp

CHANGED = ".nudged"
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
    with atomic_folder(faces.path / CHANGED) as work:
        (work / "crops").mkdir()
        file = work / "crops" / name
        file.write_bytes(picture)
        found = look(faces.read_picture(file), in_crop(faces, row), faces.recipe.coverage)
        sharpness = faces.sharpness.copy()
        sharpness[row] = found.sharpness
        staged = replace(faces, path=work, sharpness=sharpness)
        staged.save()
        looks.note(row, found, stamp(file))
        looks.save(staged)
        for record in ("faceset.json", "consent.toml"):  # they stay as they are
            (work / record).unlink()
    recover(faces.path)
    return replace(staged, path=faces.path)


def recover(folder: Path) -> bool:
    """Move what a nudge changed to its place in a set's folder; whether there was anything. May be cut short and done
    again at any point."""
    changed = folder / CHANGED
    if not changed.is_dir():
        return False
    with output_errors(folder):
        for file in [*(changed / "crops").glob("*.png"), changed / CACHE, changed / "faces.parquet"]:
            # Not there any more: moved before the program was killed, or by another program that opened the set.
            with suppress(FileNotFoundError):
                file.replace(folder / file.relative_to(changed))
        shutil.rmtree(changed, ignore_errors=True)
    return True
