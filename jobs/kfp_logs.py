"""Copies the log of a stage into the log of its step while it grows, every attempt once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from jobs.kfp_outcome import stage_of
from jobs.kfp_target import KfpTarget, LogPart
from mimo_vl.errors import MimoError
from operators.mimo_pipeline.local.state import PipelineObject

logger = logging.getLogger(__name__)

# A log that was rotated meanwhile goes on after these last characters.
_OVERLAP = 2048
_GAP = "[the log was rotated: lines may be missing here]\n"


@dataclass(frozen=True, kw_only=True)
class _Copied:
    num_chars: int
    tail: str

    def end_in(self, text: str) -> int | None:
        """Where the copied part of a log ends in what the log is now; None = nothing of it is there."""
        if len(text) >= self.num_chars and text[: self.num_chars].endswith(self.tail):
            return self.num_chars
        found = text.rfind(self.tail)
        return None if found < 0 else found + len(self.tail)


class LogCopy:
    def __init__(self, target: KfpTarget, stage: str, write: Callable[[str], object]) -> None:
        self._target, self._stage, self._write = target, stage, write
        self._attempt = 0
        # By name of the pod: the end of what was copied.
        self._tails: dict[str, _Copied] = {}
        self._problem = ""

    def copy(self, pipeline: PipelineObject) -> None:
        """What was added since the last call; a log that cannot be read now is read later."""
        attempt = stage_of(pipeline, self._stage).attempt
        if not attempt or stage_of(pipeline, self._stage).reused:
            return
        if attempt != self._attempt:
            if self._attempt:
                self._copy(pipeline, self._attempt)
            self._attempt = attempt
            self._tails.clear()
            self._write(f"==> {self._stage}, attempt {attempt} <==\n")
        self._copy(pipeline, attempt)

    def copy_rest(self, pipeline: PipelineObject) -> None:
        """At the end: says what could not be copied."""
        self.copy(pipeline)
        if self._problem and not self._tails:
            self._write(f"no log of {self._stage}: {self._problem}\n")

    def _copy(self, pipeline: PipelineObject, attempt: int) -> None:
        try:
            for part in self._target.log_parts(self._stage, attempt, self._node(pipeline)):
                if part.is_whole:
                    self._add_rest(part.name, part.text)
                else:
                    self._append(part)
        except MimoError as error:
            # Pods that are not there yet, or any more; the logs follow from the store, or not at all.
            self._problem = str(error)
            logger.debug("no log of %s now: %s", self._stage, error)

    def _append(self, part: LogPart) -> None:
        if not part.follows:
            self._write(_GAP)
        if part.text:
            self._write(part.text)
            before = self._tails.get(part.name, _Copied(num_chars=0, tail=""))
            tail = (before.tail + part.text)[-_OVERLAP:] if part.follows else part.text[-_OVERLAP:]
            self._tails[part.name] = _Copied(num_chars=before.num_chars + len(part.text), tail=tail)

    def _add_rest(self, name: str, text: str) -> None:
        """The same log has another name once it lies in the store; what was copied of it is known by its end."""
        known = [self._tails[name]] if name in self._tails else list(self._tails.values())
        start = next((end for end in (copied.end_in(text) for copied in known) if end is not None), 0)
        if new := text[start:]:
            self._write(new)
            self._tails[name] = _Copied(num_chars=len(text), tail=text[-_OVERLAP:])

    def _node(self, pipeline: PipelineObject) -> int | None:
        """Of many nodes the first one speaks for all: rank 0 logs what matters."""
        return 0 if pipeline.spec.stage(self._stage).pytorch is not None else None
