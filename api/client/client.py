"""The REST API as methods. Knows HTTP and the API's JSON, nothing of the server's insides."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import platformdirs

from api.client.errors import NOT_NOW, RETRIES, ServerRefused, ServerUnreachable, pause_asked_for, problem_of
from api.client.following import Update, follow
from api.client.naming import found
from api.client.specfile import read_spec
from api.client.sweeps import OVER, PAUSED, Sweep
from api.client.transfer import Transfers

_PAGE = 500
_DEFAULT_URL = "http://127.0.0.1:8642"
# No proxy reaches this machine under these names.
_PAST_PROXIES = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
# Of the pauses between tries: 1, 4 and 16 s; or 0.35, 0.5 and 0.7 s.
_GROWTH, _GROWTH_UNANSWERED = 4.0, 1.41
# Errors before the first byte of a request is sent.
_NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Client(Transfers):
    """A connection to a server.

    `url`: else ALIGNSWEEP_URL, else the server that runs on this machine's data folder; `token`: else ALIGNSWEEP_TOKEN.
    Raises ValueError where that is no URL.
    While the server is unreachable, requests are repeated if they do the same twice as once: what makes something new
    carries an idempotency key, or is repeated only where it cannot have arrived. `tries`: how often each is sent, over
    some twenty seconds; over two where nobody listens at the URL and nobody has answered this client before.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, timeout_seconds: float = 60, tries: int = RETRIES
    ) -> None:
        self._tries = tries
        self._answered = False
        self.url = _checked(url or os.environ.get("ALIGNSWEEP_URL") or _local_url())
        token = token or os.environ.get("ALIGNSWEEP_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1", headers=headers, timeout=timeout_seconds, mounts=_PAST_PROXIES
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, spec: object, *, idempotency_key: str | None = None) -> Sweep:
        """Submit a spec, a document or the path (also as text) of a file of YAML; returns the sweep.

        The same key and spec again return the same sweep.
        """
        key = idempotency_key or secrets.token_urlsafe(16)
        return self._sweep("POST", "/sweeps", json=_document(spec), headers={"Idempotency-Key": key})

    def plan(self, spec: object) -> dict[str, Any]:
        """What the spec would cost; nothing is stored."""
        return self._ask("POST", "/sweeps", json=_document(spec), params={"dry_run": True})

    def sweeps(
        self,
        *,
        filter: str | None = None,
        sort: str | None = None,
        fields: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Sweeps, the newest first unless sorted otherwise; those that have all the tags; `limit`: at most so many."""
        yield from self._pages("/sweeps", limit, tag=list(tags), **_listed(filter, sort, fields))

    def sweep(self, sweep_id: int | str) -> Sweep:
        """One sweep and its progress: by its number, `last`, its name or the beginning of it.

        Raises ValueError where a name is empty or fits none, or more than one.
        """
        return self._sweep("GET", f"/sweeps/{found(self, str(sweep_id))}")

    def trials(
        self,
        sweep_id: int | None = None,
        *,
        filter: str | None = None,
        sort: str | None = None,
        fields: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The trials of a sweep, in order of expansion, or of all; `sort="-test_accuracy"`: the best first.

        `filter`: for instance `rule in (fa, dfa) and train.lr < 0.01`; `fields`: columns and parameters to show;
        `limit`: at most so many.
        """
        path = "/trials" if sweep_id is None else f"/sweeps/{sweep_id}/trials"
        yield from self._pages(path, limit, **_listed(filter, sort, fields))

    def stats(self, sweep_id: int) -> list[dict[str, Any]]:
        """Final metrics and alignment per layer by group, mean and spread over seeds."""
        return self._items(f"/sweeps/{sweep_id}/stats")

    def axes(self, sweep_id: int) -> list[dict[str, Any]]:
        """The axes on which the groups of a sweep differ, the outermost first; `values` is None above 100 of them."""
        return self._items(f"/sweeps/{sweep_id}/axes")

    def alignment(
        self,
        sweep_id: int,
        *,
        max_points: int | None = None,
        by: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        max_series: int | None = None,
    ) -> list[dict[str, Any]]:
        """Alignment by group, step and layer, mean and spread over seeds; at most so many steps of each group.

        `by=["rule.name"]` pools groups that are alike on these axes, `[]` all: mean and spread are those over all their
        trials, `<measure>_n` in number. `where={"train.lr": 0.01}`: those groups alone.
        """
        path = f"/sweeps/{sweep_id}/alignment"
        return self._items(path, max_points=max_points, **_series(by, where, max_series))

    def curves(
        self,
        sweep_id: int,
        *,
        max_points: int | None = None,
        by: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        max_series: int | None = None,
    ) -> list[dict[str, Any]]:
        """Losses and accuracies by group and step, mean and spread over seeds; as above."""
        return self._items(f"/sweeps/{sweep_id}/curves", max_points=max_points, **_series(by, where, max_series))

    def pause(self, sweep_id: int) -> Sweep:
        """Claim nothing more of a sweep."""
        return self._sweep("POST", f"/sweeps/{sweep_id}/pause")

    def resume(self, sweep_id: int) -> Sweep:
        """Go on with a paused sweep."""
        return self._sweep("POST", f"/sweeps/{sweep_id}/resume")

    def cancel(self, sweep_id: int) -> Sweep:
        """Cancel a sweep."""
        return self._sweep("POST", f"/sweeps/{sweep_id}/cancel")

    def retry(self, sweep_id: int) -> Sweep:
        """Let the failed trials of a sweep wait again."""
        return self._sweep("POST", f"/sweeps/{sweep_id}/retry")

    def set_priority(self, sweep_id: int, priority: int) -> Sweep:
        """Change when a sweep is claimed; higher is earlier."""
        return self._sweep("POST", f"/sweeps/{sweep_id}/priority", json={"priority": priority})

    def clone(self, sweep_id: int, overrides: dict[str, Any], *, name: str | None = None) -> Sweep:
        """Submit the spec of a sweep again, with other values at these dotted paths; returns the new sweep."""
        body, headers = {"name": name, "overrides": overrides}, {"Idempotency-Key": secrets.token_urlsafe(16)}
        return self._sweep("POST", f"/sweeps/{sweep_id}/clone", json=body, headers=headers)

    def events(self, sweep_id: int) -> Iterator[dict[str, Any]]:
        """What happened to a sweep until now, in order."""
        yield from self._pages(f"/sweeps/{sweep_id}/events")

    def follow(self, sweep_id: int, *, after: int | None = None) -> Iterator[Update]:
        """What happens to a sweep, as it happens, until it is over; `after`: first the events above this id.

        The connection may break: it goes on where it was. Raises ServerUnreachable when it does not come back.
        """
        return follow(self._http, f"/sweeps/{sweep_id}/events/stream", after)

    def edit(self, sweep_id: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Sweep:
        """Change name, tags or notes of a sweep: `change` is given the sweep and returns what becomes of these.

        Where somebody else has edited it meanwhile, it is called again.
        """
        while True:
            response = self._send("GET", f"/sweeps/{sweep_id}")
            headers = {"If-Match": response.headers["ETag"]}
            try:
                body = change(response.json())
                return self._sweep("PATCH", f"/sweeps/{sweep_id}", json=body, headers=headers, twice=False)
            except ServerRefused as refusal:
                if refusal.status != 412:
                    raise

    def add_webhook(self, url: str, events: Sequence[str] = ("sweep.ended", "sweep.paused")) -> dict[str, Any]:
        """Be told of your sweeps at this URL; the answer holds the `secret` of the signatures, this once."""
        return self._ask("POST", "/webhooks", json={"url": url, "events": list(events)}, twice=False)

    def webhooks(self) -> list[dict[str, Any]]:
        """Your webhooks."""
        return self._items("/webhooks")

    def remove_webhook(self, webhook_id: int) -> None:
        """Be told nothing more there."""
        self._send("DELETE", f"/webhooks/{webhook_id}")

    def deliveries(self, webhook_id: int) -> Iterator[dict[str, Any]]:
        """What a webhook was told and is to be told, the newest first."""
        yield from self._pages(f"/webhooks/{webhook_id}/deliveries")

    def cancel_trial(self, trial_id: int) -> dict[str, Any]:
        """Cancel one trial."""
        return self._ask("POST", f"/trials/{trial_id}/cancel")

    def explain(self, trial_id: int) -> str:
        """Why a trial waits, runs or is over, in one sentence."""
        return str(self._ask("GET", f"/trials/{trial_id}/explain")["sentence"])

    def reproduce(self, trial_id: int) -> Sweep:
        """Train a trial once more; returns the sweep that does."""
        headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
        return self._sweep("POST", f"/trials/{trial_id}/reproduce", headers=headers)

    def compare(self, trial_id: int, other_id: int) -> dict[str, Any]:
        """All that was measured of two trials that are over, bit for bit."""
        return self._ask("GET", f"/trials/{trial_id}/compare/{other_id}")

    def queue(self) -> list[dict[str, Any]]:
        """What waits and what runs, per sweep."""
        return self._items("/queue")

    def workers(self) -> list[dict[str, Any]]:
        """The workers that the dispatchers see."""
        return self._items("/workers")

    def doctor(self) -> list[dict[str, Any]]:
        """The queue's invariants and the health of what it stands on."""
        return self._items("/doctor")

    def tokens(self) -> Iterator[dict[str, Any]]:
        """All tokens, the newest first, without their secrets. For admins, as the two below."""
        yield from self._pages("/tokens")

    def create_token(self, name: str, *, owner: str, scopes: list[str], valid_days: int | None = 365) -> dict[str, Any]:
        """A new token; `secret` is shown this once. `valid_days`: None does not expire."""
        body = {"name": name, "owner": owner, "scopes": scopes, "valid_days": valid_days}
        return self._ask("POST", "/tokens", json=body, twice=False)

    def revoke_token(self, token_id: int) -> dict[str, Any]:
        """Refuse a token from now on."""
        return self._ask("DELETE", f"/tokens/{token_id}")

    def sql(self, sql: str, *, max_rows: int = 10_000) -> dict[str, Any]:
        """Ask in SQL over the public views: `columns`, `rows`, and whether these were `truncated`.

        `frame` answers as a frame of polars.
        """
        return self._ask("POST", "/query", json={"sql": sql, "max_rows": max_rows})

    def wait(self, sweep_id: int, *, every_seconds: float = 0.5) -> Iterator[dict[str, Any]]:
        """The sweep again and again until it is over or paused; the last one is as it is then."""
        while True:
            sweep = self.sweep(sweep_id)
            yield sweep
            if sweep["state"] in OVER or sweep["state"] == PAUSED:
                return
            time.sleep(every_seconds)

    def _items(self, path: str, **params: Any) -> list[dict[str, Any]]:
        wanted = {name: value for name, value in params.items() if value is not None}
        items: list[dict[str, Any]] = self._ask("GET", path, params=wanted)["items"]
        return items

    def _pages(self, path: str, at_most: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of all pages, or the first `at_most` of them."""
        cursor: str | None = None
        left = sys.maxsize if at_most is None else at_most
        while left > 0:
            asked = {"limit": min(left, _PAGE), **params, **({"cursor": cursor} if cursor else {})}
            page = self._ask("GET", path, params=asked)
            yield from page["items"]
            cursor, left = page["next_cursor"], left - len(page["items"])
            if cursor is None:
                return

    def _sweep(self, method: str, path: str, **request: Any) -> Sweep:
        return Sweep(self, self._ask(method, path, **request))

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._send(method, path, **request).json()
        return answer

    def _send(self, method: str, path: str, *, twice: bool = True, **request: Any) -> httpx.Response:
        """`twice`: whether it may arrive twice. If not, it is not repeated once it may have arrived."""
        pause, reason = 0.0, ""
        for attempt in range(self._tries):
            time.sleep(pause)
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                waits_for_nobody = isinstance(error, httpx.ConnectError) and not self._answered
                growth = _GROWTH_UNANSWERED if waits_for_nobody else _GROWTH
                reason, pause = str(error) or type(error).__name__, 0.25 * growth ** (attempt + 1)
                if not twice and not isinstance(error, _NEVER_ARRIVED):
                    raise ServerUnreachable(f"no answer from {self.url}, which may have done it: {reason}") from error
                continue
            self._answered = True
            asked = pause_asked_for(response, 0.25 * _GROWTH ** (attempt + 1))
            if asked is not None and (twice or response.status_code == 429):
                reason, pause = NOT_NOW[response.status_code], asked
                continue
            if response.is_error:
                raise ServerRefused(response.status_code, problem_of(response))
            return response
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


def _checked(url: str) -> str:
    """Without a slash at its end. Raises ValueError unless it is a server's address."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"the URL of a server begins with http:// or https://, not {url!r} (ALIGNSWEEP_URL)")
    return url.rstrip("/")


def _document(spec: object) -> object:
    if spec is None:
        raise ValueError("there is no spec: give a document, or the path of a file of YAML")
    return read_spec(Path(spec)) if isinstance(spec, Path | str) else spec


def _listed(filter: str | None, sort: str | None, fields: Sequence[str] | None) -> dict[str, Any]:
    asked = {"filter": filter, "sort": sort, "fields": ",".join(fields) if fields else None}
    return {name: value for name, value in asked.items() if value is not None}


def _series(by: Sequence[str] | None, where: Mapping[str, Any] | None, max_series: int | None) -> dict[str, Any]:
    return {
        "by": None if by is None else ",".join(by),
        "where": None if where is None else json.dumps(where),
        "max_series": max_series,
    }
