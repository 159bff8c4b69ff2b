"""Settings of each stage: said once, frozen, checked where they are made, and kept with what they made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Self

from .errors import InputError
from .faces import SAME_PERSON
from .footage import parse_range
from .presets import PRESETS

COLOURS = ("light", "reinhard", "mkl", "histogram", "none")
BLENDS = ("multiband", "poisson", "plain")

MINIMUM_FACES = 30
"""of each side, that training needs"""


def _check(ok: bool, sentence: str) -> None:
    if not ok:
        raise InputError(sentence)


@dataclass(frozen=True)
class Recipe:
    """Base: to and from plain dicts, for JSON beside the results."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises InputError for a setting this version does not know."""
        known = {setting.name for setting in fields(cls)}
        strange = sorted(set(values) - known)
        _check(not strange, f"unknown settings for {cls.__name__}: {', '.join(strange)}. Made by a newer version?")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


@dataclass(frozen=True)
class ExtractRecipe(Recipe):
    size_px: int = 0
    """side of the crop images; 0: by the faces' size in the footage, see curate.collect.crop_px"""
    coverage: float = 2.0
    """how many face squares (brow end to brow end) a crop's side shows; the classic crop is 1.6"""
    every: int = 1
    """take every n-th frame as a crop (all frames are searched all the same)"""
    min_face_px: int = 24
    """faces narrower than this in the frame are left out"""
    max_people: int = 4
    """how many faces are looked for in one frame"""
    ranges: tuple[str, ...] = ()
    """stretches of each clip that are looked through, see footage.parse_range; none: all of it"""
    same_person: float = SAME_PERSON
    """distance of identity descriptors under which two faces are one person's"""

    def __post_init__(self) -> None:
        _check(not self.size_px or 64 <= self.size_px <= 2048, f"crop size {self.size_px}: expected 64 to 2048 px")
        _check(1 <= self.coverage <= 4, f"coverage {self.coverage}: expected 1 to 4 face squares")
        _check(self.every >= 1, f"every {self.every}: expected 1 or more")
        _check(1 <= self.max_people <= 32, f"people {self.max_people}: expected 1 to 32")
        _check(1 <= self.min_face_px <= 10_000, f"min face {self.min_face_px}: expected 1 to 10000 px")
        _check(0.1 <= self.same_person <= 1, f"same person {self.same_person}: expected a distance of 0.1 to 1")
        for text in self.ranges:
            parse_range(text)

    @property
    def looks_everywhere(self) -> bool:
        """Whether no frame and no face of the usual size is left out."""
        return not self.ranges and self.min_face_px <= ExtractRecipe.min_face_px


@dataclass(frozen=True)
class TrainRecipe(Recipe):
    preset: str = "compact"
    size_px: int = 96
    """side of the network's picture"""
    coverage: float = 1.7
    """face squares across that picture"""
    widths: tuple[int, ...] = (48, 80, 128, 128)
    """channels of each level, from fine to coarse ("nodes" and "layers")"""
    detail: int = 1
    """how many times finer the decoders draw than the encoder looks: 1, 2 or 4 (`classic` has no such thing)"""
    latent: int = 384
    """numbers in the face code"""
    batch: int | str = 16
    """faces of each side in a step, or a schedule of them: "8@0,16@2000" is 8 from step 0, 16 from step 2000"""
    accumulate: int = 1
    """in how many parts, one after the other, a batch is computed: the same step in less memory"""
    learning_rate: float = 1.5e-3
    optimizer: str = "adamw"
    """adamw, or adam (the classic way)"""
    decay: str = "cosine"
    """the learning rate after its warm-up: cosine (to the end of the budget, where there is one) or constant"""
    losses: str = "l1+ssim"
    """l1, or l1+ssim"""
    ema: float = 0.998
    """decay of the weights' moving average, which is what is scored and used; 0 turns it off"""
    shared_code: bool = True
    """whether each person's codes are centred and scaled by themselves and the decoders told the expression;
    see learn.model"""
    code_dropout: float = 0.5
    """in what part of the training faces a decoder is told the measured expression alone"""
    bent: float = 0.5
    """what part of B's training faces is bent into A's expressions, see learn.bend; needs `shared_code`"""
    mixed_precision: bool = True
    """bf16 where the processor has it"""
    warp: float = 0.02
    """elastic warp of the input, standard deviation as part of the picture's side"""
    colour_jitter: float = 0.1
    """spread of the gain, gamma and tint given to a face and its target alike"""
    degrade: float = 0.0
    """in what part of the training faces the input, not the target, is blurred, noisy and blocky (learn.degrade)"""
    flip: bool = False
    occlusion_steps: int = 300
    """how long it is learned, before all else, what a hand before these faces looks like (learn.occlusion); 0: not"""
    skin_faces: int = 32
    """how many of B's faces are read for fine skin detail (learn.skin); 0: none of it"""
    feature_faces: int = 128
    """of how many of B's faces the fine light of eyes, brows, nose and lips is kept (learn.features); 0: of none"""
    usual_faces: int = 48
    """of how many faces of each side the usual look is read, by which light is told from skin (learn.usual); 0: of
    none"""
    specialists: str = "none"
    """orientation: after the model one each for faces that look ahead, partly aside and aside, see learn.specialists"""
    seed: int = 1
    save_every_s: float = 120
    score_every_s: float = 60

    def __post_init__(self) -> None:
        _check(self.preset in PRESETS, f"preset {self.preset!r}: expected {', '.join(PRESETS)}")
        levels = len(self.widths)
        _check(2 <= levels <= 6, f"widths {self.widths}: expected 2 to 6 levels")
        _check(
            all(8 <= width <= 4096 for width in self.widths),
            f"widths {self.widths}: expected at least 8 channels a level, at most 4096",
        )
        _check(self.detail in (1, 2, 4), f"detail {self.detail}: expected 1, 2 or 4")
        _check(self.size_px <= 1024, f"size {self.size_px} px: expected at most 1024 px")
        step = 2**levels if self.preset == "classic" else 4 * self.detail * 2 ** (levels - 1)
        _check(
            self.size_px % step == 0 and self.size_px >= step,
            f"size {self.size_px} px: {levels} levels need a multiple of {step} px",
        )
        _check(16 <= self.latent <= 16384, f"latent {self.latent}: expected 16 or more, at most 16384")
        for _, count in self.batches:
            _check(1 <= count <= 65536, f"batch {self.batch}: expected 1 or more, at most 65536")
        _check(1 <= self.accumulate <= 65536, f"accumulate {self.accumulate}: expected 1 or more, at most 65536")
        _check(0 < self.learning_rate < 1, f"learning rate {self.learning_rate}: expected between 0 and 1")
        _check(self.optimizer in ("adamw", "adam"), f"optimizer {self.optimizer!r}: expected adamw or adam")
        _check(self.decay in ("cosine", "constant"), f"decay {self.decay!r}: expected cosine or constant")
        _check(self.losses in ("l1", "l1+ssim"), f"losses {self.losses!r}: expected l1 or l1+ssim")
        _check(0 <= self.occlusion_steps <= 100_000, f"occlusion steps {self.occlusion_steps}: expected 0 to 100000")
        _check(0 <= self.skin_faces <= 1000, f"skin faces {self.skin_faces}: expected 0 to 1000")
        _check(0 <= self.feature_faces <= 1000, f"feature faces {self.feature_faces}: expected 0 to 1000")
        _check(0 <= self.usual_faces <= 1000, f"usual faces {self.usual_faces}: expected 0 to 1000")
        _check(
            self.specialists in ("none", "orientation"),
            f"specialists {self.specialists!r}: expected orientation or none",
        )
        _check(0 <= self.bent <= 1, f"bent {self.bent}: expected 0 to 1")
        _check(0 <= self.degrade <= 1, f"degrade {self.degrade}: expected 0 to 1")
        _check(0 <= self.ema < 1, f"ema {self.ema}: expected 0 to below 1")

    @classmethod
    def of(cls, preset: str, **changes: Any) -> TrainRecipe:
        """A preset with some settings changed. Raises InputError for an unknown preset or an impossible setting."""
        _check(preset in PRESETS, f"preset {preset!r}: expected one of {', '.join(PRESETS)}")
        return cls(**{"preset": preset, **PRESETS[preset], **changes})

    @property
    def batches(self) -> tuple[tuple[int, int], ...]:
        """From which step on how many faces of each side are in a step. Raises InputError for an unclear `batch`."""
        if isinstance(self.batch, int) or self.batch.isdecimal():
            return ((0, int(self.batch)),)
        parts = [part.partition("@") for part in self.batch.split(",")]
        written = all(count.isdecimal() and start.isdecimal() for count, _, start in parts)
        _check(written, f"batch {self.batch!r}: expected a number, or a schedule like 8@0,16@2000,64@8000")
        found = tuple((int(start), int(count)) for count, _, start in parts)
        starts = [start for start, _ in found]
        rising = all(earlier < later for earlier, later in pairwise(starts))
        _check(starts[0] == 0 and rising, f"batch {self.batch!r}: expected steps that begin with 0 and rise")
        return found

    def batch_at(self, step: int) -> int:
        """How many faces of each side are learned from in a step."""
        return next(count for start, count in reversed(self.batches) if step >= start)

    def network(self) -> dict[str, Any]:
        """The settings that shape the weights; a checkpoint fits only a recipe that agrees on these."""
        return {
            name: getattr(self, name)
            for name in ("preset", "size_px", "coverage", "widths", "detail", "latent", "shared_code")
        }


@dataclass(frozen=True)
class ConvertRecipe(Recipe):
    codec: str = "h264"
    crf: int | None = None
    """the encoder's constant rate factor; None is visually lossless"""
    colour: str = "light"
    """how the face is brought to the plate: light (swap.light), another of swap.colour, or none"""
    blend: str = "multiband"
    """see swap.blend"""
    occlusion: str = "keep"
    """what stands before the face (hands, hair, microphones): keep, or cover with the new face"""
    fit: str = "sharpen"
    """where the face is smoother than the picture around it: sharpen (B's own fine eyes, brows, nose, lips and skin),
    reduce (the same, and the clip is made smaller until its faces are face_px tall) or none"""
    face_px: int = 256
    """how tall faces are, forehead to chin, in a clip that is made smaller"""
    grain: str = "keep"
    """the plate's grain on the new face: keep or none"""
    mouth: str = "keep"
    """what is seen in an open mouth: keep A's own teeth and tongue, or draw what the network makes of them"""
    eyes: str = "keep"
    """keep the fine light of A's eyes (highlights, the iris's edge), or draw what the network makes of them"""
    outline: str = "move"
    """jaw, cheeks and forehead of A's head: move to where B's face has them, or keep"""
    label: str = "none"
    """a visible "AI modified": none, start (the first seconds) or whole; the credential is made always"""
    encoder: str = "software"
    """software; auto, the machine's own where it has one; or FFmpeg's name of one"""
    ranges: tuple[str, ...] = ()
    """stretches of the clip where faces are replaced, see footage.parse_range; none: all of it"""
    checkpoint: str = "newest"
    """newest, best (by the swap's health while it trained) or a step"""

    def __post_init__(self) -> None:
        _check(self.codec in ("h264", "h265", "ffv1"), f"codec {self.codec!r}: expected h264, h265 or ffv1")
        _check(self.crf is None or 0 <= self.crf <= 51, f"crf {self.crf}: expected 0 to 51")
        _check(self.colour in COLOURS, f"colour {self.colour!r}: expected {', '.join(COLOURS)}")
        _check(self.blend in BLENDS, f"blend {self.blend!r}: expected {', '.join(BLENDS)}")
        _check(self.occlusion in ("keep", "cover"), f"occlusion {self.occlusion!r}: expected keep or cover")
        _check(self.fit in ("sharpen", "reduce", "none"), f"fit {self.fit!r}: expected sharpen, reduce or none")
        _check(32 <= self.face_px <= 4096, f"face {self.face_px} px: expected 32 to 4096 px")
        _check(self.grain in ("keep", "none"), f"grain {self.grain!r}: expected keep or none")
        _check(self.mouth in ("keep", "draw"), f"mouth {self.mouth!r}: expected keep or draw")
        _check(self.eyes in ("keep", "draw"), f"eyes {self.eyes!r}: expected keep or draw")
        _check(self.outline in ("move", "keep"), f"outline {self.outline!r}: expected move or keep")
        _check(self.label in ("none", "start", "whole"), f"label {self.label!r}: expected none, start or whole")
        for text in self.ranges:
            parse_range(text)


@dataclass(frozen=True)
class Until:
    """When training ends, whichever comes first; all None means until Ctrl-C."""

    minutes: float | None = None
    steps: int | None = None
    plateau: bool = False

    def __post_init__(self) -> None:
        _check(self.minutes is None or self.minutes > 0, f"minutes {self.minutes}: expected more than 0")
        _check(self.steps is None or self.steps > 0, f"steps {self.steps}: expected more than 0")

    def part(self, part: float) -> Until:
        """So much of the minutes and steps."""
        return Until(
            None if self.minutes is None else self.minutes * part,
            None if self.steps is None else max(1, round(self.steps * part)),
            self.plateau,
        )
