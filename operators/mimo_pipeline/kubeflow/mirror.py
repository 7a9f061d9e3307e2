"""Shows MimoPipelines that people make by other means in Kubeflow Pipelines: a run each, started, retried, ended here.

The run's steps only follow (jobs/kfp_step.py), so whatever goes wrong here harms no pipeline: it becomes a condition,
and is tried again after a pause. A pipeline that a run in Kubeflow Pipelines made has its run already.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import TERMINAL_PHASES, MimoPipelineSpec, MimoPipelineStatus, Phase, StageState
from operators.mimo_pipeline.cluster_settings import KubeflowSettings
from operators.mimo_pipeline.kubeflow.client import ENDED_STATES, KubeflowApiError, KubeflowClient, RunState
from operators.mimo_pipeline.kubeflow.package import pipeline_spec

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 600.0
# Between two looks at a run whose pipeline goes on. A step that is terminated cancels the pipeline within this time.
_ASK_EVERY_S = 30.0
_CAN_BE_RETRIED = frozenset({RunState.FAILED, RunState.CANCELED})
# Ten years: a step that only shows ends with its stage, however long that takes.
_DEADLINE_S = 315_360_000.0


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """What the mirror needs to know of a pipeline."""

    namespace: str
    name: str
    run_id: str
    """Ours: namespace/name/uid8, also the name of the run in Kubeflow Pipelines."""
    labels: Mapping[str, str]
    spec: MimoPipelineSpec
    status: MimoPipelineStatus
    is_owed: bool = False
    """An earlier try to show it failed."""

    @property
    def goes_on(self) -> bool:
        """And nothing in it has failed, for which its run would rightly have ended."""
        if self.status.phase in TERMINAL_PHASES or self.spec.cancel:
            return False
        return all(stage.state != StageState.FAILED for stage in self.status.stages)


@dataclass
class _Trouble:
    message: str
    pause_s: float
    until_s: float


@dataclass(kw_only=True)
class KubeflowMirror:
    """Blocking; what it remembers is cheap to lose."""

    settings: KubeflowSettings
    client: KubeflowClient
    clock: Callable[[], float] = time.monotonic
    _experiment_id: str = ""
    _troubles: dict[str, _Trouble] = field(default_factory=dict)
    _runs: dict[tuple[str, str], str] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _ask_at_s: dict[str, float] = field(default_factory=dict)
    _seen_ended: set[str] = field(default_factory=set)

    def look(self, pipeline: Mirrored) -> tuple[str, str]:
        """(id of its run in Kubeflow Pipelines, what is wrong); "" = none."""
        known = pipeline.status.kubeflow_run
        if known:
            self._runs[pipeline.namespace, pipeline.name] = known
        if not self._has_to_act(pipeline):
            return known, ""
        trouble = self._troubles.get(pipeline.run_id)
        if trouble is not None and self.clock() < trouble.until_s:
            return known, trouble.message
        try:
            run = self._act(pipeline)
        except (KubeflowApiError, ConfigError) as error:
            return known, self._remember(pipeline.run_id, str(error))
        self._troubles.pop(pipeline.run_id, None)
        self._runs[pipeline.namespace, pipeline.name] = run
        return run, ""

    def forget(self, namespace: str, name: str) -> None:
        """The pipeline is deleted. Its steps end by themselves; this makes the run look cancelled, not failed."""
        run = self._runs.pop((namespace, name), "")
        self._ask_at_s.pop(run, None)
        if not run or run in self._ended:
            return
        try:
            self._end(run)
        except KubeflowApiError as error:
            logger.warning("the run of %s/%s is left to end by itself: %s", namespace, name, error)

    def _has_to_act(self, pipeline: Mirrored) -> bool:
        if pipeline.labels.get(naming.LABEL_MADE_BY) == naming.MADE_BY_KUBEFLOW:
            return False
        run, phase = pipeline.status.kubeflow_run, pipeline.status.phase
        if not run:
            return pipeline.status.started_at is not None and (phase not in TERMINAL_PHASES or pipeline.is_owed)
        if phase == Phase.CANCELLED:
            return run not in self._ended
        return pipeline.goes_on and self.clock() >= self._ask_at_s.get(run, 0.0)

    def _act(self, pipeline: Mirrored) -> str:
        run = pipeline.status.kubeflow_run
        if not run:
            return self._start(pipeline)
        if pipeline.status.phase == Phase.CANCELLED:
            self._end(run)
            return run
        return self._keep_up(pipeline, run)

    def _keep_up(self, pipeline: Mirrored, run: str) -> str:
        """After `mimo retry`, or the loss of a step, the pipeline goes on and its run has ended: it goes on, too."""
        state = self._state(run)
        self._ask_at_s[run] = self.clock() + _ASK_EVERY_S
        if state not in ENDED_STATES:
            self._seen_ended.discard(run)
            return run
        if run not in self._seen_ended:
            # Perhaps somebody terminates it just now, and its steps are about to cancel the pipeline.
            self._seen_ended.add(run)
            return run
        self._seen_ended.discard(run)
        if state not in _CAN_BE_RETRIED:
            return self._start(pipeline, instead_of=run)
        self.client.retry_run(run)
        self._ended.discard(run)
        logger.info("goes on in Kubeflow Pipelines pipeline=%s run=%s", pipeline.run_id, run)
        return run

    def _state(self, run: str) -> RunState:
        """A run that somebody deleted is nothing to care for."""
        try:
            return self.client.run(run).state
        except KubeflowApiError as error:
            if not error.is_not_found:
                raise
            return RunState.UNSPECIFIED

    def _start(self, pipeline: Mirrored, instead_of: str = "") -> str:
        """A run that was created while nobody could write its id down is found by its name."""
        if not self._experiment_id:
            self._experiment_id = self.client.experiment_id(self.settings.experiment, self.settings.namespace)
        found = self.client.find_run(self._experiment_id, pipeline.run_id)
        if found is None or found.run_id == instead_of:
            found = self.client.create_run(run_body(pipeline, self.settings, self._experiment_id))
            logger.info("shown in Kubeflow Pipelines pipeline=%s run=%s", pipeline.run_id, found.run_id)
        return found.run_id

    def _end(self, run: str) -> None:
        try:
            if self.client.run(run).state not in ENDED_STATES:
                self.client.terminate_run(run)
        except KubeflowApiError as error:
            if not error.is_not_found:
                raise
        self._ended.add(run)

    def _remember(self, run_id: str, message: str) -> str:
        before = self._troubles.get(run_id)
        pause_s = min(_LONGEST_PAUSE_S, 2 * before.pause_s) if before else _FIRST_PAUSE_S
        self._troubles[run_id] = _Trouble(message, pause_s, self.clock() + pause_s)
        logger.warning("pipeline=%s is not shown in Kubeflow Pipelines, again in %.0f s: %s", run_id, pause_s, message)
        return message


def run_body(pipeline: Mirrored, settings: KubeflowSettings, experiment_id: str) -> dict[str, Any]:
    """A V2beta1Run. Its steps look at the pipeline and create nothing."""
    parameters = {
        "profile": pipeline.spec.profile,
        "name": pipeline.name,
        "namespace": pipeline.namespace,
        "follow": True,
        "kfp_endpoint": settings.endpoint,
        "deadline_s": _DEADLINE_S,
    }
    body: dict[str, Any] = {
        "experiment_id": experiment_id,
        "display_name": pipeline.run_id,
        "description": f"Follows MimoPipeline {pipeline.name} in namespace {pipeline.namespace}",
        "pipeline_spec": pipeline_spec(pipeline.spec, settings.image),
        "runtime_config": {"parameters": parameters},
    }
    if settings.service_account:
        body["service_account"] = settings.service_account
    return body


def build_mirror(settings: KubeflowSettings) -> KubeflowMirror:
    """One try per look: a round of the operator must not wait for a server that is away."""
    token_file = Path(settings.token_file) if settings.token_file else None
    client = KubeflowClient(endpoint=settings.endpoint, token_file=token_file, tries=1)
    return KubeflowMirror(settings=settings, client=client)
