"""Specs as YAML 1.2: `1e-3` is a number, `yes` is text, keys are unique, tags and Python objects do not exist."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode
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


def load_yaml(text: str) -> object:
    """The plain value of a YAML document. Raises ValueError with the line of what is wrong."""
    if text.count("*") > _MAX_ALIASES:
        raise ValueError(f"more than {_MAX_ALIASES} aliases")
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    yaml.Constructor = _Constructor
    yaml.version = (1, 2)
    yaml.allow_duplicate_keys = False
    try:
        return yaml.load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{getattr(error, 'problem', None) or str(error).splitlines()[0]}") from None


def read_spec(path: Path) -> object:
    """The document of a spec file, YAML or JSON (which is YAML). Raises OSError and ValueError."""
    return load_yaml(path.read_text(encoding="utf-8"))
