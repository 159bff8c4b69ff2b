"""What the figures mean: good, visible or bad, against which threshold, and where that comes from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .measure import Measures

_DIGITS, _MORE_DIGITS = re.compile(r"\.(\d)"), 3
_ANSWER = "the rendered known answer scores {}"


@dataclass(frozen=True)
class Line:
    """One measure in words."""

    name: str
    value: str
    goal: str
    verdict: str
    """good, visible (a careful eye sees it) or bad; "" where there is nothing to hold it against"""
    source: str
    """where the threshold comes from, and what the known answer itself scores"""


@dataclass(frozen=True)
class Goal:
    """`good` and `visible` are bounds: the value must be at most these, or at least where `good` > `visible`. With
    `low_*`, it must lie between both."""

    measure: str
    name: str
    form: str
    good: float
    visible: float
    source: str
    low_good: float | None = None
    low_visible: float | None = None

    def verdict(self, value: float) -> str:
        if math.isnan(value):
            return "bad"
        for name, bound, low in (
            ("good", self.good, self.low_good),
            ("visible", self.visible, self.low_visible),
        ):
            reached = value >= bound if self.good > self.visible else value <= bound
            if reached and (low is None or value >= low):
                return name
        return "bad"

    def shown(self, value: float) -> str:
        """In as many digits as the goal has; in more where it would read as the bound that it misses."""
        form, bounds = self.form, [bound for bound in (self.good, self.low_good) if bound is not None]
        for _ in range(_MORE_DIGITS if self.verdict(value) != "good" else 0):
            if form.format(value) not in map(form.format, bounds):
                break
            form = _DIGITS.sub(lambda found: f".{int(found[1]) + 1}", form)
        return form.format(value)

    def text(self) -> str:
        bound = self.form.format(self.good).strip()
        if self.low_good is not None:
            return f"{self.form.format(self.low_good).strip()} to {bound}"
        return f"{bound} or {'more' if self.good > self.visible else 'less'}"


# What is good lies a little beyond what the known answer itself scores (`facedouble judge` on the built-in sample,
# ba-take1 as a swap of a-take1 with b-take2 as source): who asks for more than the truth gives measures the measure.
GOALS = (
    Goal("nearer_to_b", "nearer to B than to A", "{:.1%}", 0.98, 0.90, _ANSWER.format("100%")),
    Goal(
        "identity_to_b", "identity distance to B", "{:.2f}", 0.40, 0.60,
        "dlib: one person under 0.60; " + _ANSWER.format("0.32"),
    ),
    Goal("pose_error", "pose error", "{:.1f} degrees", 2.0, 3.0, _ANSWER.format("1.3")),
    Goal("place_error", "place of the face", "{:.1f}% of its width", 2.5, 5.0, _ANSWER.format("1.8%")),
    Goal("expression", "expression correlation", "{:.2f}", 0.80, 0.65, _ANSWER.format("0.83")),
    Goal("expression_error", "expression error", "{:.3f}", 0.11, 0.16, _ANSWER.format("0.10")),
    Goal("gaze_error", "gaze error", "{:.1f}% of an eye", 7.0, 12.0, _ANSWER.format("5.3%")),
    Goal("mouth_error", "mouth opening error", "{:.1f}% of the nose", 5.0, 10.0, _ANSWER.format("3.8%")),
    Goal("jitter", "landmark jitter against the original", "{:.2f}x", 1.1, 1.5, _ANSWER.format("1.01x")),
    Goal("flicker", "colour flicker added", "{:.2f} CIELAB", 0.3, 1.0, "about 1 is just noticeable"),
    Goal("seam", "border against the original's", "{:.2f}x", 1.3, 1.7, _ANSWER.format("0.75x"), 0.7, 0.5),
    Goal("sharpness", "sharpness against the original's", "{:.2f}x", 1.2, 1.5, _ANSWER.format("0.98x"), 0.8, 0.5),
    Goal(
        "sharpness_in_place", "sharpness against its surroundings", "{:.2f}x", 1.2, 1.5, _ANSWER.format("1.02x"),
        0.8, 0.5,
    ),
    Goal(
        "skin_difference", "skin against neck and forehead", "{:+.1f} CIEDE2000", 2.0, 5.0,
        "about 1 is just noticeable side by side; " + _ANSWER.format("+1.1"),
    ),
    Goal("background_psnr", "background", "{:.1f} dB", 45.0, 40.0, "above 45 dB no change is visible"),
)  # fmt: skip


def lines(found: Measures) -> list[Line]:
    everywhere = "good" if found.found == found.faces else "visible" if found.found >= 0.99 * found.faces else "bad"
    result = [Line("frames of A converted", f"{found.found} of {found.faces}", "all", everywhere, "")]
    for goal in GOALS:
        value = getattr(found, goal.measure)
        result.append(Line(goal.name, goal.shown(value), goal.text(), goal.verdict(value), goal.source))
    for name, same in (
        ("timestamps", found.same_times),
        ("sound packets", found.same_sound),
        ("colour tags", found.same_tags),
    ):
        result.append(Line(name, "same" if same else "differ", "same", "good" if same else "bad", ""))
    if not math.isnan(found.truth_psnr):
        result.append(Line("face against the known answer", f"{found.truth_psnr:.1f} dB PSNR", "", "", ""))
        result.append(Line("face against the known answer", f"{found.truth_ssim:.3f} SSIM", "", "", ""))
    return result
