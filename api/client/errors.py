"""What can go wrong between client and server."""

from typing import Any

import httpx

RETRIES = 4
_LONGEST_PAUSE_SECONDS = 10.0


class ServerUnreachable(Exception):
    """Nothing answers at the URL, or the server cannot reach its database, after several tries."""


class ServerRefused(Exception):
    """The server answered with a problem document, kept whole in `problem`."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(status, problem)
        self.status = status
        self.problem = problem

    def __str__(self) -> str:
        return str(self.problem.get("detail") or self.problem.get("title") or f"HTTP {self.status}")


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem document of an answer that was read, or what stands in for it."""
    try:
        body = response.json()
    except ValueError:
        return {"title": f"HTTP {response.status_code}", "detail": response.text[:500]}
    return body if isinstance(body, dict) else {"title": f"HTTP {response.status_code}"}


def pause_asked_for(response: httpx.Response) -> float | None:
    """Seconds after which the server wants to be asked again, ten at most; None where it has answered."""
    if response.status_code not in (429, 503):
        return None
    try:
        seconds = float(response.headers.get("Retry-After", 1))
    except ValueError:  # a date
        seconds = _LONGEST_PAUSE_SECONDS
    return min(seconds, _LONGEST_PAUSE_SECONDS)
