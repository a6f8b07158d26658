"""API tokens: 256 random bits, stored as SHA-256 and looked up by it. A token itself is never stored and never logged.

Functions take a Session and leave the commit to the caller.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Event, Token
from services.domain.access import Caller, Scope
from services.domain.errors import NotFound

PREFIX = "alignsweep_"
"""By which people and scanners of secrets know a token when they see one."""
_COARSELY = timedelta(minutes=5)

# Who acts in this transaction; the default of `events.actor`.
_ACT = text("SELECT set_config('alignsweep.actor', :actor, true)")


@dataclass(frozen=True, kw_only=True)
class TokenSummary:
    """All that is known of a token. `active`: neither expired nor revoked."""

    id: int
    name: str
    owner: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    active: bool


def create(
    session: Session, *, name: str, owner: str, scopes: set[Scope], valid: timedelta | None
) -> tuple[TokenSummary, str]:
    """A new token, and its secret, which nobody can read again. `valid`: from now; None does not expire."""
    secret = PREFIX + secrets.token_urlsafe(32)
    token_id = session.execute(
        insert(Token)
        .values(
            name=name,
            owner=owner,
            sha256=_sha256(secret),
            scopes=sorted(scopes),
            expires_at=None if valid is None else func.now() + valid,
        )
        .returning(Token.id)
    ).scalar_one()
    _tell(session, "created", token_id, name=name, owner=owner, scopes=sorted(scopes))
    return _get(session, token_id), secret


def page(session: Session, *, before: int | None, limit: int) -> list[TokenSummary]:
    """The newest tokens with ids below `before`, those that no longer hold too."""
    query = select(Token, _active()).order_by(Token.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Token.id < before)
    return [_summary(token, active) for token, active in session.execute(query)]


def revoke(session: Session, token_id: int) -> TokenSummary:
    """From the commit on the token is refused. Repeatable. Raises NotFound."""
    revoked = session.execute(
        update(Token).where(Token.id == token_id, Token.revoked_at.is_(None)).values(revoked_at=func.now())
    )
    if revoked.rowcount:  # type: ignore[attr-defined]
        _tell(session, "revoked", token_id)
    return _get(session, token_id)


def register(session: Session, token: str, *, name: str, owner: str) -> None:
    """Make the operator's token known, with all scopes, and revoke those it had under this name before.

    A known token stays as it is: one that was revoked does not come back.
    """
    sha256 = _sha256(token)
    session.execute(
        update(Token)
        .where(Token.name == name, Token.owner == owner, Token.sha256 != sha256, Token.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    session.execute(
        insert(Token)
        .values(name=name, owner=owner, sha256=sha256, scopes=sorted(Scope))
        .on_conflict_do_nothing(index_elements=[Token.sha256])
    )


def authenticate(session: Session, token: str) -> Caller | None:
    """Who holds the token, or None when it is unknown, expired or revoked. Notes its use."""
    row = session.execute(
        select(Token.id, Token.owner, Token.scopes, _stale()).where(Token.sha256 == _sha256(token), _active())
    ).one_or_none()
    if row is None:
        return None
    token_id, owner, scopes, stale = row
    if stale:
        session.execute(update(Token).where(Token.id == token_id, _stale()).values(last_used_at=func.now()))
    return Caller(owner=owner, token_id=token_id, scopes=frozenset(map(Scope, scopes)))


def act_as(connection: Connection, caller: Caller) -> None:
    """Events of this transaction name the caller."""
    connection.execute(_ACT, {"actor": caller.owner or ""})


def _active() -> Any:
    return Token.revoked_at.is_(None) & or_(Token.expires_at.is_(None), Token.expires_at > func.now())


def _stale() -> Any:
    return or_(Token.last_used_at.is_(None), Token.last_used_at < func.now() - _COARSELY)


def _get(session: Session, token_id: int) -> TokenSummary:
    query = select(Token, _active()).where(Token.id == token_id).execution_options(populate_existing=True)
    row = session.execute(query).one_or_none()
    if row is None:
        raise NotFound("token", token_id)
    return _summary(*row)


def _summary(token: Token, active: bool) -> TokenSummary:
    return TokenSummary(
        id=token.id,
        name=token.name,
        owner=token.owner,
        scopes=[Scope(scope) for scope in token.scopes],
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        active=active,
    )


def _tell(session: Session, what: str, token_id: int, **detail: Any) -> None:
    session.add(Event(kind=f"token.{what}", detail={"token": token_id, **detail}))
    session.flush()


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
