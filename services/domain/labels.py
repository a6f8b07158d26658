"""What owners write on their sweeps, besides the name."""

from typing import Annotated

from pydantic import AfterValidator, Field

Tag = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f,]+$")]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(lambda tags: list(dict.fromkeys(tags)))]
Notes = Annotated[str, Field(max_length=20_000)]
