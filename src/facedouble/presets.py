"""The presets of training: what each is for, and in what it differs from compact. Nothing is imported for them, so that
the command line may name them."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "compact": {},
    # The same network, but its decoders draw twice as fine: eyes and teeth gain, a step takes twice as long.
    "standard": {"size_px": 192, "detail": 2},
    # For a GPU with 2, 8 and 24 GB: as fine and as wide as leaves half of that for what a driver and a batch take.
    "small": {"size_px": 128, "widths": (64, 112, 192, 256), "batch": 24},
    "large": {
        "size_px": 256, "detail": 2, "widths": (144, 224, 352, 512), "latent": 768, "batch": 32,
        "learning_rate": 1e-3,
    },
    "studio": {
        "size_px": 512, "detail": 2, "widths": (144, 224, 352, 512, 768), "latent": 1024, "batch": 32,
        "learning_rate": 7e-4,
    },
    # The founding text's network, in the field's default way: fp32, Adam 5e-5, mean absolute error.
    "classic": {
        "size_px": 64, "coverage": 1.0, "widths": (128, 256, 512, 1024), "latent": 1024, "batch": 64,
        "learning_rate": 5e-5, "optimizer": "adam", "losses": "l1", "ema": 0.0, "mixed_precision": False,
        "shared_code": False,
        "flip": True,
    },
}  # fmt: skip
"""name -> what is other than in recipes.TrainRecipe as it is"""

GPU_GB = {"small": 2, "large": 8, "studio": 24}
"""the GPU a preset is made for"""

USUAL_STEPS = {
    "compact": 8_000, "standard": 8_000, "small": 20_000, "large": 12_000, "studio": 100_000, "classic": 100_000,
}  # fmt: skip
"""after how many it is usually good; of small, studio and classic a guess, as none was measured to its end"""
