"""What all types of the MimoPipeline resource share: camelCase JSON, unknown fields refused, bounds everywhere.

Every string, list, map and number has a bound: the API server refuses rules over unbounded values, and arithmetic with
a number that nobody means, such as a time of 10^12 seconds, overflows.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$", max_length=20)]
ResourceName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9./]*[a-z0-9])?$", max_length=253)]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$", max_length=317)]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]
TuningVariable = Annotated[str, Field(pattern=r"^(NCCL|GLOO|UCX|FI|OMP|TORCH|CUDA|RAY)_[A-Z0-9_]+$", max_length=128)]
StageName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
ObjectName = Annotated[str, Field(max_length=253)]
Uri = Annotated[str, Field(max_length=1024)]
Digest = Annotated[str, Field(max_length=80)]
ShortText = Annotated[str, Field(max_length=128)]
MAX_COUNT = 10**15
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
ExitCode = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Message = Annotated[str, Field(max_length=1024)]


class ApiModel(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    def to_values(self) -> dict[str, Any]:
        """Plain JSON values with camelCase keys; None is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
