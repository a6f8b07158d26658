"""Who is there: dispatchers and their workers, as they show themselves with every heartbeat."""

from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import version

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.ports import WorkerStatus

_SHOW_DISPATCHER = text("""
    INSERT INTO dispatchers (name, version, capacity, packs, ttl_seconds, draining)
    VALUES (:name, :version, :capacity, :packs, :ttl_seconds, :draining)
    ON CONFLICT (name) DO UPDATE
    SET capacity = excluded.capacity, packs = excluded.packs, draining = excluded.draining, seen_at = now()
""")

_FORGET_WORKERS = text("DELETE FROM workers WHERE dispatcher = :name OR seen_at < now() - 10 * :ttl")
_FORGET_SILENT = text("DELETE FROM dispatchers WHERE seen_at < now() - 10 * :ttl")

_SHOW_WORKERS = text("""
    INSERT INTO workers (dispatcher, name, node, cpu, gpu, pack_id)
    SELECT :dispatcher, * FROM unnest(
        :names ::text[], :nodes ::text[], :cpus ::double precision[], :gpus ::double precision[], :packs ::bigint[]
    )
""")


def show(
    session: Session,
    name: str,
    *,
    workers: Sequence[WorkerStatus],
    capacity: int,
    packs: int,
    ttl: timedelta,
    draining: bool,
) -> None:
    """Replace what is known of this dispatcher; those long silent go."""
    session.execute(
        _SHOW_DISPATCHER,
        {
            "name": name,
            "version": version("alignsweep"),
            "capacity": capacity,
            "packs": packs,
            "ttl_seconds": ttl.total_seconds(),
            "draining": draining,
        },
    )
    session.execute(_FORGET_WORKERS, {"name": name, "ttl": ttl})
    session.execute(_FORGET_SILENT, {"ttl": ttl})
    session.execute(
        _SHOW_WORKERS,
        {
            "dispatcher": name,
            "names": [worker.name for worker in workers],
            "nodes": [worker.node for worker in workers],
            "cpus": [worker.resources.cpu for worker in workers],
            "gpus": [worker.resources.gpu for worker in workers],
            "packs": [worker.pack_id for worker in workers],
        },
    )


def leave(session: Session, name: str) -> None:
    """This dispatcher and its workers are gone."""
    session.execute(text("DELETE FROM workers WHERE dispatcher = :name"), {"name": name})
    session.execute(text("DELETE FROM dispatchers WHERE name = :name"), {"name": name})
