"""How the dashboard is served: its policy, what is cached for how long, what may be fetched; and that it is whole."""

import gzip
import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from tests.cookbook import recipes
from tests.integration.test_api import settings

FOLDER = Path(__file__).parents[2] / "api" / "dashboard"
MODULES = sorted(path for path in FOLDER.rglob("*.js"))


@pytest.fixture
def client(database_url: str, reader: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings(database_url, reader, token="a-token-of-the-operator's-own"))) as client:
        yield client


def test_every_address_is_the_one_page_under_a_strict_policy(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/", "/sweeps", "/sweeps/7", "/compare", "/trials/1", "/queue", "/sql")]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
    policy = answers[0].headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    assert "default-src 'none'" in policy
    known = client.get("/sweeps", headers={"If-None-Match": answers[0].headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_modules_are_asked_for_anew_and_the_library_never(client: TestClient) -> None:
    module = client.get("/dashboard/main.js", headers={"Accept-Encoding": "identity"})
    assert module.text == (FOLDER / "main.js").read_text()
    assert module.headers["cache-control"] == "no-cache"
    assert module.headers["content-type"] == "text/javascript; charset=utf-8"
    library = client.get(f"/dashboard/plotly-{version('plotly')}.min.js")
    assert library.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert library.headers["content-encoding"] == "gzip"
    assert "plotly.js" in library.text[:200]


def test_nothing_else_may_be_fetched(client: TestClient) -> None:
    for name in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "index.html", "none.js", "charts", "", "/etc/passwd"):
        assert client.get(f"/dashboard/{name}").status_code == 404, name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_a_module_imports_is_there(path: Path) -> None:
    text = path.read_text()
    for names, source in re.findall(r"import (?:\{([^}]*)\} from )?\"(\.[^\"]+)\"", text):
        target = (path.parent / source).resolve()
        assert target.is_file(), source
        exported = set(re.findall(r"export (?:async )?(?:function|class|const|let) (\w+)", target.read_text()))
        wanted = [name.split() for name in names.split(",") if name.strip()]
        assert {name for name, *_ in wanted} <= exported, source
        for *_, name in wanted:
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is imported and not used"


def test_no_module_parses_markup_or_fetches_from_elsewhere() -> None:
    for path in MODULES:
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert not re.search(r"https?://", text), path
        assert len(text.splitlines()) <= 250, path


def test_the_questions_are_those_of_the_cookbook() -> None:
    file = FOLDER / "questions.json"
    expected = [
        {"question": recipe.question, "no_rows": recipe.no_rows, "sql": recipe.sql.strip()} for recipe in recipes()
    ]
    if os.environ.get("RENEW_GOLDEN"):
        file.write_text(json.dumps(expected, indent=1) + "\n")
    assert json.loads(file.read_text()) == expected


def test_what_is_sent_compressed_is_the_same(client: TestClient) -> None:
    with client.stream("GET", "/dashboard/styles/base.css", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert gzip.decompress(raw) == (FOLDER / "styles" / "base.css").read_bytes()
