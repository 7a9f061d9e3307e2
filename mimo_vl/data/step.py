"""What a pipeline step is: a generator over records. What it drops carries a verdict, and every reason is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mimo_vl.data.record import Record


@dataclass(frozen=True)
class Verdict:
    """Keep the record, or the reason why not (a short slug: `corrupt_image`, `too_small`)."""

    keep: bool
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.keep and not self.reason:
            raise ValueError("a dropped record needs a reason; nothing is dropped silently")


KEEP = Verdict(True)


def drop(reason: str) -> Verdict:
    return Verdict(False, reason)


@dataclass
class Tally:
    """Counts of one shard. seen = kept + all dropped."""

    seen: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


Judge = Callable[[Record], Verdict]
Step = Callable[[Iterable[Record], Tally], Iterator[Record]]


def filter_step(judge: Judge) -> Step:
    """A step that lets pass what `judge` keeps and counts the reason of what it does not."""

    def run(records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        for record in records:
            verdict = judge(record)
            if verdict.keep:
                yield record
            else:
                tally.dropped[verdict.reason] += 1

    return run


def chain(records: Iterable[Record], steps: Iterable[Step], tally: Tally) -> Iterator[Record]:
    """Records through all steps, lazily, in order."""

    def counted(source: Iterable[Record]) -> Iterator[Record]:
        for record in source:
            tally.seen += 1
            yield record

    stream: Iterator[Record] = counted(records)
    for step in steps:
        stream = step(stream, tally)
    return stream
