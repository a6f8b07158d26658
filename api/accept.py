"""What a client accepts."""

from collections.abc import Mapping
from typing import Any, TypeVar

from api.errors import MEDIA_TYPE

T = TypeVar("T")
NO_SUCH_FORM: dict[str, Any] = {
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    "description": "There is none of the forms in `Accept`",
}
"""What OpenAPI says of an answer that comes in several."""


def accepted(accept: str | None, offers: Mapping[str, T]) -> T | None:
    """Of the offers, by media type and the preferred one first, that which the header wants most; None: no one.

    Of equal wishes the first counts; without the header, the first offer.
    """
    wishes = [_wish(part) for part in (accept or "*/*").split(",")]
    for media_range, _ in sorted((wish for wish in wishes if wish[1] > 0), key=lambda wish: -wish[1]):
        for media_type, offer in offers.items():
            if media_range in (media_type, f"{media_type.split('/')[0]}/*", "*/*"):
                return offer
    return None


def _wish(part: str) -> tuple[str, float]:
    """A media range and its weight."""
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weights = [piece[2:] for piece in parameters if piece.startswith("q=")]
    try:
        return media_range, float(weights[0]) if weights else 1.0
    except ValueError:
        return media_range, 1.0
