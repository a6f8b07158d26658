"""Users' SQL, and the schema of specs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from api import schemas
from api.auth import FEW, READ, SQL
from api.body import body_of, document, validated
from api.deps import Reader
from services import query
from services.domain.spec.schema import json_schema

router = APIRouter(tags=["sql"])


@router.post("/query", operation_id="run_query", dependencies=[SQL, FEW], openapi_extra=body_of("Question"))
def run(body: Annotated[object, Depends(document)], reader: Reader, request: Request) -> schemas.QueryAnswer:
    """Run one query over the public views, as a role that can read them and nothing else."""
    question = validated(schemas.Question, body)
    limits = query.QueryLimits(time=request.app.state.settings.query_time)
    result = query.run_query(reader, question.sql, max_rows=question.max_rows, limits=limits)
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
