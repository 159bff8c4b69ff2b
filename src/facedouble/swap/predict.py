"""A's aligned face through the encoder and B's decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..learn.model import Network, Seen


@torch.inference_mode()
def predict(
    network: Network, crop: NDArray[Any], acting: NDArray[np.float32], device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The face (S, S, 3) and its mask (S, S), both 0..1, that B makes of A's crop (S, S, 3) 0..1 and `acting` (54,)."""
    picture = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32))[None]
    seen = Seen(picture.to(device, memory_format=torch.channels_last), torch.from_numpy(acting)[None].to(device))
    answer = network.rebuild(seen, "a", "b")[0].float().cpu().numpy()
    return answer[:3].transpose(1, 2, 0), answer[3]
