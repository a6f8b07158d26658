"""Requests to addresses that users name. None reaches what only this machine or its network can: names are resolved
here, what they resolve to is checked, and the connection goes to the address that was checked. Redirects are answers.
"""

import ipaddress
import re
import socket
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpcore

from services.domain.errors import DomainError

_SECONDS = 15.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Undeliverable(DomainError):
    """Why a request was not made, or not answered."""


def checked_host(url: str) -> tuple[str, int]:
    """Host and port of a URL that may be called. Raises Undeliverable."""
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise Undeliverable("a URL is written in ASCII, without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        httpcore.URL(url)
    except (ValueError, UnicodeError):
        raise Undeliverable("this is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise Undeliverable("a webhook has an http or https URL")
    if not parts.hostname:
        raise Undeliverable("the URL names no host")
    if parts.username is not None or parts.password is not None:
        raise Undeliverable("a URL with a user name or a password is not called")
    return parts.hostname, port


def addresses(host: str, port: int, allowed: Collection[str]) -> list[str]:
    """What the host resolves to. Raises Undeliverable when any of it is not public, unless the host is allowed."""
    try:
        found = list(
            dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        )
    except (OSError, UnicodeError):
        raise Undeliverable(f"the host {host} cannot be found") from None
    if host.lower() not in allowed and not all(map(is_public, found)):
        raise Undeliverable(f"the host {host} is not public; an operator may allow it by ALIGNSWEEP_WEBHOOK_HOSTS")
    return found


def is_public(address: str) -> bool:
    """Whether anyone on the internet would mean the same by it: not private, loopback, link-local or reserved."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        within = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            within = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if within is not None:
            return is_public(str(within))
        if ip.teredo is not None or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def post(url: str, body: bytes, headers: dict[str, str], allowed: Collection[str]) -> int:
    """The HTTP status of the answer, which is not read. Raises Undeliverable, after 15 s at the latest."""
    host, _ = checked_host(url)
    backend = _CheckedBackend(allowed, until=monotonic() + _SECONDS)
    sent = [("Host", urlsplit(url).netloc), ("Content-Length", str(len(body))), *headers.items()]
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend) as pool,
            pool.stream("POST", url, headers=sent, content=body, extensions={"timeout": _timeouts()}) as answer,
        ):
            return answer.status
    except httpcore.TimeoutException:
        raise Undeliverable(f"{host} did not answer in time") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
        raise Undeliverable(f"{host}: {str(error) or type(error).__name__}"[:500]) from None


def _timeouts() -> dict[str, float]:
    return dict.fromkeys(("connect", "read", "write", "pool"), _SECONDS)


@dataclass(frozen=True)
class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only, and gives up at `until`, whatever trickles in."""

    allowed: Collection[str]
    until: float

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        last: Exception | None = None
        for address in addresses(host, port, self.allowed):
            try:
                stream = httpcore.SyncBackend().connect_tcp(
                    address, port, _left(self.until), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
            else:
                return _TimedStream(stream, self.until)
        raise last or httpcore.ConnectError("no address")


@dataclass(frozen=True)
class _TimedStream(httpcore.NetworkStream):
    stream: httpcore.NetworkStream
    until: float

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.until))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _TimedStream(self.stream.start_tls(ssl_context, server_hostname, _left(self.until)), self.until)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("too late")
    return left
