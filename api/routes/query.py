"""Users' SQL, and the schema of specs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response

from api import answers, bodies, schemas
from api.accept import NO_SUCH_FORM, accepted
from api.auth import FEW, READ, SQL
from api.body import body_of, document, validated
from api.deps import Reader
from services import query
from services.domain.spec.schema import json_schema

router = APIRouter(tags=["sql"])


@router.post(
    "/query",
    operation_id="run_query",
    response_model=schemas.QueryAnswer,
    dependencies=[SQL, FEW],
    openapi_extra=body_of("Question"),
    responses={200: {"content": {media_type: {} for media_type in answers.RENDERED}}, 406: NO_SUCH_FORM},
)
def run(
    body: Annotated[object, Depends(document)],
    reader: Reader,
    request: Request,
    accept: Annotated[str | None, Header()] = None,
) -> schemas.QueryAnswer | Response:
    """Run one query over the public views, as a role that can read them and nothing else.

    The answer is JSON, CSV or an Arrow stream, as `Accept` says. In the latter two the header `Alignsweep-Truncated`
    tells whether there were more rows than `max_rows`.
    """
    form = accepted(accept, {"application/json": "application/json", **{name: name for name in answers.RENDERED}})
    if form is None:
        raise HTTPException(406, f"There is application/json, {', '.join(answers.RENDERED)}")
    question = validated(bodies.Question, body)
    limits = query.QueryLimits(time=request.app.state.settings.query_time)
    result = query.run_query(reader, question.sql, max_rows=question.max_rows, limits=limits)
    if form in answers.RENDERED:
        content = answers.RENDERED[form](result.columns, result.rows)
        return Response(content, media_type=form, headers={answers.TRUNCATED: str(result.truncated).lower()})
    return schemas.QueryAnswer(
        columns=result.columns,
        rows=result.rows,
        truncated=result.truncated,
        elapsed_seconds=result.elapsed.total_seconds(),
    )


@router.get("/schema", operation_id="get_spec_schema", dependencies=[READ])
def schema() -> dict[str, Any]:
    """JSON Schema of a sweep spec, for editors."""
    return json_schema()
