"""The network that tells what stands before a face: made, and measured where the truth is known.

    .venv/bin/python benchmarks/occlusion.py --steps 10000     learn the weights that come with the package, anew

On a GPU in minutes, with --steps 5000 --batch 512 --bank 6000.

It learns from the sample's two clips and the suite's, both target and known answer, but for `occlusion`, on which it is
measured (`benchmarks/run occlusion`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facedouble.curate.faceset import FaceSet
from facedouble.device import choose
from facedouble.faces import Faces
from facedouble.find.mask import face_mask
from facedouble.geometry import invert
from facedouble.learn import occlusion
from facedouble.learn.occlusion import Occlusion
from facedouble.media.reader import probe, read
from facedouble.swap.steady import COVERED, REACH, Glimpse, steady

SEED = 1
LEARNED_FROM = ("easy", "hard-light", "hard-pose")


def main() -> None:
    from measure import SAMPLE, SUITE, faces

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--bank", type=int, default=500, help="how many things are made up")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--go-on", action="store_true", help="from the weights that are bundled now, not from nothing")
    parser.add_argument("--out", type=Path, default=Path(occlusion.__file__).parent, help="folder (default: package)")
    options = parser.parse_args()
    clips = [SAMPLE / "a-take1.mp4", SAMPLE / "b-take2.mp4"]
    clips += [SUITE / f"{name}-{what}.mp4" for name in LEARNED_FROM for what in ("target", "truth")]
    with tempfile.TemporaryDirectory() as folder:
        sets = [occlusion.canvases(FaceSet.load(faces(clip, Path(folder) / clip.stem))) for clip in clips]
    torch.manual_seed(SEED)
    device = choose(options.device)
    network, begun = (occlusion.bundled() if options.go_on else Occlusion()).to(device.name), time.monotonic()
    seed, rate = SEED + options.go_on, occlusion.FIRST_RATE
    for step in occlusion.learn(network, sets, options.steps, seed, device, rate, options.batch, options.bank):
        if step % 100 == 0:
            print(f"{step} of {options.steps} steps, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    network.usual.zero_()  # what comes with the package knows nobody
    occlusion.save(network, options.out)


def against_truth(
    network: Occlusion, clip: Path, mask: Path, faces: Faces, over_time: bool = False
) -> dict[str, float]:
    """How well it finds what stands before the face (mask over COVERED), within the face, in a clip whose truth is
    known; each frame by itself, or `over_time`, as a conversion does it.

    `iou` over all frames together, where something is before the face; `false` is what part of the face it takes for
    something else in the frames where nothing is. `flicker` and `true flicker`: the mean second difference over time of
    the part of the face that is covered, as found and in truth.
    """
    both = either = wrong = bare = 0
    shares: list[tuple[float, float]] = []
    looks = _over_time(network, clip, faces) if over_time else _found(network, clip, faces)
    for (face, found), truth in zip(looks, _pictures(mask, faces), strict=True):
        real = (truth[..., 0] > 127) & face
        shares.append((found.sum() / face.sum(), real.sum() / face.sum()))
        if real.any():
            both, either = both + int((real & found).sum()), either + int((real | found).sum())
        else:
            wrong, bare = wrong + int(found.sum()), bare + int(face.sum())
    flicker, true_flicker = (float(value) for value in np.abs(np.diff(np.array(shares), 2, axis=0)).mean(0))
    quality = {"iou": both / max(either, 1), "false": wrong / max(bare, 1)}
    return {**quality, "flicker": flicker, "true flicker": true_flicker}


def false_alarms(network: Occlusion, clip: Path, faces: Faces) -> float:
    """What part of the face it takes for something else, in a clip with nothing before any face."""
    wrong = bare = 0
    for face, found in _found(network, clip, faces):
        wrong, bare = wrong + int(found.sum()), bare + int(face.sum())
    return wrong / max(bare, 1)


def seconds_a_frame(network: Occlusion, clip: Path, faces: Faces) -> float:
    """On one thread, as a conversion works on frames side by side."""
    pictures = list(_pictures(clip, faces))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    begun = time.monotonic()
    for pixels, points in zip(pictures, faces.points, strict=True):
        network.covered(pixels, points)
    passed = time.monotonic() - begun
    torch.set_num_threads(threads)
    return passed / len(pictures)


def spread_out(network: Occlusion, pixels: NDArray[Any], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) 0..1 over the whole frame."""
    import cv2

    covered, to_crop, _ = network.covered(pixels, points)
    return np.asarray(cv2.warpAffine(covered, invert(to_crop), pixels.shape[1::-1]))


def _found(network: Occlusion, clip: Path, faces: Faces) -> Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Of each frame that has a face: where the face is, and where in it something is found before it."""
    for pixels, points in zip(_pictures(clip, faces), faces.points, strict=True):
        face = face_mask(points, pixels.shape[1::-1]) > 127
        yield face, (spread_out(network, pixels, points) > COVERED) & face


def _over_time(network: Occlusion, clip: Path, faces: Faces) -> Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """`_found`, where each frame also hears the ones before and after it."""
    import cv2

    size = probe(clip).size
    seen = [
        Glimpse.of(network, pixels, points) for pixels, points in zip(_pictures(clip, faces), faces.points, strict=True)
    ]
    around: list[Glimpse | None] = [*[None] * REACH, *seen, *[None] * REACH]
    for row, points in enumerate(faces.points):
        face = face_mask(points, size) > 127
        known = steady(around[row : row + 2 * REACH + 1])
        yield face, (cv2.warpAffine(known.covered, invert(known.to_crop), size) > COVERED) & face


def _pictures(clip: Path, faces: Faces) -> Iterable[NDArray[Any]]:
    """Those frames that have a face."""
    wanted = set(faces.frame.tolist())
    return (frame.pixels for frame in read(probe(clip)) if frame.index in wanted)


if __name__ == "__main__":
    main()
