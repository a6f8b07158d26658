"""What documents show, taken from them so that tests can run it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """The code blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[tuple[str, str]]:
    """Each command of the console blocks, with the output that is shown below it."""
    found = re.split(r"^\$ ", "\n".join(blocks(page, "console")).replace("\\\n", ""), flags=re.MULTILINE)[1:]
    return [_parted(entry.strip("\n")) for entry in found]


def _parted(entry: str) -> tuple[str, str]:
    """A command may go on over lines while a quotation is open."""
    lines = entry.split("\n")
    last = next(i for i in range(len(lines)) if "\n".join(lines[: i + 1]).count('"') % 2 == 0)
    return "\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :])
