"""Where a spec comes from: a file, or standard input, which can be read only once."""

import sys
from functools import cached_property
from pathlib import Path

import typer

from api.client.specfile import read_text, spec_of

STDIN = Path("-")


class Source:
    """The spec at a path; - is standard input. Raises OSError and NotYaml where it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        """As it stands before a line's number."""
        return "<stdin>" if self._path == STDIN else str(self._path)

    @cached_property
    def text(self) -> str:
        return read_text(sys.stdin.buffer if self._path == STDIN else self._path)

    def document(self) -> object:
        """Its plain value."""
        return spec_of(self.text)


def readable(path: Path) -> Path:
    """The path of a file, or -. Raises typer.BadParameter."""
    if path != STDIN and not path.exists():
        raise typer.BadParameter(f"file '{path}' does not exist.")
    if path.is_dir():
        raise typer.BadParameter(f"file '{path}' is a directory.")
    return path


def all_readable(paths: list[Path]) -> list[Path]:
    """The same of several."""
    return [readable(path) for path in paths]
