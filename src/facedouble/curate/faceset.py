"""A face set: a folder with one person's aligned faces, for people to look through and delete from.

FACES/
  faceset.json         person, sources (clips and folders of pictures), recipe
  consent.toml         the person's consent record
  faces.parquet        one row a frame of a source that the person is seen in
  crops/000123.png     the aligned pictures; one that is deleted is simply gone from the set, and one may be renamed
                       with any prefix that ends in an underscore (00017_yaw-031_000123.png): what is after the last
                       one counts
  crops/s1-000123.png  those of the second source, and so on
  people.png, .json    who was kept and who was dropped, where `extract` made the set; see people.py
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ConsentError, FacedoubleError, FaceError, InputError
from ..faces import EXPRESSIONS, IDENTITY, LANDMARKS, Faces
from ..footage import Clip
from ..project import output_errors, save_json
from ..provenance import consent
from ..provenance.consent import ConsentRecord
from ..recipes import ExtractRecipe

VERSION = 2
_ONE_SOURCE = 1
"""version whose sets are of one source, and say so without a column for it"""
_ROW_BYTES = 16_000
"""more than a row's numbers and names come to, unpacked"""
_PNG_HEAD = 24
# Widths of the numeric columns; anything else in the table is refused, so a stranger's set cannot surprise later code.
_WIDTHS = {
    "box": 4, "points": LANDMARKS * 2, "pose": 3, "expression": EXPRESSIONS, "embedding": IDENTITY, "transform": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where faces came from. `path` is for people; the hash is what counts."""

    path: str
    sha256: str
    size: tuple[int, int]
    """see Clip.size"""
    frames: int
    rate: Fraction
    complete: bool = True
    """whether the set has a row for every frame the person is seen in: not where only a part was looked through"""

    @classmethod
    def of(cls, clip: Clip, complete: bool = True) -> Source:
        return cls(str(clip.path.resolve()), clip.sha256, clip.size, clip.count, clip.rate, complete)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "size": list(self.size), "rate": str(self.rate)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Source:
        """Raises LookupError, TypeError, ValueError or ArithmeticError for what is no source."""
        width, height = (int(side) for side in values["size"])
        whole = {**values, "size": (width, height), "rate": Fraction(values["rate"])}
        source = cls(**whole)
        told = (source.path, source.sha256, source.frames, source.complete)
        if tuple(map(type, told)) != (str, str, int, bool):
            raise TypeError("a source's path and sha256 are text, its frames a number")
        return source


def crop_name(source: int, frame: int) -> str:
    """The name of the crop of a frame of a set's n-th source."""
    return f"s{source}-{frame:06d}.png" if source else f"{frame:06d}.png"


def plain_name(present: str) -> str:
    """The name a set's table gives a picture, from its present one, whatever was put before it."""
    return present.rpartition("_")[2]


@dataclass(frozen=True, eq=False)
class FaceSet:
    """One person's faces, rows ascending by source, then frame."""

    path: Path
    person: str
    consent: ConsentRecord
    sources: tuple[Source, ...]
    recipe: ExtractRecipe
    faces: Faces
    source: NDArray[np.int64]
    """(n,) which of `sources` each face is of; `faces.frame` counts that source's frames"""
    pts: NDArray[np.int64]
    """(n,) of each face's frame, in its source's time base"""
    sharpness: NDArray[np.float32]
    """(n,) see find.crop.sharpness; NaN where no crop was taken"""
    transform: NDArray[np.float64]
    """(n, 2, 3) frame px to crop px"""
    crop: Sequence[str]
    """(n,) file name under crops/, "" where none was taken"""
    _listed: dict[int, str] = field(init=False, repr=False, default_factory=dict)
    """what `pictures` found last, so that reading one crop after another does not list the folder each time"""

    def __len__(self) -> int:
        return len(self.faces)

    def picture_names(self) -> dict[int, list[str]]:
        """Row -> the present names, ascending, of its pictures under crops/ (more than one where a person copied it),
        of the rows that still have any, ascending."""
        there: dict[str, list[str]] = {}
        folder = self.path / "crops"
        for name in sorted(file.name for file in folder.iterdir()) if folder.is_dir() else ():
            if not name.startswith("."):  # other programs': macOS puts a ._NAME beside each NAME on foreign disks
                there.setdefault(plain_name(name), []).append(name)
        return {row: there[name] for row, name in enumerate(self.crop) if name and name in there}

    def pictures(self) -> dict[int, str]:
        """Row -> the present name of its picture under crops/, the first where there are several; see
        `picture_names`."""
        found = {row: names[0] for row, names in self.picture_names().items()}
        self._listed.update(found)
        return found

    def rows_with_crops(self) -> NDArray[np.int64]:
        """Rows whose picture is still there."""
        return np.array(list(self.pictures()), np.int64)

    def rows_of(self, sha256: str) -> NDArray[np.int64] | None:
        """All rows of the source with that hash; None where the set has none that is complete."""
        for number, source in enumerate(self.sources):
            if source.sha256 == sha256 and source.complete:
                return np.flatnonzero(self.source == number)
        return None

    def read_crop(self, row: int) -> NDArray[np.uint8]:
        """(S, S, 3) RGB. Raises FaceError for a picture that cannot be read or is of another size."""
        folder = self.path / "crops"
        if row not in self._listed or not (folder / self._listed[row]).is_file():
            self.pictures()
        return self.read_picture(folder / self._listed.get(row, self.crop[row]))

    def read_picture(self, file: Path) -> NDArray[np.uint8]:
        """A crop by its file, wherever it lies, as `read_crop`."""
        import cv2

        side = self.recipe.size_px
        content = np.fromfile(file, np.uint8)
        # Looked at before it is decoded: a small file may claim to be a picture that fills the memory.
        claimed = _claimed_size(content[:_PNG_HEAD].tobytes())
        small = claimed in (None, (side, side))
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if len(content) and small else None
        if picture is None or picture.shape != (side, side, 3):
            claimed = claimed if picture is None else picture.shape[1::-1]
            found = "not a picture" if claimed in (None, (side, side)) else f"{claimed[0]}x{claimed[1]} px"
            raise FaceError(f"{file}: {found}, expected {side}x{side} px. Delete that file, or extract again.")
        return np.asarray(picture, np.uint8)

    def sha256(self) -> str:
        """Of the table and of which crops are left, whatever was put before their names: two sets with the same hash
        train the same model."""
        digest = hashlib.sha256((self.path / "faces.parquet").read_bytes())
        digest.update("\n".join(self.crop[row] for row in self.rows_with_crops()).encode())
        return digest.hexdigest()

    def save(self) -> None:
        """Write table, record and consent into `path`, which the caller makes whole or not at all."""
        import pyarrow
        from pyarrow import parquet

        columns = {**self.faces.columns(), "transform": self.transform}
        arrays: dict[str, Any] = {
            "source": self.source, "pts": self.pts, "sharpness": self.sharpness, "crop": list(self.crop)
        }  # fmt: skip
        for name, column in columns.items():
            flat = pyarrow.array(column.reshape(-1))
            arrays[name] = pyarrow.FixedSizeListArray.from_arrays(flat, _WIDTHS[name]) if name in _WIDTHS else flat
        with output_errors(self.path):
            parquet.write_table(pyarrow.table(arrays), self.path / "faces.parquet", compression="zstd")
        consent.save([self.consent], self.path / "consent.toml")
        save_json(
            self.path / "faceset.json",
            {
                "version": VERSION,
                "person": self.person,
                "consent": self.consent.id,
                "sources": [source.as_dict() for source in self.sources],
                "recipe": self.recipe.as_dict(),
            },
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises FaceError for a folder that is no whole face set, ConsentError where its consent cannot be read."""
        import pyarrow

        if not (path / "faceset.json").is_file() or not (path / "faces.parquet").is_file():
            raise FaceError(f"{path}: not a face set. Make one with: facedouble extract CLIP -o {path}")
        try:
            record = json.loads((path / "faceset.json").read_text())
            version = record["version"]
            if version not in (_ONE_SOURCE, VERSION):
                raise FaceError(f"{path}: face set of version {version}, this program reads {VERSION} and before.")
            told = [record["source"]] if version == _ONE_SOURCE else record["sources"]
            sources = tuple(Source.from_dict(values) for values in told)
            table = _read_table(path / "faces.parquet", sum(source.frames for source in sources), version)
            columns = {
                name: column_of(table, name, column.dtype, _WIDTHS.get(name))
                for name, column in Faces.empty().columns().items()
            }
            transform = column_of(table, "transform", np.float64, _WIDTHS["transform"])
            pts, sharpness = column_of(table, "pts", np.int64), column_of(table, "sharpness", np.float32)
            source = np.zeros(len(pts), np.int64) if version == _ONE_SOURCE else column_of(table, "source", np.int64)
            crop = [_plain_name(name) for name in table["crop"].to_pylist()]
            _check({**columns, "transform": transform}, source, crop, sources)
            recipe = ExtractRecipe.from_dict(record["recipe"])
            if not recipe.size_px:
                raise ValueError("crops of 0 px")
            person, consent_id = str(record["person"]), str(record["consent"])
        except InputError as error:
            raise FaceError(f"{path}: {error}") from error
        except FacedoubleError:
            raise
        except (
            OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
            pyarrow.ArrowException,
        ) as error:  # fmt: skip
            raise FaceError(f"{path}: a broken face set ({error}). Extract it again.") from error
        records = consent.load(path / "consent.toml")
        if len(records) != 1 or records[0].id != consent_id:
            raise ConsentError(
                f"{path / 'consent.toml'}: not the record this set was made under ({consent_id}). "
                "Put that one back, or extract again under the new one."
            )
        columns["points"] = columns["points"].reshape(-1, LANDMARKS, 2)
        transform = transform.reshape(-1, 2, 3)
        faces = Faces(**columns)
        return cls(path, person, records[0], sources, recipe, faces, source, pts, sharpness, transform, crop)


def _read_table(file: Path, most_rows: int, version: int) -> Any:
    """The table's known columns. Raises ValueError where it would unpack to more than its rows can need."""
    from pyarrow import parquet

    wanted = [*Faces.empty().columns(), "transform", "pts", "sharpness", "crop"]
    wanted += ["source"] if version > _ONE_SOURCE else []
    with parquet.ParquetFile(file) as opened:
        about = opened.metadata
        unpacked = unpacked_bytes(about)
        if about.num_rows > most_rows or unpacked > 1_000_000 + _ROW_BYTES * about.num_rows:
            raise ValueError(
                f"{about.num_rows} rows, {unpacked / 1e6:.0f} MB, are more than {most_rows} frames can need"
            )
        return opened.read(columns=wanted)


def unpacked_bytes(about: Any) -> int:
    """What a Parquet file says, in its metadata, that its table comes to in memory."""
    return sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))


def _claimed_size(head: bytes) -> tuple[int, int] | None:
    """Width and height by a PNG's first bytes; None where it is none."""
    if len(head) < _PNG_HEAD or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def column_of(table: Any, name: str, kind: DTypeLike, width: int | None = None) -> NDArray[Any]:
    """(n,) or (n, width) numbers of a pyarrow table. Raises ValueError where the column is anything else."""
    from pyarrow import types

    column = table[name].combine_chunks()
    values = column
    if width is not None:
        if not types.is_fixed_size_list(column.type) or column.type.list_size != width or column.null_count:
            raise ValueError(f"column {name} is not {width} wide")
        values = column.flatten()
    numbers = np.asarray(values)
    if values.null_count or numbers.dtype != kind:
        raise ValueError(f"column {name} is not {np.dtype(kind)}")
    return numbers if width is None else numbers.reshape(-1, width)


def _check(
    columns: dict[str, NDArray[Any]], source: NDArray[np.int64], crop: Sequence[str], sources: Sequence[Source]
) -> None:
    """One face a frame, in order and within its source; finite numbers, except where they may be unknown; each source
    and each crop once."""
    frame, limits = columns["frame"], np.array([source.frames for source in sources], np.int64)
    if not sources or len({source.sha256 for source in sources}) < len(sources):
        raise ValueError("its sources are none, or one of them twice")
    if ((source < 0) | (source >= len(sources))).any() or (np.diff(source) < 0).any():
        raise ValueError(f"column source does not ascend from 0 to {len(sources)}")
    if ((frame < 0) | (frame >= limits[source])).any() or (np.diff(frame)[np.diff(source) == 0] <= 0).any():
        raise ValueError(f"its frames do not ascend from 0 to {' and '.join(map(str, limits))}")
    taken = [name for name in crop if name]
    if len(set(taken)) < len(taken):
        raise ValueError("two of its rows have the same crop name")
    for name in _WIDTHS.keys() - {"embedding"}:
        if not np.isfinite(columns[name]).all():
            raise ValueError(f"column {name} is not finite")


def _plain_name(name: str) -> str:
    if name != Path(name).name or "\\" in name or "_" in name:
        raise ValueError(f"crop name {name[:60]!r} leads out of the folder, or holds an underscore")
    return name
