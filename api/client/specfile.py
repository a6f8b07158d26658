"""Specs as YAML 1.2: `1e-3` is a number, `yes` is text, keys are unique, tags and Python objects do not exist."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_MAX_ALIASES = 100


def load_yaml(text: str) -> object:
    """The plain value of a YAML document. Raises ValueError with the line of what is wrong."""
    if text.count("*") > _MAX_ALIASES:
        raise ValueError(f"more than {_MAX_ALIASES} aliases")
    yaml = YAML(typ="safe", pure=True)
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
