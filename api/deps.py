"""What endpoints depend on: sessions, which commit here and nowhere else, the reader's engine, ids and cursors."""

import base64
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from services import tokens
from services.failpoints import reach

MAX_ID = 2**63 - 1


async def transaction(request: Request) -> AsyncIterator[Session]:
    """A session whose transaction commits when the endpoint has answered, and rolls back when it raised.

    The events written in it name the caller. Where nothing is changed there is nothing to commit: each statement is a
    transaction of its own.
    """
    engine: Engine = request.app.state.engine
    if request.method == "GET":
        with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
            yield session
        return
    with Session(engine) as session:
        try:
            caller = getattr(request.state, "caller", None)
            if caller is not None:
                await run_in_threadpool(tokens.act_as, session, caller)
            yield session
        except BaseException:
            await run_in_threadpool(session.rollback)
            raise
        await run_in_threadpool(session.commit)
    reach("request.after_commit")


def reader(request: Request) -> Engine:
    """The engine of the read-only role."""
    engine: Engine = request.app.state.reader
    return engine


def exporter(request: Request) -> Engine:
    """The engine of what leaves in bulk."""
    engine: Engine = request.app.state.exporter
    return engine


def cursor_id(
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
) -> int | None:
    """The id in a cursor."""
    if cursor is None:
        return None
    try:
        digits = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
        number = int(digits)
    except ValueError:
        raise HTTPException(422, "This cursor was not made by this server") from None
    if cursor != make_cursor(number) or not 0 < number <= MAX_ID:
        raise HTTPException(422, "This cursor was not made by this server")
    return number


def _digits(text: str) -> str:
    """Whole numbers are written in plain digits: not `1_0`, not full-width ones."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("a whole number is written in digits")
    return text


def make_cursor(last_id: int) -> str:
    """The cursor of the page that follows the row with this id."""
    return base64.urlsafe_b64encode(str(last_id).encode()).decode()


# `scope="function"`: the transaction commits before the answer leaves, so that an acknowledged submit is durable.
Transaction = Annotated[Session, Depends(transaction, scope="function")]
Reader = Annotated[Engine, Depends(reader)]
Exporter = Annotated[Engine, Depends(exporter)]
CursorId = Annotated[int | None, Depends(cursor_id)]
Digits = BeforeValidator(_digits)
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows per page."), Digits]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=200, description="Your repeats under it return the same sweep.")
]
Id = Annotated[int, Path(ge=1, le=MAX_ID), Digits]
