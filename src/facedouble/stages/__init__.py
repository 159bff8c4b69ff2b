"""The stages, each a generator of events. They alone know all the verbs, and do nothing themselves that one could
do."""

from .casting import Role
from .conversion import Converted, convert
from .extraction import extract
from .judging import judge, judge_clips, judge_conversion
from .matching import match
from .planning import Plan, plan
from .preview import preview
from .swapping import Side, swap
from .training import assist, train, training_text
from .verifying import verify
from .work import identity_in

__all__ = [
    "Converted", "Plan", "Role", "Side", "assist", "convert", "extract", "identity_in", "judge", "judge_clips",
    "judge_conversion", "match", "plan", "preview", "swap", "train", "training_text", "verify",
]  # fmt: skip
