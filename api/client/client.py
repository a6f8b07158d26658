"""The REST API as methods. Knows HTTP and the API's JSON, nothing of the server's insides."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import platformdirs

_DEFAULT_URL = "http://127.0.0.1:8642"
_RETRIES = 4
_OVER = {"succeeded", "partial", "failed", "cancelled"}


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


class Client:
    """A connection to a server.

    `url`: else ALIGNSWEEP_URL, else the server that runs on this machine's data folder; `token`: else ALIGNSWEEP_TOKEN.
    Requests that cannot do harm twice are repeated while the server is unreachable; submits carry an idempotency key.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, timeout_seconds: float = 60) -> None:
        self.url = url or os.environ.get("ALIGNSWEEP_URL") or _local_url()
        token = token or os.environ.get("ALIGNSWEEP_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, spec: object, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Submit a spec; returns the sweep. The same key and spec again return the same sweep."""
        key = idempotency_key or secrets.token_urlsafe(16)
        return self._ask("POST", "/sweeps", json=spec, headers={"Idempotency-Key": key})

    def plan(self, spec: object) -> dict[str, Any]:
        """What the spec would cost; nothing is stored."""
        return self._ask("POST", "/sweeps", json=spec, params={"dry_run": True})

    def sweeps(self) -> Iterator[dict[str, Any]]:
        """All sweeps, the newest first."""
        yield from self._pages("/sweeps")

    def sweep(self, sweep_id: int) -> dict[str, Any]:
        """One sweep and its progress."""
        return self._ask("GET", f"/sweeps/{sweep_id}")

    def trials(self, sweep_id: int) -> Iterator[dict[str, Any]]:
        """The trials of a sweep, in order of expansion."""
        yield from self._pages(f"/sweeps/{sweep_id}/trials")

    def stats(self, sweep_id: int) -> list[dict[str, Any]]:
        """Final metrics and alignment per layer by group, mean and spread over seeds."""
        return self._items(f"/sweeps/{sweep_id}/stats")

    def alignment(self, sweep_id: int, *, max_points: int | None = None) -> list[dict[str, Any]]:
        """Alignment by group, step and layer, mean and spread over seeds; at most so many steps of each group."""
        return self._items(f"/sweeps/{sweep_id}/alignment", max_points=max_points)

    def curves(self, sweep_id: int, *, max_points: int | None = None) -> list[dict[str, Any]]:
        """Losses and accuracies by group and step, mean and spread over seeds; at most so many steps of each group."""
        return self._items(f"/sweeps/{sweep_id}/curves", max_points=max_points)

    def pause(self, sweep_id: int) -> dict[str, Any]:
        """Claim nothing more of a sweep."""
        return self._ask("POST", f"/sweeps/{sweep_id}/pause")

    def resume(self, sweep_id: int) -> dict[str, Any]:
        """Go on with a paused sweep."""
        return self._ask("POST", f"/sweeps/{sweep_id}/resume")

    def cancel(self, sweep_id: int) -> dict[str, Any]:
        """Cancel a sweep."""
        return self._ask("POST", f"/sweeps/{sweep_id}/cancel")

    def retry(self, sweep_id: int) -> dict[str, Any]:
        """Let the failed trials of a sweep wait again."""
        return self._ask("POST", f"/sweeps/{sweep_id}/retry")

    def set_priority(self, sweep_id: int, priority: int) -> dict[str, Any]:
        """Change when a sweep is claimed; higher is earlier."""
        return self._ask("POST", f"/sweeps/{sweep_id}/priority", json={"priority": priority})

    def clone(self, sweep_id: int, overrides: dict[str, Any], *, name: str | None = None) -> dict[str, Any]:
        """Submit the spec of a sweep again, with other values at these dotted paths; returns the new sweep."""
        return self._ask("POST", f"/sweeps/{sweep_id}/clone", json={"name": name, "overrides": overrides})

    def events(self, sweep_id: int) -> Iterator[dict[str, Any]]:
        """What happened to a sweep until now, in order."""
        yield from self._pages(f"/sweeps/{sweep_id}/events")

    def cancel_trial(self, trial_id: int) -> dict[str, Any]:
        """Cancel one trial."""
        return self._ask("POST", f"/trials/{trial_id}/cancel")

    def explain(self, trial_id: int) -> str:
        """Why a trial waits, runs or is over, in one sentence."""
        return str(self._ask("GET", f"/trials/{trial_id}/explain")["sentence"])

    def queue(self) -> list[dict[str, Any]]:
        """What waits and what runs, per sweep."""
        return self._items("/queue")

    def workers(self) -> list[dict[str, Any]]:
        """The workers that the dispatchers see."""
        return self._items("/workers")

    def doctor(self) -> list[dict[str, Any]]:
        """The queue's invariants and the health of what it stands on."""
        return self._items("/doctor")

    def sql(self, sql: str, *, max_rows: int = 10_000) -> dict[str, Any]:
        """Ask in SQL over the public views: columns, rows, whether they were cut."""
        return self._ask("POST", "/query", json={"sql": sql, "max_rows": max_rows})

    def wait(self, sweep_id: int, *, every_seconds: float = 0.5) -> Iterator[dict[str, Any]]:
        """The sweep again and again until it is over; the last one is the final state."""
        while True:
            sweep = self.sweep(sweep_id)
            yield sweep
            if sweep["state"] in _OVER:
                return
            time.sleep(every_seconds)

    def _items(self, path: str, **params: Any) -> list[dict[str, Any]]:
        wanted = {name: value for name, value in params.items() if value is not None}
        items: list[dict[str, Any]] = self._ask("GET", path, params=wanted)["items"]
        return items

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = self._ask("GET", path, params={"limit": 500, **({"cursor": cursor} if cursor else {})})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        for attempt in range(_RETRIES):
            if attempt:
                time.sleep(0.25 * 4**attempt)
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                continue
            if response.status_code == 503:
                reason = "the server cannot reach its database"
                continue
            if response.is_error:
                raise ServerRefused(response.status_code, _problem(response))
            answer: dict[str, Any] = response.json()
            return answer
        raise ServerUnreachable(f"no answer from {self.url}: {reason}")


def home() -> Path:
    """The data folder of this machine's own service."""
    return Path(os.environ.get("ALIGNSWEEP_HOME") or platformdirs.user_data_dir("alignsweep"))


def _local_url() -> str:
    """Where the service of this machine's data folder listens, if it said so."""
    try:
        url: str = json.loads((home() / "server.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        return _DEFAULT_URL
    return url


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {"title": f"HTTP {response.status_code}", "detail": response.text[:500]}
    return body if isinstance(body, dict) else {"title": f"HTTP {response.status_code}"}
