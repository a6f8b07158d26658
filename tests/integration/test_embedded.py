"""The embedded PostgreSQL, started by processes of every size."""

import mmap
from pathlib import Path
from threading import Event, Thread

from db.embedded import EmbeddedPostgres


def test_a_process_above_the_bound_goes_on_while_it_starts_it(tmp_path: Path) -> None:
    ended, refused = Event(), []

    def work() -> None:
        while not ended.wait(0.005):
            try:
                bytearray(2**25)
            except MemoryError as error:
                refused.append(error)

    worker = Thread(target=work)
    with mmap.mmap(-1, 2**31, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        worker.start()
        try:
            with EmbeddedPostgres.start(tmp_path):
                pass
        finally:
            ended.set()
            worker.join()
    assert not refused
