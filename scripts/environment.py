"""The project's own environment, .venv: made on first use, renewed when pyproject.toml changes. Standard library
only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def python(extra: str = "") -> Path:
    """The environment's interpreter, with the project (and its optional dependencies `extra`) installed in it."""
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever Python the user has
        sys.exit(f"Python {sys.version.split()[0]} is too old: facedouble needs 3.11 or newer.")
    folder = ROOT / ".venv"
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / f"installed{extra}"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return interpreter
    print(f"installing into {folder} (once; torch is large) ...", file=sys.stderr, flush=True)
    try:
        if not interpreter.exists():  # it may hold a torch of the user's choice
            venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    except subprocess.CalledProcessError:
        sys.exit(
            "Python's venv is incomplete here. On Debian and Ubuntu: apt-get install python3-venv, then try again."
        )
    project = f"{ROOT}[{extra}]" if extra else str(ROOT)
    installed = subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "--editable", project])
    if installed.returncode:
        sys.exit("The installation failed; pip says above why. Mend that and run the same command again.")
    stamp.write_text(wanted)
    return interpreter
