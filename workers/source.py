"""Which machine this is, and which state of the source runs on it."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

_GIT_SECONDS = 5


@cache
def cpu_model() -> str:
    """As the processor names itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


@cache
def source_commit() -> str | None:
    """ALIGNSWEEP_COMMIT where an image was built with it; else that of the repository this file lies in, `-dirty` where
    files were changed since. None: there is neither."""
    if told := os.environ.get("ALIGNSWEEP_COMMIT"):
        return told
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
