"""Which lines of a log did one rank write? Its own, by their label, with the lines that go on from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobs.cli_follow import NOTE
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.observability.logging import line_start
from operators.mimo_pipeline.api import StageSpec


def node_of_rank(stage: StageSpec, rank: int) -> int:
    """Raises ConfigError for a stage without ranks, and for a rank that it has not."""
    if stage.pytorch is None:
        raise ConfigError(f"--rank: stage {stage.name} has no ranks (it is a {stage.kind} stage); leave it out")
    if not 0 <= rank < stage.num_procs:
        raise ConfigError(f"--rank: got {rank}, stage {stage.name} has ranks 0 to {stage.num_procs - 1}")
    return rank // stage.pytorch.num_procs_per_node


def only_rank(parts: Iterable[tuple[str, str]], rank: int, num_procs: int) -> Iterator[tuple[str, str]]:
    """(name, text) of `parts`, without the lines of other ranks and of the launcher; a single rank has no label.

    Raises:
        InputError: there was none, after the last part.
    """
    if num_procs == 1:
        yield from parts
        return
    filters: dict[str, _RankFilter] = {}
    num_lines = 0
    for name, text in parts:
        lines = filters.setdefault(name, _RankFilter(rank)).of(text)
        num_lines += len(lines)
        if lines:
            yield name, "".join(lines)
    for name, rest in filters.items():
        lines = rest.end()
        num_lines += len(lines)
        if lines:
            yield name, "".join(lines)
    if not num_lines:
        raise InputError(f"--rank: no line of rank {rank} in this log; leave it out to see all of it")


class _RankFilter:
    """Of one stream, whose pieces may end within a line."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._is_ours = False
        self._part = ""

    def of(self, text: str) -> list[str]:
        whole, newline, self._part = (self._part + text).rpartition("\n")
        return self._chosen((whole + newline).splitlines(keepends=True))

    def end(self) -> list[str]:
        return self._chosen([self._part] if self._part else [])

    def _chosen(self, lines: Iterable[str]) -> list[str]:
        return [line for line in lines if line.startswith(NOTE) or self._is_kept(line)]

    def _is_kept(self, line: str) -> bool:
        start = line_start(line)
        if start is not None:
            self._is_ours = start.rank == self._rank
        return self._is_ours
