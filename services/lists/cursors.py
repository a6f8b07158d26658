"""Cursors of lists: where a page ended, signed together with the question, so that none is made up or misused."""

import base64
import binascii
import hmac
import json
import secrets
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.errors import InvalidQuery, Problem

_MAC_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Place:
    """The last row of a page: its sort key as text, None where undefined, and its id."""

    key: str | None
    id: int


def make(session: Session, place: Place, asked: object) -> str:
    """The cursor of the page that follows this row in the answer to this question."""
    payload = json.dumps([place.key, place.id], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_mac(session, payload, asked) + payload).decode()


def read(session: Session, cursor: str, asked: object) -> Place:
    """The row after which to go on. Raises InvalidQuery for a cursor that was not made here, for this question."""
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise _foreign() from None
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(session, payload, asked)):
        raise _foreign()
    key, id_ = json.loads(payload)
    return Place(key=key, id=id_)


def _mac(session: Session, payload: bytes, asked: object) -> bytes:
    question = json.dumps(asked, sort_keys=True, default=str).encode()
    return hmac.digest(_key(session), question + b"\0" + payload, "sha256")[:_MAC_BYTES]


def _key(session: Session) -> bytes:
    """The key that all API processes share, made by the first that needs it."""
    find = text("SELECT key FROM signing_keys WHERE purpose = 'cursors'")
    key = session.execute(find).scalar_one_or_none()
    if key is None:
        made = text("INSERT INTO signing_keys (purpose, key) VALUES ('cursors', :key) ON CONFLICT DO NOTHING")
        session.execute(made, {"key": secrets.token_hex(32)})
        key = session.execute(find).scalar_one()
    return bytes.fromhex(key)


def _foreign() -> InvalidQuery:
    message = "this cursor was not made for this list: its filter and its order must stay as they were"
    return InvalidQuery([Problem(pointer="/query/cursor", code="foreign_cursor", message=message)])
