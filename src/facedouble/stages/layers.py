"""The layers of a conversion, for a compositor: plate, face and mask as 16-bit PNG, and how they belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces import Faces
from ..footage import Clip, Frame
from ..geometry import align
from ..learn.checkpoint import Trained
from ..media.pictures import PictureWriter, save_picture
from ..project import save_json
from ..recipes import ConvertRecipe
from ..swap.face import Layer

PLATE, FACE, MASK = "plate", "face", "mask"
_MOST = 65535
_ALPHA = (
    "straight (unpremultiplied): output = plate * (1 - mask) + face * mask, in the files' own values, which are "
    "full-range RGB with the clip's transfer function still on them - but for PQ and HLG (transfer 16, 18), whose "
    "values are in the tones of SDR here, in which the face was mixed in. Outside the mask, face is black."
)
_BLENDS = {
    "plain": "the clip's pixels are just that, rounded to its bit depth",
    "multiband": "the clip was blended band by band (Laplacian pyramids, Burt and Adelson 1983): in the mask's soft "
    "border its coarse tones mix over a wider stretch than its fine ones, so plate, face and mask give the clip's "
    "pixels exactly where the mask is 0 and nearly where it is 1. Convert with --blend plain for layers that always do",
}
_TO_CROP = (
    "2 x 3, from px of the frame to px of the crop of crop_px that the model saw; (0, 0) is the centre of the top left "
    "pixel, y points down"
)
_LAYERS = {
    PLATE: "the clip's own pixels, but those around a face moved as its outline is",
    FACE: "the new face",
    MASK: "0 is the plate, 65535 the face",
}


class LayerFolder:
    """Layers frame by frame; threads may share it. Frames before `begin` are there from a run that was stopped."""

    def __init__(self, folder: Path, clip: Clip) -> None:
        self._folder, self._clip = folder, clip
        self._writers = {name: PictureWriter(folder / name, clip) for name in (PLATE, FACE, MASK)}
        self.begin = min(writer.begin for writer in self._writers.values())

    def write(self, frame: Frame, laid: Sequence[Layer]) -> None:
        """The layers of a frame over which `laid` were laid, one after the other."""
        plate = frame.pixels.copy()
        face = np.zeros(frame.pixels.shape, np.float32)
        mask = np.zeros(frame.pixels.shape[:2], np.float32)
        for layer in laid:
            x0, y0, x1, y1 = layer.box
            there = (slice(y0, y1), slice(x0, x1))
            if layer.outline is not None:
                for picture in (plate, face, mask):
                    picture[there] = layer.outline(picture[there])
            below, above = mask[there], layer.mask
            both = below + above - below * above
            weight = np.divide(above, both, out=np.zeros_like(above), where=both > 0)[..., None]
            face[there] += weight * (layer.face - face[there])
            mask[there] = both
        scale = _MOST // np.iinfo(plate.dtype).max
        pictures = {PLATE: plate.astype(np.uint16) * scale, FACE: _deep(face), MASK: _deep(mask)}
        for name, picture in pictures.items():
            save_picture(self._folder / name / self._writers[name].name(frame.index), picture)

    def describe(self, parts: Sequence[tuple[Trained, Faces]], recipe: ConvertRecipe) -> None:
        """Write layers.json: what the layers are, and of every frame its time and the faces' places."""
        clip, name = self._clip, self._writers[PLATE].name
        frames: list[dict[str, Any]] = [
            {"frame": index, "file": name(index), "pts": pts, "faces": []}
            for index, pts in enumerate(clip.pts.tolist())
        ]
        for trained, faces in parts:
            size = trained.recipe.size_px
            for frame, box, points in zip(faces.frame.tolist(), faces.box, faces.points, strict=True):
                frames[frame]["faces"].append(
                    {
                        "performance": trained.people["a"],
                        "face": trained.people["b"],
                        "landmarks_box": [round(float(value), 3) for value in box],
                        "crop_px": size,
                        "to_crop": align(points, size, trained.recipe.coverage).tolist(),
                    }
                )
        save_json(
            self._folder / "layers.json",
            {
                "clip": clip.path.name,
                "clip_sha256": clip.sha256,
                "size": list(clip.size),
                "time_base": [clip.time_base.numerator, clip.time_base.denominator],
                "layers": _LAYERS,
                "alpha": _ALPHA,
                "blend": {"name": recipe.blend, "meaning": _BLENDS[recipe.blend]},
                "colour": {**asdict(clip.colour), "meaning": "of the clip, as ITU-T H.273 numbers; 2 is not said"},
                "to_crop": _TO_CROP,
                "frames": frames,
            },
        )


def _deep(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.round(np.clip(values, 0, 1) * _MOST).astype(np.uint16)
