"""What `facedouble faces ...` does: putting a face set in order.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from .commands import _listen, _workers
from .errors import FaceError, InputError

if TYPE_CHECKING:
    from .curate.faceset import FaceSet
    from .curate.quality import Quality

ORDERS = (
    "frame", "yaw", "pitch", "roll", "size", "sharpness", "brightness", "contrast", "hue", "inside", "away",
    "expression", "mouth-open", "eyes-closed", "similarity", "duplicates",
)  # fmt: skip
"""those of curate.order, said again since that may not be imported to show --help"""
_BAR = 40
_BIN_DEGREES = 10


def faces(options: argparse.Namespace, _stopped: Flag) -> None:
    {
        "list": _list, "sort": _sort, "prune": _prune, "restore": _restore, "split": _split, "pick": _pick,
        "sheet": _sheet, "merge": _merge, "review": _review,
    }[options.action](options)  # fmt: skip


def _open(path: Path) -> FaceSet:
    """The set, after what an earlier command left half done was brought to its end or undone."""
    import datetime as dt

    from .curate import aside, give
    from .curate.faceset import FaceSet
    from .provenance import consent

    if give.recover(path):
        _say(f"{path}: an earlier command was stopped while it changed the set; that is brought to its end now")
    found = FaceSet.load(path)
    consent.check(found.consent, dt.date.today())
    if moved := aside.recover(found.path):
        _say(f"{found.path}: an earlier command was stopped while it moved pictures; {moved} were put back")
    return found


def _measured(options: argparse.Namespace) -> tuple[FaceSet, Quality]:
    from .curate.quality import measure

    opened = _open(options.faces)
    quality = _listen(measure(opened, _workers(options)), options)
    if not len(quality.rows()) and options.action not in ("list", "review"):
        raise FaceError(f"{opened.path}: holds no pictures. See: facedouble faces list {opened.path}")
    return opened, quality


def _list(options: argparse.Namespace) -> None:
    from .console import print_table
    from .curate import aside
    from .curate.quality import MEASURES

    opened, quality = _measured(options)
    rows = quality.rows()
    put_aside = aside.counts(opened.path)
    ranges = {name: _range(quality.column(name)[rows]) for name in MEASURES}
    if options.json:
        record = {
            "person": opened.person,
            "consent": opened.consent.id,
            "sources": [
                {"path": source.path, "frames": source.frames, "faces": count}
                for source, count in zip(opened.sources, _counts(opened), strict=True)
            ],
            "faces": len(opened),
            "pictures": len(rows),
            "aside": put_aside,
            "measures": {name: found | {"unit": MEASURES[name].unit} for name, found in ranges.items() if found},
        }
        print(json.dumps(record, indent=2))
        return
    print(f"person:   {opened.person} (consent {opened.consent.id})")
    for source, count in zip(opened.sources, _counts(opened), strict=True):
        print(f"source:   {source.path}, {count} faces in {source.frames} frames")
    print(f"pictures: {len(rows)} of {len(opened)} faces, {opened.recipe.size_px} px")
    print(f"aside:    {', '.join(f'{count} {reason}' for reason, count in put_aside.items()) or 'none'}")
    if not len(rows):
        return
    lines = [
        (name, *(f"{found[part]:.4g}" for part in ("least", "5%", "median", "95%", "most")), MEASURES[name].unit,
         MEASURES[name].text)
        for name, found in ranges.items() if found
    ]  # fmt: skip
    print()
    print_table(("measure", "least", "5%", "median", "95%", "most", "", ""), lines)
    for name in ("yaw", "pitch"):
        print(f"\n{name}, degrees")
        print("\n".join(_histogram(quality.column(name)[rows])))


def _counts(opened: FaceSet) -> list[int]:
    """Faces of each source, with a picture or without."""
    return [int((opened.source == number).sum()) for number in range(len(opened.sources))]


def _range(values: Any) -> dict[str, float]:
    """Of the known values; empty where there are none."""
    import numpy as np

    known = values[~np.isnan(values)]
    names = {"least": 0, "5%": 5, "median": 50, "95%": 95, "most": 100}
    return {name: round(float(np.percentile(known, part)), 4) for name, part in names.items()} if len(known) else {}


def _histogram(degrees: Any) -> list[str]:
    """A line for each ten degrees, from the least to the most."""
    import numpy as np

    place = np.floor(degrees / _BIN_DEGREES).astype(int)
    counts = np.bincount(place - place.min())
    return [
        f"{low:4d} to {low + _BIN_DEGREES:3d} {'#' * -(-count * _BAR // counts.max()):{_BAR}} {count}"
        for low, count in zip(range(place.min() * _BIN_DEGREES, 360, _BIN_DEGREES), counts.tolist(), strict=False)
    ]


def _sort(options: argparse.Namespace) -> None:
    from .curate.order import rename

    opened, found = _ordered(options)
    done = rename(opened, found)
    print(f"{opened.path / 'crops'}: {len(found.rows)} crops by {options.by}, {done} renamed")


def _ordered(options: argparse.Namespace) -> tuple[FaceSet, Any]:
    from dataclasses import replace

    from .curate.order import order
    from .curate.similar import DUPLICATE

    if (options.by == "similarity") != (options.to is not None):
        raise InputError("--by similarity and --to PICTURE go together: to which face?")
    opened, quality = _measured(options)
    found = order(opened, quality, options.by, options.to, DUPLICATE)
    return opened, replace(found, rows=found.rows[::-1], labels=found.labels[::-1]) if options.reverse else found


def _prune(options: argparse.Namespace) -> None:
    from .curate import aside, prune
    from .curate.sheet import sheet
    from .project import save_png
    from .recipes import MINIMUM_FACES

    asked = {name: getattr(options, name.replace("-", "_")) for name in prune.REASONS}
    limits = {name: None if value is True else value for name, value in asked.items() if value is not None}
    opened, quality = _measured(options)
    doomed = prune.choose(quality, limits or {name: None for name, reason in prune.REASONS.items() if reason.usual})
    pictures = opened.pictures()
    names = {reason: [pictures[int(row)] for row in found.rows] for reason, found in doomed.items()}
    count = sum(map(len, names.values()))
    picture = opened.path / "prune.png"
    if count:
        save_png(picture, sheet(opened, prune.sections(opened, doomed)))
    if options.apply:
        aside.put_aside(opened.path, names)
    if options.json:
        record = {
            reason: {"limit": found.limit, "count": len(found.rows), "pictures": names[reason],
                     "values": [round(float(value), 4) for value in found.values]}
            for reason, found in doomed.items()
        }  # fmt: skip
        print(json.dumps({"applied": options.apply, "stay": len(pictures) - count, "reasons": record}, indent=2))
        return
    _print_doomed(doomed)
    if not count:
        print(f"nothing to put aside; all {len(pictures)} pictures stay")
        return
    print(f"look at them: {picture}")
    if options.apply:
        print(f"{count} put aside in {opened.path / 'aside'}, {len(pictures) - count} stay. Undo: facedouble faces "
              f"restore {opened.path} --last")  # fmt: skip
    else:
        print(f"{count} would go, {len(pictures) - count} would stay. Nothing was moved; to do it, add --apply")
    if len(pictures) - count < MINIMUM_FACES:
        _say(f"{opened.path}: training needs {MINIMUM_FACES} faces or more")


def _print_doomed(doomed: Mapping[str, Any]) -> None:
    from .console import print_table
    from .curate.prune import REASONS

    rows = [
        (reason, str(len(found.rows)), f"{REASONS[reason].text}: {found.limit:.4g}") for reason, found in doomed.items()
    ]
    print_table(("reason", "faces", ""), rows)


def _restore(options: argparse.Namespace) -> None:
    from .curate import aside

    opened = _open(options.faces)
    known = aside.counts(opened.path)
    if options.reason is not None and options.reason not in known:
        raise InputError(
            f"{opened.path}: nothing is aside for {options.reason!r}. Aside: {', '.join(known) or 'nothing at all'}."
        )
    count = aside.restore(opened.path, options.reason, options.last)
    print(f"{opened.path}: {count} pictures put back, {sum(known.values()) - count} still aside")


def _split(options: argparse.Namespace) -> None:
    from .curate import part
    from .curate.subset import subsets
    from .recipes import MINIMUM_FACES

    if options.edges is not None and options.by != "orientation":
        raise InputError("--edges is of --by orientation; of a measure write them with it: --by yaw:-90,-20,20,90")
    opened, quality = _measured(options)
    if options.by == "orientation":
        parts = part.orientations(quality, options.edges or part.ORIENTATION_EDGES)
    else:
        parts = part.bins(quality, options.by)
    full = {name: rows for name, rows in parts.items() if len(rows)}
    left = len(quality.rows()) - sum(map(len, full.values()))
    if not full:
        raise InputError(f"--by {options.by}: none of the {len(quality.rows())} faces lies between these edges.")
    subsets(opened, full, options.output)
    for name, rows in parts.items():
        text = "none, so no set" if name not in full else f"{len(rows)} faces: {options.output / name}"
        print(f"{name}: {text}{f' (training needs {MINIMUM_FACES})' if 0 < len(rows) < MINIMUM_FACES else ''}")
    if left:
        _say(f"{left} faces lie outside these edges and are in none of the sets")


def _pick(options: argparse.Namespace) -> None:
    from .curate import part
    from .curate.subset import subset
    from .footage import spread

    opened, quality = _measured(options)
    rows = quality.rows()
    picked = _listen(part.pick(opened, quality, options.count), options)
    subset(opened, picked, options.output)
    even = rows[spread(len(rows), options.count)]
    reached, evenly = (part.reach(opened, quality, rows, chosen) for chosen in (picked, even))
    print(f"{options.output}: {len(picked)} of {len(rows)} faces")
    print(
        f"a face of the set is {reached.mean():.3f} from the nearest picked one, at most {reached.max():.3f}; every "
        f"n-th frame: {evenly.mean():.3f}, {evenly.max():.3f} (in the set's spreads of pose, expression and light)"
    )


def _sheet(options: argparse.Namespace) -> None:
    from .curate.sheet import Section, sheet
    from .footage import spread
    from .project import save_png

    if options.count < 1:
        raise InputError(f"--count {options.count}: expected 1 or more.")
    opened, found = _ordered(options)
    places = spread(len(found.rows), options.count)
    rows = [int(row) for row in found.rows[places]]
    captions = [f"{opened.crop[row].removesuffix('.png')} {found.labels[place].removeprefix(options.by)}"
                for row, place in zip(rows, places, strict=True)]  # fmt: skip
    title = f"{opened.person}, {opened.path.name}: {len(rows)} of {len(found.rows)} faces by {options.by}"
    out = options.output or opened.path / "sheet.png"
    save_png(out, sheet(opened, [Section(title, rows, captions)]))
    print(out)


def _review(options: argparse.Namespace) -> None:
    import webbrowser

    from .review.desk import Desk
    from .review.server import address, listen, new_token, server_of

    with listen(options.port) as listening:
        opened, _ = _measured(options)
        others = [_open(path) for path in options.others]
        token = new_token()
        url = address(listening, token)
        server = server_of(Desk(opened, others), listening.getsockname()[1], token)
        print(f"look through {opened.path} at {url}\nCtrl-C here ends it; what was done is kept", flush=True)
        if not options.no_browser and _has_screen():
            webbrowser.open(url)
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # how it is meant to end
            print("ended")


def _has_screen() -> bool:
    # Without one, Python would start a browser of the terminal, and wait for its end.
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _merge(options: argparse.Namespace) -> None:
    from .curate.merge import merge

    sets = [_open(path) for path in options.sets]
    merged = merge(sets, options.output, options.same_person)
    again = sum(map(len, sets)) - len(merged)
    print(
        f"{options.output}: {len(merged.rows_with_crops())} faces of {merged.person} from {len(merged.sources)} sources"
        f"{f'; {again} frames that several sets have were taken once' if again else ''}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def edges(text: str) -> tuple[float, float]:
    """Two ascending degrees, of --edges."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low < high:
        raise argparse.ArgumentTypeError(f"{text!r}: expected two ascending degrees over 0, such as 20,50")
    return low, high


def limit(text: str) -> float:
    """A threshold of prune."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number; write the face set's folder before the options"
        ) from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 0 or more")
    return value


def port(text: str) -> int:
    """Of a page on this machine."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 to 65535")
    return int(text)
