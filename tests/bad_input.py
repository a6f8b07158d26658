"""The table of bad input: what is sent, and what must come back."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_LIMIT = 2**20


@dataclass(frozen=True, kw_only=True)
class Case:
    """One bad request: the bytes that are sent, in pieces, and what must come back.

    In `pieces` {open} and {over} stand for the ids of a sweep that waits and of one that is cancelled. `error` is part
    of the first error. `stores`: sweeps that there are more afterwards.
    """

    what: str
    pieces: tuple[bytes, ...]
    status: int
    error: str = ""
    stores: int = 0
    gone: bool = False
    """The client closes the connection instead of waiting."""
    headers: dict[str, str] = field(default_factory=dict)
    down: bool = False
    """Asked of a server whose database is not there."""


def request(method: str, path: str, headers: Iterable[str] = (), body: bytes = b"", length: int | None = None) -> bytes:
    size = [f"Content-Length: {len(body) if length is None else length}"] if body or length else []
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *size, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def post(what: str, body: bytes | str | dict[str, Any], status: int, error: str = "", **more: Any) -> Case:
    """A submit, unless `path` says otherwise; JSON, unless `kind` does."""
    path, kind = more.pop("path", "/api/v1/sweeps"), more.pop("kind", "application/json")
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    headers = [*([f"Content-Type: {kind}"] if kind else []), *more.pop("also", ())]
    return Case(what=what, pieces=(request("POST", path, headers, raw),), status=status, error=error, **more)


def spec(what: str, status: int, error: str = "", *, query: str = "", stores: int = 0, **parts: Any) -> Case:
    """A submit of an otherwise good spec with these parts."""
    return post(what, {"name": "x", **parts}, status, error, path=f"/api/v1/sweeps{query}", stores=stores)


def yaml(what: str, text: str, status: int, error: str = "", query: str = "") -> Case:
    return post(what, text, status, error, kind="application/yaml", path=f"/api/v1/sweeps{query}")


def ask(what: str, path: str, status: int, error: str = "", *, method: str = "GET", **more: Any) -> Case:
    return Case(what=what, pieces=(request(method, path, more.pop("also", ())),), status=status, error=error, **more)


def raw(what: str, status: int, error: str, *pieces: bytes, **more: Any) -> Case:
    return Case(what=what, pieces=pieces, status=status, error=error, **more)


def base(**parts: Any) -> dict[str, Any]:
    return {"base": parts}


_MEDIA = "application/json"
_JSON = f"Content-Type: {_MEDIA}"
_LEVELS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 11))
_MERGES = "".join(f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 9)}]\n  k: 1\n" for i in range(1, 11))
_FINE = [n / 20_000 for n in range(1, 10_001)]
_CHUNK = b"10000\r\n" + b" " * 2**16 + b"\r\n"
_TOKEN = {"name": "x", "owner": "x"}
_AWAY = {"status": 503, "error": "try again soon", "down": True, "headers": {"retry-after": "5"}}
_NPZ = {"name": "npz", "classes": 2, "train_samples": 64, "inputs": 1}

NUMBERS = [
    post("NaN", '{"name": NaN}', 422, "NaN is not a JSON number"),
    post("Infinity under an unknown key", '{"name": "x", "k": [-Infinity]}', 422, "-Infinity is not"),
    post("1e999", '{"name": "x", "priority": 1e999}', 422, "1e999 is too large a number"),
    yaml(".nan in YAML", "name: x\ngrid: {train.lr: [.nan]}", 422, "nan is not a number"),
    yaml(".inf under an unknown key in YAML", "name: x\nk: .inf", 422, "inf is not a number"),
    spec("seed -1", 422, "/seeds/base greater_than_equal", seeds={"base": -1}),
    spec("seed 2^63", 422, "/seeds/base less_than_equal", seeds={"base": 2**63}),
    spec("last seed beyond 2^63 - 1", 422, "base + count - 1", seeds={"base": 2**63 - 1, "count": 2}),
    spec("seed 2^70", 422, "/seeds/base", seeds={"base": 2**70}),
    spec("seed true", 422, "/seeds/base int_type", seeds={"base": True}),
    spec('seed "1"', 422, "/seeds/base int_type", seeds={"base": "1"}),
    spec("seed 1.0", 422, "/seeds/base int_type", seeds={"base": 1.0}),
    post("an integer of 5000 digits", '{"name": "x", "priority": ' + "9" * 5000 + "}", 422, "4300 digits"),
]

TEXT = [
    post("a lone surrogate", r'{"name": "\ud800"}', 422, "lone surrogates"),
    post("NUL", r'{"name": "\u0000"}', 422, "NUL"),
    post("NUL in a key", r'{"name": "x", "\u0000": 1}', 422, "NUL"),
    spec("right-to-left override in a name", 422, "/name value_error: a name may not", name="a\u202eb"),
    spec("zero width in a name", 422, "U+200B", name="a\u200bb"),
    spec("a line separator in a name", 422, "U+2028", name="a\u2028b"),
    spec("an empty name", 422, "/name string_too_short", name=""),
    spec("a name of a megabyte", 422, "/name string_too_long", name="x" * 1_000_000),
    post("invalid UTF-8", b'{"name": "\xff"}', 422, "utf-8"),
    post("UTF-16", '{"name": "x"}'.encode("utf-16"), 422, "utf-8"),
    post(
        "UTF-16 that says so", '{"name": "x"}'.encode("utf-16"), 422, "utf-8", kind="application/json; charset=utf-16"
    ),
]

SHAPES = [
    post("an empty body", "", 422, "Expecting value"),
    post("null", "null", 422, "/ model_type"),
    post("a list", "[]", 422, "/ model_type"),
    post("a string", '"text"', 422, "/ model_type"),
    post("an empty object", "{}", 422, "/name missing"),
    post("two documents", "{}{}", 422, "Extra data"),
    post("duplicate keys", '{"name": "x", "name": "y"}', 422, "'name' stands twice"),
    post("100,000 lists in lists", b"[" * 100_000, 422, "too_deep"),
    post("100,000 objects in objects", b'{"a":' * 100_000, 422, "too_deep"),
    post("no Content-Type", '{"name": "x"}', 415, "application/json", kind=None),
    post("text/plain", '{"name": "x"}', 415, "application/json", kind="text/plain"),
    post("a form", "name=x", 415, "application/json", kind="application/x-www-form-urlencoded"),
    spec("an unknown key", 422, "did you mean seeds?", seed={"count": 2}),
]

SIZES = [
    raw("30 MB, announced", 413, "1,048,576 bytes", request("POST", "/api/v1/sweeps", [_JSON], b" ", 30_000_000)),
    raw(
        "30 MB, asked for first",
        413,
        "1,048,576 bytes",
        request("POST", "/api/v1/sweeps", [_JSON, "Expect: 100-continue"], b"", 30_000_000),
    ),
    raw(
        "30 MB in chunks without a length",
        413,
        "1,048,576 bytes",
        request("POST", "/api/v1/sweeps", [_JSON, "Transfer-Encoding: chunked"]),
        *[_CHUNK] * 480,
    ),
    post("1 MiB and a byte", b" " * (_LIMIT + 1), 413, "1,048,576 bytes"),
    post("YAML of 16 KiB and a byte", " " * (2**14 + 1), 413, "16,384 bytes", kind="application/yaml"),
    raw(
        "a length that is too small",
        422,
        "not_parsed",
        request("POST", "/api/v1/sweeps", [_JSON], b'{"name": "x"}', 5),
    ),
    raw(
        "a length that is too large",
        408,
        "did not come in time",
        request("POST", "/api/v1/sweeps", [_JSON], b'{"name": "x"}', 5000),
    ),
    raw("a negative length", 400, "not HTTP", request("POST", "/api/v1/sweeps", [_JSON], b"", -5)),
    raw("two lengths", 400, "not HTTP", request("POST", "/api/v1/sweeps", [_JSON, "Content-Length: 9"], b"{}")),
    raw(
        "a chunk without a size",
        400,
        "not HTTP",
        request("POST", "/api/v1/sweeps", [_JSON, "Transfer-Encoding: chunked"]),
        b"zz\r\n{}\r\n0\r\n\r\n",
    ),
    post("300,000 unknown keys", {f"k{n}": 0 for n in range(300_000)}, 413, "1,048,576 bytes"),
    post("80,000 unknown keys", {f"k{n}": 0 for n in range(80_000)}, 422, "more than 10,000 keys"),
    post("10,000 unknown keys", {f"k{n}": 0 for n in range(10_000)}, 422, "/name missing"),
    post("a list of a million", b'{"name":"x","k":[' + b"0," * 1_000_000 + b"0]}", 413, "1,048,576 bytes"),
    post("a list of half a million", b'{"name":"x","k":[' + b"0," * 500_000 + b"0]}", 422, "too_many_values"),
    spec(
        "hidden layers: a list of 200,000", 422, "/base/model/hidden too_long", **base(model={"hidden": [1] * 200_000})
    ),
    spec("an axis of 50,000 bad values", 422, "/grid/train.lr/0 greater_than", grid={"train.lr": [*range(-50_000, 0)]}),
]

GRIDS = [
    spec(
        "a grid of 10^12 trials",
        422,
        "1,000,000,000,000 trials",
        grid={"train.lr": _FINE, "train.momentum": _FINE, "data.label_noise": _FINE},
    ),
    spec("a million and one seeds", 422, "/seeds/count less_than_equal", seeds={"count": 1_000_001}),
    spec("an empty grid: one configuration", 200, query="?dry_run=true", grid={}),
    spec("an empty axis", 422, "/grid/train.lr too_short", grid={"train.lr": []}),
    spec("a value twice", 422, "0.1 stands twice", grid={"train.lr": [0.1, 0.1]}),
    spec("zip of unequal lengths", 422, "/zip zip_lengths", zip={"train.lr": [0.1, 0.2], "train.momentum": [0.5]}),
    spec("an axis in grid and zip", 422, "axis_twice", grid={"train.lr": [0.1]}, zip={"train.lr": [0.1]}),
    spec("zip that makes one configuration twice", 422, "duplicate_configuration", zip={"train.lr": [0.1, 0.1]}),
    spec("an axis that leads nowhere", 422, "did you mean train.lr?", grid={"train.rate": [0.1]}),
    spec("an axis over attributes", 422, "/grid/__class__.__init__", grid={"__class__.__init__": [1]}),
    spec("a nested value on an axis", 422, "/grid/train.lr/0 float_type", grid={"train.lr": [[[0.1]]]}),
]

CONFIGURATIONS = [
    spec("an unknown rule", 422, "did you mean dfa?", **base(rule={"name": "dfaa"})),
    spec("an unknown data set", 422, "did you mean mnist?", **base(data={"name": "mnst"})),
    spec("an unknown activation", 422, "did you mean relu?", **base(model={"activation": "rellu"})),
    spec("an unknown rule on an axis", 422, "did you mean dfa?", grid={"rule.name": ["dfaa"]}),
    spec(
        "a data set ../../etc/passwd", 422, "/base/data/name literal_error", **base(data={"name": "../../etc/passwd"})
    ),
    spec("path ../../etc/passwd", 422, "/base/data/path", **base(data={**_NPZ, "path": "../../etc/passwd"})),
    spec("an absolute path", 422, "/base/data/path", **base(data={**_NPZ, "path": "/etc/passwd"})),
    spec("path file://", 422, "a path is not a URL", **base(data={**_NPZ, "path": "file:///etc/passwd"})),
    spec("path http://169.254.169.254", 422, "not a URL", **base(data={**_NPZ, "path": "http://169.254.169.254/x"})),
    spec("width 0", 422, "/base/model/hidden/0 greater_than_equal", **base(model={"hidden": [0]})),
    spec("width -1", 422, "/base/model/hidden/0 greater_than_equal", **base(model={"hidden": [-1]})),
    spec("width 10^9", 422, "/base/model/hidden/0 less_than_equal", **base(model={"hidden": [10**9]})),
    spec("depth 10^5", 422, "/base/model/hidden too_long", **base(model={"hidden": [1] * 10**5})),
    post("depth 10^6", b'{"name":"x","base":{"model":{"hidden":[' + b"1," * 10**6 + b"1]}}}", 413, "1,048,576 bytes"),
    spec("a batch larger than the data", 422, "larger than the 1,437 training", **base(train={"batch_size": 2000})),
    spec("a batch larger than the data, on an axis", 422, "larger than", grid={"train.batch_size": [32, 2000]}),
    spec("0 epochs: the initial state is measured", 200, query="?dry_run=true", **base(train={"epochs": 0})),
    spec(
        "6 * 10^10 steps",
        422,
        "60,000,000,000 updates",
        **base(data={"name": "mnist"}, train={"epochs": 10**6, "batch_size": 1}),
    ),
    spec("10^12 epochs", 422, "/base/train/epochs less_than_equal", **base(train={"epochs": 10**12})),
]

YAML = [
    yaml("an anchor bomb", "a0: &a0 [x]\n" + _LEVELS, 422, "too_many_values"),
    yaml("a bomb of merges", "a0: &a0 {k: 1}\n" + _MERGES, 422, "merge keys"),
    yaml("more than 100 aliases", "a: &a [x]\nb: [" + "*a, " * 101 + "]", 422, "more than 100 aliases"),
    yaml("16,000 brackets", "[" * 16_000, 422, "nested deeper"),
    yaml("!!python/object", "name: !!python/object/apply:os.system [id]", 422, "could not determine a constructor"),
    yaml("a tag of its own", "name: !x y", 422, "could not determine a constructor"),
    yaml("yes for a boolean", "name: x\nbase: {model: {bias: yes}}", 422, "/base/model/bias bool_type"),
    yaml("1e-3 is a number", "name: x\nbase: {train: {lr: 1e-3}}", 200, query="?dry_run=true"),
    yaml("1:30 for an integer", "name: x\nseeds: {count: 1:30}", 422, "/seeds/count int_type"),
    yaml("a date for a name", "name: 2020-01-01", 422, "neither text, number, list nor object"),
    yaml("a number for a key", "name: x\n1: 2", 422, "the key 1 is not text"),
    yaml("a key twice", "name: x\nname: y", 422, "duplicate key"),
    yaml("two documents", "name: x\n---\nname: y", 422, "another document"),
    yaml("a tab", "name: x\n\tseeds: {}", 422, "not_parsed"),
]

STORED = [
    spec(f"the name {name}", 201, name=name, stores=1)
    for name in (
        "__class__",
        "{0.__class__.__mro__}",
        "%s%n%x",
        "'; DROP TABLE sweeps; --",
        "<script>alert(1)</script>",
        "=cmd()|' /C calc'!A0",
        "../../etc/passwd",
        "http://169.254.169.254/latest",
        "[/red]$\\frac",
    )
]

PATHS = [
    ask("an id beyond 2^63", "/api/v1/sweeps/9223372036854775808", 422, "/path/sweep_id less_than_equal"),
    ask("id 1_0", "/api/v1/sweeps/1_0", 422, "a whole number is written in digits"),
    ask("id in full-width digits", "/api/v1/sweeps/%EF%BC%91", 422, "a whole number is written in digits"),
    ask("id 0", "/api/v1/sweeps/0", 422, "greater_than_equal"),
    ask("id -1", "/api/v1/sweeps/-1", 422, "a whole number is written in digits"),
    ask("id NUL", "/api/v1/sweeps/%00", 422, "a whole number is written in digits"),
    ask("an id that nothing has", "/api/v1/sweeps/9223372036854775807", 404, "there is no sweep"),
    ask("../ in a path", "/api/v1/sweeps/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "Not Found"),
    ask("limit -5", "/api/v1/sweeps?limit=-5", 422, "/query/limit"),
    ask("limit 0", "/api/v1/sweeps?limit=0", 422, "/query/limit greater_than_equal"),
    ask("limit 10^6", "/api/v1/sweeps?limit=1000000", 422, "/query/limit less_than_equal"),
    ask("limit 1_0", "/api/v1/sweeps?limit=1_0", 422, "/query/limit"),
    ask("a forged cursor", "/api/v1/sweeps?cursor=forged", 422, "/query/cursor foreign_cursor"),
    ask("a cursor for -1", "/api/v1/sweeps?cursor=LTE%3D", 422, "/query/cursor foreign_cursor"),
    ask("a cursor of 10 kB", "/api/v1/sweeps?cursor=" + "A" * 10_000, 422, "/query/cursor string_too_long"),
    ask("an unknown state", "/api/v1/sweeps?state=lost", 422, "/query/state enum"),
    ask("a path that is not there", "/api/v1/nothing", 404, "Not Found"),
    ask("a method that is not there", "/api/v1/sweeps", 405, "Method Not Allowed", method="DELETE"),
    ask(
        "a preflight: no CORS", "/api/v1/sweeps", 405, "Method", method="OPTIONS", also=["Origin: http://evil.example"]
    ),
]

ACTIONS = [
    post(
        "an Idempotency-Key with another body",
        {"name": "other"},
        409,
        "used with another spec",
        also=["Idempotency-Key: taken"],
    ),
    post(
        "an Idempotency-Key on another route",
        {},
        409,
        "used with another spec",
        path="/api/v1/sweeps/{open}/clone",
        also=["Idempotency-Key: taken"],
    ),
    post(
        "an Idempotency-Key of 10 kB", {"name": "x"}, 422, "string_too_long", also=["Idempotency-Key: " + "k" * 10_000]
    ),
    post("an empty Idempotency-Key", {"name": "x"}, 422, "string_too_short", also=["Idempotency-Key:"]),
    post("pause what is cancelled", "", 409, "is over (cancelled)", path="/api/v1/sweeps/{over}/pause", kind=None),
    post("resume what is cancelled", "", 409, "is over", path="/api/v1/sweeps/{over}/resume", kind=None),
    post("retry what has not failed", "", 409, "no failed trials", path="/api/v1/sweeps/{open}/retry", kind=None),
    post("cancel twice", "", 200, path="/api/v1/sweeps/{over}/cancel", kind=None),
    post("cancel what is not there", "", 404, "no sweep", path="/api/v1/sweeps/999999/cancel", kind=None),
    post("priority true", {"priority": True}, 422, "/priority int_type", path="/api/v1/sweeps/{open}/priority"),
    post(
        "priority 10^400", '{"priority": 1' + "0" * 400 + "}", 422, "/priority", path="/api/v1/sweeps/{open}/priority"
    ),
    post("priority of what is over", {"priority": 1}, 409, "is over", path="/api/v1/sweeps/{over}/priority"),
    post(
        "clone with a path of attributes",
        {"overrides": {"__class__.x": 1}},
        422,
        "there is no __class__.x",
        path="/api/v1/sweeps/{open}/clone",
    ),
    post("clone with NaN", '{"overrides": {"base.train.lr": NaN}}', 422, "NaN", path="/api/v1/sweeps/{open}/clone"),
    post(
        "clone into another kind",
        {"overrides": {"name.x": 1}},
        422,
        "there is no name.x",
        path="/api/v1/sweeps/{open}/clone",
    ),
    post(
        "a token with an unknown scope",
        _TOKEN := {"name": "x", "owner": "x", "scopes": ["root"]},
        422,
        "/scopes/0 enum",
        path="/api/v1/tokens",
    ),
    post("a token without scopes", {**_TOKEN, "scopes": []}, 422, "/scopes too_short", path="/api/v1/tokens"),
    post("a query that is no text", {"sql": 1}, 422, "/sql string_type", path="/api/v1/query"),
    post("a query of a megabyte", {"sql": "x" * 10**6}, 422, "/sql string_too_long", path="/api/v1/query"),
    post("a million rows", {"sql": "SELECT 1", "max_rows": 10**6}, 422, "/max_rows", path="/api/v1/query"),
]

CONNECTIONS = [
    raw("a header of 100 kB", 431, "too large", request("GET", "/api/v1/sweeps", ["X: " + "x" * 100_000])[:-4]),
    ask(
        "headers of 40 kB",
        "/api/v1/sweeps",
        431,
        "At most 100 headers",
        also=[f"X{n}: " + "x" * 1000 for n in range(40)],
    ),
    ask("200 headers", "/api/v1/sweeps", 431, "At most 100 headers", also=[f"X{n}: x" for n in range(200)]),
    raw("an address of 100 kB", 431, "too large", request("GET", "/" + "x" * 100_000)[:-4]),
    raw("a header without a colon", 400, "not HTTP", request("GET", "/api/v1/sweeps", ["no colon"])),
    raw("not HTTP", 400, "not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ask("two Authorization headers", "/api/v1/sweeps", 400, "authorization", also=["Authorization: Bearer a"] * 2),
    ask("two Content-Types", "/api/v1/sweeps", 400, "content-type", also=[_JSON, "Content-Type: application/yaml"]),
    raw("two Hosts", 400, "not HTTP", request("GET", "/api/v1/sweeps", ["Host: evil.example"])),
    raw("another Host", 400, "does not answer to that name", b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    raw("no Host", 400, "not HTTP", b"GET /healthz HTTP/1.1\r\n\r\n"),
    *[
        ask("a page of another origin", "/api/v1/sweeps/1/cancel", 403, "other origins", method="POST", also=said)
        for said in (
            ["Sec-Fetch-Site: cross-site"],
            ["Sec-Fetch-Site: same-site"],
            ["Origin: http://evil.example"],
            ["Origin: null"],
        )
    ],
    raw("headers that do not end", 408, "did not come in time", b"GET /healthz HTTP/1.1\r\n", b"Host: 127.0.0.1\r\n"),
    raw("a body that does not end", 408, "in time", request("POST", "/api/v1/sweeps", [_JSON], b"{", 10_000), b'"a'),
    raw("gone in the middle of a body", 0, "", request("POST", "/api/v1/sweeps", [_JSON], b'{"name"', 13), gone=True),
    raw("gone before the answer", 0, "", request("GET", "/api/v1/sweeps"), gone=True),
]

DOWN = [
    post(
        "submit while the database is down",
        {"name": "x"},
        503,
        "try again soon",
        down=True,
        headers={"retry-after": "5"},
    ),
    ask(
        "read while the database is down",
        "/api/v1/sweeps",
        503,
        "try again soon",
        down=True,
        headers={"retry-after": "5"},
    ),
]

CASES = [
    *NUMBERS,
    *TEXT,
    *SHAPES,
    *SIZES,
    *GRIDS,
    *CONFIGURATIONS,
    *YAML,
    *STORED,
    *PATHS,
    *ACTIONS,
    *CONNECTIONS,
    *DOWN,
]
