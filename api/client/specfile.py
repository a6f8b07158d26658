"""Specs as YAML 1.2: `1e-3` is a number, `yes` is text, keys are unique, tags and Python objects do not exist."""

from pathlib import Path
from typing import Any, BinaryIO

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.scanner import Scanner, ScannerError

_MAX_ALIASES = 100
_MAX_BRACKETS = 64


class _Scanner(Scanner):
    """Without deep brackets, each of which it would look for at every token within them."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:
        if len(self.flow_context) >= _MAX_BRACKETS:
            raise ScannerError(None, None, f"brackets nested deeper than {_MAX_BRACKETS}", self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


class _Constructor(SafeConstructor):
    """Without merge keys, which YAML 1.2 has not. Merges of merges take as long as there are paths through them."""

    def flatten_mapping(self, node: MappingNode) -> None:
        for key, _ in node.value:
            if key.tag.endswith(":merge"):
                raise ConstructorError(None, None, "merge keys (<<) are not of YAML 1.2", key.start_mark)


class NotYaml(ValueError):
    """The text is not YAML; `line` and `column`, from 1, say where, if that is known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message, line, column)
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return self.message


def load_yaml(text: str) -> object:
    """The plain value of a YAML document. Raises NotYaml."""
    if text.count("*") > _MAX_ALIASES:
        raise NotYaml(f"more than {_MAX_ALIASES} aliases")
    try:
        return _yaml().load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or str(error).splitlines()[0]
        if "<block" in message.rpartition("found")[2]:
            message = "the indentation does not fit: fields of one mapping begin in one column"
        raise NotYaml(message, *((mark.line + 1, mark.column + 1) if mark else ())) from None


def spec_of(text: str) -> object:
    """The document of a spec. Raises NotYaml, also where there is none."""
    if (document := load_yaml(text)) is None:
        raise NotYaml("there is no spec in it: it is empty")
    return document


def read_text(file: Path | BinaryIO) -> str:
    """All of a file. Raises OSError, and NotYaml where it is not UTF-8."""
    content = file.read_bytes() if isinstance(file, Path) else file.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotYaml(f"byte 0x{content[error.start]:02x} is not UTF-8", line) from None


def read_spec(path: Path) -> object:
    """The document of a spec file, YAML or JSON (which is YAML). Raises OSError and NotYaml."""
    return spec_of(read_text(path))


class Positions:
    """Where a YAML text says what."""

    def __init__(self, text: str) -> None:
        self._root: Node | None = _yaml().compose(text)

    def of(self, pointer: str) -> tuple[int, int]:
        """Line and column, from 1, of the key or item that an RFC 6901 pointer points to, or of what would hold it."""
        at = node = self._root
        for part in (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]):
            match node:
                case MappingNode():
                    found = next(((key, value) for key, value in node.value if key.value == part), None)
                case SequenceNode() if part.isdigit() and int(part) < len(node.value):
                    found = (node.value[int(part)],) * 2
                case _:
                    found = None
            if found is None:
                break
            at, node = found
        return (at.start_mark.line + 1, at.start_mark.column + 1) if at else (1, 1)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    yaml.Constructor = _Constructor
    yaml.version = (1, 2)
    yaml.allow_duplicate_keys = False
    return yaml
