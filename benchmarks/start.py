"""What a new model begins with (src/facedouble/learn/start.safetensors), made anew.

    .venv/bin/python benchmarks/start.py --steps 5000

It learns from the sample's two rendered performers, nobody's likeness, and from nothing else: the suite's clips stay
unseen. Of the two decoders B's is kept; A's serves as well.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from facedouble.learn import checkpoint, start


def main() -> None:
    from measure import SAMPLE, command, faces

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--out", type=Path, default=Path(start.__file__).with_name("start.safetensors"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sets = [faces(SAMPLE / f"{name}.mp4", work / name) for name in ("a-take1", "b-take2")]
        command("train", *sets, "-o", work / "model", "--steps", options.steps, "--from", "scratch")
        network = checkpoint.load(work / "model", torch.device("cpu"))[0]
    start.write(network, "b", options.out)


if __name__ == "__main__":
    main()
