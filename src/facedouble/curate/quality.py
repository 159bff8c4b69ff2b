"""What each face of a set is like: where it looks, how sharp and how bright it is, who it is, and what it resembles.

What the table of the set says is computed at once; what only the pictures say is kept in FACES/quality.parquet, written
while the crops are cut and measured again for every picture that is another by then.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..events import Note, Progress
from ..faces import BLINKS, JAW_OPEN
from ..find.crop import lab, sharpness
from ..find.identity import distance
from ..find.mask import bare_skin
from ..geometry import FACE_OVAL, apply
from ..media.flow import ordered_map
from ..project import atomic_file
from .faceset import FaceSet, column_of, unpacked_bytes

CACHE = "quality.parquet"
FINGERPRINT = 16
"""cells along each side of a fingerprint"""
_FORMAT = b"facedouble quality 1 of "
_ROW_BYTES = 4 * (4 + FINGERPRINT**2) + 8 + 100
_COLOUR_PX = 64
_FINGERPRINT_SQUARES = 1.4
_LEAST_SKIN_PX = 20
_TAIL_BYTES = 24


@dataclass(frozen=True)
class Measure:
    """A measure by the name a user gives it."""

    column: str
    """of Quality"""
    unit: str
    form: str
    """as it is written into file names and captions"""
    text: str


MEASURES = {
    "yaw": Measure("yaw", "degrees", "{:+04.0f}", "turned to the picture's right"),
    "pitch": Measure("pitch", "degrees", "{:+04.0f}", "raised"),
    "roll": Measure("roll", "degrees", "{:+04.0f}", "tilted clockwise"),
    "size": Measure("size_px", "px", "{:04.0f}", "width of the face square in the footage"),
    "sharpness": Measure("sharpness", "", "{:06.1f}", "variance of the Laplacian"),
    "brightness": Measure("brightness", "L*", "{:04.1f}", "mean lightness of the skin"),
    "contrast": Measure("contrast", "L*", "{:04.1f}", "spread of the skin's lightness"),
    "hue": Measure("hue", "degrees", "{:+04.0f}", "of the skin, CIELAB: 0 pink, 90 yellow"),
    "inside": Measure("inside", "", "{:.2f}", "share of the face inside the footage"),
    "away": Measure("away", "", "{:.2f}", "identity distance from the set's middle"),
    "expression": Measure("expression", "", "{:.2f}", "distance from the set's usual expression"),
    "mouth-open": Measure("mouth_open", "", "{:.2f}", "0 to 1"),
    "eyes-closed": Measure("eyes_closed", "", "{:.2f}", "0 to 1, of the eye that is more open"),
}


@dataclass(frozen=True)
class Look:
    """What the pixels of one crop say; see Quality."""

    sharpness: float
    brightness: float
    hue: float
    contrast: float
    fingerprint: NDArray[np.float32]


def look(crop: NDArray[np.uint8], points: NDArray[np.float32], coverage: float) -> Look:
    """Measure a crop (S, S, 3), the landmarks (478, 2) in its px, showing `coverage` face squares.

    Colour is looked at with the crop reduced to 64 px: a mean needs no more, and it takes a tenth of the time.
    """
    import cv2

    side = len(crop)
    small = cv2.resize(crop, (_COLOUR_PX, _COLOUR_PX), interpolation=cv2.INTER_AREA)
    scaled = (points + 0.5) * (_COLOUR_PX / side) - 0.5
    size = (_COLOUR_PX, _COLOUR_PX)
    skin = bare_skin(scaled, size)
    colours = lab(small)[skin]
    known = len(colours) >= _LEAST_SKIN_PX
    lightness, a, b = colours.mean(0) if known else np.full(3, np.nan)
    spread = colours[:, 0].std() if known else np.nan
    return Look(
        sharpness(crop),
        float(lightness),
        float(np.degrees(np.arctan2(b, a))),
        float(spread),
        fingerprint(crop, coverage),
    )


def fingerprint(crop: NDArray[np.uint8], coverage: float) -> NDArray[np.float32]:
    """(256,) see Quality.fingerprint; of a crop (S, S, 3) that shows `coverage` face squares."""
    import cv2

    side = len(crop)
    rim = round(side * max(0.0, 1 - _FINGERPRINT_SQUARES / coverage) / 2)
    grey = cv2.cvtColor(crop[rim : side - rim, rim : side - rim], cv2.COLOR_RGB2GRAY).astype(np.float32)
    cells = cv2.resize(grey, (FINGERPRINT, FINGERPRINT), interpolation=cv2.INTER_AREA).reshape(-1)
    cells -= cells.mean()
    return np.asarray(cells / max(float(cells.std()), 1.0), np.float32)


def stamp(picture: Path) -> int:
    """A number that is another when a picture is: from a file's length and its last bytes, where a PNG keeps checksums
    of all its pixels (Adler-32 of zlib, RFC 1950, and the last chunk's CRC). Renaming and copying leave it as it is."""
    with picture.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - _TAIL_BYTES))
        return (length & 0x7FFFFFFF) << 32 | zlib.crc32(file.read())


@dataclass(frozen=True, eq=False)
class Looks:
    """Looks of a set's n rows, filled one by one; a row of none has stamp 0."""

    sharpness: NDArray[np.float32]
    brightness: NDArray[np.float32]
    hue: NDArray[np.float32]
    contrast: NDArray[np.float32]
    fingerprint: NDArray[np.float32]
    """(n, 256)"""
    stamp: NDArray[np.int64]
    """(n,) of the pictures they are of"""

    @classmethod
    def blank(cls, n: int) -> Self:
        numbers = {name: np.full(n, np.nan, np.float32) for name in ("sharpness", "brightness", "hue", "contrast")}
        fingerprint = np.full((n, FINGERPRINT**2), np.nan, np.float32)
        return cls(**numbers, fingerprint=fingerprint, stamp=np.zeros(n, np.int64))

    @classmethod
    def join(cls, parts: Sequence[Looks]) -> Self:
        """The rows of all parts (one or more), in order."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def __getitem__(self, rows: NDArray[np.int64]) -> Self:
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def note(self, row: int, found: Look, of: int) -> None:
        for name, value in vars(found).items():
            getattr(self, name)[row] = value
        self.stamp[row] = of

    def save(self, faces: FaceSet) -> None:
        """Write them beside the set's table. Raises OutputError."""
        import pyarrow
        from pyarrow import parquet

        columns = {field.name: pyarrow.array(getattr(self, field.name).reshape(-1)) for field in fields(self)}
        columns["fingerprint"] = pyarrow.FixedSizeListArray.from_arrays(columns["fingerprint"], FINGERPRINT**2)
        table = pyarrow.table(columns).replace_schema_metadata({"of": _FORMAT + _table_hash(faces)})
        with atomic_file(faces.path / CACHE) as temporary:
            parquet.write_table(table, temporary, compression="zstd", use_dictionary=False)

    @classmethod
    def load(cls, faces: FaceSet) -> Self:
        """Those written for this very table; blank ones where there are none, or they are broken or another table's."""
        import pyarrow

        try:
            return cls._read(faces)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, pyarrow.ArrowException):
            return cls.blank(len(faces))

    @classmethod
    def _read(cls, faces: FaceSet) -> Self:
        from pyarrow import parquet

        file, most = faces.path / CACHE, 1_000_000 + _ROW_BYTES * len(faces)
        if file.stat().st_size > most:
            raise ValueError(f"{file}: larger than its rows can need")
        blank = cls.blank(len(faces))
        with parquet.ParquetFile(file) as opened:
            about = opened.metadata
            of = (about.metadata or {}).get(b"of")
            if of != _FORMAT + _table_hash(faces) or about.num_rows != len(faces) or unpacked_bytes(about) > most:
                raise ValueError(f"{file}: of another table")
            table = opened.read(columns=[field.name for field in fields(cls)])
        for field in fields(cls):
            into = getattr(blank, field.name)
            numbers = column_of(table, field.name, into.dtype, into.shape[1] if into.ndim > 1 else None)
            if np.isinf(numbers).any():
                raise ValueError(f"{file}: column {field.name} is not finite")
            into[:] = numbers
        if np.isnan(blank.fingerprint[blank.stamp != 0]).any():
            raise ValueError(f"{file}: fingerprints are missing")
        return blank


def _table_hash(faces: FaceSet) -> bytes:
    with (faces.path / "faces.parquet").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


@dataclass(frozen=True, eq=False)
class Quality:
    """Measures of a face set of n rows; NaN in rows without a picture. All are (n,) float32 but the fingerprint."""

    yaw: NDArray[np.float32]
    """degrees, as pitch and roll; see geometry.pose_angles"""
    pitch: NDArray[np.float32]
    roll: NDArray[np.float32]
    size_px: NDArray[np.float32]
    """width of the face square (brow end to brow end) in the source's frame"""
    sharpness: NDArray[np.float32]
    """of the picture as it is now; see find.crop.sharpness"""
    brightness: NDArray[np.float32]
    """mean CIELAB L* of the skin, 0 to 100"""
    hue: NDArray[np.float32]
    """CIELAB hue angle of the skin's mean colour, degrees"""
    contrast: NDArray[np.float32]
    """standard deviation of the skin's L*"""
    inside: NDArray[np.float32]
    """share of the face's convex hull that lies inside the frame"""
    away: NDArray[np.float32]
    """identity distance to the median of the set's measured faces, interpolated within a track from its samples (the
    descriptor is sampled); NaN in a track that has none. The median, since strangers in the set would move a mean."""
    expression: NDArray[np.float32]
    """Euclidean distance of the 52 blendshapes to the set's median"""
    mouth_open: NDArray[np.float32]
    """blendshape jawOpen, 0..1"""
    eyes_closed: NDArray[np.float32]
    """blendshape eyeBlink of the eye that is more open, 0..1"""
    fingerprint: NDArray[np.float32]
    """(n, 256) luminance of 16 x 16 cells of the face's middle, mean 0 and deviation 1: light and contrast do not
    count"""

    def __len__(self) -> int:
        return len(self.yaw)

    def rows(self) -> NDArray[np.int64]:
        """Rows that have a picture."""
        return np.flatnonzero(~np.isnan(self.yaw))

    def column(self, measure: str) -> NDArray[np.float32]:
        """By its name in MEASURES."""
        return np.asarray(getattr(self, MEASURES[measure].column))


def measure(faces: FaceSet, workers: int) -> Generator[Progress | Note, None, Quality]:
    """Measure a set; only pictures that are new or were changed since the last time are read. Raises FaceError for a
    crop that cannot be read."""
    pictures = faces.pictures()
    looks = Looks.load(faces)
    now = {row: stamp(faces.path / "crops" / name) for row, name in pictures.items()}
    wanted = [row for row in pictures if looks.stamp[row] != now[row]]

    def work(row: int) -> tuple[int, Look]:
        return row, look(faces.read_crop(row), in_crop(faces, row), faces.recipe.coverage)

    done = 0
    try:
        for done, (row, found) in enumerate(ordered_map(wanted, work, workers=workers, ahead=4 * workers), 1):
            looks.note(row, found, now[row])
            if done % 50 == 0 or done == len(wanted):
                yield Progress("measuring faces", done, len(wanted), unit="faces")
    finally:
        # What was measured before an interruption need not be measured again.
        kept = _keep(looks, faces) if done else ""
    if kept:
        yield Note(f"{kept} The measures are not kept, so the next command measures again.", warning=True)
    return quality_of(faces, looks, np.array(list(pictures), np.int64))


def _keep(looks: Looks, faces: FaceSet) -> str:
    try:
        looks.save(faces)
    except OutputError as error:  # a set on a read-only disk can be looked at all the same
        return str(error)
    return ""


def in_crop(faces: FaceSet, row: int) -> NDArray[np.float32]:
    """The landmarks (478, 2) of a row in px of its crop."""
    return np.asarray(apply(faces.transform[row], faces.faces.points[row]), np.float32)


def quality_of(faces: FaceSet, looks: Looks, rows: NDArray[np.int64]) -> Quality:
    """Measures of those `rows` that have a picture, from the table and the pictures' looks."""
    table = faces.faces
    scale = np.sqrt(np.abs(np.linalg.det(faces.transform[rows][:, :, :2])))
    expression = table.expression[rows]
    usual = np.median(expression, axis=0) if len(rows) else 0
    angles = np.degrees(table.pose[rows])
    measured = {
        "yaw": angles[:, 0],
        "pitch": angles[:, 1],
        "roll": angles[:, 2],
        "size_px": faces.recipe.size_px / faces.recipe.coverage / scale,
        "inside": np.array([_inside(table.points[row], faces.sources[faces.source[row]].size) for row in rows]),
        "away": _away(faces, rows),
        "expression": np.linalg.norm(expression - usual, axis=1),
        "mouth_open": expression[:, JAW_OPEN],
        "eyes_closed": expression[:, BLINKS].min(axis=1),
        **{field.name: getattr(looks, field.name)[rows] for field in fields(Look)},
    }
    columns: dict[str, Any] = {}
    for name, values in measured.items():
        columns[name] = np.full((len(faces), *values.shape[1:]), np.nan, np.float32)
        columns[name][rows] = values
    return Quality(**columns)


def _inside(points: NDArray[np.float32], size: tuple[int, int]) -> float:
    import cv2

    oval, (width, height) = points[FACE_OVAL], size
    low, high = oval.min(0), oval.max(0)
    if low.min() >= -0.5 and high[0] <= width - 0.5 and high[1] <= height - 0.5:
        return 1.0
    hull = cv2.convexHull(oval.astype(np.float32))
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - np.float32(0.5)
    shared, _ = cv2.intersectConvexConvex(hull, frame)
    return float(shared) / max(float(cv2.contourArea(hull)), 1e-6)


def _away(faces: FaceSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(m,) of `rows`."""
    table = faces.faces
    away = np.full(len(rows), np.nan, np.float32)
    measured = np.flatnonzero(~np.isnan(table.embedding[:, 0]))
    # Strangers that were put aside do not count; with no sample left, all do.
    counted = np.intersect1d(measured, rows)
    if not len(measured):
        return away
    middle = np.median(table.embedding[counted if len(counted) else measured], axis=0)
    known = distance(table.embedding[measured], middle)
    for track in np.unique(table.track[measured]):
        of_track, samples = table.track[rows] == track, table.track[measured] == track
        away[of_track] = np.interp(table.frame[rows[of_track]], table.frame[measured[samples]], known[samples])
    return away
