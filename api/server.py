"""How the application is served: uvicorn, with problem documents and a time limit also before there is a request."""

import json
import sys
from asyncio import TimerHandle, Transport
from datetime import timedelta

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.errors import MEDIA_TYPE
from services.settings import Settings


def serve(app: FastAPI, settings: Settings) -> None:
    """Answer until SIGTERM or SIGINT, then finish what is being answered, for five seconds at most."""
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=_protocol(settings.request_timeout),
        ws="none",
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def _protocol(patience: timedelta) -> type[H11Protocol]:
    """HTTP/1.1 whose refusals are problem documents. A client has so long for the headers of a request."""

    class Protocol(H11Protocol):
        _deadline: TimerHandle | None = None

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._expect_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._expect_request()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            # Called where h11's error is handled, which knows the status better.
            error = sys.exception()
            status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
            self._refuse(status, "Headers too large" if status == 431 else "This is not HTTP")

        def _expect_request(self) -> None:
            if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
                self._stop_waiting()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(patience.total_seconds(), self._time_out)

        def _stop_waiting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _time_out(self) -> None:
            if not self.transport.is_closing():
                self._refuse(408, "The request did not come in time")

        def _refuse(self, status: int, title: str) -> None:
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                body = json.dumps({"type": "about:blank", "title": title, "status": status}).encode()
                headers = [
                    ("content-type", MEDIA_TYPE),
                    ("content-length", str(len(body))),
                    ("connection", "close"),
                ]
                answer = h11.Response(status_code=status, headers=headers)
                for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return Protocol
