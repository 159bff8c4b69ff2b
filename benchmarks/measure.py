"""Every figure of benchmarks/README.md, measured on this machine. Each part prints a Markdown table and writes JSON.

    benchmarks/run training            compact against classic, in turns in one run
    benchmarks/run stages              rates and peak memory of extract and convert, on a clip once, twice, four times
    benchmarks/run swap [--minutes N]  the whole job: the sample, and a real pair where ../shared/data is there

Rates vary by half between runs of a shared machine: read ratios, and only those of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parent / "src" / "facedouble" / "sample"
REAL = HERE.parent.parent / "shared" / "data"
RENDERED = "NAME: rendered performer, 2026-11-01"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=sorted(PARTS), help="what to measure")
    parser.add_argument("--minutes", type=float, nargs="+", default=[20], help="of training (swap; default 20)")
    parser.add_argument("--preset", nargs="+", default=["compact"], help="swap; default compact")
    parser.add_argument("--pair", nargs="+", default=["sample", "women"], choices=sorted(PAIRS), help="swap")
    parser.add_argument("--work", type=Path, help="folder to work in and keep (default: a temporary one)")
    options = parser.parse_args()
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        PARTS[options.part](options, options.work)
    else:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[options.part](options, Path(folder))


def command(*arguments: object) -> tuple[float, float, str]:
    """Runs `facedouble ...`: seconds, peak memory in GB, standard output. Stops everything where it fails."""
    begun = time.monotonic()
    line = [sys.executable, "-m", "facedouble.cli", *map(str, arguments)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"this failed: {' '.join(line)}\n{said}")
    kilobytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return time.monotonic() - begun, kilobytes / 1e6, said


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |", flush=True)


def record(name: str, values: Any) -> None:
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n")


def faces(clip: Path, out: Path) -> Path:
    if not out.exists():
        command("extract", clip, "-o", out, "--consent", RENDERED.replace("NAME", clip.stem))
    return out


def training(_: argparse.Namespace, work: Path) -> None:
    """Images a second, of both sides together, in the training loop: losses, augmentation and optimizer included."""
    from facedouble.curate.faceset import FaceSet
    from facedouble.device import choose
    from facedouble.events import Progress
    from facedouble.learn.train import train
    from facedouble.recipes import TrainRecipe, Until

    sets = {side: FaceSet.load(faces(SAMPLE / name, work / side)) for side, name in PAIRS["sample"][:2]}
    recipes = {name: TrainRecipe.of(name, score_every_s=1e9, save_every_s=1e9) for name in ("classic", "compact")}
    rates: dict[str, list[float]] = {name: [] for name in recipes}
    for turn in range(3):
        for name, recipe in recipes.items():
            stop, seen = Flag(), []
            for event in train(work / f"{name}-{turn}", sets, recipe, Until(), choose(), stop):
                if isinstance(event, Progress):
                    seen.append((time.monotonic(), event.done))
                    # The first ten steps warm up; then at least two readings and half a minute.
                    stop.up = len(seen) > 2 and seen[-1][0] - seen[0][0] > 30
            steps, seconds = seen[-1][1] - seen[0][1], seen[-1][0] - seen[0][0]
            rates[name].append(2 * recipe.batch * steps / seconds)
    middle = {name: sorted(values)[1] for name, values in rates.items()}
    table(
        ("preset", "images/s (three turns)", "against classic"),
        [
            (name, ", ".join(f"{rate:.1f}" for rate in rates[name]), f"{middle[name] / middle['classic']:.1f}x")
            for name in rates
        ],
    )
    record("training", rates)


class Flag:
    up = False

    def __call__(self) -> bool:
        return self.up


def stages(_: argparse.Namespace, work: Path) -> None:
    """Rates and peak memory over the clip's length; the model is trained just enough to convert with."""
    (_, a), (_, b) = ((side, SAMPLE / name) for side, name in PAIRS["sample"][:2])
    model = work / "model"
    command("train", faces(a, work / "a"), faces(b, work / "b"), "-o", model, "--steps", 20)
    rows, values = [], []
    for times in (1, 2, 4):
        clip, count = repeated(a, times, work / f"x{times}.mp4")
        row: dict[str, Any] = {"times": times, "frames": count}
        for stage, arguments in (
            ("extract", ("extract", clip, "-o", work / f"faces{times}", "--consent", RENDERED)),
            ("convert", ("convert", clip, model, "-o", work / f"out{times}.mp4")),
        ):
            seconds, gigabytes, _ = command(*arguments)
            row[stage] = {"seconds": seconds, "gigabytes": gigabytes}
        values.append(row)
        rows.append(
            (
                f"{times}x ({count} frames)",
                *(f"{row[s]['seconds']:.1f} s, {row[s]['gigabytes']:.2f} GB" for s in ("extract", "convert")),
            )
        )
    table(("clip", "extract: time, peak memory", "convert, search included"), rows)
    growth = [
        f"{stage} {(values[2][stage]['seconds'] - values[1][stage]['seconds']) / (values[2]['frames'] / 2):.4f}"
        for stage in ("extract", "convert")
    ]
    print(f"seconds a further frame: {', '.join(growth)}")
    record("stages", values)


def repeated(clip: Path, times: int, out: Path) -> tuple[Path, int]:
    """The clip several times over, one after another."""
    import av

    from facedouble.media.reader import probe, read

    count = 0
    with av.open(str(out), "w") as into:
        stream: Any = into.add_stream("libx264", rate=24, options={"crf": "14", "preset": "fast"})
        stream.pix_fmt = "yuv420p"
        for _ in range(times):
            for frame in read(probe(clip)):
                if not count:
                    stream.height, stream.width = frame.pixels.shape[:2]
                picture = av.VideoFrame.from_ndarray(frame.pixels, "rgb24")
                picture.pts, count = count, count + 1
                into.mux(stream.encode(picture))
        into.mux(stream.encode())
    return out, count


def swap(options: argparse.Namespace, work: Path) -> None:
    """The whole job, and what the judge says of it: a table for each pair, a column for each training."""
    for pair in options.pair:
        (_, a), (_, b), folder = PAIRS[pair]
        if not (folder / a).is_file():
            print(f"{pair}: {folder / a} is not there; left out", file=sys.stderr)
            continue
        columns = {}
        for preset, minutes in product(options.preset, options.minutes):
            out = work / f"{pair}-{preset}-{minutes:g}.mp4"
            consents = [part for side in "ab" for part in ("--consent", RENDERED.replace("NAME", side))]
            command("swap", folder / a, folder / b, "-o", out, "--minutes", minutes, "--preset", preset, *consents)
            report = json.loads((out.with_name(f"{out.stem}.facedouble") / "report.json").read_text())
            columns[f"{preset}, {minutes:g} min"] = report["measures"]
        print(f"\n{pair}: {b}'s face on {a}\n")
        names = next(iter(columns.values()))
        table(("measure", *columns), [(name, *(shown(found[name]) for found in columns.values())) for name in names])
        record(f"swap-{pair}", columns)


def shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


PAIRS = {
    "sample": (("a", "a-take1.mp4"), ("b", "b-take2.mp4"), SAMPLE),
    "women": (("a", "woman-a.mp4"), ("b", "woman-b.mp4"), REAL),
}
PARTS: dict[str, Callable[[argparse.Namespace, Path], None]] = {"training": training, "stages": stages, "swap": swap}

if __name__ == "__main__":
    main()
