"""A's aligned face through the encoder and B's decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..find.mask import drawing
from ..learn.model import Network, Seen
from ..learn.shape import carried
from ..learn.specialists import Routed


@torch.inference_mode()
def predict(
    network: Network | Routed,
    crop: NDArray[Any],
    points: NDArray[np.float32],
    acting: NDArray[np.float32],
    square_px: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The face (S, S, 3) and its mask (S, S), both 0..1, that B makes of A's crop (S, S, 3) 0..1; and its landmarks
    (478, 2) there.

    `points` (478, 2) are A's landmarks in the crop, where a face square is `square_px` wide;
    `acting` (54,) as in Faces.
    """
    device, side = network.shape_offset.device, crop.shape[0]
    points_b = carried(points, acting, network.shape_offset.cpu().numpy(), square_px)
    as_b = drawing(points_b, (side, side))
    picture = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32))[None]
    seen = Seen(
        picture.to(device, memory_format=torch.channels_last),
        torch.from_numpy(acting)[None].to(device),
        torch.from_numpy(as_b)[None].to(device, memory_format=torch.channels_last).float() / 255,
    )
    answer = network.rebuild(seen, "a", "b")[0].float().cpu().numpy()
    return answer[:3].transpose(1, 2, 0), answer[3], points_b
