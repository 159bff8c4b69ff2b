"""Make the clips of a suite from its rendered frames: `encode.py SUITE ... --work DIR --out DIR`.

Gives every picture the look of a camera - sharpening, a darker rim, grain that depends on the frame alone - and writes
H.264 of 24 frames a second. Masks are written as they are, grey.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scenes import SUITES
from scipy.ndimage import gaussian_filter

Picture = NDArray[np.uint8]
RATE = 24
QUALITY = 16
"""x264's crf"""
GRAIN = 0.004


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", choices=SUITES)
    parser.add_argument("--work", type=Path, required=True, help="folder of the rendered frames")
    parser.add_argument("--out", type=Path, required=True, help="folder of the clips")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for suite in options.suites:
        for folder in sorted((options.work / suite).iterdir()):
            frames = [_picture(path) for path in sorted(folder.glob("[0-9][0-9][0-9][0-9].png"))]
            finish = masked if folder.name == "mask" else filmed
            write(options.out / f"{suite}-{folder.name}.mp4", (finish(rgb, i) for i, rgb in enumerate(frames)))


def filmed(rgb: Picture, frame: int) -> Picture:
    """A rendered picture (H, W, 3) as a camera would have taken it."""
    height, width = rgb.shape[:2]
    light = rgb / 255
    light += 0.45 * (light - gaussian_filter(light, (1.1 * height / 512, 1.1 * height / 512, 0)))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light *= (1 - 0.05 * (x * x + y * y))[..., None]
    rng = np.random.default_rng(1000 + frame)
    luma = gaussian_filter(rng.normal(0, 1, (height, width)), 0.6)[..., None] * 1.6
    chroma = gaussian_filter(rng.normal(0, 1, (height, width, 3)), (0.9, 0.9, 0)) * 1.8
    light += GRAIN * luma + 0.6 * GRAIN * chroma
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)


def masked(rgb: Picture, frame: int) -> Picture:
    """Grey (H, W, 3), white where the hand (green) lies over the face (red)."""
    covered = np.where(rgb[..., 0] > 127, rgb[..., 1], 0)
    return np.repeat(covered[..., None], 3, 2).astype(np.uint8)


def write(path: Path, pictures: Iterable[Picture]) -> None:
    """An .mp4 of pictures (H, W, 3), BT.709."""
    pictures = list(pictures)
    height, width = pictures[0].shape[:2]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(RATE), "-i", "-", "-vf", "scale=out_color_matrix=bt709"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", str(QUALITY), "-preset", "veryslow", "-threads", "1"]
    command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    command += ["-movflags", "+faststart", "-fflags", "+bitexact", "-flags", "+bitexact", str(path)]
    subprocess.run(command, input=b"".join(picture.tobytes() for picture in pictures), check=True)
    print(f"{path}: {len(pictures)} frames, {path.stat().st_size / 1e6:.2f} MB", flush=True)


def _picture(path: Path) -> Picture:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    main()
