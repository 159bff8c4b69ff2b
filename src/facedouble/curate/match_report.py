"""What a person reads of a pair before training: one HTML page with verdicts, advice and pictures, and the same as
JSON."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..footage import spread
from ..geometry import FACE_OVAL, INNER_LIPS, LEFT_BROW, LEFT_EYE, LIPS, RIGHT_BROW, RIGHT_EYE
from ..project import atomic_file, save_json, without_nan
from .appearance import shading
from .aside import WRONG_PERSON
from .compare import ACTIONS, BEYOND, STEEP_DEG, Comparison, Side, ita
from .match import Match, missing_actions
from .prune import REASONS
from .sheet import Section, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _RED = "#1f4e79", "#c55a11", "#d62728"
_COLOURS = (_BLUE, _ORANGE)
_ACROSS, _ACTIONS_SHOWN = 8, 4

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    name: str
    """of the file"""
    text: str
    content: bytes
    """a PNG"""
    titled: bool = False
    """whether the picture says its text itself"""

    @property
    def base64(self) -> str:
        return base64.b64encode(self.content).decode()


def write(folder: Path, match: Match, found: Comparison) -> Path:
    """Write report.html (self-contained), report.json and pictures/*.png into `folder`; returns the page. Raises
    OutputError."""
    import jinja2

    people = [side.faces.person for side in (found.a, found.b)]
    faces = [_overview(side, name) for side, name in zip((found.a, found.b), "AB", strict=True)]
    by_name = {one.measure: one for one in match.findings}
    sections = [(name, [by_name[one] for one in measures], draw(found)) for name, measures, draw in _SECTIONS]
    for shown in [*faces, *(picture for _, _, pictures in sections for picture in pictures)]:
        with atomic_file(folder / "pictures" / f"{shown.name}.png") as temporary:
            temporary.write_bytes(shown.content)
    template = _environment(jinja2).get_template("match.html")
    page = template.render(
        title=f"{people[1]}'s face on {people[0]}?",
        looked=" ".join(
            f"{name}: {side.faces.person}, {len(side)} of {len(side.quality.rows())} faces looked at."
            for name, side in (("A", found.a), ("B", found.b))
        ),
        match=match,
        command=f"facedouble train {found.a.faces.path} {found.b.faces.path} -o model {' '.join(match.recommended)}",
        faces=faces,
        sections=sections,
    )  # fmt: skip
    save_json(folder / "report.json", as_json(match, found))
    with atomic_file(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / "report.html"


def as_json(match: Match, found: Comparison) -> dict[str, Any]:
    """The answer without pictures."""
    sides = (found.a, found.b)
    record: dict[str, Any] = {
        "a": str(found.a.faces.path), "b": str(found.b.faces.path), "people": [side.faces.person for side in sides],
        "faces": [[len(side), len(side.quality.rows())] for side in sides], **asdict(match),
        "values": found.values, "light": [lamp.tolist() for lamp in found.lamps],
        "expressions_missing": dict(zip(ACTIONS, found.acting_missing.mean(0).tolist(), strict=True)),
        "strangers": [
            [side.faces.crop[row] for row in rows] for side, rows in zip(sides, found.strangers, strict=True)
        ],
    }  # fmt: skip
    plain: dict[str, Any] = without_nan(record)
    return plain


def _environment(jinja2: Any) -> Any:
    return jinja2.Environment(loader=jinja2.PackageLoader("facedouble", "curate"), autoescape=True)


# --- pictures of faces ----------------------------------------------------------------------------------------------


def _even(side: Side, count: int = _ACROSS) -> NDArray[np.int64]:
    """Table rows spread evenly over what was looked at."""
    return np.asarray(side.seen.row[spread(len(side), count)])


def _faces(name: str, side: Side, title: str, rows: Sequence[int] | NDArray[np.int64], captions: list[str]) -> Shown:
    """Table rows' crops side by side under a title."""
    section = Section(title, [int(row) for row in rows], captions)
    return Shown(name, title, png(sheet(side.faces, [section], _ACROSS)), titled=True)


def _overview(side: Side, name: str) -> Shown:
    rows = _even(side)
    captions = [f"frame {frame}" for frame in side.faces.faces.frame[rows]]
    title = f"{name}: {side.faces.person}, evenly spread over the set"
    return _faces(f"faces-{name.lower()}", side, title, rows, captions)


def _worst_apart(side: Side, badness: NDArray[np.float64], count: int = _ACROSS) -> NDArray[np.int64]:
    """Places in `seen` of the highest `badness` (n,) over 0, no two from the same twentieth of the set."""
    apart = max(1, len(side) // 20)
    chosen: list[int] = []
    for place in np.argsort(-np.nan_to_num(badness), kind="stable"):
        if len(chosen) == count or not badness[place] > 0:
            break
        if all(abs(int(place) - other) >= apart for other in chosen):
            chosen.append(int(place))
    return np.array(chosen, np.int64)


def png(picture: Picture) -> bytes:
    """(H, W, 3) RGB as a PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="png")
    return content.getvalue()


def _drawn(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()


def _axes(count: int, width: float = 9, height: float = 3.4) -> tuple[Any, Sequence[Any]]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.12))
    axes = figure.subplots(1, count)
    return figure, axes if count > 1 else [axes]


# --- one section each -----------------------------------------------------------------------------------------------


def _angles(found: Comparison) -> list[Shown]:
    figure, (axes,) = _axes(1, 7, 4.6)
    missing = found.angles_missing
    axes.scatter(*found.b.angles.T, s=10, color=_ORANGE, alpha=0.4, label="B", linewidths=0)
    axes.scatter(*found.a.angles[~missing].T, s=7, color=_BLUE, alpha=0.5, label="A, shown by B as well", linewidths=0)
    if missing.any():
        axes.scatter(*found.a.angles[missing].T, s=12, color=_RED, label="A, never shown by B", linewidths=0)
    for bound in (-STEEP_DEG, STEEP_DEG):
        axes.axvline(bound, color="#999", linestyle=":", linewidth=1)
    reach = max(45.0, float(np.abs(np.vstack([found.a.angles, found.b.angles])).max()) + 3)
    axes.set(xlim=(-reach, reach), ylim=(-max(30.0, 0.7 * reach), max(30.0, 0.7 * reach)))
    axes.set(xlabel="yaw, degrees (to the picture's right)", ylabel="pitch, degrees (up)")
    axes.legend(loc="upper right", fontsize=8, markerscale=2)
    pictures = [
        Shown(
            "angles", "Where both heads turn. Dotted: 40 degrees, beyond which the far side stays A's.", _drawn(figure)
        )
    ]
    places = _worst_apart(found.a, missing * (1 + np.linalg.norm(found.a.angles, axis=1)))
    if len(places):
        captions = [f"yaw {yaw:+.0f}, pitch {pitch:+.0f}" for yaw, pitch in found.a.angles[places]]
        title = "Faces of A from sides that B never shows"
        pictures.append(_faces("angles-missing", found.a, title, found.a.seen.row[places], captions))
    return pictures


def _expressions(found: Comparison) -> list[Shown]:
    figure, (axes,) = _axes(1, 9, 4.8)
    names, place = list(ACTIONS), np.arange(len(ACTIONS))
    missing = found.acting_missing.mean(0)
    for offset, side, colour, name in ((-0.2, found.a, _BLUE, "A"), (0.2, found.b, _ORANGE, "B")):
        axes.barh(place + offset, side.shown, 0.36, color=colour, label=f"{name}: as far as it goes")
    axes.plot(found.b.shown + BEYOND, place + 0.2, "|", color="#555", markersize=9, label="where B's counts as enough")
    for row, share in enumerate(missing):
        if share > 0.005:
            text = f"missing in {share:.0%}"
            axes.text(
                max(found.a.shown[row], found.b.shown[row] + BEYOND) + 0.02,
                row,
                text,
                color=_RED,
                va="center",
                fontsize=8,
            )
    axes.set_yticks(place, names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.3), xlabel="strength, counted from each person's own rest")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    pictures = [Shown("expressions", "How far each expression goes on both sides.", _drawn(figure))]
    sections = []
    for name, share in missing_actions(found)[:_ACTIONS_SHOWN]:
        column = list(ACTIONS).index(name)
        strength = found.a.acting[:, column]
        places = _worst_apart(found.a, strength * found.acting_missing[:, column])
        title = f"{name}: beyond B's {found.b.shown[column]:.2f} in {share:.0%} of A's faces"
        sections.append(
            Section(title, found.a.seen.row[places].tolist(), [f"{value:.2f}" for value in strength[places]])
        )
    if sections:
        text = "Faces of A that outdo B the most, in what A does most often and B never."
        pictures.append(Shown("expressions-missing", text, png(sheet(found.a.faces, sections, _ACROSS))))
    return pictures


def _light(found: Comparison) -> list[Shown]:
    figure, axes = _axes(3, 9, 3.3)
    for side, lamp, colour, name in zip((found.a, found.b), found.lamps, _COLOURS, "AB", strict=True):
        axes[0].scatter(side.seen.light[:, 0], side.seen.light[:, 1], s=6, color=colour, alpha=0.35, linewidths=0)
        axes[0].scatter(*lamp[:2], s=200, marker="*", color=colour, edgecolor="black", label=name, zorder=3)
    axes[0].add_patch(_circle())
    axes[0].set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", title="towards the main lamp")
    axes[0].set(xlabel="left - right of the picture", ylabel="below - above")
    axes[0].legend(fontsize=8, loc="lower left")
    for area, lamp, name in zip(axes[1:], found.lamps, "AB", strict=True):
        area.imshow(ball(lamp), cmap="gray", vmin=0, vmax=1)
        area.set_title(f"a white ball in {name}'s light")
        area.set_axis_off()
    means = np.hstack([_mean_face(side) for side in (found.a, found.b)])
    return [
        Shown("light", "Main lamps: in the middle from the camera, at the rim hard from the side. Stars: the mean.",
              _drawn(figure)),
        Shown("light-faces", "The mean face of A and of B.", png(means)),
    ]  # fmt: skip


def _circle() -> Any:
    from matplotlib.patches import Circle

    return Circle((0, 0), 1, fill=False, color="#bbb")


def ball(lamp: NDArray[Any], side_px: int = 480) -> NDArray[np.float64]:
    """(side, side) 0..1: how a white ball looks in a light (3,), see Appearance.light; white around it."""
    y, x = np.mgrid[1 : -1 : side_px * 1j, -1 : 1 : side_px * 1j]
    inside = x**2 + y**2 < 0.95
    normals = np.stack([x, y, np.sqrt(np.maximum(0.95 - x**2 - y**2, 0))], -1).reshape(-1, 3)
    bright = shading(np.asarray(lamp, np.float64), normals).reshape(x.shape)
    return np.asarray(np.where(inside, np.clip(bright, 0, 1) ** (1 / 2.2), 1))


def _mean_face(side: Side) -> Picture:
    crops = [side.faces.read_crop(int(row)).astype(np.float32) for row in _even(side, 40)]
    import cv2

    return np.asarray(cv2.resize(np.mean(crops, axis=0), (200, 200), interpolation=cv2.INTER_AREA), np.uint8)


def _skin(found: Comparison) -> list[Shown]:
    import cv2

    figure, axes = _axes(3, 9, 3.2)
    swatches = []
    for side, colour, name in zip((found.a, found.b), _COLOURS, "AB", strict=True):
        skin = side.seen.skin[np.isfinite(side.seen.skin).all(1)]
        axes[0].hist([ita(one) for one in skin], bins=np.arange(-60, 91, 3), color=colour, alpha=0.6, label=name)
        axes[1].scatter(skin[:, 1], skin[:, 2], s=6, color=colour, alpha=0.4, linewidths=0)
        mean = skin.mean(0) if len(skin) else np.array([0, 0, 0], np.float32)
        swatches.append(np.clip(cv2.cvtColor(mean[None, None].astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1))
    axes[0].set(title="tone", xlabel="ITA, degrees (light to the right)", ylabel="faces")
    axes[0].legend(fontsize=8, loc="upper left")
    axes[1].set(title="hue", xlabel="a* (red)", ylabel="b* (yellow)", aspect="equal", adjustable="datalim")
    axes[2].imshow(np.concatenate(swatches, 1))
    axes[2].set(title="mean of the lit skin, as filmed", xticks=(0, 1), xticklabels=("A", "B"), yticks=())
    return [Shown("skin", "Skin in the light, off shadow and shine.", _drawn(figure))]


def _shape(found: Comparison) -> list[Shown]:
    if math.isnan(found.values["shape"]):
        return []
    figure, (axes,) = _axes(1, 5, 4.8)
    for shape, colour, name in zip(found.shapes, _COLOURS, "AB", strict=True):
        for ring in (FACE_OVAL, LEFT_EYE, RIGHT_EYE, LIPS, INNER_LIPS):
            axes.plot(
                *shape[[*ring, ring[0]]].T, color=colour, linewidth=1.2, label=name if ring is FACE_OVAL else None
            )
        for brow in (LEFT_BROW, RIGHT_BROW):
            axes.plot(*shape[brow[:5]].T, color=colour, linewidth=1.2)
        axes.plot(*shape[[168, 6, 197, 195, 5, 4]].T, color=colour, linewidth=1.2)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.legend(fontsize=9, loc="upper right")
    return [
        Shown(
            "shape",
            "The calm faces from straight ahead, B's laid onto A's at its best (size left out).",
            _drawn(figure),
        )
    ]


def _fineness(found: Comparison) -> list[Shown]:
    import cv2

    figure, axes = _axes(2, 9, 3)
    network = found.recipe.size_px / found.recipe.coverage
    sides = (found.a, found.b)
    top = max(float(side.square_px.max()) for side in sides) * 1.05
    for side, colour, name in zip(sides, _COLOURS, "AB", strict=True):
        axes[0].hist(side.square_px, bins=np.linspace(0, top, 40).tolist(), color=colour, alpha=0.6, label=name)
        axes[1].hist(side.seen.detail, bins=np.linspace(0, 1.6, 40).tolist(), color=colour, alpha=0.6, label=name)
    axes[0].axvline(network, color="#333", linestyle="--", linewidth=1, label=f"the network's {network:.0f} px")
    axes[0].set(xlabel="brow end to brow end in the frame, px", ylabel="faces")
    axes[1].set(xlabel="detail in the finest octave the network sees")
    axes[0].legend(fontsize=8, loc="upper left")
    shown = []
    for side in sides:
        middle = int(np.argsort(side.seen.detail)[len(side) // 2])
        crop = side.faces.read_crop(int(side.seen.row[middle]))
        small = round(network * side.faces.recipe.coverage)
        seen = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
        shown += [cv2.resize(one, (220, 220), interpolation=cv2.INTER_LINEAR) for one in (crop, seen)]
    return [
        Shown("fineness", f"Size and sharpness. Dashed: what a network of {found.recipe.size_px} px can show.",
              _drawn(figure)),
        Shown("fineness-faces", "A face of A, and as the network sees it; the same of B.", png(np.hstack(shown))),
    ]  # fmt: skip


def _unlike(found: Comparison) -> list[Shown]:
    pictures = []
    for side, name in zip((found.a, found.b), "AB", strict=True):
        unlike = side.unlike()
        places = _worst_apart(side, unlike)
        if len(places):
            title = f"{name}: faces whose skin is least like that of its others (mean CIELAB difference)"
            captions = [f"{value:.1f}" for value in unlike[places]]
            pictures.append(_faces(f"unlike-{name.lower()}", side, title, side.seen.row[places], captions))
    return pictures


def _variety(found: Comparison) -> list[Shown]:
    figure, axes = _axes(2, 9, 3)
    sides = (found.a, found.b)
    limit = REASONS[WRONG_PERSON].limit
    assert limit is not None
    for side, distinct, colour, name in zip(sides, found.distinct, _COLOURS, "AB", strict=True):
        rows, away = side.quality.rows(), side.quality.away
        axes[0].plot(np.arange(1, len(rows) + 1), np.isin(rows, distinct).cumsum(), color=colour, label=name)
        axes[1].hist(away[~np.isnan(away)], bins=np.linspace(0, 1, 41).tolist(), color=colour, alpha=0.6, label=name)
    longest = max(len(side.quality.rows()) for side in sides)
    axes[0].plot([0, longest], [0, longest], color="#999", linestyle=":", label="every face distinct")
    axes[0].set(xlabel="faces, in the set's order", ylabel="distinct ones among them")
    axes[1].axvline(limit, color="#333", linestyle="--", linewidth=1)
    axes[1].set(xlabel="identity distance from the set's middle", ylabel="faces")
    for area, place in zip(axes, ("upper left", "upper right"), strict=True):
        area.legend(fontsize=8, loc=place)
    text = "Left: a line that flattens repeats itself. Right: beyond the dashed line is somebody else."
    pictures = [Shown("variety", text, _drawn(figure))]
    for side, rows, name in zip(sides, found.strangers, "AB", strict=True):
        if len(rows):
            shown = rows[: 2 * _ACROSS]
            captions = [f"{value:.2f}" for value in side.quality.away[shown]]
            pictures.append(_faces(f"strangers-{name.lower()}", side, f"Not the person of {name}", shown, captions))
    return pictures


_SECTIONS: tuple[tuple[str, tuple[str, ...], Callable[[Comparison], list[Shown]]], ...] = (
    ("Head angles", ("angles", "steep"), _angles),
    ("Expressions", ("expressions",), _expressions),
    ("Light", ("light", "light_direction", "light_contrast", "light_spread"), _light),
    ("Skin", ("skin_tone", "skin_hue"), _skin),
    ("Shape of the face", ("shape",), _shape),
    ("Size, sharpness, compression", ("size_a", "size_b", "sharpness", "blocks"), _fineness),
    ("Faces to look at: hands, cups, hair, shadows", (), _unlike),
    ("Variety, and whose faces they are", ("distinct", "strangers"), _variety),
)
