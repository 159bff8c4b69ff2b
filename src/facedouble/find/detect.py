"""CenterFace: a detector that sees faces too small, too far or too turned for the landmarker's own.

Xu, Yan, Yang, Bai, Zhang, "CenterFace: Joint Face Detection and Alignment Using Face as Point", arXiv:1911.03599.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import weights
from ..geometry import overlap

_STRIDE = 4


class CenterFace:
    """`longest_px`: pictures are reduced so that their longer side is at most this before the search."""

    def __init__(self, longest_px: int = 960) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(_any_size_model(), options, providers=["CPUExecutionProvider"])
        self._longest_px = longest_px

    def __call__(
        self, pixels: NDArray[np.uint8], threshold: float = 0.5
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (n, 4) xyxy px and scores (n,) of the faces in (H, W, 3) uint8, best first."""
        import cv2

        height, width = pixels.shape[:2]
        scale = min(1.0, self._longest_px / max(height, width))
        # The network halves its picture five times.
        size = (math.ceil(width * scale / 32) * 32, math.ceil(height * scale / 32) * 32)
        resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        blob = resized.transpose(2, 0, 1)[None].astype(np.float32)
        heat, extent, offset, _ = self._session.run(None, {self._session.get_inputs()[0].name: blob})
        boxes, scores = _decode(heat[0, 0], extent[0], offset[0], threshold)
        boxes *= np.array([width / size[0], height / size[1]] * 2, np.float32)
        return boxes, scores


def _any_size_model() -> bytes:
    # The published file is fixed to one 32 px picture size; its layers are not.
    import onnx

    model = onnx.load(str(weights.path("centerface")))
    constants = {constant.name for constant in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value, names in [(model.graph.input[0], "n hw"), *((output, "n yx") for output in model.graph.output)]:
        for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            if name != " ":
                dimension.dim_param = name
    return bytes(model.SerializeToString())


def _decode(
    heat: NDArray[Any], extent: NDArray[Any], offset: NDArray[Any], threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.nonzero(heat > threshold)
    scores = heat[y, x]
    high, wide = np.exp(extent[:, y, x]) * _STRIDE
    centre_y, centre_x = (np.stack([y, x]) + offset[:, y, x] + 0.5) * _STRIDE
    boxes = np.stack([centre_x - wide / 2, centre_y - high / 2, centre_x + wide / 2, centre_y + high / 2], 1)
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    kept: list[int] = []
    for row in range(len(boxes)):
        if not kept or overlap(boxes[row : row + 1], boxes[kept]).max() < 0.3:
            kept.append(row)
    return boxes[kept].astype(np.float32), scores[kept].astype(np.float32)
