"""The command line. Nothing heavy is imported before a command has been understood, so --help answers at once."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag
from typing import Any

from . import __version__, commands, faces_commands
from .errors import FacedoubleError, InputError
from .presets import PRESETS

CONSENT_HELP = (
    'consent record: "NAME: BASIS, YYYY-MM-DD" (such as "anna: signed release, 2026-11-22"), a consent .toml file, or '
    "the name of a person in consent.toml here (facedouble consent new)"
)


def run() -> None:
    """What the command `facedouble` starts: `main`, without the log lines that MediaPipe's own libraries print.

    They go straight to file descriptor 2 and cannot be turned off, so that is closed to them and errors keep a copy.
    FACEDOUBLE_LOGS=1 lets them through.
    """
    if not os.environ.get("FACEDOUBLE_LOGS"):
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device, not a path of ours
            os.dup2(nowhere.fileno(), 2)
    main()


THREADS = {
    # torch's threads wait for each other by spinning. On a machine that does other work as well the one waited for may
    # not be running at all, and training crawls at a tenth of its speed: so they spin briefly, then sleep (libgomp).
    "GOMP_SPINCOUNT": "10000",
    # Frames and faces are worked on side by side. NumPy's and OpenCV's own threads, woken for each small product, then
    # only take the processors from each other.
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}
"""settings of libraries that have to stand in the environment before these are loaded"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 an error, 2 wrong usage, 3 consent missing, 130 stopped by Ctrl-C."""
    options = _parser().parse_args(arguments)
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    os.umask(0o077)  # faces, models and outputs are for the user's eyes until the user shares them
    stopped = Flag()
    with suppress(ValueError):  # not in the main thread: whoever runs us there handles signals
        signal.signal(signal.SIGINT, _interrupt(options, stopped))
    try:
        if "TORCHELASTIC_RUN_ID" in os.environ and options.run is not commands.train:
            raise InputError("under torchrun there is only: facedouble train. Run other commands without it.")
        code = options.run(options, stopped) or 0
    except FacedoubleError as error:
        print(f"facedouble: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("facedouble: stopped. Nothing is lost: the same command goes on where it can.", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        code = 1
    except OSError as error:  # of the system, where no stage had a better word for it
        print(f"facedouble: {error.filename or 'a file'}: {error.strerror or error}.", file=sys.stderr)
        code = 1
    sys.exit(code)


def _interrupt(options: argparse.Namespace, stopped: Flag) -> Callable[[int, Any], None]:
    # Training looks at the flag after each step and saves; everything else may be left at any point.
    def handle(_signal: int, _frame: Any) -> None:
        if stopped.is_set() or not getattr(options, "training", False):
            raise KeyboardInterrupt
        stopped.set()
        # Past the buffer of sys.stderr, which refuses while it is being written to.
        os.write(sys.stderr.fileno(), b"\nfacedouble: finishing this step and saving; Ctrl-C again leaves at once\n")

    return handle


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facedouble",
        description="Put one consenting person's face on another's performance. Every face has a consent on record; "
        "every output is signed as AI-altered.",
    )
    parser.add_argument("--version", action="version", version=f"facedouble {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    swap = _command(
        verbs, "swap", commands.swap, "extract, train, convert and judge at once", "A B -o out.mp4 --minutes 20"
    )
    swap.add_argument(
        "a", type=Path, metavar="A", help="the performance that is kept: a video, or a folder of pictures"
    )
    swap.add_argument("b", type=Path, metavar="B", help="footage of the person whose face is put on it")
    swap.add_argument(
        "-o", "--output", type=_named, required=True, help="the swapped clip: .mp4, .mov, .mkv, or a folder"
    )
    swap.add_argument(
        "--consent", action="append", default=[], metavar="RECORD",
        help=CONSENT_HELP + "; give A's first, then B's, or name them A and B",
    )  # fmt: skip
    swap.add_argument(
        "--person-a", type=Path, metavar="PICTURE", help="who is meant in A, where there are several people"
    )
    swap.add_argument("--person-b", type=Path, metavar="PICTURE", help="who is meant in B")
    _extract_options(swap)
    _train_options(swap, minutes=20)
    _convert_options(swap)
    _machine_options(swap)

    extract = _command(
        verbs, "extract", commands.extract, "clips into a face set: a folder to look through and delete from"
    )
    extract.add_argument("clips", type=Path, nargs="+", metavar="CLIP", help="a video, or a folder of pictures")
    extract.add_argument("-o", "--output", type=_named, required=True, help="the face set's folder")
    extract.add_argument("--consent", metavar="RECORD", help=CONSENT_HELP)
    extract.add_argument(
        "--person", type=Path, metavar="PICTURE",
        help="who is meant: a picture of this person alone, or a folder of such pictures; by default the person seen "
        "most often in the first clip",
    )  # fmt: skip
    extract.add_argument(
        "--range", dest="ranges", action="append", default=[], metavar="START-END",
        help="look only here, in each clip: frames (100-500) or times (00:03.2-00:07), END not included; give it again "
        "for more",
    )  # fmt: skip
    _extract_options(extract)
    _machine_options(extract)

    _faces_command(verbs)

    match = _command(
        verbs, "match", commands.match, "are two face sets a good pair, what will go wrong, what to film instead"
    )
    match.add_argument("faces_a", type=Path, metavar="FACES_A", help="face set of the performance")
    match.add_argument("faces_b", type=Path, metavar="FACES_B", help="face set of the person put on it")
    match.add_argument("-o", "--output", type=_named, help="folder for the report (default: B-on-A.match here)")
    match.add_argument(
        "--preset", choices=PRESETS, default="compact", help="that would be trained (default: %(default)s)"
    )
    match.add_argument("--size", type=int, metavar="PX", help="side of the network's picture that would be trained")
    match.add_argument("--json", action="store_true", help="print the answer as JSON instead of a table")
    match.add_argument("--workers", type=int, metavar="N", help="faces looked at side by side (default: one a core)")

    train = _command(verbs, "train", commands.train, "two face sets into a model; goes on with one that is there")
    train.add_argument("faces_a", type=Path, metavar="FACES_A", help="face set of the performance")
    train.add_argument("faces_b", type=Path, metavar="FACES_B", help="face set of the person put on it")
    train.add_argument("-o", "--output", type=_named, required=True, help="the model's folder")
    _train_options(train, minutes=None)
    train.add_argument(
        "--from", dest="begin", type=_beginning, metavar="MODEL|scratch|bundled",
        help="begin a new model with what an earlier one knows of faces at large, and the decoder of each person whom "
        "it learned from the same footage; from scratch; or with what rendered performers taught (bundled: default)",
    )  # fmt: skip
    train.add_argument(
        "--tensorboard", action="store_true",
        help="also write curves and previews for TensorBoard (pip install 'facedouble[tensorboard]')",
    )  # fmt: skip
    _machine_options(train)

    plan = _command(
        verbs, "plan", commands.plan, "how long training takes on this machine, and in how much memory: by trying it",
        "faces-a faces-b --preset standard",
    )  # fmt: skip
    plan.add_argument("faces_a", type=Path, metavar="FACES_A", help="face set of the performance")
    plan.add_argument("faces_b", type=Path, metavar="FACES_B", help="face set of the person put on it")
    plan.add_argument("--steps", type=int, help="to foretell (default: what the preset usually takes)")
    plan.add_argument("--json", action="store_true", help="as JSON")
    _model_options(plan)
    _machine_options(plan)

    convert = _command(verbs, "convert", commands.convert, "a clip and a model into the swapped clip")
    convert.add_argument("clip", type=Path, metavar="CLIP", help="footage of A")
    convert.add_argument("model", type=Path, nargs="?", metavar="MODEL", help="folder made by train")
    convert.add_argument(
        "--map", dest="roles", action="append", default=[], metavar="WHO=MODEL",
        help="instead of MODEL, once for each of several people: WHO is the person of that model's performance, by "
        "name, or a picture of them as they look in this clip",
    )  # fmt: skip
    convert.add_argument(
        "--person", type=Path, metavar="PICTURE",
        help="by which the person of MODEL's performance is known in this clip, if they look unlike their face set",
    )  # fmt: skip
    convert.add_argument(
        "-o", "--output", type=_named, required=True, help="the swapped clip: .mp4, .mov, .mkv, or a folder"
    )
    convert.add_argument(
        "--range", dest="ranges", action="append", default=[], metavar="START-END",
        help="replace faces only here: frames (100-500) or times (00:03.2-00:07), END not included; the rest passes "
        "through; give it again for more",
    )  # fmt: skip
    convert.add_argument(
        "--layers", type=_named, metavar="DIR",
        help="also write plate, face and mask as 16-bit PNG, and layers.json with their places, for a compositor",
    )  # fmt: skip
    convert.add_argument("--judge", action="store_true", help="then measure it, and write a report beside it")
    _convert_options(convert)
    _machine_options(convert)

    preview = _command(
        verbs, "preview", commands.preview, "stills of a few frames, original and swap, in seconds: before `convert`"
    )
    preview.add_argument("clip", type=Path, metavar="CLIP", help="the footage that shows A")
    preview.add_argument("model", type=Path, metavar="MODEL")
    preview.add_argument(
        "--at", action="append", required=True, metavar="TIME", help="a time (00:03.2) or frame (77); give it again"
    )
    preview.add_argument(
        "--compare", action="append", default=[], metavar="NAME=A,B",
        help="a column for each of these: colour=none,light, blend=..., occlusion=..., mouth=..., eyes=..., "
        "outline=..., fit=..., grain=...; several make all couples",
    )  # fmt: skip
    preview.add_argument(
        "-o", "--output", type=_named, default=Path("preview.png"), help="a PNG, signed (default: %(default)s)"
    )
    _mixing_options(preview.add_argument_group("output"))
    _machine_options(preview)

    judge = _command(
        verbs, "judge", commands.judge, "measure a finished swap against its original, whoever made it",
        "--target A.mp4 --swap out.mp4 --source B.mp4",
    )  # fmt: skip
    judge.add_argument("--target", type=Path, required=True, metavar="A", help="the original clip")
    judge.add_argument("--swap", type=Path, required=True, metavar="SWAP", help="the swapped clip")
    judge.add_argument(
        "--source", type=Path, required=True, metavar="B", help="footage of the person whose face was put on"
    )
    judge.add_argument("--truth", type=Path, metavar="CLIP", help="the known answer, where there is one (rendered)")
    judge.add_argument("--person", type=Path, metavar="PICTURE", help="who was replaced, where A shows several people")
    judge.add_argument(
        "-o", "--output", type=_named, help="folder for the report (default: the swap's name with .judge)"
    )
    judge.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    judge.add_argument("--workers", type=int, metavar="N", help="stretches judged side by side (default: one a core)")

    _consent_command(verbs)

    verify = _command(
        verbs, "verify", commands.verify,
        "tell whether facedouble made a file: by its Content Credential, else by the mark in its faces",
    )  # fmt: skip
    verify.epilog = (
        "Exit code: 0 made with facedouble and not changed since, 4 changed after it was signed, 5 nothing of "
        "facedouble's found, 6 no credential of facedouble's left, but its mark found in the faces."
    )
    verify.add_argument("file", type=Path, metavar="FILE", help="a video, a picture, or a folder of pictures")
    verify.add_argument("--json", action="store_true", help="the whole answer as JSON")

    _command(verbs, "doctor", commands.doctor, "what this machine can do, and which preset fits it")

    weights = _command(verbs, "weights", commands.weights, "the outside networks this program uses")
    weights.add_argument("action", choices=["list", "fetch"], help="list them, or fetch all into the cache")

    demo = _command(verbs, "demo", _demo, "the whole job on the built-in sample: two rendered performers")
    demo.add_argument(
        "-o",
        "--output",
        type=_named,
        default=Path("facedouble-demo"),
        help="folder for the results (default: %(default)s)",
    )
    demo.add_argument("--minutes", type=float, default=4, help="of training (default: %(default)g)")
    _machine_options(demo)
    return parser


def _faces_command(verbs: Any) -> None:
    faces = _command(verbs, "faces", faces_commands.faces, "put sets in order: look, sort, prune, split, pick, merge")
    actions = faces.add_subparsers(title="actions", required=True, metavar="ACTION", dest="action")

    def action(name: str, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        command = _command(actions, name, faces_commands.faces, text)
        command.epilog = epilog
        command.add_argument("faces", type=Path, metavar="FACES", help="a face set, made by extract")
        if name != "restore":
            command.add_argument(
                "--workers", type=int, metavar="N", help="crops read side by side (default: one a core)"
            )
        return command

    shown = action("list", "what a set holds: whom, how many, the range of every measure, where the faces look")
    shown.add_argument("--json", action="store_true", help="as JSON")

    sort = action(
        "sort", "rename the crops so that a file manager shows them in an order; the set stays the same",
        epilog="Example: facedouble faces sort faces-a --by yaw names a crop 00017_yaw-031_000123.png; --by frame "
        "gives 000123.png back.",
    )  # fmt: skip
    sheet = action("sheet", "a contact sheet of faces spread evenly over an order")
    for command in (sort, sheet):
        command.add_argument(
            "--by", required=command is sort, default="frame", choices=faces_commands.ORDERS, metavar="MEASURE",
            help=f"one of {', '.join(faces_commands.ORDERS)}. The least comes first (blurred, small, dark, looking "
            "left); of away, contrast, expression, mouth-open and eyes-closed the most",
        )  # fmt: skip
        command.add_argument("--to", metavar="PICTURE", help="to which crop, by its name (--by similarity)")
        command.add_argument("--reverse", action="store_true", help="the other way round")
    sheet.add_argument("--count", type=int, default=60, metavar="N", help="how many faces (default: %(default)s)")
    sheet.add_argument("-o", "--output", type=_named, metavar="PNG", help="the picture (default: FACES/sheet.png)")

    prune = action(
        "prune", "find faces the set is better without and show them in FACES/prune.png; moves them only with --apply",
        epilog="With no reason named: wrong-person, cut-off, tiny, blurred and duplicates, at their usual limits. "
        "Example: facedouble faces prune faces-a --blurred 40 --duplicates --apply",
    )  # fmt: skip
    for name, metavar, text in (
        ("wrong-person", "D", "identity further than D from the set's middle (0.5)"),
        ("cut-off", "SHARE", "less than this share of the face inside the footage (0.9)"),
        ("tiny", "PX", "the face square, brow end to brow end, narrower than this in the footage (48)"),
        ("blurred", "S", "sharpness under S (a quarter of the set's median)"),
        ("closed-eyes", "V", "both eyes more closed than this, of 1 (0.6); a model needs some blinks"),
        ("duplicates", "D", "less unlike another picture than D of its contrast; the sharpest stays (0.03)"),
    ):
        prune.add_argument(f"--{name}", nargs="?", const=True, type=faces_commands.limit, metavar=metavar, help=text)
    prune.add_argument("--apply", action="store_true", help="move them to FACES/aside/REASON; nothing is ever deleted")
    prune.add_argument("--json", action="store_true", help="who would go, as JSON")

    restore = action("restore", "put back what prune put aside: all of it, or a part")
    restore.add_argument("--reason", metavar="REASON", help="only what was put aside for this")
    restore.add_argument("--last", action="store_true", help="only what the last prune put aside")

    split = action("split", "a folder of new sets by where the faces look, or by any measure; the set itself stays")
    split.add_argument(
        "--by", default="orientation", metavar="MEASURE:EDGES",
        help="orientation (frontal, three-quarter, side), or a measure and edges: yaw:-90,-20,20,90 (default: "
        "%(default)s)",
    )  # fmt: skip
    split.add_argument(
        "--edges", type=faces_commands.edges, metavar="D,D",
        help="orientation: degrees of yaw, to either side, where three-quarter and side begin (20,50)",
    )  # fmt: skip
    split.add_argument("-o", "--output", type=_named, required=True, metavar="FOLDER", help="the folder of the sets")

    review = action(
        "review", "look through a set in the browser: filter, sort, drop, restore, correct an alignment, see the frame",
        epilog="Opens a page that only this machine can see; ? in it shows the keys, Ctrl-C in the terminal ends it.",
    )  # fmt: skip
    review.add_argument(
        "others",
        nargs="*",
        type=Path,
        metavar="OTHER_SET",
        help="sets of other people in the same clip, to move faces to",
    )
    review.add_argument("--port", type=faces_commands.port, metavar="N", help="of the page (default: any that is free)")
    review.add_argument("--no-browser", action="store_true", help="print the address only")

    pick = action("pick", "a new set of the best N faces, spread evenly over pose, expression and light")
    pick.add_argument("count", type=int, metavar="N", help="how many")
    pick.add_argument("-o", "--output", type=_named, required=True, metavar="NEW", help="the new set's folder")

    merge = _command(actions, "merge", faces_commands.faces, "several sets of one person into a new one; they stay")
    merge.add_argument("sets", type=Path, nargs="+", metavar="FACES", help="face sets made under one consent record")
    merge.add_argument("-o", "--output", type=_named, required=True, metavar="NEW", help="the new set's folder")
    merge.add_argument(
        "--same-person", type=float, default=0.6, metavar="D",
        help="distance of mean identities under which two sets are one person's (default: %(default)g)",
    )  # fmt: skip


def _consent_command(verbs: Any) -> None:
    consent = _command(verbs, "consent", commands.consent, "who agreed: records of a project, and taking them back")
    actions = consent.add_subparsers(title="actions", required=True, metavar="ACTION", dest="action")
    new = actions.add_parser("new", help="write a record; what is not given is asked for")
    new.add_argument("--person", metavar="NAME", help="name or pseudonym of the person shown")
    new.add_argument("--basis", metavar="TEXT", help="what it rests on: signed release, own face, court order ...")
    new.add_argument("--date", metavar="YYYY-MM-DD", help="the day it was given (asked for; default: today)")
    new.add_argument("--given-by", default="", metavar="NAME", help="who gave it, where not the person shown")
    new.add_argument("--scope", default="", metavar="TEXT", help="which project, which uses")
    new.add_argument("--expires", metavar="YYYY-MM-DD", help="the first day it no longer holds")
    new.add_argument("--document", type=Path, metavar="FILE", help="what it stands in: hashed, not copied")
    new.add_argument(
        "--face", type=Path, metavar="PICTURE", help="bind it to this face: footage of anyone else is then refused"
    )
    shown = actions.add_parser("list", help="the records, whether they hold, and how many outputs name them")
    revoke = actions.add_parser("revoke", help="take a consent back; models made under it refuse from then on")
    revoke.add_argument("who", metavar="ID|NAME", help="id of a record, or a person of the project's records")
    revoke.add_argument("--reason", default="", metavar="TEXT")
    for action in (new, shown, revoke):
        action.add_argument(
            "-f", "--file", type=Path, default=Path("consent.toml"), metavar="FILE",
            help="the project's records (default: %(default)s here)",
        )  # fmt: skip


def _named(text: str) -> Path:
    path = Path(text)
    if path.name in ("", ".."):
        raise argparse.ArgumentTypeError(f"{text!r} has no name; name the file or folder to be made")
    return path


def _command(
    verbs: Any, name: str, run: Callable[..., Any], text: str, example: str | None = None
) -> argparse.ArgumentParser:
    epilog = f"Example: facedouble {name} {example}" if example else None
    command: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog
    )
    command.set_defaults(run=run, training=False)
    return command


def _extract_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("extraction")
    group.add_argument(
        "--crop-size", type=int, default=0, metavar="PX",
        help="side of the crops (default: 256 to 512, so that faces are as large as in the footage)",
    )  # fmt: skip
    group.add_argument(
        "--coverage", type=float, default=2.0, metavar="N",
        help="face squares (brow end to brow end) across a crop; the classic crop is 1.6 (default: %(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--every", type=int, default=1, metavar="N", help="a crop of every n-th face (default: %(default)s)"
    )
    group.add_argument(
        "--people", type=int, default=4, metavar="N", help="looked for in one frame (default: %(default)s)"
    )
    group.add_argument(
        "--min-face", type=int, default=24, metavar="PX",
        help="leave out faces narrower than this in the frame (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--same-person", type=float, default=0.6, metavar="D",
        help="distance of identities under which two faces are one person's; lower keeps fewer (default: %(default)g)",
    )  # fmt: skip


def _beginning(text: str) -> str | Path:
    return text if text in ("scratch", "bundled") else Path(text)


def _train_options(command: argparse.ArgumentParser, minutes: float | None) -> None:
    group = command.add_argument_group("training (ends at the first of these; with none, at Ctrl-C)")
    said = "" if minutes is None else f" (default: {minutes:g})"
    group.add_argument("--minutes", type=float, help=f"of training in all{said}")
    group.add_argument("--steps", type=int, help="in all")
    group.add_argument("--until", choices=["plateau"], help="when going on hardly pays any more")
    command.set_defaults(default_minutes=minutes)
    _model_options(command)


def _model_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("model")
    group.add_argument(
        "--preset", choices=PRESETS,
        help="compact (96 px, the default); standard, which draws twice as fine; for a GPU of 2, 8 or 24 GB small (128 "
        "px), large (256 px) or studio (512 px); or the classic 64 px network",
    )  # fmt: skip
    group.add_argument("--size", type=int, metavar="PX", help="side of the network's picture")
    group.add_argument("--model-coverage", type=float, metavar="N", help="face squares across that picture")
    group.add_argument("--widths", metavar="N,N,...", help='channels of each level, fine to coarse ("nodes", "layers")')
    group.add_argument("--detail", type=int, metavar="N", help="times finer than the encoder looks: 1, 2 or 4")
    group.add_argument("--latent", type=int, metavar="N", help="numbers in the face code")
    group.add_argument(
        "--batch", metavar="N|N@STEP,...",
        help="faces of each side in a step, or a schedule: 8@0,16@2000,64@8000; may change when training goes on",
    )  # fmt: skip
    group.add_argument(
        "--accumulate", type=int, metavar="N",
        help="compute a batch in N parts: the same learning in less memory (by itself where memory runs out)",
    )  # fmt: skip
    group.add_argument(
        "--learning-rate", type=_rate, metavar="R|find",
        help="highest step size of the optimizer; find: the one that suits a new model and its faces, by a hundred "
        "steps that are thrown away",
    )  # fmt: skip
    group.add_argument(
        "--decay", choices=["cosine", "constant"],
        help="of the learning rate: cosine, down to the end of --minutes or --steps (default), or none",
    )  # fmt: skip
    group.add_argument(
        "--specialists", choices=["none", "orientation"],
        help="orientation: half of the budget goes into a model of all angles, half into one each for faces that look "
        "ahead, partly aside and aside; convert takes the one that fits (default: none)",
    )  # fmt: skip
    group.add_argument(
        "--degrade", type=float, metavar="PART",
        help="of the faces shown, 0 to 1, made blurred, noisy and blocky: for footage worse than the face sets (0)",
    )  # fmt: skip
    group.add_argument("--seed", type=int, metavar="N", help="of all chance")
    group.add_argument("--save-every", type=float, metavar="S", help="seconds between checkpoints (120)")
    group.add_argument("--score-every", type=float, metavar="S", help="seconds between scores and previews (60)")


def _rate(text: str) -> float | str:
    try:
        return text if text == "find" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor find") from None


def _mixing_options(group: Any) -> None:
    group.add_argument(
        "--colour", default="light", choices=["light", "reinhard", "mkl", "histogram", "none"],
        help="how the face is brought to the plate: light gives it the plate's light and shadows and its own "
        "detail; the others match skin alone, by mean and spread (reinhard), covariance or whole distribution "
        "(default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--blend", default="multiband", choices=["multiband", "poisson", "plain"], help="default: %(default)s"
    )
    group.add_argument(
        "--occlusion", default="keep", choices=["keep", "cover"],
        help="hands, hair and the like before the face: keep them there, or cover them (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--mouth", default="keep", choices=["keep", "draw"],
        help="what is seen in an open mouth: the target's own teeth and tongue, or what the network draws (default: "
        "%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--eyes", default="keep", choices=["keep", "draw"],
        help="the lights of the target's own eyes in the source's colours, or what the network draws (default: "
        "%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--outline", default="move", choices=["move", "keep"],
        help="jaw, cheeks and forehead of the target's head: move them, and what is close by, to where the source's "
        "face has them, or keep them (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--fit", default="sharpen", choices=["sharpen", "reduce", "none"],
        help="where the face comes out smoother than the picture around it: give it the source's own fine eyes, brows, "
        "nose, lips and skin, and where it comes out crisper, soften it (sharpen); besides make the clip smaller, "
        "until faces are as tall as --face-px; or leave it (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--face-px", type=int, default=256, metavar="PX",
        help="how tall faces become, forehead to chin, with --fit reduce (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--grain", default="keep", choices=["keep", "none"],
        help="the plate's grain on the new face too, or none (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--checkpoint", default="newest", metavar="WHICH",
        help="of the model: newest, best (whose swap was healthiest while it trained), or a step (default: "
        "%(default)s)",
    )  # fmt: skip


def _convert_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("output")
    group.add_argument("--codec", default="h264", choices=["h264", "h265", "ffv1"], help="default: %(default)s")
    group.add_argument(
        "--crf", type=int, metavar="N", help="encoder quality, lower is better (default: visually lossless)"
    )
    group.add_argument(
        "--encoder", default="software", metavar="NAME",
        help="software; auto: the machine's own chip, where one opens; or one by FFmpeg's name, such as h264_nvenc "
        "(default: %(default)s)",
    )  # fmt: skip
    _mixing_options(group)
    group.add_argument(
        "--label", default="none", nargs="?", const="whole", choices=["none", "start", "whole"],
        help='a visible "AI modified" in the picture: the first 5 seconds (start) or all the time (whole, as --label '
        "alone); the credential is made in any case (default: %(default)s)",
    )  # fmt: skip


def _machine_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("machine")
    group.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"], help="default: %(default)s")
    group.add_argument("--workers", type=int, metavar="N", help="frames worked on side by side (default: one a core)")


def _demo(options: argparse.Namespace, stopped: Flag) -> int:
    for name, value in vars(_parser().parse_args(["swap", "A", "B", "-o", "out.mp4"])).items():
        if not hasattr(options, name):
            setattr(options, name, value)
    return commands.demo(options, stopped)


if __name__ == "__main__":
    run()
