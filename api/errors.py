"""Every error as RFC 9457 problem+json. The only module that knows which domain error has which HTTP status."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from api.body import located
from services.domain.errors import (
    Conflict,
    DatabaseUnavailable,
    DomainError,
    EditedMeanwhile,
    Forbidden,
    InvalidArchive,
    InvalidBody,
    InvalidQuery,
    InvalidSpec,
    NotFound,
    Problem,
    QueryRejected,
    StoreUnavailable,
    json_pointer,
)

_log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
DOCUMENTED = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
"""What OpenAPI says of an answer that is a problem."""


def problem(
    status: int,
    title: str,
    *,
    detail: str | None = None,
    errors: Sequence[Problem] = (),
    headers: dict[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """One problem document; `members` are extensions to it."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": [jsonable_encoder(error, exclude_none=True) for error in errors] or None,
        **members,
    }
    content = {key: value for key, value in body.items() if value is not None}
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


def _away(detail: str) -> JSONResponse:
    return problem(503, "Unavailable", detail=f"{detail}: try again soon", headers={"Retry-After": "5"})


def _methods_of(request: Request) -> set[str]:
    """What the path of the request may be asked with."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    return {
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def install(app: FastAPI) -> None:
    """Translate everything that can go wrong in a request."""

    @app.exception_handler(DomainError)
    def domain_error(request: Request, error: DomainError) -> JSONResponse:
        match error:
            case InvalidSpec(problems=problems):
                title = "Invalid request" if isinstance(error, InvalidBody) else "Invalid spec"
                found = located(request, problems)
                return problem(422, title, detail=f"{len(problems)} problem(s)", errors=found)
            case Forbidden():
                return problem(403, "Forbidden", detail=str(error))
            case InvalidQuery(problems=problems):
                return problem(422, "Invalid query", detail=str(error), errors=problems)
            case EditedMeanwhile():
                return problem(412, "Edited meanwhile", detail=str(error))
            case NotFound():
                return problem(404, "Not found", detail=str(error))
            case Conflict():
                return problem(409, "Conflict", detail=str(error), allowed=error.allowed)
            case DatabaseUnavailable() | StoreUnavailable():
                return _away(str(error))
            case QueryRejected():
                return problem(422, "Query rejected", detail=str(error), sqlstate=error.sqlstate)
            case InvalidArchive():
                return problem(422, "Invalid archive", detail=str(error))
            case _:
                return problem(400, "Bad request", detail=str(error))

    @app.exception_handler(RequestValidationError)
    def validation_error(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            Problem(pointer=json_pointer(tuple(entry["loc"])), code=entry["type"], message=entry["msg"])
            for entry in error.errors()
        ]
        return problem(422, "Invalid request", errors=list(dict.fromkeys(errors)))

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else {}
        if error.status_code == 405:  # the router names the methods of one route, and a path may have several
            headers["Allow"] = ", ".join(sorted(_methods_of(request)))
        return problem(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(ClientDisconnect)
    def gone(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return problem(400, "The client went away before its request was whole")

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeout)
    def database_away(_request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, DBAPIError) and isinstance(error.orig, QueryCanceled):
            return _away("this took too long to read")
        if isinstance(error, DBAPIError) and isinstance(error.orig, LockNotAvailable | DeadlockDetected):
            return _away("another request is in the way")
        return _away("the database cannot be reached")

    @app.exception_handler(InternalError)
    def database_refuses(request: Request, error: InternalError) -> JSONResponse:
        if error.connection_invalidated:  # it ended a transaction that had rested for too long
            return _away("this took too long")
        return unexpected(request, error)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        _log.error("unexpected error", path=request.url.path, exc_info=error)
        return problem(500, "Internal error", detail="the server's log has the details")
