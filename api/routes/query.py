"""Users' SQL, and the schema of specs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import ValidationError

from api import schemas
from api.body import document
from api.deps import Reader
from services import query
from services.domain.errors import InvalidSpec, Problem, json_pointer
from services.domain.spec import SweepSpec

router = APIRouter(tags=["sql"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Question"}}},
    }
}


@router.post("/query", operation_id="run_query", openapi_extra=_BODY)
def run(body: Annotated[object, Depends(document)], reader: Reader) -> schemas.QueryAnswer:
    """Run one query over the public views, as a role that can read them and nothing else."""
    try:
        question = schemas.Question.model_validate(body)
    except ValidationError as error:
        raise InvalidSpec(
            [Problem(pointer=json_pointer(e["loc"]), code=e["type"], message=e["msg"]) for e in error.errors()]
        ) from None
    result = query.run_query(reader, question.sql, max_rows=question.max_rows)
    return schemas.QueryAnswer(
        columns=result.columns,
        rows=result.rows,
        truncated=result.truncated,
        elapsed_seconds=result.elapsed.total_seconds(),
    )


@router.get("/schema", operation_id="get_spec_schema")
def schema() -> dict[str, Any]:
    """JSON Schema of a sweep spec, for editors."""
    return SweepSpec.model_json_schema()
