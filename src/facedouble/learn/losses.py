"""How far a rebuilt face is from the face."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..footage import LUMINANCE
from .together import ALONE, Together

_C1, _C2 = 0.01**2, 0.03**2


class FaceLoss:
    """Mean absolute error and, with `structure`, 1 - SSIM, both inside the face's mask; and the mask's own error.

    SSIM after Wang et al., IEEE TIP 13(4), 2004 (of luminance, Gaussian window, sigma 1.5 px), at every second pixel.
    What the errors are divided by is of the whole batch, shared by the processes of `together`.
    """

    def __init__(self, size_px: int, structure: bool, device: torch.device, together: Together = ALONE) -> None:
        self.device = device
        self._together = together
        self._structure = structure
        self._window = _gaussian_rows(size_px).to(device)
        self._luminance = torch.tensor(LUMINANCE, device=device)[:, None, None]

    def __call__(self, answer: Tensor, target: Tensor, masks: Tensor) -> Tensor:
        """A scalar, from (n, 4, S, S), (n, 3, S, S) and (n, 2, S, S): face and features, all in 0..1."""
        face, mask = answer[:, :3], masks[:, :1]
        # A little weight outside keeps the blended border sane; what carries expression weighs four times the rest.
        weight = 0.05 + mask * (0.95 + 3 * masks[:, 1:])
        area = self._together.mean(weight.mean(), len(weight))
        loss = ((face - target).abs() * weight).mean() / area + 0.1 * (answer[:, 3:] - mask).abs().mean()
        if self._structure:
            unlike = (1 - self.similarity(face, target)) / 2
            loss = loss + (unlike * functional.avg_pool2d(weight, 2)).mean() / area
        return loss

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """(n, 1, S/2, S/2) SSIM at every second pixel; only `first` may need gradients."""
        x, y = ((pictures * self._luminance).sum(1, keepdim=True) for pictures in (first, second))
        mean_1, square_1, product = self._blurred(torch.cat([x, x * x, x * y], 1)).chunk(3, 1)
        with torch.no_grad():
            mean_2, square_2 = self._blurred(torch.cat([y, y * y], 1)).chunk(2, 1)
        spread_1, spread_2 = square_1 - mean_1**2, square_2 - mean_2**2
        together = product - mean_1 * mean_2
        return ((2 * mean_1 * mean_2 + _C1) * (2 * together + _C2)) / (
            (mean_1**2 + mean_2**2 + _C1) * (spread_1 + spread_2 + _C2)
        )

    def _blurred(self, maps: Tensor) -> Tensor:
        # Two large matrix products: several times faster on a CPU than pooling, convolving or many small ones.
        for _ in "xy":
            maps = functional.linear(maps, self._window).transpose(2, 3)
        return maps


def _gaussian_rows(size_px: int, sigma: float = 1.5) -> Tensor:
    centres = torch.arange(0, size_px, 2) + 0.5
    rows = torch.exp(-0.5 * ((torch.arange(size_px)[None] - centres[:, None]) / sigma) ** 2)
    rows[rows < 1e-8] = 0  # some would be denormal numbers, by which Intel's processors multiply a hundred times slower
    return rows / rows.sum(1, keepdim=True)
