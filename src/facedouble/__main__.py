"""`python -m facedouble`, which is how torchrun starts it."""

from .cli import run

run()
