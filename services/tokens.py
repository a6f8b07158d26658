"""API tokens: stored as SHA-256, looked up by it. The token itself is never stored and never logged."""

import hashlib

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Token


def register(session: Session, token: str, *, name: str, owner: str) -> None:
    """Make a token known; a known one stays as it is."""
    session.execute(
        insert(Token)
        .values(name=name, owner=owner, sha256=_sha256(token), scopes=["read", "submit", "sql", "admin"])
        .on_conflict_do_nothing(index_elements=[Token.sha256])
    )


def owner_of(session: Session, token: str) -> str | None:
    """Who holds the token, or None when it is unknown, expired or revoked."""
    return session.scalars(
        select(Token.owner).where(
            Token.sha256 == _sha256(token),
            Token.revoked_at.is_(None),
            or_(Token.expires_at.is_(None), Token.expires_at > func.now()),
        )
    ).one_or_none()


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
