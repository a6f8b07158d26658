"""Answers that are read from the database while they are sent."""

from functools import partial

import anyio
import psycopg
from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.transfer.streams import Stream

_PATIENCE_SECONDS = 120.0


class Download(Response):
    """A stream as a file to save. A client that goes away, or takes nothing for two minutes, ends the query."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._gone = False
        self.status_code = 200
        self.background = None
        self.init_headers(
            {"content-type": stream.media_type, "content-disposition": f'attachment; filename="{stream.name}"'}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, receive)
                await self._send(send)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(self._stream.close)

    async def _watch(self, receive: Receive) -> None:
        """Until the client is gone."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        await run_sync(self._stream.cancel)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        blocks = iter(self._stream)
        try:
            while not self._gone and (block := await run_sync(partial(next, blocks, None))) is not None:
                with anyio.fail_after(_PATIENCE_SECONDS):
                    await send({"type": "http.response.body", "body": block, "more_body": True})
        except psycopg.Error:
            if not self._gone:
                raise  # the connection is cut: the client sees that the file is not whole
        if not self._gone:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
