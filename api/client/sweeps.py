"""A sweep as an object: what the server answered of it, and what can be asked of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from api.client.following import Update
from api.client.progress import shown

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from api.client.client import Client

OVER = frozenset({"succeeded", "partial", "failed", "cancelled"})
"""States of a sweep in which nothing more happens."""
PAUSED = "paused"


class Sweep(dict[str, Any]):
    """The server's last answer, as a dictionary with the fields of the API, with verbs.

    Nothing is asked until a method is called; `refresh`, `wait` and the verbs that change the sweep renew the fields.
    """

    def __init__(self, client: "Client", answer: Mapping[str, Any]) -> None:
        super().__init__(answer)
        self._client = client

    @property
    def id(self) -> int:
        return int(self["id"])

    @property
    def name(self) -> str:
        return str(self["name"])

    @property
    def state(self) -> str:
        """As last answered."""
        return str(self["state"])

    @property
    def over(self) -> bool:
        """Whether nothing more happens, as last answered."""
        return self.state in OVER

    @property
    def paused(self) -> bool:
        """Whether it waits for somebody to resume, retry or cancel it, as last answered."""
        return self.state == PAUSED

    @property
    def plot(self) -> "Plots":
        return Plots(self)

    def refresh(self) -> Self:
        """Ask again how far it is."""
        return self._renewed(self._client.sweep(self.id))

    def wait(self, *, timeout: timedelta | float | None = None, progress: bool | None = None) -> Self:
        """Until it is over, whatever its state is then; or `paused`, when it waits for you: `pause_reason` says why.

        `timeout`: a timedelta or seconds; `progress`: whether a bar is shown; by default in terminals and notebooks.
        Raises TimeoutError, and ServerUnreachable where the server does not come back; waiting again goes on.
        """
        patience = timeout if timeout is None or isinstance(timeout, timedelta) else timedelta(seconds=timeout)
        shown(self._looks(patience), progress=progress)
        return self

    def follow(self, *, after: int | None = None) -> Iterator[Update]:
        """What happens to it, as it happens, until it is over; `after`: first the events above this id, 0 all."""
        return self._client.follow(self.id, after=after)

    def trials(
        self,
        *,
        filter: str | None = None,
        sort: str | None = None,
        fields: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Its trials, as `Client.trials` lists them."""
        return self._client.trials(self.id, filter=filter, sort=sort, fields=fields, limit=limit)

    def pause(self) -> Self:
        """Claim nothing more of it."""
        return self._renewed(self._client.pause(self.id))

    def resume(self) -> Self:
        """Go on with it."""
        return self._renewed(self._client.resume(self.id))

    def cancel(self) -> Self:
        """Cancel it."""
        return self._renewed(self._client.cancel(self.id))

    def retry(self) -> Self:
        """Let its failed trials wait again."""
        return self._renewed(self._client.retry(self.id))

    def clone(self, overrides: Mapping[str, Any] | None = None, *, name: str | None = None) -> "Sweep":
        """Submit its spec again, with other values at these dotted paths; returns the new sweep."""
        return self._client.clone(self.id, dict(overrides or {}), name=name)

    @overload
    def frame(self, table: str = "trials", *, library: Literal["polars"] = "polars") -> "pl.DataFrame": ...

    @overload
    def frame(self, table: str = "trials", *, library: Literal["pandas", "arrow"]) -> Any: ...

    def frame(self, table: str = "trials", *, library: Literal["polars", "pandas", "arrow"] = "polars") -> Any:
        """All its rows of a table, as `Client.read` reads them: `trials`, `curves`, `alignment`, ..."""
        return self._client.read(table, sweeps=[self.id], library=library)

    def _looks(self, timeout: timedelta | None) -> Iterator[dict[str, Any]]:
        deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
        for answer in self._client.wait(self.id):
            self._renewed(answer)
            yield answer
            if deadline is not None and not self.over and not self.paused and time.monotonic() > deadline:
                raise TimeoutError(f"sweep {self.id} is {self.state} after {timeout}")

    def _renewed(self, answer: Mapping[str, Any]) -> Self:
        self.update(answer)
        return self


class Plots:
    """Figures of a sweep: mean and standard deviation over seeds, a stack of panels per configuration."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def alignment(self) -> "Figure":
        """Gradient and weight alignment per layer against the step."""
        return self._figure("gradient alignment", "weight alignment")

    def losses(self) -> "Figure":
        """Training and test loss against the step."""
        return self._figure("loss")

    def all(self) -> "Figure":
        """Losses and alignment, one below the other."""
        return self._figure("loss", "gradient alignment", "weight alignment")

    def overlay(self) -> "Figure":
        """All configurations over one another: test loss, and alignment of each layer."""
        from api.client.plots import overlay  # here: matplotlib takes its time

        client, sweep = self._sweep._client, self._sweep
        return overlay(sweep, client.curves(sweep.id), client.alignment(sweep.id))

    def _figure(self, *panels: str) -> "Figure":
        from api.client.plots import draw  # here: matplotlib takes its time

        client, sweep = self._sweep._client, self._sweep
        return draw(sweep, client.curves(sweep.id), client.alignment(sweep.id), panels)
