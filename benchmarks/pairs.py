"""How well `facedouble match` reads faces whose angles, expression, light, skin and covered parts are known: the
suite's rendered clips. Imported by measure.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "performers"))

from scenes import FRAMES, SUITES, Lamp, Scene  # noqa: E402 - lies in the generator's folder

from facedouble.curate.appearance import look_at, sampled_rows, skin_pieces  # noqa: E402
from facedouble.curate.compare import ACTIONS, COVERED, Side, ita  # noqa: E402
from facedouble.curate.faceset import FaceSet  # noqa: E402
from facedouble.find.mesh import Mesh  # noqa: E402
from facedouble.media.reader import probe, read  # noqa: E402
from facedouble.recipes import TrainRecipe  # noqa: E402

UNITS = {
    "mouth open": ("jawOpen",), "smile": ("mouthSmileLeft", "mouthSmileRight"), "eyes closed": ("eyeBlinkLeft",),
    "brows raised": ("browInnerUp", "browOuterUpLeft"), "brows lowered": ("browDownLeft",),
    "lips pursed": ("mouthPucker", "mouthFunnel"), "looks to the own left": ("eyeLookOutLeft",),
    "looks to the own right": ("eyeLookOutRight",),
}  # fmt: skip
"""ours -> the performance's face units"""
SKIN = {"a": (0.80, 0.625, 0.53), "b": (0.78, 0.60, 0.50)}
"""the performers' painted skin, sRGB: base of performers/people.py, which needs Blender's data to be imported"""


def side_of(folder: Path, workers: int = 2) -> Side:
    faces = FaceSet.load(folder)
    looking = look_at(faces, sampled_rows(faces), TrainRecipe(), workers)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            return Side(faces, end.value, len(faces.rows_with_crops()))


def repeated(folder: Path, out: Path, count: int) -> Path:
    """A face set of `count` faces: those of `folder` over and over, their crops by hard links."""
    faces = FaceSet.load(folder)
    rows = np.resize(faces.rows_with_crops(), count)
    names = [f"{number:06d}.png" for number in range(count)]
    (out / "crops").mkdir(parents=True)
    for row, name in zip(rows, names, strict=True):
        (out / "crops" / name).hardlink_to(folder / "crops" / faces.crop[row])
    replace(
        faces, path=out, faces=replace(faces.faces[rows], frame=np.arange(count)), pts=faces.pts[rows],
        sharpness=faces.sharpness[rows], transform=faces.transform[rows], crop=names,
        source=replace(faces.source, frames=count),
    ).save()  # fmt: skip
    return out


def errors(folders: dict[str, Path], masks: Path) -> dict[str, Any]:
    """`folders` holds the face sets of easy-target, easy-truth, hard-light-target, hard-pose-target and
    occlusion-target; `masks` is the clip that is white where the hand is."""
    sides = {name: side_of(folder) for name, folder in folders.items()}
    found: dict[str, Any] = {}
    for name in ("easy", "hard-light", "hard-pose"):
        side, scene = sides[f"{name}-target"], SUITES[name]
        found[name] = {**_angles(side, scene), **_light(side, scene), **_expressions(side, scene)}
    skins = {name: side.seen.skin.mean(0) for name, side in sides.items()}
    found["skin"] = {
        "painted: ITA of A less B": _painted("a") - _painted("b"),
        "measured: A less B in one light": ita(skins["easy-target"]) - ita(skins["easy-truth"]),
        "measured: A in soft light less A in hard light": ita(skins["easy-target"]) - ita(skins["hard-light-target"]),
    }
    lamps = [sides[name].seen.light.mean(0) for name in ("easy-target", "easy-truth", "hard-light-target")]
    found["light of two sets"] = {
        "A and B in one light, degrees apart": _apart(lamps[0], lamps[1]),
        "A in soft and in hard light, degrees apart": _apart(lamps[0], lamps[2]),
        "known": _apart(*(_mean_lamp(SUITES[name]) for name in ("easy", "hard-light"))),
    }
    found["covered"] = _covered(sides["occlusion-target"], sides["easy-target"], masks)
    return found


def _angles(side: Side, scene: Scene) -> dict[str, float]:
    known = [scene.performance.at(float(frame)) for frame in side.faces.faces.frame[side.seen.row]]
    away = np.abs(side.angles - [(moment.yaw, moment.pitch) for moment in known])
    return {"yaw error, degrees": float(away[:, 0].mean()), "pitch error, degrees": float(away[:, 1].mean())}


def _light(side: Side, scene: Scene) -> dict[str, float]:
    frames = side.faces.faces.frame[side.seen.row]
    known = np.array([_towards(scene.lamps(float(frame))) for frame in frames])
    found = side.seen.light / np.linalg.norm(side.seen.light, axis=1, keepdims=True)
    away = np.degrees(np.arccos(np.clip((known * found).sum(1), -1, 1)))
    return {
        "light error of a face, degrees": float(away.mean()),
        "nine of ten under": float(np.percentile(away, 90)),
        "light error of the set's mean, degrees": _apart(known.mean(0), side.seen.light.mean(0)),
    }


def _towards(lamps: tuple[Lamp, ...]) -> NDArray[np.float64]:
    """Unit vector of the light that comes from before the face: each lamp by its watts over its distance squared."""
    total = np.zeros(3)
    for lamp in lamps:
        x, away, up = lamp.place
        if away < 0:  # those behind the head give it a rim
            place = np.array([x, up, -away])
            bright = lamp.watts * float(np.dot(lamp.colour, (0.2126, 0.7152, 0.0722)))
            total += bright * place / np.linalg.norm(place) ** 3
    return _unit(total)


def _mean_lamp(scene: Scene) -> NDArray[np.float64]:
    return np.asarray(np.mean([_towards(scene.lamps(frame)) for frame in range(FRAMES)], axis=0))


def _apart(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.degrees(np.arccos(np.clip(_unit(first) @ _unit(second), -1, 1))))


def _unit(vector: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def _expressions(side: Side, scene: Scene) -> dict[str, float]:
    moments = [scene.performance.at(float(frame)).units for frame in side.faces.faces.frame[side.seen.row]]
    result = {}
    for name, units in UNITS.items():
        known = np.array([max(moment.get(unit, 0.0) for unit in units) for moment in moments])
        if known.max() > 0.2:
            found = side.acting[:, list(ACTIONS).index(name)]
            result[f"r of {name}"] = float(np.corrcoef(known, found)[0, 1])
    return result


def _painted(person: str) -> float:
    import cv2

    colour = np.array(SKIN[person], np.float32)[None, None]
    return ita(cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)[0, 0])


def _covered(side: Side, free: Side, masks: Path) -> dict[str, float]:
    """Against the part of the mesh's skin that the hand hides: faces it hides a tenth of or more."""
    mesh = Mesh.load()
    skin = skin_pieces(mesh)
    hidden = {frame.index: frame.pixels[..., 0] > 127 for frame in read(probe(masks))}
    known = []
    for row in side.seen.row:
        mask = hidden[int(side.faces.faces.frame[row])]
        x, y = np.clip(np.rint(mesh.centres(side.faces.faces.points[row])[skin]), 0, len(mask) - 1).astype(int).T
        known.append(mask[y, x].mean())
    truth, found = np.array(known) > 0.1, side.covered()
    return {
        "faces with a tenth or more hidden": int(truth.sum()),
        "of these found": int((found[truth] > COVERED).sum()),
        "free faces taken for covered": int((found[~truth] > COVERED).sum()),
        "of": int((~truth).sum()),
        "in a clip without a hand": int((free.covered() > COVERED).sum()),
        "r of the covered part": float(np.corrcoef(known, found)[0, 1]),
    }
