"""The examples of docs/api.md, as they stand, against a service."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from api.app import create_app
from services import control
from tests import queueing as q
from tests.documents import ROOT, commands
from tests.integration.test_api import settings as settings_of
from tests.serving import served

DOCUMENT = (ROOT / "docs" / "api.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_examples_run(database_url: str, reader: str, session: Session, tmp_path: Path) -> None:
    sweep_id = q.submit(session, name="quickstart", grid={"rule.name": ["fa", "dfa"]})
    assert sweep_id == 1
    control.cancel(session, sweep_id)
    session.commit()
    app = create_app(settings_of(database_url, reader, token=None, webhook_hosts=frozenset({"127.0.0.1"})))
    with served(app) as url:
        environment = {**os.environ, "ALIGNSWEEP_URL": url, "ALIGNSWEEP_HOME": str(tmp_path)}
        script = [f'alignsweep() {{ {sys.executable} -m api.cli.main "$@"; }}', f"API={url}/api/v1"]
        shown = []
        for command, output in commands(DOCUMENT)[1:]:
            if "webhooks" in command and "DELETE" not in command:
                command = command.replace("https://example.org", "http://127.0.0.1")
            script.append(f"echo '>>>'; {command} || {{ echo FAILED; exit 1; }}")
            shown.append(output)
        ran = subprocess.run(
            ["bash", "-c", "\n".join(script)], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    outputs = ran.stdout.split(">>>\n")[1:]
    for expected, output in zip(shown, outputs, strict=True):
        if expected:
            assert json.loads(output) == json.loads(expected)
