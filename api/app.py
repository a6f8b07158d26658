"""The HTTP server: `uvicorn api.app:create_app --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from sqlalchemy.orm import Session
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors, schemas
from api.auth import is_loopback, owner, refusal
from api.routes import health, live, operations, query, queue, sweeps, trials, webhooks
from api.streaming import Hub
from db.session import make_engine, make_reader_engine, reader_url
from services import tokens
from services.domain.errors import DomainError
from services.domain.spec import SweepSpec
from services.sending import Sender
from services.settings import Settings

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_BODIES = (
    SweepSpec,
    schemas.Question,
    schemas.PriorityChange,
    schemas.Clone,
    schemas.SweepEdit,
    schemas.WebhookRequest,
)
_PROBLEM = {"model": schemas.ProblemDocument, "content": {errors.MEDIA_TYPE: {}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {**_PROBLEM, "description": description}
    for status, description in {
        400: "Malformed request",
        401: "No valid token",
        404: "Not found",
        409: "The present state does not permit it",
        413: "Body too large",
        415: "Unsupported media type",
        422: "Invalid request; `errors` names everything that is wrong",
        503: "Database unavailable; try again after `Retry-After` seconds",
    }.items()
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application over the database of the settings. Raises DomainError when it must not or cannot start."""
    settings = settings or Settings.from_environment()
    if reason := refusal(settings):
        raise DomainError(reason)
    if settings.database_url is None:
        raise DomainError("DATABASE_URL is not set; `alignsweep up` serves an embedded database")
    app = FastAPI(
        title="alignsweep",
        version="1",
        summary="Sweeps over learning rules, and how they align, layer by layer.",
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.engine = make_engine(settings.database_url)
    app.state.reader = make_reader_engine(
        settings.reader_url or reader_url(settings.database_url, password=settings.reader_password)
    )
    errors.install(app)
    app.add_middleware(_SecurityHeaders)
    if is_loopback(settings.host):
        # Against DNS rebinding: a page of another origin cannot reach the server under its own name.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", "testserver"])
    for module in (sweeps, live, trials, queue, query, operations, webhooks):
        app.include_router(module.router, prefix="/api/v1", dependencies=[Depends(owner)], responses=_PROBLEMS)
    app.include_router(operations.metrics, dependencies=[Depends(owner)], responses=_PROBLEMS)
    app.include_router(health.router, responses={503: _PROBLEMS[503]})
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    if settings.token is not None:
        with Session(app.state.engine) as session, session.begin():
            tokens.register(session, settings.token, name="ALIGNSWEEP_TOKEN", owner="operator")
    app.state.hub = Hub(app.state.engine)
    sender = Sender(app.state.engine, settings.webhook_hosts)
    sender.start()
    yield
    sender.stop()
    await app.state.hub.close()
    app.state.engine.dispose()
    app.state.reader.dispose()


class _SecurityHeaders:
    """Adds them to every answer; streams pass through as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with the schemas of bodies that are read by hand."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in _BODIES:
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            components.update(described.pop("$defs", {}))
            components[model.__name__] = described
        app.openapi_schema = schema
    return app.openapi_schema
