"""What can go wrong between client and server."""

from typing import Any

import httpx

RETRIES = 4
_LONGEST_PAUSE_SECONDS = 10.0
NOT_NOW = {
    429: "it is asked too often",
    502: "a proxy before it cannot reach it",
    503: "it cannot reach its database",
    504: "a proxy before it waits in vain",
}
"""Answers that mean to ask again, and why."""


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


def pause_asked_for(response: httpx.Response, otherwise: float = 1.0) -> float | None:
    """Seconds after which to ask again, `otherwise` where the server does not say; None where it has answered."""
    if response.status_code not in NOT_NOW:
        return None
    if (after := response.headers.get("Retry-After")) is None:
        return otherwise
    try:
        return min(float(after), _LONGEST_PAUSE_SECONDS)
    except ValueError:  # a date
        return _LONGEST_PAUSE_SECONDS
