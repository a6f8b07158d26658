"""What the operator configures, all of it through the environment."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import platformdirs


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One process's configuration. Unset URLs mean the embedded database of `home`."""

    home: Path
    database_url: str | None
    reader_url: str | None
    reader_password: str | None
    host: str
    port: int
    token: str | None
    allowed_hosts: tuple[str, ...]
    """Names under which the server may be addressed, besides those of loopback; empty: any, but for a server there."""
    rate: float
    """Requests per second that one caller may send, on average over ten seconds."""
    queries: int
    """Users' SQL queries, exports and other long requests that one caller may run at once."""
    request_timeout: timedelta
    """How long a client may take to send the headers of a request, and again its body."""
    lease_ttl: timedelta
    checkpoint_every: timedelta
    data_root: Path
    data_download: bool
    store: str
    """Where snapshots of weights are kept: a folder, or a URL that fsspec knows."""
    archive_bytes: int
    """The largest archive that may be imported; its tables may unfold to eight times as much."""
    cache: Path
    """Prepared data sets, shared by the workers of one machine."""
    ray_address: str | None
    max_workers: int | None
    """Workers to ask an autoscaling cluster for."""
    query_time: timedelta
    """How long one query of a user may take."""
    webhook_hosts: frozenset[str]
    """Hosts that webhooks may name although their addresses are private."""
    executor: str
    """`ray`, or `inline` to train in the dispatcher's own process."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read `ALIGNSWEEP_*`, `DATABASE_URL` and `RAY_ADDRESS`. Malformed numbers raise ValueError."""
        env = os.environ
        home = Path(env.get("ALIGNSWEEP_HOME") or platformdirs.user_data_dir("alignsweep"))
        return cls(
            home=home,
            database_url=env.get("DATABASE_URL") or None,
            reader_url=env.get("ALIGNSWEEP_READER_URL") or None,
            reader_password=env.get("ALIGNSWEEP_READER_PASSWORD") or None,
            host=env.get("ALIGNSWEEP_HOST") or "127.0.0.1",
            port=int(env.get("ALIGNSWEEP_PORT") or 8642),
            token=env.get("ALIGNSWEEP_TOKEN") or None,
            allowed_hosts=tuple(env.get("ALIGNSWEEP_ALLOWED_HOSTS", "").replace(",", " ").split()),
            rate=float(env.get("ALIGNSWEEP_REQUESTS_PER_SECOND") or 500),
            queries=int(env.get("ALIGNSWEEP_QUERIES") or 4),
            request_timeout=timedelta(seconds=float(env.get("ALIGNSWEEP_REQUEST_SECONDS") or 20)),
            lease_ttl=timedelta(seconds=float(env.get("ALIGNSWEEP_LEASE_TTL_SECONDS") or 30)),
            checkpoint_every=timedelta(seconds=float(env.get("ALIGNSWEEP_CHECKPOINT_SECONDS") or 60)),
            data_root=Path(env.get("ALIGNSWEEP_DATA_ROOT") or home / "data"),
            data_download=env.get("ALIGNSWEEP_DATA_DOWNLOAD") == "1",
            store=env.get("ALIGNSWEEP_STORE") or str(home / "store"),
            archive_bytes=int(env.get("ALIGNSWEEP_ARCHIVE_BYTES") or 2 * 2**30),
            cache=Path(env.get("ALIGNSWEEP_CACHE") or platformdirs.user_cache_path("alignsweep")),
            ray_address=env.get("RAY_ADDRESS") or None,
            max_workers=int(env["ALIGNSWEEP_MAX_WORKERS"]) if env.get("ALIGNSWEEP_MAX_WORKERS") else None,
            query_time=timedelta(seconds=float(env.get("ALIGNSWEEP_QUERY_SECONDS") or 30)),
            webhook_hosts=frozenset(
                host.strip().lower() for host in env.get("ALIGNSWEEP_WEBHOOK_HOSTS", "").split(",") if host.strip()
            ),
            executor=env.get("ALIGNSWEEP_EXECUTOR") or "ray",
        )
