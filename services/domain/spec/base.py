"""What all parts of a spec share: strictness, seeds, and the canonical text that hashes are taken over."""

import hashlib
import json
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_SEED = 2**63 - 1

# Control and format characters (zero width, right to left), separators of lines and paragraphs, surrogates.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _readable(text: str) -> str:
    for character in text:
        if unicodedata.category(character) in _INVISIBLE:
            raise ValueError(f"a name may not contain invisible characters: U+{ord(character):04X}")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class SpecModel(BaseModel):
    """Strict and closed: no coercion, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces. Hashes are taken over it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
