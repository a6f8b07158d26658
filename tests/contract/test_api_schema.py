"""The API keeps to its OpenAPI document, whatever it is asked: schemathesis, against a live server.

    SCHEMA_EXAMPLES=200 python -m pytest tests/contract/test_api_schema.py

runs all its phases; without the variable a few examples of each operation. Left out is one check, that all that the
document admits is accepted: a document cannot say that heads divide a width, that text is SQL, or that 1.0 is not an
integer here.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from services import sweeps
from services.planning.expansion import parse
from tests.live import live_server

TOKEN = "a-token-of-the-operator"
CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = os.environ.get("SCHEMA_EXAMPLES")
_SPEC = {"name": "small", "base": {"train": {"epochs": 1}}, "seeds": {"count": 2}}


@pytest.mark.timeout(7200 if EXAMPLES else 180)
def test_every_operation_answers_as_its_document_says(
    database_url: str, reader: str, engine: Engine, tmp_path: Path
) -> None:
    with Session(engine) as session, session.begin():
        sweeps.submit(session, parse(_SPEC), idempotency_key=None, owner="operator")
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIG), "run"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", EXAMPLES or "3"]
    command += ["--phases", "examples,coverage,fuzzing,stateful"] if EXAMPLES else ["--phases", "examples,fuzzing"]
    command += [] if EXAMPLES else ["--seed", "1"]
    command += ["--exclude-operation-id", "import_archive"]  # it takes a zip, which schemathesis does not make
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--warnings", "off"]
    with live_server(database_url, reader, tmp_path, ALIGNSWEEP_TOKEN=TOKEN) as server:
        command.append(f"{server.url}/openapi.json")
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout[-10_000:]
    assert "unexpected error" not in server.log.read_text()
    with engine.connect() as connection:
        violated = connection.execute(text("SELECT invariant FROM v_doctor WHERE violations > 0")).scalars().all()
    assert violated == []
