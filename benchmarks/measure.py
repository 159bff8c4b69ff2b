"""Every figure of benchmarks/README.md, measured on this machine. Each part prints a Markdown table and writes JSON.

    benchmarks/run                     all of the following, some two hours on two cores
    benchmarks/run training            compact against classic, in turns in one run
    benchmarks/run presets [--preset NAME ...]  images/s of each preset here; on a GPU its memory and use as well
    benchmarks/run plan                what `facedouble plan` foretells against what then happens, in turns
    benchmarks/run forecast            how the score's forecasts at every moment of a training compare with what came
    benchmarks/run stages              rates and peak memory of each stage, over length, size and faces
    benchmarks/run swap [--minutes N]  the whole job: the sample, and a real pair where ../shared/data is there
    benchmarks/run suite [--minutes N] a model of the sample's clips on the suite's: light, pose, occlusion, small face
    benchmarks/run fit [--minutes N]   what grain, skin detail, B's own features, A's mouth and gleam do to a swap
    benchmarks/run focus [--minutes N] a swap of blurred clips against the swap of the sharp ones, blurred
    benchmarks/run ceiling             what B's own pictures would score in A's frames
    benchmarks/run shape               landmarks carried into B's shape against those of the suite's known answers
    benchmarks/run mixing [--minutes N] ways to match colour and to blend, on the sample, the suite and the women
    benchmarks/run answers             the suite's known answers, judged as if they were swaps
    benchmarks/run occlusion           how well a hand before a face is found, and what that costs
    benchmarks/run mark [--minutes N]  the invisible mark: what it stands, false findings, sight and cost; signing
    benchmarks/run content             what the content check says of ordinary footage
    benchmarks/run faces               `facedouble faces` on 20,000 faces, and how well `pick` covers a set
    benchmarks/run review              the page of `facedouble faces review` on 20,000 faces
    benchmarks/run match               the adviser: errors on rendered faces, its figure beside the judge's, pairs, time

Minutes and presets may be several: --minutes 2 5 20 --preset compact classic.
Rates vary by half between runs of a shared machine: read ratios, and only those of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from facedouble.presets import GPU_GB, PRESETS

HERE = Path(__file__).resolve().parent
SUITE = HERE / "suite"
SAMPLE = HERE.parent / "src" / "facedouble" / "sample"
REAL = HERE.parent.parent / "shared" / "data"
RENDERED = "NAME: rendered performer, 2026-11-01"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=sorted(PARTS), help="what to measure (default: everything)")
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[20], help="of training (swap, suite, mark; default 20)"
    )
    parser.add_argument(
        "--preset", nargs="+", choices=sorted(PRESETS), default=["compact"], help="swap, suite, presets"
    )
    parser.add_argument("--pair", nargs="+", default=["sample", "women"], choices=sorted(PAIRS), help="swap, mark")
    parser.add_argument("--work", type=Path, help="folder to work in and keep (default: a temporary one)")
    options = parser.parse_args()
    if options.part is None:
        options.minutes, options.preset = [2, 5, 20], ["compact", "classic"]
    for name in [options.part] if options.part else PARTS:
        if options.work:
            (options.work / name).mkdir(parents=True, exist_ok=True)
            PARTS[name](options, options.work / name)
        else:
            with tempfile.TemporaryDirectory() as folder:
                PARTS[name](options, Path(folder))


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


def at_hand(pairs: Iterable[str]) -> Iterator[tuple[str, str, str, Path]]:
    """Of these PAIRS each whose footage is here: its name, the clips of A and B, and their folder."""
    for pair in pairs:
        (_, a), (_, b), folder = PAIRS[pair]
        if (folder / a).is_file():
            yield pair, a, b, folder
        else:
            print(f"{pair}: {folder / a} is not there; left out", file=sys.stderr)


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
                    # What is before the first reading warms up; then two more steps at least, and a minute.
                    stop.up = len(seen) > 2 and seen[-1][0] - seen[0][0] > 60
            steps, seconds = seen[-1][1] - seen[0][1], seen[-1][0] - seen[0][0]
            rates[name].append(2 * recipe.batch_at(0) * steps / seconds)
    middle = {name: sorted(values)[1] for name, values in rates.items()}
    table(
        ("preset", "images/s (three turns)", "against classic"),
        [
            (name, ", ".join(f"{rate:.1f}" for rate in rates[name]), f"{middle[name] / middle['classic']:.1f}x")
            for name in rates
        ],
    )
    record("training", rates)


def presets(options: argparse.Namespace, work: Path) -> None:
    """Images a second, of both sides together, of presets on the fastest device here; of a GPU also its memory and in
    what part of the time it computed."""
    import torch

    from facedouble.curate.faceset import FaceSet
    from facedouble.device import choose
    from facedouble.events import Progress
    from facedouble.learn.train import train
    from facedouble.recipes import TrainRecipe, Until

    sets = {side: FaceSet.load(faces(SAMPLE / name, work / side)) for side, name in PAIRS["sample"][:2]}
    device, found = choose(), dict[str, dict[str, float]]()
    gpu = device.name == "cuda"
    for preset in options.preset:
        recipe, seen = TrainRecipe.of(preset, score_every_s=1e9, save_every_s=1e9), list[tuple[float, int]]()
        if gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        warm = None
        for event in train(work / preset, sets, recipe, Until(), device, Flag()):
            if not isinstance(event, Progress):
                continue
            seen.append((time.monotonic(), event.done))
            if warm is None and seen[-1][0] - seen[0][0] > 4:  # the first steps choose how to compute
                warm, watch = len(seen) - 1, subprocess.Popen(BUSY, stdout=subprocess.PIPE, text=True) if gpu else None
            if warm is not None and len(seen) - warm > 2 and seen[-1][0] - seen[warm][0] > 10:
                break
        rate = (seen[-1][1] - seen[warm][1]) / (seen[-1][0] - seen[warm][0])
        found[preset] = {"steps_per_s": rate, "images_per_s": 2 * recipe.batch_at(0) * rate}
        if watch:
            watch.terminate()
            busy = statistics.mean(float(line) for line in watch.communicate()[0].split())
            found[preset] |= {"gb": torch.cuda.max_memory_reserved() / 1e9, "busy": busy / 100}
        record("presets", {"device": device.description, **found})
    names = ("preset", "steps/s", "images/s", *(("GPU memory, GB", "made for, GB", "GPU busy") if gpu else ()))
    rows = []
    for preset, figures in found.items():
        row = (preset, f"{figures['steps_per_s']:.1f}", f"{figures['images_per_s']:.0f}")
        made_for = str(GPU_GB.get(preset, ""))
        rows.append((*row, f"{figures['gb']:.2f}", made_for, f"{figures['busy']:.0%}") if gpu else row)
    table(names, rows)


def plan(_: argparse.Namespace, work: Path) -> None:
    """Steps a second and peak memory foretold before and after a training of a minute and a half, and its own."""
    sets = [faces(SAMPLE / name, work / side) for side, name in PAIRS["sample"][:2]]
    rows, found = [], {}
    for preset in ("compact", "standard"):
        foretold = [json.loads(command("plan", *sets, "--preset", preset, "--json")[2])]
        model = work / preset
        memory_gb = command("train", *sets, "-o", model, "--preset", preset, "--minutes", 1.5)[1]
        state = json.loads((max((model / "checkpoints").iterdir()) / "state.json").read_text())
        foretold.append(json.loads(command("plan", *sets, "--preset", preset, "--json")[2]))
        rates = [one["steps_per_s"] for one in foretold]
        rate, foretold_gb = state["step"] / state["seconds"], foretold[0]["memory_bytes"] / 1e9
        off = [f"{value / true - 1:+.0%}" for value, true in ((sum(rates) / 2, rate), (foretold_gb, memory_gb))]
        rows.append(
            (preset, f"{rates[0]:.2f}, {rates[1]:.2f}", f"{rate:.2f}", off[0],
             f"{foretold_gb:.2f} GB", f"{memory_gb:.2f} GB", off[1])
        )  # fmt: skip
        found[preset] = {"foretold_rates": rates, "rate": rate, "foretold_gb": foretold_gb, "gb": memory_gb}
    table(("preset", "steps/s foretold", "steps/s", "off by", "memory foretold", "memory", "off by"), rows)
    record("plan", found)


def start(_: argparse.Namespace, work: Path) -> None:
    """What the real pair is like after some hundred steps, begun from scratch and with what comes with the package."""
    pair = next(at_hand(["women"]), None)
    if pair is None:
        return
    _, a, b, folder = pair
    sets = [faces(folder / name, work / side) for side, name in (("a", a), ("b", b))]
    columns: dict[str, dict[str, Any]] = {}
    for begin, steps in product(("scratch", "bundled"), (100, 420, 2000)):
        model = work / f"{begin}-{steps}"
        command("train", *sets, "-o", model, "--steps", steps, "--from", begin)
        state = json.loads((max((model / "checkpoints").iterdir()) / "state.json").read_text())
        last = state["history"][-1]
        columns[f"{begin}, {steps} steps"] = {
            "above the mean face, dB": (last["a"] + last["b"] - last["floor_a"] - last["floor_b"]) / 2,
            **{name: last[f"swap_{name}"] for name in ("to_b", "to_a", "pose_error", "expression")},
        }
        record("start", columns)
    names = list(next(iter(columns.values())))
    table(("", *columns), [(name, *(f"{column[name]:.2f}" for column in columns.values())) for name in names])


def forecast(options: argparse.Namespace, work: Path) -> None:
    """Every forecast that a training could have given, from its 8th score on, against scores up to twice as late."""
    from facedouble.learn.forecast import Forecast

    sets = [faces(SAMPLE / name, work / side) for side, name in PAIRS["sample"][:2]]
    # A rate that falls to the end of the time would bend the curve there.
    command("train", *sets, "-o", work / "model", "--minutes", 10, "--decay", "constant", "--score-every", 10)
    history = json.loads((max((work / "model" / "checkpoints").iterdir()) / "state.json").read_text())["history"]
    rows = compared(history, Forecast.of)
    table(("steps, in those so far", "forecasts", "off by, median", "inside the 80% band"), rows)
    record("forecast", history)


def compared(history: list[dict[str, float]], foretell: Callable[[Any], Any]) -> list[tuple[str, str, str, str]]:
    off: dict[str, list[tuple[float, bool]]] = {"up to 1.25x": [], "1.25x to 1.5x": [], "1.5x to 2x": []}
    for now in range(8, len(history)):
        if (found := foretell(history[:now])) is None:
            continue
        for later in history[now:]:
            reach = later["step"] / history[now - 1]["step"]
            if reach > 2:
                break
            low, middle, high = found.score((later["step"] - history[now - 1]["step"]) * found.step_s)
            truth = (later["a"] + later["b"]) / 2
            name = "up to 1.25x" if reach <= 1.25 else "1.25x to 1.5x" if reach <= 1.5 else "1.5x to 2x"
            off[name].append((abs(truth - middle), low <= truth <= high))
    return [
        (name, str(len(all_)), f"{statistics.median(miss for miss, _ in all_):.2f} dB",
         f"{sum(inside for _, inside in all_) / len(all_):.0%}")
        for name, all_ in off.items()
        if all_
    ]  # fmt: skip


class Flag:
    up = False

    def __call__(self) -> bool:
        return self.up


def stages(_: argparse.Namespace, work: Path) -> None:
    """Rates and peak memory over the clip's length, the picture's size and the faces in it; the model is trained just
    enough to convert with."""
    (_, a), (_, b) = ((side, SAMPLE / name) for side, name in PAIRS["sample"][:2])
    model, person = work / "model", work / "person.png"
    command("train", faces(a, work / "a"), faces(b, work / "b"), "-o", model, "--steps", 20)
    shutil.copyfile(next((work / "a" / "crops").glob("*.png")), person)
    rows, values = [], {}
    for title, times, scale, others in (
        ("once", 1, 1, 0),
        ("twice", 2, 1, 0),
        ("four times", 4, 1, 0),
        ("1024 px", 1, 2, 0),
        ("a second face beside", 1, 1, 1),
    ):
        clip, count = varied(a, b, work / f"{title}.mp4", times, scale, others)
        row: dict[str, Any] = {"frames": count}
        out, picked = work / f"{title} out.mp4", ("--person", person) if others else ()
        for stage, arguments in (
            ("extract", ("extract", clip, "-o", work / f"{title} faces", "--consent", RENDERED, *picked)),
            ("convert", ("convert", clip, model, "-o", out)),
            ("judge", ("judge", "--target", clip, "--swap", out, "--source", b, *picked)),
        ):
            seconds, gigabytes, _ = command(*arguments)
            row[stage] = {"seconds": seconds, "gigabytes": gigabytes}
        values[title] = row
        rows.append(
            (
                f"{title} ({count} frames)",
                *(f"{row[stage]['seconds']:.1f} s, {row[stage]['gigabytes']:.2f} GB" for stage in STAGES),
            )
        )
    table(("clip", "extract: time, peak memory", "convert, search included", "judge, search included"), rows)
    growth = {
        stage: (values["four times"][stage]["seconds"] - values["twice"][stage]["seconds"])
        / (values["four times"]["frames"] - values["twice"]["frames"])
        for stage in STAGES
    }
    print("frames/s once begun:", ", ".join(f"{stage} {1 / seconds:.1f}" for stage, seconds in growth.items()))
    record("stages", values)


def varied(clip: Path, other: Path, out: Path, times: int, scale: int, others: int) -> tuple[Path, int]:
    """The clip `times` over, one after another, `scale` times as large, with `others` copies of another beside."""
    import av
    import cv2
    import numpy as np

    from facedouble.media.reader import probe, read

    count = 0
    with av.open(str(out), "w") as into:
        stream: Any = into.add_stream("libx264", rate=24, options={"crf": "14", "preset": "fast"})
        stream.pix_fmt = "yuv420p"
        for _ in range(times):
            for frames in zip(read(probe(clip)), *(read(probe(other)) for _ in range(others)), strict=False):
                pixels = np.hstack([frame.pixels for frame in frames])
                if scale != 1:
                    pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
                if not count:
                    stream.height, stream.width = pixels.shape[:2]
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
                picture.pts, count = count, count + 1
                into.mux(stream.encode(picture))
        into.mux(stream.encode())
    return out, count


def swap(options: argparse.Namespace, work: Path) -> None:
    """The whole job, and what the judge says of it: a table for each pair, a column for each training."""
    for pair, a, b, folder in at_hand(options.pair):
        columns = {}
        for preset, minutes in product(options.preset, options.minutes):
            out = work / f"{pair}-{preset}-{minutes:g}.mp4"
            consents = [part for side in "ab" for part in ("--consent", RENDERED.replace("NAME", side))]
            line = ("swap", folder / a, folder / b, "-o", out, "--minutes", minutes, "--preset", preset, *consents)
            seconds, gigabytes, _ = command(*line)
            report = json.loads((out.with_name(f"{out.stem}.facedouble") / "report.json").read_text())
            columns[f"{preset}, {minutes:g} min"] = {
                "minutes in all": seconds / 60,
                "peak memory, GB": gigabytes,
                **report["measures"],
            }
        print(f"\n{pair}: {b}'s face on {a}\n")
        in_columns(columns)
        record(f"swap-{pair}", columns)


def suite(options: argparse.Namespace, work: Path) -> None:
    """A model of the sample's two clips, for each training, put on the clips of the suite, which it never saw.

    `classic` learns at a constant rate, so its 5 minutes are its 2 minutes and 3 more.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in SUITES}
    for preset, minutes in product(options.preset, sorted(options.minutes)):
        title = f"{preset}-{minutes:g}"
        model = work / (preset if preset == "classic" else title)
        sets = [faces(SAMPLE / name, work / side) for side, name in PAIRS["sample"][:2]]
        # From scratch: what a new model begins with has learned from these very performers.
        command("train", *sets, "-o", model, "--minutes", minutes, "--preset", preset, "--from", "scratch")
        for name in SUITES:
            out = work / f"{name}-{title}.mp4"
            command("convert", SUITE / f"{name}-target.mp4", model, "-o", out)
            found[name][f"{preset}, {minutes:g} min"] = judged(name, out)
        record("suite", found)
    for name, columns in found.items():
        print(f"\n{name}\n")
        in_columns(columns)


def fit(options: argparse.Namespace, work: Path) -> None:
    """Swaps by one model, left as the network draws them, and with more and more of what it cannot draw."""
    chosen = {"fit": "none", "grain": "none", "mouth": "draw", "eyes": "draw"}
    choices = {"as drawn": chosen}
    for option, value in (("grain", "keep"), ("fit", "sharpen"), ("mouth", "keep"), ("eyes", "keep")):
        chosen = {**chosen, option: value}
        if option == "fit":
            choices["+ skin, edges"] = chosen
        choices[f"+ {option}"] = chosen
    preset, minutes = options.preset[0], options.minutes[0]
    for pair, a, b, folder in at_hand(options.pair):
        model = work / f"{pair}-{preset}-{minutes:g}"
        sets = [faces(folder / name, work / f"{pair}-{side}") for side, name in (("a", a), ("b", b))]
        begin = ("--from", "scratch") if pair == "sample" else ()
        command("train", *sets, "-o", model, "--minutes", minutes, "--preset", preset, *begin)
        shutil.copytree(model, without := work / f"{pair}-without")
        (without / "features.safetensors").unlink()
        for name in SUITES if pair == "sample" else (pair,):
            target = SUITE / f"{name}-target.mp4" if pair == "sample" else folder / a
            columns: dict[str, dict[str, Any]] = {}
            for title, chosen in choices.items():
                out, asked = work / f"{name} {title}.mp4", [f"--{option}={value}" for option, value in chosen.items()]
                by = without if title == "+ skin, edges" else model
                seconds, _, _ = command("convert", target, by, "-o", out, *asked)
                columns[title] = {
                    "seconds": seconds,
                    **(judged(name, out) if pair == "sample" else seen(target, out, b)),
                }
            print(f"\n{name}\n")
            in_columns(columns)
            record(f"fit-{name}", columns)


def focus(options: argparse.Namespace, work: Path) -> None:
    """Is a face as soft as its plate, out of focus or moved?"""
    from focus import against_blurred

    from facedouble.curate.faceset import FaceSet

    for pair, a, b, folder in at_hand(options.pair):
        sets = [faces(folder / name, work / f"{pair}-{side}") for side, name in (("a", a), ("b", b))]
        command("train", *sets, "-o", work / pair, "--minutes", options.minutes[0], "--preset", options.preset[0])
        found, (changed, worst) = against_blurred(folder / a, FaceSet.load(sets[0]).faces, work / pair)
        print(f"\n{pair}: unblurred frames change by {changed:.2f} grey levels, the worst by {worst:.2f}\n")
        table(("the clip is", "face as sharp as ever, dB", "as soft as the plate, dB"),
              [(name, f"{sharp:.1f}", f"{soft:.1f}") for name, (sharp, soft) in found.items()])  # fmt: skip
        record(f"focus-{pair}", found)


def shape(_: argparse.Namespace, work: Path) -> None:
    """What learn.shape makes of A's landmarks, against the known answer's."""
    from shape import away, offset_of

    from facedouble.curate.faceset import FaceSet

    def of(clip: Path) -> Any:
        return FaceSet.load(faces(clip, work / clip.stem)).faces

    offset, found = offset_of([of(SAMPLE / name) for _, name in PAIRS["sample"][:2]]), {}
    for name in ("easy", "hard-light", "hard-pose"):
        found[name] = away(offset, *(of(SUITE / f"{name}-{what}.mp4") for what in ("target", "truth")))
    table(("faces", "A's own landmarks, % of a face square off", "carried"),
          [(f"{name}, {which}", f"{own:.2f}", f"{carried:.2f}")
           for name, one in found.items() for which, (own, carried) in one.items()])  # fmt: skip
    record("shape", found)


def ceiling(options: argparse.Namespace, work: Path) -> None:
    """What a swap could score at best, by the judge's measures."""
    from ceiling import judged

    from facedouble.judge.verdict import GOALS

    measures = ("identity_to_a", *(goal.measure for goal in GOALS))
    for pair, a, b, folder in at_hand(options.pair):
        sets = {side: faces(folder / name, work / f"{pair}-{side}") for side, name in (("a", a), ("b", b))}
        model = work / pair
        command("train", *sets.values(), "-o", model, "--preset", "standard", "--steps", 2)
        made = work / f"{pair}-made"
        made.mkdir(exist_ok=True)
        found = {f"bent {far:.0%} of the way": judged(folder / a, sets, model, far, made) for far in (0.0, 0.5, 1.0)}
        print(f"\n{pair}: B's own pictures\n")
        table(("measure", *found), [(name, *(f"{one[name]:.3g}" for one in found.values())) for name in measures])
        record(f"ceiling-{pair}", found)


def seen(target: Path, swapped: Path, source: str) -> dict[str, Any]:
    """Measures of a swap of a real clip."""
    said = command("judge", "--target", target, "--swap", swapped, "--source", REAL / source, "--json")[2]
    measures: dict[str, Any] = json.loads(said)["measures"]
    return measures


MIXTURES = {
    "none": {"colour": "none"}, "reinhard": {"colour": "reinhard"}, "mkl": {"colour": "mkl"},
    "histogram": {"colour": "histogram"}, "light": {"colour": "light"},
    "reinhard, poisson": {"colour": "reinhard", "blend": "poisson"},
}  # fmt: skip
MIXED = ("skin_difference", "flicker", "identity_to_b", "seam", "sharpness_in_place", "jitter", "truth_psnr")


def mixing(options: argparse.Namespace, work: Path) -> None:
    """Ways to match colour and to blend, on 60 frames each, by one model of each pair: the sample, the women, two suite
    clips."""
    from facedouble import stages
    from facedouble.device import choose
    from facedouble.recipes import ConvertRecipe

    cases: list[tuple[str, str, Path, Path | None]] = [
        ("sample", "sample", SAMPLE / "a-take1.mp4", SAMPLE / "ba-take1.mp4"),
        ("women", "women", REAL / "woman-a.mp4", None),
        *(
            (name, "sample", SUITE / f"{name}-target.mp4", SUITE / f"{name}-truth.mp4")
            for name in ("hard-light", "occlusion")
        ),
    ]
    found: dict[str, dict[str, Any]] = {}
    for name, pair, clip, truth in cases:
        if not clip.is_file():
            continue
        (_, a), (_, b), folder = PAIRS[pair]
        model = work / pair
        if not (model / "model.json").is_file():
            sets = [faces(folder / side, work / f"faces-{side}") for side in (a, b)]
            command("train", *sets, "-o", model, "--minutes", options.minutes[0])
        columns = found.setdefault(name, {})
        for title, choice in MIXTURES.items():
            out = work / f"{name}-{title}.mp4"
            recipe = ConvertRecipe(ranges=("0-60",), **choice)
            done = ended(stages.convert(clip, model, out, recipe, choose("cpu"), 2))
            measures = ended(stages.judge_conversion(done, model, work / f"{name}-{title}", truth, 2))
            columns[title] = {key: getattr(measures, key) for key in MIXED}
            record("mixing", found)
        print(f"\n{name}\n")
        table(("", *columns), [(key, *(f"{row[key]:.3f}" for row in columns.values())) for key in MIXED])


def answers(_: argparse.Namespace, work: Path) -> None:
    """What the judge says of the known answers: what no swap can or need exceed."""
    found = {}
    for name in SUITES:
        out = work / f"{name}.mp4"
        shutil.copyfile(SUITE / f"{name}-truth.mp4", out)
        found[name] = judged(name, out)
    in_columns(found)
    record("answers", found)


def hand(_: argparse.Namespace, work: Path) -> None:
    """How well the suite's hand is found, by the bundled network and by one taught on the sample's two people."""
    from occlusion import against_truth, seconds_a_frame

    from facedouble.curate.faceset import FaceSet
    from facedouble.learn import occlusion as learned

    target = SUITE / "occlusion-target.mp4"
    found = FaceSet.load(faces(target, work / "occlusion")).faces
    sets = [faces(SAMPLE / name, work / side) for side, name in PAIRS["sample"][:2]]
    begun = time.monotonic()
    command("train", *sets, "-o", work / "model", "--steps", 1)
    values: dict[str, Any] = {"seconds to teach, with all that surrounds it": time.monotonic() - begun}
    taught = learned.load(work / "model")
    assert taught is not None
    bundled = learned.bundled()
    bundled.know(learned.canvases(FaceSet.load(sets[0])))
    for name, network in (("bundled", bundled), ("taught", taught)):
        for how, over_time in ((name, False), (f"{name}, over time", True)):
            values[how] = against_truth(network, target, SUITE / "occlusion-mask.mp4", found, over_time)
    values["milliseconds a frame"] = 1000 * seconds_a_frame(taught, target, found)
    table(
        ("network", "intersection over union", "of a bare face taken for something else", "flicker over the truth's"),
        [
            (
                name,
                f"{row['iou']:.3f}",
                f"{row['false']:.4f}",
                f"{row['flicker'] / row['true flicker']:.2f}x",
            )
            for name, row in values.items()
            if isinstance(row, dict)
        ],
    )
    print({name: round(value, 1) for name, value in values.items() if isinstance(value, float)})
    record("occlusion", values)


def marked(options: argparse.Namespace, work: Path) -> None:
    """Which copies of conversions still show their mark, what is read where there is none, and what marking costs."""
    import marks
    import numpy as np

    from facedouble.media.reader import probe
    from facedouble.provenance import credential
    from facedouble.stages.verifying import read_mark

    originals = {"sample": SAMPLE / "a-take1.mp4", "small face": SUITE / "small-face-target.mp4"}
    originals |= {"hard pose": SUITE / "hard-pose-target.mp4", "woman": REAL / "woman-a.mp4"}
    models = {pair: work / f"model-{pair}" for pair in options.pair if (PAIRS[pair][2] / PAIRS[pair][0][1]).is_file()}
    for pair, model in models.items():
        sets = [faces(PAIRS[pair][2] / name, work / f"{pair}-{side}") for side, name in PAIRS[pair][:2]]
        command("train", *sets, "-o", model, "--minutes", options.minutes[0])
    outs: dict[str, Path] = {}
    sight: dict[str, dict[str, float]] = {}
    for name, original in originals.items():
        model = models.get("women" if name == "woman" else "sample")
        if model is not None:
            outs[name] = work / f"{name}.mp4"
            sight[name] = marks.conversion(original, model, outs[name])
    outs |= {
        f"sample, {count} frames": marks.copied(outs["sample"], work / f"{count}.mp4", crf=16, frames=count)
        for count in (48, 24)
        if "sample" in outs
    }
    numbers = {name: credential.verify(out).details["swap"]["mark"] for name, out in outs.items() if name in originals}
    found: dict[str, dict[str, Any]] = {}
    for name, out in outs.items():
        for title, how in marks.COPIES.items():
            copy = marks.copied(out, work / "copy.mp4", **how)
            begun = time.monotonic()
            likeliest, seen = ended(read_mark(probe(copy)))
            row = {"faces": seen, "seconds": time.monotonic() - begun}
            if likeliest is not None:
                right = likeliest.id == numbers[name.partition(",")[0]]
                row |= {**vars(likeliest), "right": right}
            found.setdefault(title, {})[name] = row
    table(
        ("copy", *outs),
        [(title, *(marks.told(row) for row in columns.values())) for title, columns in found.items()],
    )
    seconds = sorted(row["seconds"] for columns in found.values() for row in columns.values())
    print(f"\nread in {seconds[len(seconds) // 2]:.1f} s (median), at most {seconds[-1]:.1f} s\n")
    chance, unmarked = np.random.default_rng(1), {}
    clips = [*sorted(SAMPLE.glob("*.mp4")), *sorted(SUITE.glob("*-t*.mp4")), *sorted(REAL.glob("*.mp4"))]
    for clip in clips:
        strengths = marks.strengths_in(clip)
        if len(strengths):
            with_others = [each.strength for each in marks.other_keys(strengths, 60, chance)]
            likeliest, _ = ended(read_mark(probe(clip)))
            unmarked[clip.stem] = {"read": likeliest.strength, "chance": likeliest.chance, "others": with_others}
    others = np.array([value for row in unmarked.values() for value in row["others"]])
    reads = [row["read"] for row in unmarked.values()]
    print(f"unmarked: {len(reads)} clips, strength {np.mean(reads):.2f}, at most {max(reads):.2f};", end=" ")
    print(f"{len(others)} other keys {others.mean():.2f} (deviation {others.std():.2f}), at most {others.max():.2f}\n")
    heads = ("conversion", *next(iter(sight.values())))
    table(heads, [(name, *(f"{value:.3g}" for value in row.values())) for name, row in sight.items()])
    minute, _ = varied(SAMPLE / "a-take1.mp4", SAMPLE / "b-take2.mp4", work / "minute.mp4", 10, 1, 0)
    signed = marks.signing(minute, work)
    print("\na minute of 512 px:", ", ".join(f"{name} {seconds:.3f} s" for name, seconds in signed.items()))
    record("mark", {"copies": found, "unmarked": unmarked, "conversions": sight, "signing": signed})


def explicit(_: argparse.Namespace, _work: Path) -> None:
    """What the content check says of ordinary footage: every clip there is, sampled as a conversion samples it."""
    from facedouble.find.finder import to_8_bit
    from facedouble.media.reader import probe, read
    from facedouble.provenance.content import EXPLICIT, ContentCheck, sampled

    check, found, begun, looked = ContentCheck(), {}, time.monotonic(), 0
    for path in (*sorted(SAMPLE.glob("*.mp4")), *sorted(SUITE.glob("*-t*.mp4")), *sorted(REAL.glob("*.mp4"))):
        clip = probe(path)
        chosen = set(sampled(clip.count))
        scores = [check.score(to_8_bit(frame.pixels)) for frame in read(clip) if frame.index in chosen]
        looked += len(scores)
        found[path.stem] = {
            "highest": max(scores), "mean": sum(scores) / len(scores), "explicit": sum(s >= EXPLICIT for s in scores),
        }  # fmt: skip
    table(
        ("clip", "highest score", "mean", f"frames over {EXPLICIT}"),
        [(name, f"{row['highest']:.3f}", f"{row['mean']:.3f}", f"{row['explicit']}") for name, row in found.items()],
    )
    print(f"{looked} frames, {1000 * (time.monotonic() - begun) / looked:.0f} ms each, decoding included")
    record("content", found)


def in_order(_: argparse.Namespace, work: Path) -> None:
    """Time and peak memory of `facedouble faces` on the sample's crops over and over; of the search for duplicates with
    none, which takes longer; and how far the faces of a set are from those that `pick` takes."""
    many = repeated(faces(SAMPLE / "a-take1.mp4", work / "a-take1"), work / "many", MANY)
    lines: dict[str, tuple[object, ...]] = {
        "list, nothing measured before": ("list", many),
        "list": ("list", many),
        "sort --by yaw": ("sort", many, "--by", "yaw"),
        "sort --by duplicates": ("sort", many, "--by", "duplicates"),
        "sort --by frame": ("sort", many, "--by", "frame"),
        "prune": ("prune", many),
        "prune --apply": ("prune", many, "--apply"),
        "restore": ("restore", many),
        "split": ("split", many, "--edges", "5,10", "-o", work / "parts"),
        "pick 2000": ("pick", many, 2000, "-o", work / "picked"),
        "sheet": ("sheet", many, "--by", "away"),
    }
    found: dict[str, Any] = {}
    for name, line in lines.items():
        seconds, gigabytes, _ = command("faces", *line)
        found[name] = {"seconds": seconds, "gigabytes": gigabytes}
    found["duplicates, all faces different"] = {"seconds": unalike(MANY)}
    table(
        (f"of {MANY} faces", "time", "peak memory"),
        [
            (name, f"{row['seconds']:.1f} s", f"{row['gigabytes']:.2f} GB" if "gigabytes" in row else "")
            for name, row in found.items()
        ],
    )
    print()
    covered = {}
    for name in ("a-take1", "woman-a", "woman-b"):
        clip = next((clip for clip in (SAMPLE / f"{name}.mp4", REAL / f"{name}.mp4") if clip.is_file()), None)
        if clip is not None:
            covered |= coverage(name, faces(clip, work / name))
    heads = ("set, picked", *next(iter(covered.values())))
    table(heads, [(name, *(f"{value:.3f}" for value in row.values())) for name, row in covered.items()])
    record("faces", {"commands": found, "coverage": covered})


def in_the_browser(_: argparse.Namespace, work: Path) -> None:
    """How long the page of `facedouble faces review` waits for its answers, asked for one after the other."""
    import http.client

    import psutil

    many = repeated(faces(SAMPLE / "a-take1.mp4", work / "a-take1"), work / "many", MANY)
    command("faces", "list", many)  # extraction would have left the measures
    line = [sys.executable, "-m", "facedouble.cli", "faces", "review", str(many), "--no-browser"]
    found: dict[str, float] = {}
    begun = time.monotonic()
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        host, token, _end = process.stdout.readline().partition("http://")[2].split("/")
        found["until the address is printed"] = time.monotonic() - begun
        server = http.client.HTTPConnection(host)

        def timed(name: str, *asked: str, **body: object) -> None:
            begun = time.monotonic()
            for path in asked:
                sent = (json.dumps(body), {"content-type": "application/json"}) if body else (None, {})
                server.request("POST" if body else "GET", f"/{token}{path}", *sent)
                answer = server.getresponse()
                said = answer.read()
                if answer.status != 200:
                    sys.exit(f"{path}: {said.decode()}")
            found[name] = time.monotonic() - begun

        timed("first screen: the set, its order, 56 small pictures", "/about", "/order?by=frame",
              *(f"/thumb/{row}" for row in range(56)))  # fmt: skip
        timed("56 small pictures elsewhere", *(f"/thumb/{row}" for row in range(MANY - 56, MANY)))
        timed("order by yaw", "/order?by=yaw")
        timed("a measure, to filter by", "/measure/sharpness")
        timed("who is doubtful", "/doubts")
        timed("drop one", "/drop", rows=[7], reason="review")
        timed("drop 5,000", "/drop", rows=list(range(100, 5100)), reason="review")
        timed("undo that", "/undo", undo="")
        timed("the first frame of the footage", "/seen/9/0", "/frame/9/0")
        timed("a frame beside it", "/seen/9/1", "/frame/9/1")
        timed("preview of an alignment", "/preview/9?x=3")
        timed("alignment kept", "/nudge", rows=[9], x=3)
        gigabytes = psutil.Process(process.pid).memory_info().rss / 1e9
        process.terminate()
    table((f"of {MANY} faces", "time"), [(name, f"{seconds:.2f} s") for name, seconds in found.items()])
    print(f"\nMemory of the server at the end: {gigabytes:.2f} GB")
    record("review", {"seconds": found, "gigabytes": gigabytes})


def repeated(source: Path, out: Path, count: int) -> Path:
    """A face set of `count` faces: those of `source` again and again, the crops as links."""
    from dataclasses import replace

    import numpy as np

    from facedouble.curate.faceset import FaceSet

    of = FaceSet.load(source)
    rows = np.resize(of.rows_with_crops(), count)
    names = [f"{number:06d}.png" for number in range(count)]
    (out / "crops").mkdir(parents=True)
    for row, name in zip(rows, names, strict=True):
        os.link(source / "crops" / of.crop[row], out / "crops" / name)
    replace(
        of,
        path=out,
        faces=replace(of.faces[rows], frame=np.arange(count)),
        sources=(replace(of.sources[0], frames=count),),
        source=np.zeros(count, np.int64),
        pts=np.arange(count),
        sharpness=of.sharpness[rows],
        transform=of.transform[rows],
        crop=names,
    ).save()
    return out


def unalike(count: int) -> float:
    """Seconds to look for duplicates among faces that all differ, which is what takes longest."""
    import numpy as np

    from facedouble.curate.similar import leaders

    chance = np.random.default_rng(1)
    fingerprint = chance.normal(size=(count, 256)).astype(np.float32)
    begun = time.monotonic()
    leaders(fingerprint, chance.random(count).astype(np.float32), 0.03)
    return time.monotonic() - begun


def coverage(name: str, folder: Path) -> dict[str, dict[str, float]]:
    """How far the faces of a set are from the nearest picked one, against as many frames at even distances."""
    from facedouble.curate.faceset import FaceSet
    from facedouble.curate.part import pick, reach
    from facedouble.curate.quality import measure
    from facedouble.footage import spread

    found = FaceSet.load(folder)
    quality = ended(measure(found, 2))
    rows, rest = quality.rows(), {}
    for count in (20, 50, 100):
        chosen = {"pick": ended(pick(found, quality, count)), "every n-th": rows[spread(len(rows), count)]}
        away = {title: reach(found, quality, rows, picked) for title, picked in chosen.items()}
        rest[f"{name} ({len(rows)}), {count}"] = {
            f"{title}: {part}": float(getattr(away[title], part)()) for part in ("mean", "max") for title in chosen
        }
    return rest


def ended(stage: Any) -> Any:
    """What a stage returns."""
    while True:
        try:
            next(stage)
        except StopIteration as end:
            return end.value


def match(_: argparse.Namespace, work: Path) -> None:
    """The adviser: its errors where the answer is known, its figure beside the judge's, pairs, time and memory."""
    import pairs

    from facedouble.recipes import TrainRecipe

    recipe = TrainRecipe()
    names = (*(f"{name}-target" for name in SUITES), "easy-truth")
    clips = {name: faces(SUITE / f"{name}.mp4", work / name) for name in names}
    clips |= {
        clip.partition("-")[0]: faces(SAMPLE / clip, work / clip.partition(".")[0]) for _, clip in PAIRS["sample"][:2]
    }
    for name in ("woman-a", "woman-b", "wide-shot"):
        if (REAL / f"{name}.mp4").is_file():
            clips[name] = faces(REAL / f"{name}.mp4", work / name)
    sides = {name: side_of(folder, recipe) for name, folder in clips.items()}
    errors = pairs.errors(sides, SUITE / "occlusion-mask.mp4")
    errors |= pairs.steadiness(sides, ("a", "b", "easy-target"), "hard-light-target", recipe)
    table(
        ("known", "found"),
        [(f"{part}: {name}", f"{value:.2f}") for part in errors for name, value in errors[part].items()],
    )
    answers = {}
    for a, b in (("a", "b"), ("a", "a"), ("woman-a", "woman-b"), ("woman-a", "wide-shot"), ("woman-a", "woman-a")):
        if a in clips and b in clips:
            answers[f"{b} on {a}"] = figures(sides[a], sides[b], recipe)
    in_columns(answers)
    compared = beside_the_judge(sides, recipe)
    rows = []
    many = [repeated(clips[side], work / f"{side}-2000", 2000) for side in "ab"]
    for _ in range(3):
        seconds, gigabytes, _said = command("match", *many, "-o", work / "many")
        rows.append((f"{seconds:.1f} s", f"{gigabytes:.2f} GB"))
        for folder in many:  # each time as if nothing had been measured before
            (folder / "quality.parquet").unlink()
    table(("2 x 2000 faces", "peak memory"), rows)
    record("match", {"errors": errors, "pairs": answers, "beside the judge": compared, "2 x 2000 faces": rows})


def side_of(folder: Path, recipe: Any) -> Any:
    """A face set as `match` looks at it."""
    from facedouble.curate.appearance import look_at, sampled_rows
    from facedouble.curate.compare import Side
    from facedouble.curate.faceset import FaceSet
    from facedouble.curate.quality import measure

    found = FaceSet.load(folder)
    return Side(found, ended(measure(found, 2)), ended(look_at(found, sampled_rows(found), recipe, 2)))


def figures(a: Any, b: Any, recipe: Any, trained_on: Any = None) -> dict[str, float]:
    """What `match` says of a pair; distinct faces are those of A's set `trained_on`, if not of A's own."""
    from dataclasses import replace

    from facedouble.curate.compare import Comparison
    from facedouble.curate.match import judge_pair

    found = Comparison.of(a, b, recipe)
    if trained_on is not None:
        learned = Comparison.of(trained_on, b, recipe).values
        found = replace(found, values=found.values | {"distinct": learned["distinct"]})
    return {"overall": judge_pair(found).overall, **found.values}


def beside_the_judge(sides: dict[str, Any], recipe: Any) -> dict[str, Any]:
    """Match's figure of each of the suite's targets with the sample's B, beside what the judge said of their swaps."""
    import pairs

    ours = {name: figures(sides[f"{name}-target"], sides["b"], recipe, sides["a"]) for name in SUITES}
    suite = json.loads((HERE / "results" / "suite.json").read_text())
    trained = "compact, 20 min"
    theirs = {name: {key: suite[name][trained][key] for key in JUDGED} for name in SUITES}
    if "woman-a" in sides and "woman-b" in sides:
        ours["women"] = figures(sides["woman-a"], sides["woman-b"], recipe)
        women = json.loads((HERE / "results" / "swap-women.json").read_text())[trained]
        theirs["women"] = {key: women[key] for key in JUDGED}
    rows = [(name, f"{ours[name]['overall']:.0f}", *(shown(theirs[name][key]) for key in JUDGED)) for name in ours]
    table(("pair", "match", *JUDGED), rows)
    overall = {name: {"overall": ours[name]["overall"]} for name in ours}
    rendered = {name: overall[name] for name in SUITES}
    ranks = {"rendered": pairs.foretold(rendered, theirs)}
    if "women" in overall:  # without a known answer
        known = {name: {key: theirs[name][key] for key in JUDGED[:-1]} for name in theirs}
        ranks["with the women"] = pairs.foretold(overall, known)
    for name, found in ranks.items():
        print(name, found)
    return {"match": ours, "judge": theirs, "Spearman": ranks}


def judged(name: str, swapped: Path) -> dict[str, Any]:
    """Measures of a swap of one of the suite's clips."""
    target, truth = SUITE / f"{name}-target.mp4", SUITE / f"{name}-truth.mp4"
    source = SAMPLE / PAIRS["sample"][1][1]
    clips = ("--target", target, "--swap", swapped, "--source", source, "--truth", truth)
    measures: dict[str, Any] = json.loads(command("judge", *clips, "--json")[2])["measures"]
    return measures


def in_columns(found: dict[str, dict[str, Any]]) -> None:
    names = next(iter(found.values()))
    table(("measure", *found), [(name, *(shown(column[name]) for column in found.values())) for name in names])


def shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


PAIRS = {
    "sample": (("a", "a-take1.mp4"), ("b", "b-take2.mp4"), SAMPLE),
    "women": (("a", "woman-a.mp4"), ("b", "woman-b.mp4"), REAL),
}
BUSY = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0", "--loop-ms=500")
STAGES = ("extract", "convert", "judge")
MANY = 20_000
SUITES = ("easy", "hard-light", "hard-pose", "occlusion", "small-face")
JUDGED = ("nearer_to_b", "identity_to_b", "pose_error", "expression", "truth_psnr")
PARTS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "training": training,
    "presets": presets,
    "plan": plan,
    "start": start,
    "forecast": forecast,
    "stages": stages,
    "swap": swap,
    "suite": suite,
    "fit": fit,
    "focus": focus,
    "ceiling": ceiling,
    "shape": shape,
    "answers": answers,
    "mixing": mixing,
    "occlusion": hand,
    "mark": marked,
    "content": explicit,
    "faces": in_order,
    "review": in_the_browser,
    "match": match,
}

if __name__ == "__main__":
    main()
