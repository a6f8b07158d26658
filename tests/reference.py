"""Pages of reference, written from what they describe: the command's own help, the OpenAPI document, the metrics."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from prometheus_client.parser import text_string_to_metric_families

from api.cli.main import app
from api.telemetry import render
from services.telemetry import Telemetry, WorkerTelemetry

ROOT = Path(__file__).parents[1]
OPENAPI = ROOT / "tests" / "golden" / "openapi.json"

_COMMANDS = """\
# Commands

What `alignsweep --help` and each command's own `--help` say, from the same source; `make golden` renews this page.
By example: [tutorial](tutorial.md), [running the service](operations.md), [data out and in](export.md).
"""
_ENDPOINTS = """\
# REST API

A running service documents itself: `/docs` is a page to try requests on, `/openapi.json` the OpenAPI 3.1 document, and
both need no network but the service. `alignsweep up` prints their address, by default <http://127.0.0.1:8642/docs>.
Clients may be generated from `/openapi.json`; `tests/golden/openapi.json` is the same document, and a change to it is a
change to what is public. By example: [the API by example](api.md); who may call what: [security](security.md).

Paths stand under `/api/v1`. Bodies are JSON (specs also YAML), errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)
documents (`application/problem+json`) that name each mistake by its JSON pointer: [ten of them](mistakes.md).
`make golden` renews this page.
"""
_METRICS = """\
# Metrics

What `GET /metrics` answers, in Prometheus' text format. All of it is read from SQL: any API process answers for the
whole service, and a restart forgets nothing. What to watch for: [running the service](operations.md#is-all-well).
`make golden` renews this page.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""


def commands() -> str:
    """docs/reference-cli.md."""
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="alignsweep")
    about = _paragraphs(root.help or "").split("\n\n", 1)[1]
    listed = [[f"[`{path}`](#{path.replace(' ', '-')})", _first(command.help)] for path, command, _ in _leaves(context)]
    sections = [_command(path, command, own) for path, command, own in _leaves(context)]
    return "\n".join([_COMMANDS, about, "", *_table(["command", "what it does"], listed), "", *sections])


def endpoints() -> str:
    """docs/reference-api.md."""
    found: dict[str, list[list[str]]] = {}
    for path, operations in json.loads(OPENAPI.read_text())["paths"].items():
        for method, operation in operations.items():
            request = f"`{method.upper()} {path.removeprefix('/api/v1')}`"
            asked = ", ".join(f"`{name['name']}`" for name in operation.get("parameters", ()) if name["in"] == "query")
            row = [request, f"`{operation['operationId']}`", _first(operation.get("description")), asked]
            found.setdefault(_place(path, operation["tags"][0]), []).append(row)
    sections = []
    for title in sorted(found, key=lambda title: (title == "At the root", title)):
        rows = _table(["request", "operation", "what it does", "query"], found[title])
        sections.append("\n".join([f"## {title}\n", *_under(title), *rows, ""]))
    return "\n".join([_ENDPOINTS, *sections])


def metrics() -> str:
    """docs/reference-metrics.md."""
    worker = WorkerTelemetry(dispatcher="d", name="w", node="n", silent_seconds=0.0, steps_per_second=1.0)
    some = Telemetry(
        trials={"queued": 1},
        oldest_waiting_seconds=1.0,
        packs_running=1,
        dispatchers=1,
        packs=1,
        fenced_chunks=0,
        rescued_packs=0,
        rows=1,
        model_steps=1,
        workers=[worker],
    )
    page = _METRICS
    for family in text_string_to_metric_families(render(some).decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in dict.fromkeys(key for s in family.samples for key in s.labels))
        page += f"| `{name}` | {family.type} | {labels} | {family.documentation} |\n"
    return page


def _place(path: str, tag: str) -> str:
    if not path.startswith("/api/v1"):
        return "At the root"
    return "SQL" if tag == "sql" else tag.capitalize()


def _under(title: str) -> list[str]:
    return ["Not under `/api/v1`.\n"] if title == "At the root" else []


def _leaves(context: Any) -> Iterator[tuple[str, Any, Any]]:
    """The commands below this one, in the order of the help: their paths without `alignsweep`, and contexts."""
    for name, command in context.command.commands.items():
        own = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from _leaves(own)
        elif not command.hidden:
            yield own.command_path.removeprefix("alignsweep "), command, own


def _command(path: str, command: Any, context: Any) -> str:
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [
        parameter.get_help_record(context)
        for parameter in command.get_params(context)
        if "--help" not in parameter.opts and parameter.get_help_record(context)
    ]
    rows = _table(["argument or option", "meaning"], [[f"`{_cell(name)}`", _cell(said)] for name, said in records])
    shown = ["", *rows] if records else []
    return "\n".join(
        [f"## {path}\n", f"```text\n{' '.join(usage.split())}\n```\n", _paragraphs(command.help), *shown, ""]
    )


def _table(names: list[str], rows: list[list[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _first(text: str | None) -> str:
    """The first paragraph, on one line."""
    return _cell(_paragraphs(text or "").split("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
