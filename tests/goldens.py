"""Golden files: public surfaces as they were published. `make golden` renews them after a change that is meant."""

import json
import os
from pathlib import Path
from typing import Any


def renew_or_compare(path: Path, value: Any) -> None:
    """Write the file when RENEW_GOLDEN is set, else fail where the value differs from it."""
    if os.environ.get("RENEW_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    assert json.loads(path.read_text()) == value


def renew_or_compare_text(path: Path, text: str) -> None:
    """The same for a page."""
    if os.environ.get("RENEW_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text
