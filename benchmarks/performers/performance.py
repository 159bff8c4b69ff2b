"""What a performer does: face units and head angles for every frame, the same whoever plays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Track = tuple[tuple[float, float], ...]
"""(frame, value) keys; smooth between, held before and after"""
STILL: Track = ((0, 0.0),)
BLINK_FRAMES = 1.7
"""half width of a blink"""


@dataclass(frozen=True)
class Moment:
    units: dict[str, float]
    """face unit -> 0..1"""
    yaw: float
    """degrees to the performer's left"""
    pitch: float
    """degrees up"""
    roll: float
    """degrees towards the performer's left shoulder, clockwise as the camera sees it"""


@dataclass(frozen=True)
class Performance:
    """Tracks over frames: angles in degrees, expressions 0..1, gaze -1..1 to the performer's left and up."""

    yaw: Track = STILL
    pitch: Track = STILL
    roll: Track = STILL
    jaw: Track = STILL
    funnel: Track = STILL
    pucker: Track = STILL
    stretch: Track = STILL
    smile: Track = STILL
    brows_up: Track = STILL
    brows_down: Track = STILL
    gaze_left: Track = STILL
    gaze_up: Track = STILL
    blinks: tuple[int, ...] = ()
    hold_camera: float = 0.5
    """how much the eyes stay on the camera as the head turns"""

    def at(self, frame: float) -> Moment:
        value = {
            name: keyed(track, frame) for name, track in vars(self).items() if name not in ("blinks", "hold_camera")
        }
        smile, jaw, stretch = value["smile"], value["jaw"], value["stretch"]
        blink = min(1.0, sum(float(np.exp(-(((frame - blink) / BLINK_FRAMES) ** 2))) for blink in self.blinks))
        left = float(np.clip(value["gaze_left"] - self.hold_camera * value["yaw"] / 30, -1, 1))
        up = float(np.clip(value["gaze_up"] - self.hold_camera * value["pitch"] / 30, -1, 1))
        units = {
            "jawOpen": jaw + 0.13 * smile,
            "mouthFunnel": value["funnel"],
            "mouthPucker": value["pucker"],
            "browInnerUp": value["brows_up"],
            "eyeLookOutLeft": max(left, 0),
            "eyeLookInRight": max(left, 0),
            "eyeLookInLeft": max(-left, 0),
            "eyeLookOutRight": max(-left, 0),
        }
        for side in ("Left", "Right"):
            units |= {
                f"mouthStretch{side}": 0.6 * stretch,
                f"mouthLowerDown{side}": 0.5 * jaw + 0.3 * stretch + 0.30 * smile,
                f"mouthUpperUp{side}": 0.4 * jaw + 0.2 * stretch + 0.45 * smile,
                f"mouthSmile{side}": smile,
                f"cheekSquint{side}": 0.5 * smile,
                f"eyeSquint{side}": 0.35 * smile,
                f"eyeBlink{side}": blink,
                f"eyeWide{side}": 0.5 * value["brows_up"],
                f"browDown{side}": value["brows_down"],
                f"browOuterUp{side}": value["brows_up"],
                f"eyeLookUp{side}": max(up, 0),
                f"eyeLookDown{side}": max(-up, 0),
            }
        units = {unit: weight for unit, weight in units.items() if abs(weight) > 1e-4}
        return Moment(units, value["yaw"], value["pitch"], value["roll"])


def keyed(track: Track, frame: float) -> float:
    """A track's value at a frame."""
    frames, values = zip(*track, strict=True)
    index = int(np.searchsorted(frames, frame))
    if index == 0 or index == len(frames):
        return float(values[max(index - 1, 0)])
    t = (frame - frames[index - 1]) / (frames[index] - frames[index - 1])
    return float(values[index - 1] + (values[index] - values[index - 1]) * t * t * (3 - 2 * t))
