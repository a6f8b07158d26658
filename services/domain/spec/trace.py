"""What is measured, when and on which samples."""

from typing import Annotated, Literal

from pydantic import Field

from services.domain.spec.base import SpecModel


class TraceSpec(SpecModel):
    points_per_decade: Annotated[int, Field(ge=1, le=1_000)] = Field(
        8, description="Trace points per factor of ten in the step, besides step 0 and the last step."
    )
    evaluate_on: Annotated[int, Field(ge=1)] | Literal["full"] = Field(
        2000, description="Samples of each split on which loss and accuracy are evaluated."
    )
    alignment_on: Literal["probe", "next_batch", "last_batch", "paper"] = Field(
        "probe",
        description="Samples on which gradient alignment is measured: `probe`, the first training samples, the same at "
        "every step; `next_batch`, before its update; `last_batch`, after its update; `paper`, the last batch after "
        "its update and the cosine of the authors' code (entries up to 1e-8 count as 0, samples without a signal as "
        "aligned).",
    )
    probe: Annotated[int, Field(ge=1, le=65_536)] = Field(500, description="Samples of the probe.")
    snapshots_per_decade: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="Trace points per factor of ten whose weights are kept, the last one included; 0 keeps none."
    )
