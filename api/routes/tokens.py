"""Tokens: made, listed and revoked by admins. The secret of a token is in one answer and nowhere else."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from api import bodies, schemas
from api.auth import ADMIN
from api.body import body_of, document, validated
from api.deps import CursorId, Id, Limit, Transaction, cut
from services import tokens

router = APIRouter(prefix="/tokens", tags=["tokens"], dependencies=[ADMIN])


@router.post("", operation_id="create_token", status_code=201, openapi_extra=body_of("NewToken"))
def create(body: Annotated[object, Depends(document)], session: Transaction) -> schemas.CreatedToken:
    """Make a token. Its secret is shown now, and never again."""
    wanted = validated(bodies.NewToken, body)
    valid = None if wanted.valid_days is None else timedelta(days=wanted.valid_days)
    summary, secret = tokens.create(
        session, name=wanted.name, owner=wanted.owner, scopes=set(wanted.scopes), valid=valid
    )
    return schemas.CreatedToken(**schemas.Token.model_validate(summary).model_dump(), secret=secret)


@router.get("", operation_id="list_tokens")
def page(session: Transaction, cursor: CursorId, limit: Limit = 100) -> schemas.TokenPage:
    """Tokens, the newest first, with those that no longer hold."""
    shown, following = cut(tokens.page(session, before=cursor, limit=limit + 1), limit)
    return schemas.TokenPage(items=[schemas.Token.model_validate(token) for token in shown], next_cursor=following)


@router.delete("/{token_id}", operation_id="revoke_token")
def revoke(token_id: Id, session: Transaction) -> schemas.Token:
    """Refuse the token from now on. May be repeated; nothing brings it back."""
    return schemas.Token.model_validate(tokens.revoke(session, token_id))
