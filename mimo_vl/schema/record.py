"""Base of all cross-process records: frozen, strict about unknown fields, sorted canonical JSON."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from mimo_vl.canonical import canonical_json


class Record(BaseModel):
    """A frozen pydantic model; an unknown field is an error that names it."""

    # Built when first used: the controller imports many and uses few.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    def to_json(self) -> bytes:
        """Canonical bytes: sorted keys, no spaces, UTF-8. Equal records give equal bytes."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        return cls.model_validate_json(data)


class DescribedRecord(Record):
    """A docstring under a field is its description, which a reference page shows."""

    model_config = ConfigDict(use_attribute_docstrings=True)
