"""Events for TensorBoard: curves of the metrics, and the previews."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .errors import MachineError
from .events import Event, Metric, Preview


class Board:
    """Called with each event. Raises MachineError where the package `tensorboard` is not there, which is large and so
    is not installed with this one."""

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise MachineError(
                "--tensorboard: the package is not installed. Run: pip install 'facedouble[tensorboard]'. The same "
                "curves are in progress.png in the model's folder."
            )
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Metric):
            self._writer.add_scalar(event.name, event.value, event.step)
        elif isinstance(event, Preview):
            # A preview comes with each score, so what a killed training did is there.
            self._writer.add_image("preview", event.pixels, event.step, dataformats="HWC")
            self._writer.flush()
