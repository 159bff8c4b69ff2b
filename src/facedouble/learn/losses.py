"""How far a rebuilt face is from the face."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_C1, _C2 = 0.01**2, 0.03**2


class FaceLoss:
    """Mean absolute error and, with `structure`, 1 - SSIM, both inside the face's mask; and the mask's own error.

    SSIM after Wang et al., IEEE TIP 13(4), 2004 (Gaussian window, sigma 1.5 px), at every second pixel.
    """

    def __init__(self, size_px: int, structure: bool, device: torch.device) -> None:
        self._structure = structure
        self._window = _gaussian_rows(size_px).to(device)

    def __call__(self, answer: Tensor, target: Tensor, masks: Tensor) -> Tensor:
        """A scalar, from (n, 4, S, S), (n, 3, S, S) and (n, 2, S, S): face and features, all in 0..1."""
        face, mask = answer[:, :3], masks[:, :1]
        # A little weight outside keeps the blended border sane; what carries expression weighs four times the rest.
        weight = 0.05 + mask * (0.95 + 3 * masks[:, 1:])
        area = weight.mean()
        loss = ((face - target).abs() * weight).mean() / area + 0.1 * (answer[:, 3:] - mask).abs().mean()
        if self._structure:
            unlike = (1 - self.similarity(face, target)) / 2
            loss = loss + (unlike * functional.avg_pool2d(weight, 2)).mean() / area
        return loss

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """(n, 3, S/2, S/2) SSIM at every second pixel."""
        # A separable blur as two small matrix products: several times faster on a CPU than pooling or convolving.
        maps = torch.stack([first, second, first * first, second * second, first * second])
        blurred = self._window @ maps @ self._window.T
        mean_1, mean_2, square_1, square_2, product = blurred.unbind()
        spread_1, spread_2 = square_1 - mean_1**2, square_2 - mean_2**2
        together = product - mean_1 * mean_2
        return ((2 * mean_1 * mean_2 + _C1) * (2 * together + _C2)) / (
            (mean_1**2 + mean_2**2 + _C1) * (spread_1 + spread_2 + _C2)
        )


def _gaussian_rows(size_px: int, sigma: float = 1.5) -> Tensor:
    centres = torch.arange(0, size_px, 2) + 0.5
    rows = torch.exp(-0.5 * ((torch.arange(size_px)[None] - centres[:, None]) / sigma) ** 2)
    return rows / rows.sum(1, keepdim=True)
