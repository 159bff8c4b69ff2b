"""What a swap could score at best: B's own pictures in place of what a network draws, laid into A's frames and judged
as any swap. Where no known answer exists, this says what a measure may be held against. Run by `benchmarks/run
ceiling`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from facedouble.curate.faceset import FaceSet
from facedouble.device import choose
from facedouble.learn import checkpoint, data
from facedouble.learn.bend import Bend
from facedouble.learn.model import SIDES, Network
from facedouble.learn.shape import carried
from facedouble.recipes import ConvertRecipe
from facedouble.stages import convert, judge_conversion

Drawn = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class Own:
    """Stands in for swap.predict.predict: of B's faces the one that does most nearly what A does, bent so far (0..1) of
    the rest of the way to A's landmarks."""

    def __init__(self, b: data.Canvases, far: float) -> None:
        side = b.pixels.shape[-1]
        self._b, self._far = b, far
        self._own = ((b.points - (side - 1) / 2) * 2 / side).astype(np.float32)

    def __call__(
        self,
        network: Network,
        crop: NDArray[Any],
        points: NDArray[np.float32],
        acting: NDArray[np.float32],
        square_px: float,
    ) -> Drawn:
        b, side = self._b, self._b.pixels.shape[-1]
        points_b = carried(points, acting, network.shape_offset.cpu().numpy(), square_px)
        # Crop and canvas have one middle and one scale.
        theirs = ((points_b - (crop.shape[0] - 1) / 2) * 2 / side)[None].astype(np.float32)
        bend = Bend(self._own, theirs, b.acting, torch.from_numpy(acting)[None], 2 / side * b.square_px, 1.0)
        row = bend._nearest[0, :1]
        goal = torch.lerp(bend._own[row], bend._theirs[:1], self._far)
        straight = data.grid(torch.eye(2)[None], torch.zeros(1, 2), b)
        shown = data.sample(b.pixels[row].float() / 255, bend(straight, row, goal))[0].numpy()
        return np.ascontiguousarray(shown[:3].transpose(1, 2, 0)), np.ascontiguousarray(shown[3]), points_b


def judged(clip: Path, sets: Mapping[str, Path], model: Path, far: float, work: Path) -> dict[str, Any]:
    """The measures of `clip` with B's own pictures on A's face, at the size that `model` draws; nothing else of it is
    used but what carries A's landmarks into B's shape."""
    from measure import ended

    recipe = checkpoint.read_model(model).recipe
    b = data.load_both({side: FaceSet.load(sets[side]) for side in SIDES}, recipe)["b"]
    device = choose("cpu")
    with patch("facedouble.swap.face.predict", Own(b, far)):
        made = ended(convert(clip, model, work / f"bent-{far:g}.mp4", ConvertRecipe(), device, device.threads))
    return asdict(ended(judge_conversion(made, model, work / f"judged-{far:g}", None, device.threads)))
