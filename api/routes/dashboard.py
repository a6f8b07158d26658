"""The dashboard: a page, its modules and style sheets, and the plotting library. All it shows, it reads as any other
client does; what is served here holds nothing of the service's, and asks for no token.
"""

import gzip
import hashlib
import html
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Response

from api.etags import matches
from api.guard import policy

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parents[1] / "dashboard"
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}
PLOTLY = f"plotly-{version('plotly')}.min.js"
_YEAR = "public, max-age=31536000, immutable"
# Charts are styled element by element, and become pictures by way of blobs.
_CSP = policy(style="'self' 'unsafe-inline'", img="'self' data: blob:")

# What is not asked for with the page itself: modules that one page alone needs, the worker's, a classic script.
_LATER = ("pages/", "data/worker.js", "theme.js")

PAGES = ("/", "/sweeps", "/sweeps/{number}", "/compare", "/trials/{number}", "/queue", "/sql", "/new")


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file as it is sent, whole and compressed."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> "Asset":
        digest = hashlib.sha256(content).hexdigest()[:32]
        compressed = gzip.compress(content, 6, mtime=0)
        return cls(content=content, compressed=compressed, media_type=media_type, etag=f'"{digest}"')

    def answer(self, encodings: str | None, known: str | None, **headers: str) -> Response:
        """The file, compressed where the client takes that; 304 where it has it already."""
        headers |= {"ETag": self.etag, "Vary": "Accept-Encoding"}
        if matches(self.etag, known):
            return Response(status_code=304, headers=headers)
        if "gzip" in (encodings or ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.compressed, media_type=self.media_type, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


Encodings = Annotated[str | None, Header(alias="accept-encoding")]
Known = Annotated[str | None, Header(alias="if-none-match")]


def page(encodings: Encodings = None, known: Known = None) -> Response:
    """The one page that there is: what it shows is its address's."""
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": _CSP}
    return _page().answer(encodings, known, **headers)


for path in PAGES:
    router.add_api_route(path, page, methods=["GET"])


@router.get(f"/dashboard/{PLOTLY}")
def plotly(encodings: Encodings = None, known: Known = None) -> Response:
    """The plotting library as its wheel has it. Its name tells its version, so that it is fetched once."""
    return _plotly().answer(encodings, known, **{"Cache-Control": _YEAR})


@router.get("/dashboard/{name:path}")
def asset(name: str, encodings: Encodings = None, known: Known = None) -> Response:
    """A module, a style sheet or a picture."""
    if name not in _names():
        raise HTTPException(404, "There is no such file")
    return _asset(name).answer(encodings, known, **{"Cache-Control": "no-cache"})


@cache
def _page() -> Asset:
    shared = sorted(name for name in _names() if name.endswith(".js") and not name.startswith(_LATER))
    preloads = "".join(f'<link rel="modulepreload" href="/dashboard/{html.escape(name)}">' for name in shared)
    text = (_FOLDER / "index.html").read_text()
    text = text.replace("{plotly}", html.escape(f"/dashboard/{PLOTLY}")).replace("{preloads}", preloads)
    return Asset.of(text.encode(), "text/html; charset=utf-8")


@cache
def _plotly() -> Asset:
    found = find_spec("plotly")  # found, not imported: all that is wanted of it is this file
    assert found is not None
    assert found.origin is not None
    return Asset.of((Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes(), "text/javascript")


@cache
def _names() -> frozenset[str]:
    """Files that may be fetched: a name is looked up here and nowhere else."""
    return frozenset(
        str(path.relative_to(_FOLDER).as_posix()) for path in _FOLDER.rglob("*") if path.suffix in _MEDIA_TYPES
    )


@cache
def _asset(name: str) -> Asset:
    path = _FOLDER / name
    return Asset.of(path.read_bytes(), f"{_MEDIA_TYPES[path.suffix]}; charset=utf-8")
