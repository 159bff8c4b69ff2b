"""What the invisible mark stands, how it looks, what it costs, and how often it is found where it is not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facedouble.find.landmarks import Landmarker
from facedouble.footage import spread
from facedouble.media.reader import probe, read
from facedouble.provenance import credential, mark

COPIES: dict[str, dict[str, float]] = {
    "crf 23": {"crf": 23},
    "crf 28": {"crf": 28},
    "crf 32": {"crf": 32},
    "150%, crf 28": {"scale": 1.5, "crf": 28},
    "75%, crf 28": {"scale": 0.75, "crf": 28},
    "50%, crf 23": {"scale": 0.5, "crf": 23},
    "50%, crf 28": {"scale": 0.5, "crf": 28},
    "a tenth cut off, crf 28": {"cut": 0.1, "crf": 28},
    "20% brighter, crf 28": {"light": 1.2, "crf": 28},
    "20% darker, crf 28": {"light": 0.8, "crf": 28},
    "mirrored, crf 28": {"mirror": 1, "crf": 28},
    "75%, cut, brighter, crf 28": {"scale": 0.75, "cut": 0.1, "light": 1.2, "crf": 28},
    "50%, cut, brighter, crf 28": {"scale": 0.5, "cut": 0.1, "light": 1.2, "crf": 28},
}


def copied(
    clip: Path, out: Path, crf: float, scale: float = 1, cut: float = 0, light: float = 1, mirror: float = 0,
    frames: int | None = None,
) -> Path:  # fmt: skip
    """A copy as others make it: the first `frames`, with `cut` of width and height taken off, no metadata, no sound."""
    found = probe(clip)
    with av.open(str(out), "w") as into:
        stream: Any = into.add_stream("libx264", rate=found.rate, options={"crf": f"{crf:g}"})
        stream.pix_fmt = "yuv420p"
        for frame in read(found, 0, frames):
            pixels = frame.pixels[:, ::-1] if mirror else frame.pixels
            y, x = (round(cut / 2 * side) for side in pixels.shape[:2])
            part = pixels[y : pixels.shape[0] - y, x : pixels.shape[1] - x]
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=how) if scale != 1 else part
            part = np.clip(part[: part.shape[0] & ~1, : part.shape[1] & ~1] * light, 0, 255).astype(np.uint8)
            if not frame.index:
                stream.height, stream.width = part.shape[:2]
            into.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(part), "rgb24")))
        into.mux(stream.encode())
    return out


def strengths_in(clip: Path, frames: int = 96) -> NDArray[np.float32]:
    """(n, 160): of all faces found in so many frames spread over a clip."""
    found, seen = probe(clip), []
    chosen = set(spread(found.count, frames).tolist())
    with Landmarker(video=False) as landmarker:
        for frame in read(found):
            if frame.index in chosen:
                seen += [mark.strengths(frame.pixels, points) for points in landmarker(frame.pixels).points]
    return np.array(seen, np.float32).reshape(-1, mark.PATTERNS)


def other_keys(strengths: NDArray[np.float32], count: int, chance: np.random.Generator) -> list[mark.Found]:
    """What is read with as many other keys: the patterns in another order, half of them half a step further."""
    return [
        mark.read(
            strengths[:, chance.permutation(mark.PATTERNS)] + mark.STEP / 2 * chance.integers(0, 2, mark.PATTERNS)
        )
        for _ in range(count)
    ]


class Watched:
    """Stands between a marker and its caller, and notes what it costs and changes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.squares: list[float] = []
        self._plain = mark.Marker.__call__

    def __enter__(self) -> Watched:
        watched = self

        def call(self: mark.Marker, picture: Any, points: Any, alpha: Any) -> Any:
            begun = time.thread_time()
            made = watched._plain(self, picture, points, alpha)
            watched.seconds += time.thread_time() - begun
            face = alpha > 0.5
            if face.any():
                watched.squares.append(float((np.round((made - picture)[face] * 255) ** 2).mean()))
            return made

        mark.Marker.__call__ = call  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        mark.Marker.__call__ = self._plain  # type: ignore[method-assign]

    @property
    def psnr(self) -> float:
        return float(10 * np.log10(255**2 / np.mean(self.squares)))


def signing(clip: Path, folder: Path) -> dict[str, float]:
    """Seconds to sign a clip, to verify it, and to hash it once."""
    import hashlib

    people = [credential.Person("a", "0" * 16, "target"), credential.Person("b", "1" * 16, "source")]
    ingredients = [credential.Ingredient(clip, probe(clip).sha256, "target")]
    claim = credential.Claim("signed.mp4", "1", ingredients, people, "c" * 64, [(0, 100)], {}, "1a2b3c4d")
    times: dict[str, list[float]] = {"sign": [], "verify": [], "hash": []}
    for _ in range(3):
        for name, work in (
            ("sign", lambda: credential.sign(clip, folder / "signed.mp4", claim)),
            ("verify", lambda: credential.verify(folder / "signed.mp4")),
            ("hash", lambda: hashlib.file_digest((folder / "signed.mp4").open("rb"), "sha256")),
        ):
            begun = time.monotonic()
            work()
            times[name].append(time.monotonic() - begun)
    return {name: sorted(values)[1] for name, values in times.items()}


def conversion(original: Path, model: Path, out: Path) -> dict[str, float]:
    """Convert, and say how the mark looks and what part of the processor's time it takes."""
    from facedouble import stages
    from facedouble.device import choose
    from facedouble.recipes import ConvertRecipe

    begun = time.process_time()
    with Watched() as watched:
        for _ in stages.convert(original, model, out, ConvertRecipe(), choose(), 2):
            pass
    spent = time.process_time() - begun
    return {
        "PSNR in the face, dB": watched.psnr,
        "grey levels": float(np.sqrt(np.mean(watched.squares))),
        "ms a face": 1000 * watched.seconds / len(watched.squares),
        "% of conversion": 100 * watched.seconds / spent,
    }


def told(row: dict[str, Any]) -> str:
    """A table's cell: strength and errors, or that it was not found."""
    if "id" not in row:
        return "no face"
    if row["chance"] >= mark.CHANCE:
        return f"not found ({row['strength']:.1f})"
    return f"{row['strength']:.1f}, {100 * row['errors']:.0f}%" if row["right"] else f"WRONG {row['strength']:.1f}"
