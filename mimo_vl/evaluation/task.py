"""What a task of a suite is: plain data. How one item looks to a scorer, and what a scorer returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mimo_vl.schema.evaluation import ItemStatus
from mimo_vl.schema.sample import Sample, TextPart


class Method(StrEnum):
    """`generate`: answer, then score. `likelihood`: mean negative log-likelihood of the item's own text."""

    GENERATE = "generate"
    LIKELIHOOD = "likelihood"


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """temperature 0 = greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    num_samples: int = 1


GREEDY = Decoding()


@dataclass(frozen=True, kw_only=True)
class InferPass:
    """One way to ask the whole suite; its results go to `folder`/<model>/<family>.jsonl."""

    folder: str
    decoding: Decoding


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One line of a results table. An item's meta["scorer"] wins over `scorer`. Raise `version` with any change."""

    id: str
    family: str
    dataset: str
    scorer: str
    metric: str
    version: int = 1
    method: Method = Method.GENERATE
    is_verifiable: bool = False
    """True for the families of the mean reward: they are also sampled at temperature 1."""


@dataclass(frozen=True, kw_only=True)
class EvalItem:
    """A sample and the size (width, height) in pixels of each of its media as the model saw it; empty = as stored."""

    sample: Sample
    sent_sizes: tuple[tuple[int, int], ...] = ()

    @property
    def sent_size(self) -> tuple[int, int] | None:
        """Of the first medium."""
        return self.sent_sizes[0] if self.sent_sizes else None

    @property
    def reference(self) -> str:
        if self.sample.reference is None:
            raise ValueError(f"item {self.sample.id} has no reference; every item of an evaluation dataset needs one")
        return self.sample.reference

    @property
    def stored_size(self) -> tuple[int, int]:
        if not self.sample.media:
            raise ValueError(f"item {self.sample.id} has no medium but its scorer compares coordinates")
        return self.sample.media[0].width, self.sample.media[0].height


@dataclass(frozen=True, kw_only=True)
class ItemScore:
    """`metrics` in [0, 1], the headline among them; `parsed` is what was read from the response, for people."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    parsed: str = ""
    status: ItemStatus = ItemStatus.OK


Scorer = Callable[[EvalItem, str], ItemScore]
Scorers = Mapping[str, Scorer]


def prompt_text(sample: Sample) -> str:
    """The words of a sample's messages, media as <image> and <video>, for people and reports."""
    lines = []
    for message in sample.messages:
        parts = [p.text if isinstance(p, TextPart) else f"<{sample.media[p.index].kind}>" for p in message.parts]
        lines.append("".join(parts))
    return "\n".join(lines)
