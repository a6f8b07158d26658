"""What stands between a browser and a server, and can fail as networks, gateways and hung processes do."""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

_CHUNK = 2**16


class Relay:
    """Passes connections on to a port of the loopback interface, until it is told otherwise."""

    def __init__(self) -> None:
        self._listener = _listening(0)
        self.port: int = self._listener.getsockname()[1]
        self._target: int | None = None
        self._status: HTTPStatus | None = None
        self._open: dict[socket.socket, bytes] = {}
        """With the first line of what each was last asked, if it is a client's."""
        self._mute: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pass_on(self, target: int) -> None:
        """Serve, from this port; what hung is reset."""
        self._target, self._status = target, None
        self._cut(self._mute)
        if self._listener.fileno() == -1:
            self._listener = _listening(self.port)
            self._start()

    def refuse(self) -> None:
        """As after a process was killed: what was open is reset, nobody listens."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut(self._open)

    def hang(self) -> None:
        """Take requests, and answer nothing; what is open falls silent."""
        self._target = self._status = None
        self.fall_silent()

    def fall_silent(self, path: bytes = b"") -> None:
        """What was last asked for a path with this in it gets no byte more, and nobody is told; others are served."""
        with self._lock:
            self._mute |= {end for end, asked in self._open.items() if path in asked}

    def answer(self, status: HTTPStatus) -> None:
        """As a gateway does whose server is away."""
        self._target, self._status = None, status
        self._cut(self._open)

    def close(self) -> None:
        self.refuse()

    def _cut(self, ends: Iterable[socket.socket]) -> None:
        with self._lock:
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _start(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._known(client), suppress(OSError):
            if self._status is not None:
                client.recv(_CHUNK)
                client.sendall(_page(self._status))
            elif self._target is None:
                with self._lock:
                    self._mute.add(client)
                while client.recv(_CHUNK):
                    pass
            else:
                self._join(client, self._target)

    def _join(self, client: socket.socket, target: int) -> None:
        with socket.create_connection(("127.0.0.1", target)) as server, self._known(server):
            self._open[client] = b"GET"
            upward = threading.Thread(target=self._pump, args=(client, server), daemon=True)
            upward.start()
            self._pump(server, client)
            upward.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if self._open.get(source):
                    self._open[source] = data.split(b"\r\n", 1)[0]
                if not self._mute & {source, sink}:
                    sink.sendall(data)
        if not self._mute & {source, sink}:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _known(self, end: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open[end] = b""
        with end:
            yield
        with self._lock:
            del self._open[end]
            self._mute.discard(end)


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener


def _page(status: HTTPStatus) -> bytes:
    body = f"<h1>{status.value} {status.phrase}</h1>".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
