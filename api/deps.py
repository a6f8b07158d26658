"""What endpoints depend on: sessions, which commit here and nowhere else, the reader's engine, ids and cursors."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Header, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from services import tokens
from services.failpoints import reach

MAX_ID = 2**63 - 1


class _Numbered(Protocol):
    @property
    def id(self) -> int: ...


Row = TypeVar("Row", bound=_Numbered)
Result = TypeVar("Result")


class Slots(asyncio.Semaphore):
    """So many requests use the database at once; the others wait here, where they hold neither thread nor connection.

    There are more threads, and more connections, than slots: who has one never waits for who waits.
    """

    def __init__(self) -> None:
        super().__init__(18)


async def looked_up(request: Request, look: Callable[[Session], Result]) -> Result:
    """What is found in the database before the endpoint's own session begins."""

    def found() -> Result:
        with Session(request.app.state.engine) as session, session.begin():
            return look(session)

    async with request.app.state.slots:
        return await run_in_threadpool(found)


async def transaction(request: Request) -> AsyncIterator[Session]:
    """A session whose transaction commits when the endpoint has answered, and rolls back when it raised.

    The events written in it name the caller. What only reads has nothing to commit, and another engine.
    """
    async with request.app.state.slots:
        if request.method == "GET":
            with Session(request.app.state.lookups) as session:
                yield session
            return
        caller = getattr(request.state, "caller", None)
        with Session(request.app.state.engine) as session:
            if caller is not None:
                event.listen(session, "after_begin", lambda _session, _begun, held: tokens.act_as(held, caller))
            try:
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


def cut(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], str | None]:
    """A page of rows that were read one beyond its limit, and the cursor of the next one, None on the last."""
    return (rows[:limit], make_cursor(rows[limit - 1].id)) if len(rows) > limit else (rows, None)


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
