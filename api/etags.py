"""Entity tags of sweeps: `"EDIT.WHOLE"`. The first half tells versions of what can be edited apart, the second those of
the whole answer, progress and all: `If-Match` asks for the first alone, `If-None-Match` for both.
"""

import hashlib
import re

from fastapi import HTTPException

from api import schemas
from services.editing import version
from services.sweeps import SweepSummary

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


def etag(sweep: SweepSummary) -> str:
    """The entity tag of the answer that shows this sweep."""
    shown = schemas.Sweep.model_validate(sweep).model_dump_json()
    return f'"{version(sweep)}.{hashlib.sha256(shown.encode()).hexdigest()[:16]}"'


def matches(tag: str, if_none_match: str | None) -> bool:
    """Whether the caller has this very answer already."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag.strip('"') in _TAG.findall(if_none_match)


def expected_versions(if_match: str | None) -> list[str] | None:
    """The versions that a change is meant for; None for any (`*`). Raises 428 when the caller does not say."""
    if if_match is None:
        raise HTTPException(428, "Send the ETag of what you edit as If-Match, or If-Match: * to edit whatever is there")
    if if_match.strip() == "*":
        return None
    return [tag.partition(".")[0] for tag in _TAG.findall(if_match)]
