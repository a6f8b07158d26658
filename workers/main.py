"""The composition root: joins database, dispatcher and executor into the dispatcher process."""

import os
import secrets
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from db.session import make_dispatcher_engine
from services import logs
from services.dispatcher import Dispatcher
from services.domain.errors import ExecutorLost
from services.domain.ports import Executor
from services.settings import Settings
from services.store import Store

if TYPE_CHECKING:
    from workers.training.data.library import DataLibrary


_LEAST_SILENCE = timedelta(seconds=4)


def main() -> int:
    """Run until SIGTERM or SIGINT, then drain. Exit status 1: Ray is lost, start again; 2: not configured."""
    settings = Settings.from_environment()
    logs.configure(settings.token)
    if settings.database_url is None:
        sys.stderr.write("DATABASE_URL is not set; `alignsweep up` starts a dispatcher with an embedded database\n")
        return 2
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    if reason := refusal(settings):
        sys.stderr.write(f"{reason}\n")
        return 2
    executor = make_executor(settings)
    # After Ray has started: it installs handlers of its own.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    dispatcher = Dispatcher(
        engine=make_dispatcher_engine(settings.database_url, ttl=settings.lease_ttl),
        executor=executor,
        store=Store(settings.store),
        ttl=settings.lease_ttl,
        checkpoint_every=settings.checkpoint_every,
    )
    structlog.get_logger().info("dispatcher up", name=dispatcher.name, executor=settings.executor)
    try:
        while not stopped.is_set():
            stopped.wait(dispatcher.tick().total_seconds())
        dispatcher.drain()
    except ExecutorLost as error:
        structlog.get_logger().error("executor lost", error=str(error))
        return 1
    finally:
        executor.close()
    return 0


def refusal(settings: Settings) -> str | None:
    """Why a dispatcher must not work with this Ray cluster, or None."""
    tokens = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    known = any(os.environ.get(name) for name in tokens) or Path("~/.ray/auth_token").expanduser().exists()
    if settings.executor == "ray" and settings.ray_address is not None and not known:
        return f"refusing the Ray cluster at {settings.ray_address} without a token: set RAY_AUTH_TOKEN on every node"
    return None


def make_executor(settings: Settings) -> Executor:
    """The executor that the settings name. Raises ValueError for an unknown one."""
    match settings.executor:
        case "inline":
            return _inline(settings)
        case "ray":
            return _ray(settings)
        case other:
            raise ValueError(f"ALIGNSWEEP_EXECUTOR must be ray or inline, not {other!r}")


def _inline(settings: Settings) -> Executor:
    import torch

    from workers.inline import InlineExecutor
    from workers.pack import describe
    from workers.training import numerics, products

    matmul = products.configure()
    provenance = describe("cpu", matmul, numerics.reproducibility(torch.device("cpu")))
    return InlineExecutor(_library(settings), provenance)


def _library(settings: Settings) -> "DataLibrary":
    from workers.training.data.library import DataLibrary

    return DataLibrary(root=settings.data_root, download=settings.data_download, cache=settings.cache)


def _ray(settings: Settings) -> Executor:
    """Connect to the cluster at RAY_ADDRESS, or start a local Ray that ends with this process."""
    if settings.ray_address is None:
        # A Ray of our own admits nobody else: its token lives as long as this process, and it listens on loopback only
        # (that is what this oddly named variable decides).
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A head that is gone is waited for in vain: then end, and be started anew.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "10")
    import ray

    from workers.cluster.executor import RayExecutor

    if settings.ray_address is None:
        ray.init(include_dashboard=False, log_to_driver=False, object_store_memory=256 * 2**20)
    else:
        ray.init(address=settings.ray_address, log_to_driver=False)
    # Short leases are for tests; a worker that shares its core may take seconds to answer.
    silence = max(settings.lease_ttl * 2 / 3, _LEAST_SILENCE)
    return RayExecutor(_library(settings), max_workers=settings.max_workers, silence=silence)


if __name__ == "__main__":
    sys.exit(main())
