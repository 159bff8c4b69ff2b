"""What is said of a file that was asked about: one answer, of its credential, the mark in its faces and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from . import ledger
from .credential import Verdict
from .mark import Found

EXIT_CODES = {"valid": 0, "altered": 4, "foreign": 5, "none": 5, "marked": 6}


@dataclass(frozen=True)
class Answer:
    """`text` is for the user, everything else for programs."""

    state: Literal["valid", "altered", "marked", "foreign", "none"]
    """valid: made with facedouble and not changed since. altered: changed after it was signed. marked: no credential of
    facedouble's, but its mark. foreign: another program's credential, and no mark. none: neither."""
    text: str
    made_here: bool
    """True where credential or mark say that facedouble made it"""
    details: dict[str, Any]
    """of the credential"""
    mark: Found | None = None
    faces: int = 0
    """in how many faces the mark was looked for"""
    outputs: Sequence[ledger.Output] = ()
    """what this machine's ledger knows under the mark's number"""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.state]

    @classmethod
    def of(cls, path: Path, verdict: Verdict, mark: Found | None = None, faces: int = 0) -> Self:
        """Of a verdict that says enough by itself, or after the mark was looked for in so many faces."""
        if verdict.state == "valid" and verdict.made_here:
            return cls("valid", verdict.text, True, verdict.details)
        if mark is None:
            state: Literal["altered", "foreign", "none"] = "foreign" if verdict.state == "valid" else verdict.state
            looked = f"No mark of facedouble in {faces} faces." if faces else "No face was found to hold a mark."
            return cls(state, f"{verdict.text} {looked}", verdict.made_here, verdict.details, None, faces)
        outputs = ledger.outputs(mark=mark.id)
        known = "; ".join(f"{output.path}, made {output.made}" for output in outputs)
        credential = f"{path}: carries no credential, but" if verdict.state == "none" else f"{verdict.text} But"
        text = (
            f"{credential} its faces carry the invisible mark: made with facedouble, mark {mark.id} (footage without "
            f"one reads so with a probability under {max(mark.chance, 1e-99):.0e}). This machine's ledger "
            f"{f'knows it as {known}' if known else 'does not know it'}."
        )
        return cls(
            "altered" if verdict.state == "altered" else "marked", text, True, verdict.details, mark, faces, outputs
        )
