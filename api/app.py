"""The HTTP server: `uvicorn api.app:create_app --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from sqlalchemy.orm import Session

from api import bodies, errors, schemas
from api.auth import is_loopback, refusal
from api.deps import Slots
from api.guard import Guard
from api.limits import Limiter
from api.routes import (
    dashboard,
    health,
    live,
    operations,
    pages,
    query,
    queue,
    sweeps,
    tokens,
    transfer,
    trials,
    webhooks,
)
from api.streaming import Hub
from db.session import make_export_engine, make_lookup_engine, make_reader_engine, make_server_engine, reader_url
from services.domain.errors import DomainError
from services.domain.spec import SweepSpec
from services.sending import Sender
from services.settings import Settings
from services.tokens import register

_PATIENCE = timedelta(seconds=20)
"""With locks that others hold, and with what a read takes; then the answer is 503."""

_BODIES = (
    SweepSpec,
    bodies.Question,
    bodies.PriorityChange,
    bodies.Clone,
    bodies.SweepEdit,
    bodies.NewToken,
    bodies.WebhookRequest,
)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"content": errors.DOCUMENTED, "description": description}
    for status, description in {
        400: "Malformed request",
        401: "No valid token",
        403: "The token has not the scope, or what would be changed is another's",
        404: "Not found",
        408: "The body did not come in time",
        409: "The present state does not permit it",
        413: "Body too large",
        415: "Unsupported media type",
        422: "Invalid request; `errors` names everything that is wrong",
        429: "Too many requests, or too many long ones at once; try again after `Retry-After` seconds",
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
        openapi_url=None,
    )
    app.state.settings = settings
    app.state.started = monotonic()
    app.state.engine = make_server_engine(settings.database_url, patience=_PATIENCE)
    app.state.lookups = make_lookup_engine(settings.database_url, patience=_PATIENCE)
    app.state.exporter = make_export_engine(settings.database_url)
    app.state.reader = make_reader_engine(
        settings.reader_url or reader_url(settings.database_url, password=settings.reader_password)
    )
    app.state.slots = Slots()
    app.state.limiter = Limiter(rate=settings.rate, in_flight=settings.queries)
    errors.install(app)
    any_host = not settings.allowed_hosts and not is_loopback(settings.host)
    app.add_middleware(Guard, hosts=None if any_host else (settings.host, *settings.allowed_hosts))
    for module in (sweeps, live, trials, queue, query, transfer, operations, tokens, webhooks):
        app.include_router(module.router, prefix="/api/v1", responses=_PROBLEMS)
    app.include_router(operations.metrics, responses=_PROBLEMS)
    app.include_router(health.router, responses={503: _PROBLEMS[503]})
    app.include_router(pages.router)
    app.include_router(dashboard.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    if settings.token is not None:
        with Session(app.state.engine) as session, session.begin():
            register(session, settings.token, name="ALIGNSWEEP_TOKEN", owner="operator")
    app.state.hub = Hub(app.state.engine)
    sender = Sender(app.state.engine, settings.webhook_hosts)
    sender.start()
    yield
    sender.stop()
    await app.state.hub.close()
    app.state.engine.dispose()
    app.state.lookups.dispose()
    app.state.exporter.dispose()
    app.state.reader.dispose()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with the schemas of problems and of bodies that are read by hand."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in (*_BODIES, schemas.ProblemDocument):
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            components.update(described.pop("$defs", {}))
            components[model.__name__] = described
        app.openapi_schema = schema
    return app.openapi_schema
