"""HDR pictures in the tones of an SDR one, and back: what finds faces and makes them was taught with such.

PQ and HLG spend most of their values on highlights, so that a face is dark and flat in them. Here diffuse white (203
cd/m2 in PQ, 75% in HLG: ITU-R BT.2408) comes to about 0.9, what is below keeps its light in a gamma of 2.4, and
highlights are pressed into the rest, so that every value has its way back. Each channel goes by itself: primaries stay
as they are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""transfer functions as in ITU-T H.273"""
_MOST = 65535
_KNEE = 0.75
_GAMMA = 2.4


def shown(pixels: NDArray[Any], transfer: int) -> NDArray[Any]:
    """RGB (H, W, 3) in the tones of SDR: uint16 of an HDR transfer function; anything else stays as it is."""
    return pixels if transfer not in (PQ, HLG) or pixels.dtype != np.uint16 else _tables(transfer)[0][pixels]


def stored(pixels: NDArray[Any], transfer: int) -> NDArray[Any]:
    """The way back of `shown`."""
    return pixels if transfer not in (PQ, HLG) or pixels.dtype != np.uint16 else _tables(transfer)[1][pixels]


@cache
def _tables(transfer: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    signal = np.arange(_MOST + 1) / _MOST
    light = _pq(signal) if transfer == PQ else _hlg(signal)
    tones = _pressed(light) ** (1 / _GAMMA) * _MOST
    back = np.interp(np.arange(_MOST + 1), tones, signal) * _MOST
    return np.round(tones).astype(np.uint16), np.round(back).astype(np.uint16)


def _pq(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light over diffuse white (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    light: NDArray[np.float64] = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * 10000 / 203
    return light


def _hlg(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light over diffuse white (ITU-R BT.2100, a system gamma of 1.2)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    white = (np.exp((0.75 - c) / a) + b) / 12
    light: NDArray[np.float64] = (scene / white) ** 1.2
    return light


def _pressed(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """`light` as it is up to the knee, above it by a logarithm that goes on at the same slope and ends at 1."""
    over, room = light.max() - _KNEE, 1 - _KNEE
    low, high = 1e-6, room
    for _ in range(60):
        scale = (low + high) / 2
        low, high = (scale, high) if scale * np.log1p(over / scale) < room else (low, scale)
    above = np.maximum(light - _KNEE, 0)
    return np.where(light <= _KNEE, light, _KNEE + scale * np.log1p(above / scale))
