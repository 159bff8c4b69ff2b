"""A blurred clip's swap against its known answer, which is the swap of the sharp clip, blurred: does the new face lose
its focus, and move, as the plate does? Run by `benchmarks/run focus`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facedouble.device import choose
from facedouble.faces import Faces
from facedouble.find.mask import face_mask
from facedouble.footage import spread
from facedouble.judge.measure import psnr
from facedouble.media.reader import probe, read
from facedouble.provenance.mark import Marker
from facedouble.recipes import ConvertRecipe
from facedouble.stages.opening import Opened
from facedouble.stages.signing import mark_of

Blur = Callable[[NDArray[Any]], NDArray[Any]]
_LOOKED_AT = 12


def out_of_focus(sigma: float) -> Blur:
    return lambda pixels: cv2.GaussianBlur(pixels, (0, 0), sigma)


def moved(length_px: float, degrees: float) -> Blur:
    """As a head that moved so far while the shutter was open: the mean of pictures shifted along."""

    def blur(pixels: NDArray[Any]) -> NDArray[Any]:
        steps = np.linspace(-length_px / 2, length_px / 2, round(4 * length_px))
        along, total = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]), 0.0
        for step in steps:
            shift = np.hstack([np.eye(2), (step * along)[:, None]])
            total = total + cv2.warpAffine(pixels, shift, pixels.shape[1::-1], borderMode=cv2.BORDER_REFLECT).astype(
                np.float32
            )
        mean = total / len(steps)
        return np.rint(mean).astype(pixels.dtype) if pixels.dtype.kind == "u" else mean

    return blur


BLURS: dict[str, Blur] = {
    "out of focus by 1.5 px": out_of_focus(1.5),
    "by 3 px": out_of_focus(3),
    "by 5 px": out_of_focus(5),
    "moved by 8 px aside": moved(8, 0),
    "by 12 px upwards": moved(12, 90),
    "by 16 px slantwise": moved(16, 30),
}


def against_blurred(
    clip_path: Path, faces: Faces, model: Path
) -> tuple[dict[str, tuple[float, float]], tuple[float, float]]:
    """PSNR, dB, inside the face over 12 frames of a clip with A's `faces`: (as sharp as ever, as soft as the plate) for
    each blur; and by how many grey levels the unblurred frames change, on the mean and in the worst of them."""
    clip, opened = probe(clip_path), Opened.of(model, choose("cpu"), "newest")
    opened = replace(opened, before=None)  # what stands before the face is another matter
    swapper = opened.fitted(clip, faces, ConvertRecipe(), Marker(mark_of(clip, [opened])))
    sharp, acting = replace(swapper, fit=replace(swapper.fit, focus=None)), faces.acting()
    wanted = {int(faces.frame[row]): row for row in spread(len(faces), _LOOKED_AT)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in BLURS}
    changes = []
    for frame in read(clip):
        if (row := wanted.get(frame.index)) is None:
            continue
        face = faces.points[row], acting[row]
        inside = face_mask(face[0], clip.size) > 127
        plain = sharp(frame.pixels, *face)[0]
        changes.append(float(np.abs(swapper(frame.pixels, *face)[0].astype(int) - plain)[inside].mean()))
        for name, blur in BLURS.items():
            blurred, answer = blur(frame.pixels), blur(plain).astype(float)
            errors = (((by(blurred, *face)[0] - answer) ** 2)[inside] for by in (sharp, swapper))
            sharper, softer = (psnr(float(error.sum()), error.size) for error in errors)
            found[name].append((sharper, softer))
    means = {
        name: (float(np.mean([one for one, _ in pairs])), float(np.mean([other for _, other in pairs])))
        for name, pairs in found.items()
    }
    return means, (float(np.mean(changes)), max(changes))
