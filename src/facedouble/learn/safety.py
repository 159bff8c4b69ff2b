"""What keeps training from being lost: weights that came apart, and a device whose memory is used up."""

from __future__ import annotations

import gc
import math
import traceback
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MachineError, ModelError
from ..events import Note
from ..recipes import TrainRecipe
from .checkpoint import State
from .learner import Learner

# Reading a number waits for the GPU to finish, so the loss is read this rarely; what has once stopped being a number
# stays so.
LOOK_EVERY = 25
FALL_DB = 3.0
"""a fall of the held-out score that neither chance nor overfitting gives: the squared error has doubled"""
_MOST_SETBACKS = 4


class Diverged(Exception):
    """Training came apart; says how, as a sentence without its end."""


class Watch:
    """Looks whether training is sound, and counts how often in a row it was not."""

    def __init__(self, model: Path, begun: int) -> None:
        self._model, self._begun = model, begun
        self.setbacks, self._failed_at = 0, 0

    def look(self, step: int, loss: Tensor) -> None:
        """Raises Diverged where the loss is no longer a number; looks at every 25th step only."""
        if step % LOOK_EVERY == 0 and not math.isfinite(float(loss)):
            raise Diverged(f"the loss stopped being a number before step {step}")

    def weights(self, step: int, learner: Learner) -> None:
        """Raises Diverged where the weights are no longer numbers. To be asked before they are scored and kept."""
        if not learner.finite():
            raise Diverged(f"the weights stopped being numbers before step {step}")

    def score(self, state: State) -> None:
        """Raises Diverged where the newest entry of the history lies far under the best of this run. Earlier runs may
        have held out other faces."""
        scores = [(entry["a"] + entry["b"]) / 2 for entry in state.history if entry["step"] > self._begun]
        if (fall := max(scores) - scores[-1]) > FALL_DB:
            raise Diverged(f"the held-out score fell by {fall:.1f} dB before step {state.step}")
        if state.step > self._failed_at:
            self.setbacks = 0

    def count(self, trouble: Diverged, step: int, rate: float) -> None:
        """Raises ModelError after a few in a row. `rate`: the learning rate that was too high."""
        self.setbacks, self._failed_at = self.setbacks + 1, max(step, self._failed_at)
        if self.setbacks > _MOST_SETBACKS:
            raise ModelError(
                f"{self._model}: training came apart {self.setbacks} times in a row, at last because {trouble}, with a "
                f"learning rate as low as {rate:.2g}. The last checkpoint is unharmed. Look through the face sets for "
                f"broken pictures, or begin a new model with --learning-rate {rate / 10:.0e}."
            )


def in_smaller_parts(state: State, recipe: TrainRecipe, count: int, world: int, error: RuntimeError) -> Note:
    """From here on batches (now of `count` faces, shared by `world` processes) are computed in twice as many parts;
    `error` is what did not fit.

    Raises MachineError where they are of one face already.
    """
    parts = max(recipe.accumulate, state.parts)
    if parts >= count // world:
        raise MachineError(
            f"out of memory with a single face of {recipe.size_px} px of each side. Choose a smaller --preset, --size "
            "or --widths for a new model, or --device cpu."
        ) from error
    free_memory(error)
    state.parts = 2 * parts
    return Note(
        f"out of memory: from here on each batch of {count} is computed in {min(state.parts, count // world)} parts; "
        "it learns the same, but slower",
        warning=True,
    )


def free_memory(error: RuntimeError) -> None:
    """Let go of what a step that failed with `error` took."""
    traceback.clear_frames(error.__traceback__)  # they still hold what took the memory
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
