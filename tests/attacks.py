"""What users' SQL may try, what must come of it, and what it took: time, and memory here and in PostgreSQL."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

REFUSED, STOPPED, ANSWERED = "refused", "stopped", "answered"
STOPPED_STATES = {"57014": "time", "53400": "temporary files", "53200": "memory", "54000": "size"}
"""How PostgreSQL says that a limit was reached, and of what."""


@dataclass(frozen=True)
class Attack:
    """`ends`: how it may end. STOPPED by a limit, REFUSED before, ANSWERED in JSON that everybody can read."""

    name: str
    sql: str
    ends: str


_SUM_FOREVER = "WITH RECURSIVE r(n) AS (SELECT 1::numeric UNION ALL SELECT n + 1 FROM r) SELECT sum(n) FROM r"
_DEEP = "(repeat('[', 3000) || repeat(']', 3000))::json"

ATTACKS = [
    # takes time, memory, disk
    Attack("infinite CTE", _SUM_FOREVER, STOPPED),
    Attack("infinite CTE, row by row", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) TABLE r", ANSWERED),
    Attack("cross joins", "SELECT count(*) FROM pg_attribute a, pg_attribute b, pg_attribute c", STOPPED),
    Attack("generate_series(1e10)", "SELECT count(*) FROM generate_series(1, 10000000000)", STOPPED),
    Attack("generate_series in the list", "SELECT count(*) FROM (SELECT generate_series(1, 10000000000)) AS s", STOPPED),
    Attack("temporary files", "SELECT n FROM generate_series(1, 1000000000) AS s(n) ORDER BY -n", STOPPED),
    Attack("hash of everything", "SELECT a.ctid, count(*) FROM pg_attribute a, pg_attribute b GROUP BY 1, b.ctid", STOPPED),
    Attack("regular expression", "SELECT count(*) FROM pg_proc AS a, pg_proc AS b WHERE a.prosrc ~ (b.proname || '(a*)*b')", STOPPED),
    Attack("a cell of 1 GB", "SELECT repeat('x', 1000000000)", STOPPED),
    Attack("a cell of 100 MB", "SELECT repeat('x', 100000000)", STOPPED),
    Attack("a hundred cells of 100 MB", "SELECT " + ", ".join(["repeat(now()::text, 4000000)"] * 100), STOPPED),
    Attack("a huge array", "SELECT array_agg(n) FROM generate_series(1, 1000000000) AS s(n)", STOPPED),
    Attack("a huge string", "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 1000000)", STOPPED),
    Attack("a huge document", "SELECT jsonb_agg(n) FROM generate_series(1, 100000000) AS s(n)", STOPPED),
    Attack("a huge error", "SELECT ('x' || repeat('y', 5000000))::int", REFUSED),
    Attack("a huge error, later", "SELECT (repeat('y', n * 5000000))::int FROM generate_series(1, 2) AS s(n)", REFUSED),
    Attack("many large rows", "SELECT repeat('x', 1000000) FROM generate_series(1, 100000)", ANSWERED),
    Attack("a large cell of quotes", """SELECT repeat('"\\', 2000000)""", ANSWERED),
    Attack("many narrow rows", "SELECT 1, 1, 1, 1 FROM generate_series(1, 300000)", ANSWERED),
    Attack("1600 columns", "SELECT " + ", ".join(["NULL"] * 1600) + " FROM generate_series(1, 100000)", ANSWERED),
    Attack("rows without columns", "SELECT FROM generate_series(1, 200000)", ANSWERED),
    Attack("deep nesting", "SELECT " + "(" * 20_000 + "1" + ")" * 20_000, REFUSED),
    Attack("pg_sleep", "SELECT pg_sleep(3600)", REFUSED),
    Attack("pg_sleep by another name", "SELECT pg_sleep_for('1 hour'), pg_sleep_until('tomorrow')", REFUSED),
    # changes its session, its transaction, or another one
    Attack("lift the time limit", "SELECT set_config('statement_timeout', '0', false)", REFUSED),
    Attack("take memory", "SELECT set_config('work_mem', '100GB', false)", REFUSED),
    Attack("SET", "SET statement_timeout = 0", REFUSED),
    Attack("SET ROLE", "SET ROLE postgres", REFUSED),
    Attack("SET TRANSACTION READ WRITE", "SET TRANSACTION READ WRITE", REFUSED),
    Attack("write by set_config", "SELECT set_config('transaction_read_only', 'off', true)", REFUSED),
    Attack("COMMIT", "COMMIT", REFUSED),
    Attack("several statements", "SELECT 1; SELECT 2", REFUSED),
    Attack("several, behind an end", "SELECT 1; COMMIT; DROP TABLE trials", REFUSED),
    Attack("out of the cursor", "SELECT 1) TO STDOUT; --", REFUSED),
    Attack("advisory lock", "SELECT pg_advisory_lock(416932619623)", REFUSED),
    Attack("advisory lock, shared", "SELECT pg_try_advisory_xact_lock_shared(1)", REFUSED),
    Attack("lock a table", "LOCK TABLE v_trials", REFUSED),
    Attack("lock rows", "SELECT * FROM v_trials FOR UPDATE", REFUSED),
    Attack("NOTIFY", "NOTIFY x", REFUSED),
    Attack("LISTEN", "LISTEN x", REFUSED),
    Attack("pg_notify", "SELECT pg_notify('x', 'y')", REFUSED),
    Attack("write-ahead log", "SELECT pg_logical_emit_message(false, 'x', repeat('y', 1000))", REFUSED),
    Attack("transaction ids", "SELECT pg_current_xact_id(), txid_current()", REFUSED),
    Attack("end a session", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity", REFUSED),
    Attack("cancel a query", "SELECT pg_cancel_backend(1)", REFUSED),
    Attack("others' queries", "SELECT query FROM pg_stat_activity", REFUSED),
    Attack("prepare", "PREPARE x AS SELECT 1", REFUSED),
    Attack("DO", "DO $$ BEGIN PERFORM pg_sleep(100); END $$", REFUSED),
    Attack("CALL", "CALL x()", REFUSED),
    Attack("answer within answer", "SELECT answer('SELECT 1; SELECT 2', 1, 1, 1)", REFUSED),
    # writes
    Attack("INSERT", "INSERT INTO sweeps (name) VALUES ('x')", REFUSED),
    Attack("INSERT in a CTE", "WITH x AS (INSERT INTO sweeps (name) VALUES ('x') RETURNING id) TABLE x", REFUSED),
    Attack("DELETE of a view", "DELETE FROM v_events", REFUSED),
    Attack("EXPLAIN ANALYZE DELETE", "EXPLAIN ANALYZE DELETE FROM v_events", REFUSED),
    Attack("CREATE TABLE", "CREATE TABLE x (y int)", REFUSED),
    Attack("CREATE TEMP TABLE", "CREATE TEMP TABLE x (y int)", REFUSED),
    Attack("SELECT INTO", "SELECT 1 INTO x", REFUSED),
    Attack("large object", "SELECT lo_create(0)", REFUSED),
    Attack("large object of bytes", "SELECT lo_from_bytea(0, '\\x00')", REFUSED),
    Attack("nextval", "SELECT nextval('trials_id_seq')", REFUSED),
    Attack("GRANT", "GRANT ALL ON trials TO alignsweep_reader", REFUSED),
    # reads what is not its own
    Attack("tokens", "SELECT * FROM tokens", REFUSED),
    Attack("a table", "SELECT * FROM trials", REFUSED),
    Attack("a partition", "SELECT * FROM partitions.traces_0", REFUSED),
    Attack("a table as XML", "SELECT query_to_xml('SELECT * FROM tokens', true, true, '')", REFUSED),
    Attack("the database as XML", "SELECT database_to_xml(true, true, '')", REFUSED),
    Attack("SQL in a text search", "SELECT ts_stat('SELECT * FROM tokens')", REFUSED),
    Attack("passwords", "SELECT * FROM pg_authid", REFUSED),
    Attack("a file", "SELECT pg_read_file('/etc/passwd')", REFUSED),
    Attack("a folder", "SELECT pg_ls_dir('/')", REFUSED),
    Attack("COPY PROGRAM", "COPY (SELECT 1) TO PROGRAM 'id'", REFUSED),
    Attack("COPY", "COPY pg_proc TO STDOUT", REFUSED),
    Attack("another database", "SELECT * FROM dblink('dbname=postgres', 'SELECT 1') AS t(x int)", REFUSED),
    # answers that are hard to write down
    Attack("NaN and infinities", "SELECT 'NaN'::float8, '-Infinity'::float8, 'NaN'::numeric, 'Infinity'::numeric", ANSWERED),
    Attack("numbers beyond a double", "SELECT 10::numeric ^ 400, 2::numeric ^ 70, '1e999'::json", ANSWERED),
    Attack("bytes", "SELECT '\\x00ff'::bytea, ARRAY['\\x00'::bytea]", ANSWERED),
    Attack("columns of one name", "SELECT 1 AS a, 2 AS a, 3 AS a", ANSWERED),
    Attack("columns without a name", "SELECT 1, NULL, ''", ANSWERED),
    Attack("dates beyond Python's", "SELECT 'infinity'::date, '0044-03-15 BC'::date, '200000-01-01'::timestamptz", ANSWERED),
    Attack("half a surrogate", """SELECT '"\\ud800"'::json, '{"\\udfff": 1}'::json""", ANSWERED),
    Attack("deep JSON", f"SELECT {_DEEP}", ANSWERED),
    Attack("records and arrays", """SELECT ROW(1, NULL, 'a,"b\\'), ARRAY[ROW(1, '(')], ARRAY[[1, NULL]], '[1,2)'::int4range""", ANSWERED),
    Attack("markup and control characters", "SELECT '<script>', E'\\x01\\x1b[2J', U&'\\202E', '=cmd()'", ANSWERED),
    Attack("a parameter", "SELECT $1", REFUSED),
    Attack("nothing", " ", REFUSED),
    Attack("a comment", "-- SELECT 1", REFUSED),
    Attack("no SQL", "not sql", REFUSED),
]  # fmt: skip


@dataclass
class Cost:
    """Seconds, and how much more memory there was at the highest, MB: of a process, and of another and its children."""

    seconds: float = 0.0
    own: float = 0.0
    server: float = 0.0
    _done: Event = field(default_factory=Event)


@contextmanager
def watched(pid: int, server: int) -> Iterator[Cost]:
    """Measure what happens within the block. `server`: PostgreSQL's first process; shared memory does not count."""
    cost = Cost()
    before = _memory(pid), _memory_of_children(server)

    def look() -> None:
        while not cost._done.wait(0.02):
            cost.own = max(cost.own, _memory(pid) - before[0])
            cost.server = max(cost.server, _memory_of_children(server) - before[1])

    watcher = Thread(target=look)
    watcher.start()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started
        cost._done.set()
        watcher.join()


def _memory(pid: int) -> float:
    """Resident and not shared, MB."""
    with suppress(OSError):
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(resident) - int(shared)) * _PAGE_BYTES / 1e6
    return 0.0


def _memory_of_children(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_memory(int(child)) for child in children)
