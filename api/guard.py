"""What is decided of every request before any route sees it, and what every answer says to browsers."""

from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_MAX_HEADER_BYTES = 2**15
_MAX_HEADERS = 100
# Two of these could be read as one by us and as the other by a proxy before us.
_SINGLE = {b"authorization", b"content-type", b"idempotency-key"}


def policy(*, style: str = "'self'", img: str = "'self' data:") -> str:
    """A Content-Security-Policy: files of this server, nothing inline or from elsewhere, but for what is said."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {style}; img-src {img}; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_ANSWER_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": policy(),
}


class Guard:
    """ASGI middleware. `hosts`: names that requests may be addressed to, besides those of the loopback interface; None
    admits any.

    A list of hosts is what stops DNS rebinding: a page of another origin, which its browser takes to be this server.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else {*_LOOPBACK_NAMES, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope["method"], scope["headers"])
        await (problem(*refused) if refused else self._app)(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        if len(headers) > _MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > _MAX_HEADER_BYTES:
            return 431, f"At most {_MAX_HEADERS} headers of together {_MAX_HEADER_BYTES:,} bytes"
        counted = Counter(name for name, _ in headers if name in _SINGLE)
        if twice := [name.decode() for name, n in counted.items() if n > 1]:
            return 400, f"The header {twice[0]} stands more than once"
        if self._hosts is not None and _host_of(headers) not in self._hosts:
            return 400, "This server does not answer to that name; see ALIGNSWEEP_ALLOWED_HOSTS"
        if method not in ("GET", "HEAD", "OPTIONS") and _is_foreign(headers):
            return 403, "Pages of other origins may change nothing here"
        return None


def _is_foreign(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a browser says that a page of another origin asks. Other clients say nothing of the kind."""
    said = dict(headers)
    if (site := said.get(b"sec-fetch-site")) is not None:
        return site not in (b"same-origin", b"none")
    origin = said.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != said.get(b"host")


def _host_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The name in the Host header, without port and brackets; None where there is none."""
    host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
