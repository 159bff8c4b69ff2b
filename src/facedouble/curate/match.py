"""Are two face sets a good pair? What is good and what is not, why that bound, what to film or pick instead, one
overall figure, and the settings to train with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import face_width
from ..recipes import TrainRecipe
from .compare import ACTIONS, Comparison, ita

_GOOD, _USABLE = 75, 50
_LARGEST_PX = 256
_STEP_PX = 32


@dataclass(frozen=True)
class Goal:
    """`ideal` is worth all of a measure's weight, `good` 0.8 of it, `visible` 0.5, as far again beyond 0.05.

    Where the ideal is 0, distances from it are differences; else they are ratios.
    """

    measure: str
    name: str
    form: str
    ideal: float
    good: float
    visible: float
    weight: int
    decisive: bool
    """whether the pair can be no better than this"""
    source: str
    """why these bounds"""

    def score(self, value: float) -> float:
        """0..1"""
        good, visible = self._away(self.good), self._away(self.visible)
        return float(np.interp(self._away(value), [0, good, visible, 2 * visible], [1, 0.8, 0.5, 0.05]))

    def _away(self, value: float) -> float:
        """From the ideal towards the worse side."""
        if not self.ideal:
            return value
        side = 1 if self.good > self.ideal else -1
        return side * math.log(max(value, 1e-6) / self.ideal)

    def verdict(self, value: float) -> str:
        if math.isnan(value):
            return ""
        for name, bound in (("good", self.good), ("visible", self.visible)):
            if (value <= bound) if self.good > self.ideal else (value >= bound):
                return name
        return "bad"

    def text(self, bound: float) -> str:
        return f"{self.form.format(bound)} or {'less' if self.good > self.ideal else 'more'}"


@dataclass(frozen=True)
class Finding:
    """One measure in words."""

    measure: str
    name: str
    value: float
    found: str
    told: str
    """more of it, to stand behind"""
    verdict: str
    """good, visible (will be seen by a careful eye) or bad; "" where it could not be measured"""
    good: str
    visible: str
    source: str
    advice: str
    weight: int
    decisive: bool
    score: float
    """0..1, nan where it could not be measured"""


@dataclass(frozen=True)
class Match:
    """The whole answer."""

    overall: float
    """0..100"""
    verdict: str
    findings: tuple[Finding, ...]
    recommended: tuple[str, ...]
    """options for `facedouble train`"""
    reasons: tuple[str, ...]
    """why these, a sentence each"""
    unmeasured: tuple[str, ...]

    @property
    def worst(self) -> tuple[Finding, ...]:
        """What is not good, worst first: bad before visible, decisive before the rest."""
        poor = [finding for finding in self.findings if finding.verdict in ("bad", "visible")]
        return tuple(
            sorted(poor, key=lambda one: (one.verdict != "bad", not one.decisive, one.score - 0.005 * one.weight))
        )


# Each bound is from a published figure, from what the program itself does, or from rendered performers whose answer is
# known (benchmarks/README.md, the adviser); none is from the clips of real people.
_TWENTIETH = "1 face in 20 is half a second in ten; with 1 in {} of all, it shows in every sentence"
_JND = "2.3 CIELAB is just noticeable (Mahy et al., Color Res. Appl. 19(2), 1994), 5 the judge's own bound for skin"
GOALS = (
    Goal("angles", "angles of A that B never shows", "{:.0f}% of A's faces", 0, 5, 20, 14, True,
         "further than 10 degrees from B's faces, as a rendered head's angle is read up to 4 off; "
         + _TWENTIETH.format(5)),
    Goal("steep", "A turned aside over 40 degrees", "{:.0f}% of A's faces", 0, 2, 10, 6, False,
         "beyond 40 degrees the far side of rendered swaps stays A's (benchmarks, hard-pose); in 1 face of 50 it is a "
         "glance, in 1 of 10 a shot"),
    Goal("expressions", "expressions of A that B never shows", "{:.0f}% of A's faces", 0, 5, 25, 10, False,
         "more than 0.15 over B's strongest, as the rendered answer is read 0.10 off; " + _TWENTIETH.format(4)),
    Goal("light", "light of A that B never shows", "{:.1f} L* of shading", 0, 2.3, 5, 12, True,
         _JND + "; rendered takes in one light are read up to 1.5 apart, in soft and hard light 9 to 11"),
    Goal("light_direction", "where the light comes from", "{:.1f} L* of shading", 0, 2.3, 5, 7, False,
         _JND + "; rendered takes in one light are read up to 1.3 apart"),
    Goal("light_contrast", "how hard the light is", "{:.1f} L* of shading", 0, 2.3, 5, 5, False,
         _JND + "; rendered takes in one light are read up to 0.5 apart"),
    Goal("light_spread", "several lights within a set", "{:.1f} L* of shading", 0, 3.2, 5.5, 3, False,
         "2.3 and 5 as for light, on top of the 2.2 that a rendered take in one light is read to vary by (root of the "
         "sum of squares)"),
    Goal("skin_tone", "skin tone", "{:.0f} degrees of ITA", 0, 7, 14, 5, False,
         "half and a whole of a class of skin, some 14 degrees (Del Bino & Bernerd, Br. J. Dermatol. 169(s3), 2013)"),
    Goal("skin_hue", "hue of the skin", "{:.1f} CIELAB", 0, 4.6, 10, 4, False,
         "twice 2.3 and 5 as for light, as training brings B's set to A's mean colour"),
    Goal("shape", "outline of the face", "{:.1f}% of its width", 0, 4, 8, 8, False,
         "the blended rim is 4% of the face wide; twice that cannot be hidden in it"),
    Goal("size_b", "size of B's faces", "{:.1f}x the network's", 2, 1, 0.7, 7, True,
         "below 1 there is less in B's pictures than the network could show; 0.7 leaves half of its pixels"),
    Goal("size_a", "size of A's faces", "{:.1f}x the network's", 1, 1.5, 3, 3, False,
         "a swapped face is as fine as the network's picture: at 3x, 8 of 9 of A's pixels are more than it has"),
    Goal("sharpness", "sharpness of B's faces against A's", "{:.2f}x", 1, 0.8, 0.5, 6, True,
         "the judge's own bounds for sharpness"),
    Goal("blocks", "blocks of compression", "{:.2f}x at their borders", 1, 1.1, 1.3, 2, False,
         "1 is none (rendered takes: 0.97); a tenth more than between blocks is still texture, a third is a grid"),
    Goal("distinct", "distinct faces in the smaller set", "{:.0f}", 1000, 100, 30, 6, True,
         "1,000 to 10,000 are the field's advice (faceswap's training guide); 139 and 169 rendered ones gave a swap "
         "nearer to B in all frames, expression r 0.89 (benchmarks, easy); training refuses under 30"),
    Goal("strangers", "somebody else's faces", "{:.0f}% of the worse set", 0, 1, 5, 8, True,
         "as `faces prune` finds them; 1 in 100 is what the descriptor itself errs by (dlib: 99.4% on LFW), "
         "1 in 20 is learned as part of the person"),
)  # fmt: skip
"""what is measured; only the ratios of the weights count"""

UNMEASURED = (
    "Hands, cups and hair before the face: no verdict. Of the 8 faces of a rendered clip that are shown as least like "
    "the others, 7 have a hand before them; but a hand is of the skin's own colour, and one clip is too little to say "
    "from how much on a face is covered.",
    "Glasses, and whether their frames hide the eyes: not measured. Nothing that is there all the time can be told "
    "from the face without a network that knows glasses. Look at the faces above.",
    "Beard, moustache, make-up and a fringe: not measured, for the same reason. A beard on one side only will half "
    "appear: shave, or choose two alike.",
    "Lowered brows and pursed lips: read poorly (rendered ones correlate 0.1 to 0.3 and 0.5 to 0.7 with what is read), "
    "and so most expressions of faces turned over 40 degrees, which are left out.",
    "Lens and distance: not measured. A face filmed from very near looks narrower; it is counted as shape.",
)


def judge_pair(found: Comparison) -> Match:
    """Verdicts, advice, overall figure and settings."""
    findings = tuple(_finding(goal, found) for goal in GOALS)
    overall = overall_figure(findings)
    verdict = "good" if overall >= _GOOD else "usable" if overall >= _USABLE else "bad"
    options, reasons = recommend(found, {one.measure: one.verdict for one in findings})
    unmeasured = tuple(
        f"{one.name[0].upper()}{one.name[1:]}: {one.found}{one.told}." for one in findings if not one.verdict
    )
    return Match(overall, verdict, findings, options, reasons, unmeasured + UNMEASURED)


def overall_figure(findings: tuple[Finding, ...]) -> float:
    """0..100: the weighted geometric mean of the scores, and no more than the worst decisive part's own.

    A geometric mean, as good light does not make up for missing angles; a weakest link rather than a limit for
    whatever is bad, as a value a little beyond a bound is little worse than one before it. What was not measured does
    not count.
    """
    known = [one for one in findings if one.verdict]
    total = sum(one.weight for one in known)
    if not total:
        return float("nan")
    mean = math.exp(sum(one.weight * math.log(max(one.score, 0.02)) for one in known) / total)
    return 100 * min([mean, *(one.score for one in known if one.decisive)])


def _finding(goal: Goal, found: Comparison) -> Finding:
    value = found.values[goal.measure]
    verdict = goal.verdict(value)
    told, advice = _words(goal.measure, found)
    text = goal.form.format(value) if verdict else "not measured"
    return Finding(
        goal.measure, goal.name, value, text, told, verdict, goal.text(goal.good), goal.text(goal.visible),
        goal.source, advice if verdict in ("visible", "bad") else "", goal.weight, goal.decisive,
        goal.score(value) if verdict else float("nan"),
    )  # fmt: skip


def _words(measure: str, found: Comparison) -> tuple[str, str]:
    """What a value means in words, to stand behind it, and what to do where it is not good."""
    values = found.values
    if measure == "angles":
        uncovered = found.a.angles[found.angles_missing]
        if not len(uncovered):
            return "", ""
        where = looks_in_words(uncovered)
        return f": A looks {where}; B {looks_in_words(found.b.angles)}", (
            f"Film B looking where A does ({where}, as the picture shows it), or keep those shots of A as they are."
        )
    if measure == "steep":
        return "", "Leave out shots of A in profile, or expect an eye of A's to show beside B's there."
    if measure == "expressions":
        missing = missing_actions(found)[:5]
        said = ", ".join(f"{name} {share:.0%}" for name, share in missing)
        return f": {said}" if missing else "", (
            f"Film B doing as strongly as A: {', '.join(name for name, _ in missing)}. What B never shows is guessed."
        )
    if measure == "light":
        return " on average, from the nearest of B's faces", (
            f"Light B as A is lit ({lamp_in_words(found.lamps[0])}), or pick footage of B that is. B's is "
            f"{lamp_in_words(found.lamps[1])}."
        )
    if measure == "light_direction":
        apart = values["light_direction_deg"]
        return f", {apart:.0f} degrees apart (A {_from(found.lamps[0])}, B {_from(found.lamps[1])})", (
            f"Move B's lamp: A is lit {_from(found.lamps[0])}."
        )
    if measure == "light_contrast":
        shares = [float(np.linalg.norm(lamp)) for lamp in found.lamps]
        softer = "B a softer light (a larger lamp, a white wall)" if shares[1] > shares[0] else "B a harder light"
        return f" (main lamp {shares[0]:.0%} of A's light, {shares[1]:.0%} of B's)", f"Give {softer}."
    if measure == "light_spread":
        return "", "Take one light at a time: leave out the shots lit otherwise, or train longer with --latent 512."
    if measure == "skin_tone":
        tones = [ita(skin) for skin in found.skins]
        return f" (as filmed: A {tones[0]:.0f}, B {tones[1]:.0f}; {'B' if tones[1] < tones[0] else 'A'} is darker)", (
            "Correct exposure and white balance of both clips first; if they still differ, B's skin will look like "
            "A's on the face and hands, neck and ears stay A's."
        )
    if measure == "skin_hue":
        warm = found.skins[1][2] - found.skins[0][2]
        said = " (B is yellower)" if warm > 2 else " (B is bluer)" if warm < -2 else ""
        return said, "Set the white balance of both clips alike before extracting."
    if measure == "shape":
        if math.isnan(values["shape"]):
            return " (one of them is hardly seen from the front)", ""
        return f" ({shape_in_words(found)}; brows, eyes, nose and mouth {values['features']:.1f}%)", (
            "A's outline stays. Choose another B or A with a face of like length and jaw, or expect to see a little "
            "less of B."
        )
    if measure == "size_b":
        return "", "Film B nearer, or in a higher resolution; enlarging adds nothing."
    if measure == "size_a":
        return "", (
            f"Train with a larger --size, or make the clip smaller: at {1 / values['size_a']:.0%} of its "
            "size the face would be as fine as its surroundings."
        )
    if measure == "sharpness":
        return "", "Pick footage of B in focus, without motion blur, from a better copy."
    if measure == "blocks":
        return "", "Get a less compressed copy: the network learns blocks as if they were skin."
    if measure == "distinct":
        counts = [
            f"{len(rows)} of {len(side.quality.rows())}"
            for rows, side in zip(found.distinct, (found.a, found.b), strict=True)
        ]
        return f" (A {counts[0]}, B {counts[1]})", (
            "Film more, and more varied: looking around, talking, smiling. With so few, training learns them by heart "
            "(overfitting); stop it early with --until plateau."
        )
    others = [len(rows) for rows in found.strangers]
    return f" ({others[0]} of A, {others[1]} of B; A and B are {values['alike']:.2f} apart)", (
        "Look at them below and put them aside with facedouble faces prune, or extract with --person."
    )


def recommend(found: Comparison, verdicts: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Options for `facedouble train`, and why. `verdicts` are by measure."""
    sides = (found.a, found.b)
    compact, standard = TrainRecipe.of("compact"), TrainRecipe.of("standard")
    square = min(float(np.median(side.square_px)) for side in sides)
    crops = min(side.faces.recipe.size_px / side.faces.recipe.coverage for side in sides)
    useful = min(square, crops) * compact.coverage
    chosen = standard if useful >= standard.size_px else compact
    step_px = _STEP_PX * chosen.detail
    size = int(np.clip(useful // step_px * step_px, 64, _LARGEST_PX))
    options, reasons = ["--preset", chosen.preset], []
    if chosen is standard:
        reasons.append(
            "standard: both sides have faces fine enough for it. It draws twice as fine as compact, and a step takes "
            "twice as long; where minutes are short, compact."
        )
    else:
        reasons.append("compact: the faces are too coarse for standard, which draws twice as fine.")
    if size != chosen.size_px:
        options += ["--size", str(size)]
        cost = (size / chosen.size_px) ** 2
        reasons.append(
            f"--size {size}: what the faces hold. A step takes {cost:.1f} times as long as at {chosen.size_px}."
            if size > chosen.size_px
            else f"--size {size}: the faces are no finer than that; a larger network would learn a blur."
        )
    if crops < min(square, _LARGEST_PX / compact.coverage) * 0.9:
        wanted = math.ceil(min(square, _LARGEST_PX / compact.coverage) * found.a.faces.recipe.coverage / 64) * 64
        reasons.append(f"The footage is finer than its crops: extract with --crop-size {wanted} to use more of it.")
    if verdicts["distinct"] != "good":
        options += ["--until", "plateau"]
        reasons.append("--until plateau: so few distinct faces are soon learned by heart.")
    if "bad" in (verdicts["light_spread"], verdicts["steep"]):
        options += ["--latent", "512"]
        reasons.append("--latent 512: so varied in light or angle, the sets may need a larger code (not measured).")
    return tuple(options), tuple(reasons)


def looks_in_words(angles: NDArray[np.float64]) -> str:
    """Where nine of ten faces of (n, 2) yaw and pitch look."""
    low, high = np.percentile(angles, (5, 95), axis=0)
    ends = zip(low, high, (("left", "right"), ("down", "up")), strict=True)
    return ", ".join(_range(float(least), float(most), *words) for least, most, words in ends)


def _range(low: float, high: float, under: str, over: str) -> str:
    if low >= 0 or high <= 0:
        near, far = sorted((abs(low), abs(high)))
        return f"{near:.0f} to {far:.0f} degrees {over if low >= 0 else under}"
    return f"{-low:.0f} degrees {under} to {high:.0f} {over}"


def missing_actions(found: Comparison) -> list[tuple[str, float]]:
    """What A does and B never, and in what part of A's faces, the most frequent first."""
    share = found.acting_missing.mean(0)
    names = list(ACTIONS)
    return [(names[i], float(share[i])) for i in np.argsort(-share, kind="stable") if share[i] > 0.005]


def lamp_in_words(lamp: NDArray[np.float64]) -> str:
    share = float(np.linalg.norm(lamp))
    hardness = "hard" if share > 0.8 else "directed" if share > 0.5 else "soft" if share > 0.2 else "even"
    return f"{hardness}, {_from(lamp)}"


def _from(lamp: NDArray[np.float64]) -> str:
    """Which way the main lamp stands, as the picture shows it."""
    share = float(np.linalg.norm(lamp))
    if share < 0.1:
        return "from everywhere"
    x, y, z = lamp / share
    if abs(y) > 0.94:
        return f"from straight {'above' if y > 0 else 'below'}"
    aside, high = math.degrees(math.atan2(x, z)), math.degrees(math.asin(max(-1.0, min(1.0, y))))
    words = []
    if abs(aside) > 12:
        words.append(f"{abs(aside):.0f} degrees to the {'right' if aside > 0 else 'left'}")
    if abs(high) > 12:
        words.append(f"{abs(high):.0f} degrees {'above' if high > 0 else 'below'}")
    return "from " + " and ".join(words) if words else "from the front"


def shape_in_words(found: Comparison) -> str:
    """How B's face departs from A's, both scaled alike."""
    said = []
    first, second = (_proportions(shape) for shape in found.shapes)
    for name, ours, theirs in zip(("longer", "jaw wider", "forehead wider"), first, second, strict=True):
        change = 100 * (theirs / ours - 1)
        other = {"longer": "shorter", "jaw wider": "jaw narrower", "forehead wider": "forehead narrower"}[name]
        if abs(change) >= 2:
            said.append(f"{name if change > 0 else other} by {abs(change):.0f}%")
    return f"B's face is {', '.join(said)}" if said else "like proportions"


def _proportions(shape: NDArray[np.float64]) -> tuple[float, float, float]:
    """Length, width of jaw and of forehead, over the width at the cheeks."""
    width = face_width(shape)
    return tuple(float(np.linalg.norm(shape[i] - shape[j])) / width for i, j in ((10, 152), (172, 397), (54, 284)))  # type: ignore[return-value]
