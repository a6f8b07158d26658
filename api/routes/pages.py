"""What a browser opens: the documentation of the API. It holds nothing of the service's, and asks for no token.

Everything comes from here: the scripts are those that `fastapi-offline` installs.
"""

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

router = APIRouter(include_in_schema=False)

_ASSETS = Path(str(files("fastapi_offline"))) / "static"
_PAGE = get_swagger_ui_html(
    openapi_url="/openapi.json",
    title="alignsweep",
    swagger_js_url="/docs/swagger-ui-bundle.js",
    swagger_css_url="/docs/swagger-ui.css",
    swagger_favicon_url="/docs/favicon.png",
).body
# The one script within the page is admitted by its hash; Swagger UI sets styles of its own.
_SCRIPTS = " ".join(
    f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
    for script in re.findall(rb"<script>(.*?)</script>", bytes(_PAGE), re.DOTALL)
)
_CSP = (
    f"default-src 'none'; script-src 'self' {_SCRIPTS}; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs")
def docs() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _CSP})


@router.get("/docs/{name}")
def asset(name: Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]) -> FileResponse:
    return FileResponse(_ASSETS / name)


@router.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())
