"""Where is the log of each node of an attempt on a cluster? In its pod; once that is gone, in the store.

What has no log, and why, is told in a line of its own (cli_follow.NOTE): no node is left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jobs.cli_follow import NOTE, Source, merged
from jobs.cli_names import attempt_has_ended, stage_status
from jobs.shipped_logs import shipped_logs
from mimo_vl.errors import InputError
from mimo_vl.storage.layout import LOGS_DIR

if TYPE_CHECKING:
    from operators.mimo_pipeline.kubernetes.api_client import PipelineClient
    from operators.mimo_pipeline.local.state import PipelineObject
    from operators.mimo_pipeline.pod_choice import LogPod

_INTERVAL_S = 2.0


class ClusterLogs:
    """Of one attempt of a stage."""

    def __init__(
        self, client: PipelineClient, load: Callable[[], PipelineObject], stage: str, attempt: int, node: int | None
    ) -> None:
        """`load` reads the pipeline; `attempt` 0 = the latest; `node` None = all."""
        self._client, self._load, self._stage, self._node = client, load, stage, node
        pipeline = load()
        current = stage_status(pipeline, stage)
        self._pipeline, self._spec = pipeline.metadata.name, pipeline.spec.stage(stage)
        self._attempt = attempt or current.attempt
        if self._attempt == 0:
            raise InputError(f"stage {stage} is {current.state} and has no attempt yet; there is no log")

    def read(self) -> Iterator[tuple[str, str]]:
        """(name, text) as far as it is written now; the name is "" where there is one pod alone."""
        pipeline, pods = self._load(), self.pods()
        if not pods:
            yield from self._without_pods(pipeline)
            return
        parts = [(_order(pod.node), pod.name, self._text(pod)) for pod in pods]
        missing = self._missing({pod.node for pod in pods})
        parts += [(_order(node), f"node {node}", text) for node, text in self._stored(pipeline, missing).items()]
        for _, name, text in sorted(parts):
            yield name if len(parts) > 1 else "", text

    def follow(self) -> Iterator[tuple[str, str]]:
        """(name, new lines) until the attempt ends; waits for pods, and for containers that are still starting."""
        return merged(self._sources(), interval_s=_INTERVAL_S)

    def _sources(self) -> Iterator[Source | None]:
        followed: dict[str, int | None] = {}
        told = ""
        while True:
            # The state before the pods: once an attempt has ended, no other pod will come.
            pipeline, pods = self._load(), self.pods()
            for pod in pods:
                if not pod.waits and pod.name not in followed:
                    followed[pod.name] = pod.node
                    yield "" if self._num_pods == 1 else pod.name, self._client.follow_pod_log(pod.name)
            if len(followed) == self._num_pods:
                return
            rest = [pod for pod in pods if pod.name not in followed]
            if attempt_has_ended(pipeline, self._stage, self._attempt):
                yield from ((name, iter([text])) for name, text in self._never_followed(pipeline, rest, followed))
                return
            note = self._waiting(pipeline, rest) if rest or not pods else told
            if note != told:
                yield "", iter([note])
            told = note
            yield None

    def _never_followed(
        self, pipeline: PipelineObject, rest: Sequence[LogPod], followed: Mapping[str, int | None]
    ) -> Iterator[tuple[str, str]]:
        if not rest and not followed:
            yield from self._without_pods(pipeline)
            return
        yield from ((pod.name, self._text(pod)) for pod in rest)
        missing = self._missing({*followed.values(), *(pod.node for pod in rest)})
        yield from ((f"node {node}", text) for node, text in self._stored(pipeline, missing).items())

    def pods(self) -> list[LogPod]:
        from operators.mimo_pipeline.pod_choice import log_pods, pod_selector

        return log_pods(self._client.pods(pod_selector(self._pipeline, self._stage, self._attempt)), self._node)

    @property
    def _num_pods(self) -> int | None:
        """None where it is not known beforehand."""
        if self._spec.ray is not None:
            return None
        return self._spec.pytorch.num_nodes if self._spec.pytorch is not None and self._node is None else 1

    def _missing(self, present: set[int | None]) -> list[int]:
        """Nodes of torch.distributed that have no pod."""
        nodes = range(self._spec.pytorch.num_nodes) if self._spec.pytorch is not None else ()
        return [node for node in nodes if node not in present and self._node in (None, node)]

    def _text(self, pod: LogPod) -> str:
        if pod.waits:
            return f"{NOTE}pod {pod.name} has written nothing yet ({pod.waits})\n"
        try:
            return self._client.pod_log(pod.name)
        except InputError as error:
            # It went since it was listed.
            return f"{NOTE}pod {pod.name}: {error}\n"

    def _stored(self, pipeline: PipelineObject, nodes: Sequence[int]) -> dict[int, str]:
        """The log of each node, or why there is none."""
        if not nodes:
            return {}
        found = shipped_logs(self._client, pipeline, stage_status(pipeline, self._stage), self._attempt, nodes)
        why = f"cannot be read: {found.problem}" if found.problem else "is not there"
        return {n: found.texts.get(n) or f"{NOTE}node {n} has no pod; its log in {found.where} {why}\n" for n in nodes}

    def _without_pods(self, pipeline: PipelineObject) -> Iterator[tuple[str, str]]:
        """Raises InputError where the attempt is over and its logs cannot be had."""
        stage = stage_status(pipeline, self._stage)
        is_over = attempt_has_ended(pipeline, self._stage, self._attempt)
        if not is_over and stage.state == "Queued":
            yield "", self._waiting(pipeline, [])
            return
        nodes = None if self._node is None else [self._node]
        found = shipped_logs(self._client, pipeline, stage, self._attempt, nodes)
        if found.texts:
            yield from ((f"node {node}", text) for node, text in found.texts.items())
            return
        if not is_over:
            yield "", self._waiting(pipeline, [])
            return
        why = f"they cannot be read: {found.problem}" if found.problem else "there is none"
        of_node = "" if found.problem or self._node is None else f" of node {self._node}"
        raise InputError(
            f"stage {stage.name}, attempt {self._attempt}: its pods are gone; logs, metrics and the exit record stay "
            f"in {found.where} (logs: {LOGS_DIR}/node-<n>.log; {why}{of_node})"
        )

    def _waiting(self, pipeline: PipelineObject, pods: Sequence[LogPod]) -> str:
        if pods:
            return f"{NOTE}waiting for {', '.join(f'{pod.name} ({pod.waits})' for pod in pods)}\n"
        stage = stage_status(pipeline, self._stage)
        why = ": ".join(filter(None, [stage.reason, stage.message]))
        return f"{NOTE}stage {stage.name} is {stage.state}{f' ({why})' if why else ''}; it has no pods yet\n"


def _order(node: int | None) -> float:
    """Nodes by their rank, other pods after them."""
    return float("inf") if node is None else node
