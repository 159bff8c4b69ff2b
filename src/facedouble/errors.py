"""The error tree: every message says which file or frame, what was expected and what to do next."""


class FacedoubleError(Exception):
    """Base of all errors a user may meet; the command line prints the message and exits with `exit_code`."""

    exit_code = 1


class InputError(FacedoubleError):
    """A clip, picture or setting that cannot be used: missing, broken, empty, of the wrong kind."""


class FaceError(FacedoubleError):
    """The right faces were not found: none at all, too few, or no person who dominates."""


class ModelError(FacedoubleError):
    """A model or checkpoint that cannot be read, or that does not fit what it is asked to do."""


class OutputError(FacedoubleError):
    """The result cannot be written: disk full, folder read-only, container unfit for the tracks."""


class MachineError(FacedoubleError):
    """Something the machine lacks: a system library, a weights file, memory."""


class ConsentError(FacedoubleError):
    """A person's consent record is missing or invalid; nothing is done without it."""

    exit_code = 3


class ContentError(FacedoubleError):
    """Explicit footage; this program refuses it."""

    exit_code = 7
