"""The invisible mark: a 32-bit number in the brightness of a face, read back from copies whose credential is gone.

Dither modulation of 160 projections (Chen, Wornell, "Quantization index modulation", IEEE Trans. Information Theory
47(4), 2001): each of 160 patterns, waves of 3 to 9 to a face square, is brought to the nearest strength of a lattice
for a 0, or of the lattice half a step beside it for a 1, so the face itself is no noise. The patterns are odd from left
to right, where faces hold least; a mirrored copy reads alike. The bits are those of a convolutional code (rate 1/4, 256
states; Larsen, IEEE Trans. Information Theory 19(3), 1973), flipped and scattered by a fixed key.

Where the patterns lie is not taken from landmarks alone, which move by a percent when a clip is encoded anew. From
there on the square is shifted, turned and scaled until it shows as little as can be of how a drawn face would change if
it moved (Lucas, Kanade, IJCAI 1981; Baker, Matthews, IJCV 56(3), 2004): writer and reader come to rest within a
thousandth of the square.

Own code, as no kept package with weights of its own marks a face that is encoded anew (benchmarks/README.md).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import about, align, compose, invert, scale_of

DIGITS = 8
"""of a mark's number, hexadecimal"""
STRONGEST = 6.0
"""grey levels of 255 that the mark changes a pixel by at most"""
CHANCE = 1e-6
"""the probability of a false finding under which a mark is said to be found"""

_SIDE, _COVERAGE = 64, 1.5
_LEAST_CYCLES = 3.0
"""of a wave to a face square; the 160th has 9"""
STEP = 19.0
"""of the lattice: grey levels times the root of the samples"""
_BLUR = 0.7
"""samples; before sampling, so that it does not matter how large the picture is"""
PATTERNS = 160
_BITS, _MEMORY, _GENERATORS = 32, 8, (0o463, 0o535, 0o733, 0o745)
_KEY = b"facedouble mark 1"
_GAINS = np.exp(np.arange(-16, 17) * 0.02)
"""by which a copy may be brighter: 0.73 to 1.38"""
_TURNS, _FAR = 12, 0.03
"""how often the square is moved at most, until it stands still, and how far at once"""
_ROUNDS = 6
_DEAR = 0.12
"""how much is left undone of what would change the picture most: the code mends it (distortion compensation)"""
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """A mark that was read."""

    id: str
    """8 hexadecimal digits"""
    strength: float
    """standard deviations by which the number stands out; at most the root of 160"""
    chance: float
    """upper bound of the probability that footage without a mark reads like this"""
    errors: float
    """share of the 160 coded bits that were read wrong, and mended"""


def id_of(*parts: str) -> str:
    """The number of a mark, from what an output is made of: the same work gives the same number."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True, eq=False)
class Marker:
    """Writes one number. Threads may share it."""

    id: str

    def __call__(self, picture: Floats, points: Array, alpha: Floats) -> Floats:
        """A picture (h, w, 3) 0..1 with the mark in the face at landmarks (478, 2), where `alpha` (h, w) lets it.

        Faces with less than 12 px from brow end to brow end come back as they are.
        """
        import cv2

        to_square = align(points, _SIDE, _COVERAGE)
        if scale_of(to_square) > _SIDE / _COVERAGE / 12:
            return picture
        view = _view(picture, to_square, white=1)
        to_square = _settled(view, to_square)
        square = view.sampled(to_square)
        plan = _plan()
        is_now = plan.patterns @ square.ravel()
        half = _coded(self.id) / 2
        wanted = STEP * (np.round(is_now / STEP - half) + half) - is_now
        seen = cv2.warpAffine(alpha, to_square, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
        change = _change(wanted.astype(np.float32), _room(square, seen))
        size = alpha.shape[::-1]
        laid = cv2.warpAffine(change, to_square, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        marked = picture + cv2.merge([np.asarray((alpha > 0) * laid / 255, np.float32)] * 3)
        return np.asarray(np.clip(marked, 0, 1), np.float32)


def strengths(pixels: NDArray[np.uint8], points: Array) -> Floats:
    """(160,): how strong each pattern is in the face at landmarks (478, 2) of a picture (H, W, 3)."""
    to_square = align(points, _SIDE, _COVERAGE)
    view = _view(pixels, to_square)
    square = view.sampled(_settled(view, to_square))
    return np.asarray(_plan().patterns @ square.ravel(), np.float32)


def read(found: Floats, tries: int = 1) -> Found:
    """The likeliest number in the `strengths` (n, 160) of one person's face in n frames, and how likely it is none.

    Had nobody written a mark, the key's 160 flips would be as good as coins thrown after the footage was seen, and one
    number would stand out by z with at most 3.18 times the probability that a normal deviate does (Bentkus,
    Dzindzalieta, "A tight Gaussian bound for weighted sums of Rademacher random variables", Bernoulli 21(2), 2015).
    There are 2^32 numbers, 33 brightnesses, and as many `tries` (persons) as the caller makes.
    """
    agrees = np.cos(2 * np.pi / STEP * found[None] / _GAINS[:, None, None]).sum(1)
    flips, places = _key()
    received = (agrees * flips)[:, places]
    numbers = _decoded(received)
    sent = 1.0 - 2.0 * np.array([_encoded(number) for number in numbers])
    z = (received * sent).sum(1) / np.maximum(np.sqrt((received**2).sum(1)), 1e-9)
    best = int(np.argmax(z))
    one = 3.18 * math.erfc(z[best] / math.sqrt(2)) / 2
    return Found(
        f"{numbers[best]:0{DIGITS}x}",
        float(z[best]),
        min(1.0, one * len(_GAINS) * tries * 2**_BITS),
        float((received[best] * sent[best] <= 0).mean()),
    )


@dataclass(frozen=True, eq=False)
class _View:
    """The brightness of a part of a picture, blurred so that sampling it in the square does not alias."""

    image: Floats
    from_picture: Array

    def sampled(self, to_square: Array) -> Floats:
        import cv2

        to_image = compose(to_square, invert(self.from_picture))
        flags = cv2.INTER_CUBIC if scale_of(to_image) > 0.7 else cv2.INTER_LINEAR
        return np.asarray(
            cv2.warpAffine(self.image, to_image, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        )


def _view(pixels: Array, to_square: Array, white: float = 255) -> _View:
    """Of `pixels` (H, W, 3) 0..`white` what lies around the square, in grey levels of 255."""
    import cv2

    scale, back = scale_of(to_square), invert(to_square)
    corners = np.array([[0, 0], [_SIDE, 0], [0, _SIDE], [_SIDE, _SIDE]]) @ back[:, :2].T + back[:, 2]
    room = 0.2 * _SIDE / scale
    height, width = pixels.shape[:2]
    x0, y0 = (int(np.clip(low - room, 0, most - 1)) for low, most in zip(corners.min(0), (width, height), strict=True))
    x1, y1 = (int(np.clip(high + room, low + 1, most)) for high, low, most in
              zip(corners.max(0), (x0, y0), (width, height), strict=True))  # fmt: skip
    around = np.ascontiguousarray(pixels[y0:y1, x0:x1], np.float32)
    image = cv2.transform(around, _LUMA * np.float32(255 / white))
    # A very large face is first made smaller, as a wide blur takes long.
    part = min(max(1, int(1 / (2 * scale))), *image.shape)
    first = np.array([x0, y0]) + (part - 1) / 2
    from_picture = np.hstack([np.eye(2) / part, -first[:, None] / part])
    if part > 1:
        rows, columns = (side // part for side in image.shape)
        image = cv2.resize(image[: rows * part, : columns * part], (columns, rows), interpolation=cv2.INTER_AREA)
    blur = _BLUR / (scale * part)
    return _View(np.asarray(cv2.GaussianBlur(image, (0, 0), blur) if blur > 0.2 else image), from_picture)


def _settled(view: _View, to_square: Array) -> Array:
    """The map moved until the face in the square stands as the drawn one does, as far as that can be told."""
    import cv2

    plan, start = _plan(), to_square
    middle = np.full(2, (_SIDE - 1) / 2)
    for _ in range(_TURNS):
        square = cv2.GaussianBlur(view.sampled(to_square), (0, 0), 1.5).ravel()
        contrast = max(float(plan.drawn @ square), 1.0)
        x, y, larger, turned = np.clip(plan.moves @ square / contrast, -_FAR, _FAR)
        shift = np.array([x, y]) * _SIDE / _COVERAGE
        to_square = compose(about(middle, shift, float(turned), float(1 + larger)), to_square)
        if max(abs(x), abs(y), abs(larger), abs(turned)) < 1e-4:
            break
    moved = compose(to_square, invert(start))
    off = np.abs(moved[:, :2] @ middle + moved[:, 2] - middle).max() / _SIDE
    return to_square if off < 0.15 and abs(scale_of(moved) - 1) < 0.25 else start


def _room(square: Floats, alpha: Floats) -> Floats:
    """(S, S) 0..1: where how much of the mark goes unseen: more where the face has detail, none beyond it."""
    import cv2

    detail = cv2.GaussianBlur(np.abs(square - cv2.GaussianBlur(square, (0, 0), 2)), (0, 0), 2)
    return np.asarray(alpha * np.clip(detail / 14, 0.3, 1))


def _change(wanted: Floats, room: Floats) -> Floats:
    """(S, S) grey levels that change the patterns' strengths by `wanted` (160,), laid where there is room: conjugate
    gradients, stopped before the last strengths are bought dearly."""
    read, weight = _plan().read, room.ravel()
    parts: Array = np.zeros_like(wanted)
    left: Array = wanted
    along, size = left, float(left @ left)
    for _ in range(_ROUNDS):
        answer = read @ (weight * (along @ read)) + _DEAR * along
        step = size / max(float(along @ answer), 1e-9)
        parts, left = parts + step * along, left - step * answer
        size, before = float(left @ left), size
        along = left + size / max(before, 1e-9) * along
    change = weight * (parts @ read)
    return np.asarray(np.clip(change, -STRONGEST, STRONGEST).reshape(_SIDE, _SIDE), np.float32)


@dataclass(frozen=True, eq=False)
class _Plan:
    patterns: Floats
    """(160, S * S), orthonormal"""
    read: Floats
    """the same as they are read through the blur"""
    moves: Floats
    """(4, S * S): of a square, how far its face lies to the right, down, is larger and turned, times its contrast"""
    drawn: Floats
    """(S * S,): of a square, the contrast of the drawn face in it"""


@cache
def _plan() -> _Plan:
    import cv2

    side = (np.arange(_SIDE) - (_SIDE - 1) / 2) * _COVERAGE / _SIDE
    x, y = np.meshgrid(side, side)
    inside = np.clip((1 - np.hypot(x / 0.58, (y + 0.02) / 0.74)) / 0.3, 0, 1)
    window = inside * inside * (3 - 2 * inside)
    patterns = _waves(x, y, window)
    read = np.array([cv2.GaussianBlur(each.reshape(_SIDE, _SIDE), (0, 0), _BLUR).ravel() for each in patterns])
    moves, drawn = _movements(x, y, window)
    return _Plan(patterns, read, moves, drawn)


def _waves(x: Array, y: Array, window: Array) -> Floats:
    """(160, S * S) orthonormal patterns, odd in x, from coarse to fine."""
    found = []
    for across in np.arange(1, 12) / 1.05:
        for down in np.arange(0, 16) / 1.35:
            for phase in (0.0, np.pi / 2) if down else (0.0,):
                wave = np.sin(2 * np.pi * across * x) * np.cos(2 * np.pi * down * y - phase)
                found.append((float(np.hypot(across, down)), (wave * window).ravel()))
    waves = [wave for cycles, wave in sorted(found, key=lambda item: item[0]) if cycles >= _LEAST_CYCLES]
    made, weights = np.linalg.qr(np.array(waves[:PATTERNS]).T)
    return np.ascontiguousarray((made * np.sign(np.diag(weights))).T, np.float32)


def _movements(x: Array, y: Array, window: Array) -> tuple[Floats, Floats]:
    """How a drawn face changes when it moves, free of what its contrast and an even slope of light could explain."""
    import cv2

    face = np.zeros_like(x)
    # Middle, width and strength of what is darker than skin: eyes, brows, nostrils, mouth.
    for at_x, at_y, wide, high, dark in (
        (0.25, 0.22, 0.1, 0.05, 1.0), (0.75, 0.22, 0.1, 0.05, 1.0), (0.2, 0.02, 0.14, 0.04, 0.7),
        (0.8, 0.02, 0.14, 0.04, 0.7), (0.5, 0.6, 0.11, 0.04, 0.5), (0.5, 0.86, 0.17, 0.05, 0.8),
    ):  # fmt: skip
        face -= dark * np.exp(-(((x + 0.5 - at_x) / wide) ** 2 + ((y + 0.5 - at_y) / high) ** 2) / 2)
    face = cv2.GaussianBlur(face, (0, 0), 1.5)
    down, across = np.gradient(face, float(x[0, 1] - x[0, 0]))
    moved = np.array([across, down, across * x + down * y, down * x - across * y]).reshape(4, -1)
    weight, others = window.ravel(), np.array([np.ones_like(x), face, x, y]).reshape(4, -1)
    overlap = (others * weight) @ others.T
    free = (moved - ((moved * weight) @ others.T) @ np.linalg.solve(overlap, others)) * weight
    level = (face.ravel() - face.ravel() @ weight / weight.sum()) * weight
    return np.asarray(np.linalg.solve(free @ free.T, free), np.float32), np.asarray(
        level / (level @ face.ravel()), np.float32
    )


@cache
def _key() -> tuple[Array, NDArray[np.int64]]:
    """(160,) flips, 1 or -1, and for each coded bit the place of its pattern."""
    drawn = [hashlib.sha256(_KEY + bytes([place])).digest() for place in range(PATTERNS)]
    flips = np.array([1.0 - 2.0 * (digest[-1] & 1) for digest in drawn])
    return flips, np.array(sorted(range(PATTERNS), key=drawn.__getitem__))


@cache
def _coded(number: str) -> Array:
    """(160,) 0 or 1: the bit that each pattern carries."""
    flips, places = _key()
    bits = np.zeros(PATTERNS)
    bits[places] = _encoded(int(number, 16))
    return np.where(flips < 0, 1 - bits, bits)


@cache
def _steps() -> tuple[NDArray[np.int64], Array]:
    """Of each of 256 states that the coder may come to: the two it comes from, and the signs (256, 2, 4) it sends."""
    states = np.arange(1 << _MEMORY)
    before = np.stack([states << 1 & (1 << _MEMORY) - 1, states << 1 & (1 << _MEMORY) - 1 | 1], 1)
    registers = (states >> _MEMORY - 1)[:, None] << _MEMORY | before
    ones = np.array([[[bin(int(r) & g).count("1") & 1 for g in _GENERATORS] for r in pair] for pair in registers])
    return before, 1.0 - 2.0 * ones


def _encoded(number: int) -> NDArray[np.int64]:
    """(160,) bits of the code for 32 bits, the highest first, and 8 zeros that bring the coder to rest."""
    state, sent = 0, []
    for place in range(_BITS - 1, -_MEMORY - 1, -1):
        register = (number >> place & 1 if place >= 0 else 0) << _MEMORY | state
        sent += [bin(register & generator).count("1") & 1 for generator in _GENERATORS]
        state = register >> 1
    return np.array(sent)


def _decoded(received: Array) -> list[int]:
    """The likeliest number of each row (n, 160), positive for 0: Viterbi's algorithm on all rows at once."""
    before, signs = _steps()
    rows = len(received)
    score = np.full((rows, 1 << _MEMORY), -np.inf)
    score[:, 0] = 0
    came = []
    for step in received.reshape(rows, -1, len(_GENERATORS)).transpose(1, 0, 2):
        both = score[:, before] + np.einsum("rg,sbg->rsb", step, signs)
        came.append(both.argmax(2))
        score = both.max(2)
    state, numbers = np.zeros(rows, np.int64), [0] * rows
    for place, choice in zip(range(-_MEMORY, _BITS), reversed(came), strict=True):
        for row in range(rows):
            if place >= 0:
                numbers[row] |= int(state[row] >> _MEMORY - 1) << place
            state[row] = before[state[row], choice[row, state[row]]]
    return numbers
