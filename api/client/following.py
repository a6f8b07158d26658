"""Following a stream of server-sent events across broken connections."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import SSEError, connect_sse

from api.client.errors import NOT_NOW, ServerRefused, ServerUnreachable, problem_of

_RETRIES = 6
# Longer than two heartbeats of the server.
_TIMEOUT = httpx.Timeout(10, read=40)


@dataclass(frozen=True, kw_only=True)
class Update:
    """`event`: a transition, with `id`, `at`, `trial_id`, `kind` and `detail`; `progress`: how far the sweep is, with
    `state`, `trials` by state, `trial_count` and `steps_per_second`; `end`: the same, when it is over.
    """

    kind: str
    data: dict[str, Any]


def follow(http: httpx.Client, path: str, after: int | None) -> Iterator[Update]:
    """The updates of a stream until it ends, each event once. Raises ServerRefused and ServerUnreachable."""
    failures, reason = 0, ""
    while failures <= _RETRIES:
        if failures:
            time.sleep(min(0.25 * 2**failures, 8))
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        try:
            with connect_sse(http, "GET", path, headers=headers, timeout=_TIMEOUT) as stream:
                status = stream.response.status_code
                if stream.response.is_error and status not in NOT_NOW:
                    stream.response.read()
                    raise ServerRefused(status, problem_of(stream.response))
                for message in stream.iter_sse():
                    failures = 0
                    after = int(message.id) if message.id else after
                    if message.data:
                        yield Update(kind=message.event, data=json.loads(message.data))
                    if message.event == "end":
                        return
                reason = "the stream was cut off"
        except SSEError as error:
            reason = NOT_NOW.get(status, str(error))
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        failures += 1
    raise ServerUnreachable(f"no answer from {http.base_url}: {reason}")
