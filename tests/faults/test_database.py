"""The database that goes away, and a store without room."""

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.faults.conftest import SPEC, TTL
from tests.faults.service import Service, serving
from tests.faults.test_processes import finish

BACKENDS = "backend_type = 'client backend' AND pid <> pg_backend_pid()"


def test_a_database_that_stops_at_once_in_the_middle_of_a_sweep_loses_nothing(
    service: Service, undisturbed: int
) -> None:
    sweep = service.client.submit(SPEC)
    for chunks in (2, 4):
        service.wait_for(lambda chunks=chunks: recorded(service, sweep["id"]) >= chunks)  # type: ignore[misc]
        service.crash_database()
    finish(service, sweep["id"], undisturbed)


def test_backends_terminated_again_and_again_lose_nothing(service: Service, undisturbed: int) -> None:
    sweep = service.client.submit(SPEC)
    for chunks in range(1, 8):
        service.wait_for(lambda chunks=chunks: recorded(service, sweep["id"]) >= chunks)  # type: ignore[misc]
        service.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {BACKENDS}")
    finish(service, sweep["id"], undisturbed)


def test_training_goes_on_while_the_store_has_no_room_for_checkpoints(
    service: Service, undisturbed: int, small_store: Path
) -> None:
    fill(small_store)
    sweep = service.client.submit(SPEC)
    finish(service, sweep["id"], undisturbed)


def test_snapshots_wait_for_room_in_the_store(service: Service, small_store: Path) -> None:
    filler = fill(small_store)
    base = {**SPEC["base"], "trace": {"points_per_decade": 2, "snapshots_per_decade": 1}}  # type: ignore[dict-item]
    sweep = service.client.submit({**SPEC, "base": base, "seeds": {"count": 1}})
    service.wait_for(lambda: told(service, "store unavailable") > 2)
    assert service.value("SELECT count(*) FROM packs WHERE sweep_id = %(sweep)s AND state = 'lost'", **of(sweep)) == 0
    filler.unlink()
    assert service.wait_until_over(sweep["id"]) == "succeeded"
    kept = service.rows("SELECT sha256 FROM v_snapshots WHERE sweep_id = %(sweep)s", **of(sweep))
    assert len(kept) == 2 * 6  # at steps 0, 1, 10, 100, 1000 and the end
    assert all((small_store / row["sha256"][:2] / row["sha256"]).exists() for row in kept)
    assert service.violations() == {}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_without_room_loses_nothing_and_goes_on_once_there_is_some(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    with mounted(data, "256m"), serving(tmp_path, ttl=TTL, checkpoint_every=TTL, executors=("inline",)) as service:
        sweep = service.client.submit(SPEC)
        service.wait_for(lambda: recorded(service, sweep["id"]) >= 2)
        filler = fill(data)
        service.wait_for(lambda: told(service, "database unavailable") > 3)
        filler.unlink()
        service.wait_for(lambda: recorded(service, sweep["id"]) > 0)  # it is back
        again = service.client.submit(SPEC)
        for each in (sweep, again):
            assert service.wait_until_over(each["id"]) == "succeeded"
        rows, unlike = service.compare(sweep["id"], again["id"])
        assert (rows > 1000, unlike) == (True, 0)
        assert service.value("SELECT max(attempts) FROM trials") == 1
        assert service.violations() == {}


@pytest.fixture
def small_store(service: Service) -> Iterator[Path]:
    """The store's folder, on a file system of a megabyte."""
    folder = service.home / "store"
    folder.mkdir(exist_ok=True)
    with mounted(folder, "1m"):
        yield folder


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """The folder on a file system of this size."""
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """A file that leaves no room for others."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def recorded(service: Service, sweep_id: int) -> int:
    """Chunks of the sweep so far; none while the database is away."""
    try:
        return int(
            service.value("SELECT coalesce(sum(next_seq), 0) FROM packs WHERE sweep_id = %(sweep)s", sweep=sweep_id)
        )
    except psycopg.OperationalError:
        return 0


def told(service: Service, event: str) -> int:
    """How often the dispatchers have logged this."""
    dispatchers = [child for child in service.stack.children if child.name.startswith("dispatcher")]
    return sum(child.log.read_text().count(f'"{event}"') for child in dispatchers)


def of(sweep: dict[str, int]) -> dict[str, int]:
    return {"sweep": sweep["id"]}
