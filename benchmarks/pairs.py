"""How well `facedouble match` reads faces whose angles, expression, light, skin and covered parts are known (those
of the suite's rendered clips), and how its figure goes with the judge's. Imported by measure.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "performers"))

from scenes import FRAMES, SUITES, Lamp, Scene  # noqa: E402 - lies in the generator's folder

from facedouble.curate.appearance import skin_pieces  # noqa: E402
from facedouble.curate.compare import ACTIONS, Comparison, Side, ita  # noqa: E402
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


def errors(sides: dict[str, Side], masks: Path) -> dict[str, Any]:
    """`sides` holds easy-target, easy-truth, hard-light-target, hard-pose-target and occlusion-target; `masks` is the
    clip that is white where the hand is."""
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
    found["hand before the face"] = _hidden(sides["occlusion-target"], masks)
    return found


def steadiness(sides: dict[str, Side], one_light: Sequence[str], other: str, recipe: TrainRecipe) -> dict[str, Any]:
    """How far apart takes in one and the same light are read, the largest of all pairs, and takes in another one."""
    names = ("light", "light_direction", "light_contrast", "light_spread")
    same = [Comparison.of(sides[a], sides[b], recipe).values for a, b in permutations(one_light, 2)]
    differ = [
        Comparison.of(sides[a], sides[b], recipe).values for one in one_light for a, b in ((one, other), (other, one))
    ]
    return {
        "one light, at most": {name: max(values[name] for values in same) for name in names},
        "another light, at least": {name: min(values[name] for values in differ) for name in names},
    }


def foretold(figures: dict[str, dict[str, float]], judged: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Spearman's rank correlation of each of match's figures with each of the judge's, over the pairs that both have.

    None where one of them is the same for all pairs.
    """
    from scipy.stats import spearmanr

    pairs = [name for name in figures if name in judged]
    found: dict[str, Any] = {"pairs": pairs}
    for ours in next(iter(figures.values())):
        for theirs in next(iter(judged.values())):
            first, second = ([table[name][key] for name in pairs] for table, key in ((figures, ours), (judged, theirs)))
            varied = len(set(first)) > 1 and len(set(second)) > 1
            found[f"{ours}, {theirs}"] = float(spearmanr(first, second).statistic) if varied else None
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


def _hidden(side: Side, masks: Path) -> dict[str, float]:
    """How well the order of `unlike` tells faces with a tenth or more of the mesh's skin behind the hand."""
    mesh = Mesh.load()
    skin = skin_pieces(mesh)
    hidden = {frame.index: frame.pixels[..., 0] > 127 for frame in read(probe(masks))}
    known = []
    for row in side.seen.row:
        mask = hidden[int(side.faces.faces.frame[row])]
        x, y = np.clip(np.rint(mesh.centres(side.faces.faces.points[row])[skin]), 0, len(mask) - 1).astype(int).T
        known.append(mask[y, x].mean())
    truth, unlike = np.array(known) > 0.1, side.unlike()
    return {
        "faces with a tenth or more hidden": int(truth.sum()),
        "of": len(truth),
        "of the 8 least like the others": int(truth[np.argsort(-unlike)[:8]].sum()),
        "one with a hand is less like the others than one without (area under the curve)": float(
            (unlike[truth][:, None] > unlike[~truth]).mean()
        ),
        "r with the hidden part": float(np.corrcoef(known, unlike)[0, 1]),
    }
