"""The API keeps to its OpenAPI document, whatever it is asked: schemathesis, against a live server.

    SCHEMA_EXAMPLES=200 python -m pytest tests/contract/test_api_schema.py

Left out is one check, that all that the document admits is accepted: a document cannot say that heads divide a width,
that text is SQL, or that 1.0 is not an integer here.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from services import sweeps
from services.expansion import parse
from tests.ports import free_port

TOKEN = "a-token-of-the-operator"
EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "3")
_SPEC = {"name": "small", "base": {"train": {"epochs": 1}}, "seeds": {"count": 2}}
_START_SECONDS = 60


@pytest.fixture
def url(database_url: str, reader: str, engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A server with a sweep in its database."""
    with Session(engine) as session, session.begin():
        sweeps.submit(session, parse(_SPEC), idempotency_key=None, owner="operator")
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "ALIGNSWEEP_READER_URL": reader,
        "ALIGNSWEEP_HOME": str(tmp_path),
        "ALIGNSWEEP_TOKEN": TOKEN,
        "ALIGNSWEEP_PORT": str(port),
    }
    with (tmp_path / "api.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", "api"], env=environment, stdout=log, stderr=log
        )
    try:
        yield _answering(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.timeout(3600)
def test_every_operation_answers_as_its_document_says(url: str, engine: Engine, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("st")), "run", f"{url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", EXAMPLES]
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--warnings", "off"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout[-10_000:]
    assert "unexpected error" not in (tmp_path / "api.log").read_text()
    with engine.connect() as connection:
        violated = connection.execute(text("SELECT invariant FROM v_doctor WHERE violations > 0")).scalars().all()
    assert violated == []


def _answering(url: str) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                return url
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {url}")
