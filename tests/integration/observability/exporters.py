"""Processes that show metrics: real ones, or the product's own recording functions fed with the tests' small worlds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from jobs.cli_run import RunRequest, run_pipeline
from jobs.morl import ContextLink
from jobs.stage_context import StageContext
from jobs.stage_metrics import StageMetrics, measured
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.data.report_metrics import curation_metrics, selection_metrics
from mimo_vl.errors import ServiceUnavailableError
from mimo_vl.evaluation.evaluate import WorkerPlan, evaluate, headline_metrics
from mimo_vl.observability import metrics as names
from mimo_vl.observability.prometheus import serve_metrics
from mimo_vl.rl.driver import MorlDriver
from mimo_vl.rl.rollout import RolloutCollector
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking import NullTracker
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import LastFailure, MimoPipelineStatus, Phase, StageState, StageStatus
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from operators.mimo_pipeline.kubernetes.worker import Key, Workers
from operators.mimo_pipeline.last_values import ManifestValues
from operators.mimo_pipeline.operator_metrics import OperatorMetrics
from operators.mimo_pipeline.pipeline_metrics import ShownPipeline
from tests.fakes.evaluation_suite import bench, model_of_quality
from tests.fakes.training_world import OVERRIDES, publish_training_inputs
from tests.unit.rl.builders import FakeBook, FakeScorer
from tests.unit.rl.builders import config as rl_config
from tests.unit.rl.test_driver import FakeStage, Run

ROOT = Path(__file__).parents[3]
_MODULES = dict.fromkeys(STAGE_MODULES, "tests.integration.local_runner.fake_stage")
# More steps than any test waits for.
_ENDLESS = 100_000


def start_training(folder: Path, port: int, *, accelerator: str = "cpu") -> subprocess.Popen[bytes]:
    """Launcher, rank and trainer are the real ones; it trains until it is stopped."""
    store = LocalStore(folder / "store")
    [inputs] = publish_training_inputs(folder / "made", [store])
    stage, run_id = StageName.PROJECTOR_WARMUP, "team/live/abcd1234"
    endless = [f"stages.{stage}.{field}={_ENDLESS}" for field in ("num_steps", "checkpoint.every_steps")]
    (folder / "config.yaml").write_text(dump_config(compose("tiny", [*OVERRIDES, *endless])), encoding="utf-8")
    env = StageEnvironment(
        namespace="team",
        pipeline="live",
        run_id=run_id,
        stage=stage,
        attempt=2,
        config_path=folder / "config.yaml",
        inputs=inputs,
        output_uri=store.uri(attempt_prefix(run_id, stage, 2)),
        stage_key="sha256:key",
    )
    extra = {"OMP_NUM_THREADS": "1", "MIMO_METRICS_PORT": str(port), "DS_ACCELERATOR": accelerator}
    with (folder / "train.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.launch", "--nproc", "1", "--", "jobs.train"],
            env={**os.environ, **env.to_environ(), **extra, "MIMO_SCRATCH": str(folder / "scratch")},
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class LocalPipeline:
    """`mimo run` in a thread, with counting stages; `curate` waits until it is told to go on."""

    def __init__(self, folder: Path, port: int) -> None:
        self._switch = folder / "switches" / "curate.slow"
        self._switch.parent.mkdir(parents=True)
        self._switch.touch()
        (folder / "source" / "jobs").mkdir(parents=True)
        (folder / "source" / "jobs" / "code.py").write_text("VERSION = 1\n")
        request = RunRequest(
            profile="tiny",
            run_dir=folder / "run",
            overrides=("tracking.kind='null'", f"observability.metrics_port={port}"),
            through="curate",
            source_root=folder / "source",
        )
        self._state = folder / "run" / "pipeline.json"
        self.exit_codes: list[int] = []
        self._thread = threading.Thread(
            target=lambda: self.exit_codes.append(run_pipeline(request, modules=_MODULES)), daemon=True
        )
        self.environment = {"FAKE_STAGE_DIR": str(self._switch.parent)}

    def start(self) -> None:
        """Returns when the run has begun: Hydra, which composes its configuration, serves one thread at a time."""
        self._thread.start()
        wait_until(lambda: self._state.exists() or not self._thread.is_alive(), 60.0, lambda: "the run does not begin")
        assert self._state.exists(), "the run ended before it began"

    def finish(self) -> list[int]:
        self._switch.unlink(missing_ok=True)
        self._thread.join(timeout=120)
        return self.exit_codes


def show_morl(folder: Path, port: int, reward_url: str) -> None:
    """The driver's loop over fake workers, its real link to the stage, and the reward service behind the same port."""
    shown = _shown(StageName.MORL)
    rl = rl_config(num_steps=3, prompts_per_step=3)
    stub = SimpleNamespace(
        shown=shown,
        tracker=measured(NullTracker(), shown),
        progress=lambda step, total, **_: shown.progress(step, total),
        config=SimpleNamespace(rl=rl),
    )
    link = ContextLink(cast(StageContext, stub))
    run = Run(folder, rl)
    # Every third prompt is always solved: its group teaches nothing.
    scorer = FakeScorer(lambda index: (1.0, 1.0) if index % 3 == 0 else (0.0, 1.0))
    collector = RolloutCollector(rl, engines=run.engines, scorer=scorer, prompts=FakeBook(40), seed=5)
    stage = _Reporting(folder / "checkpoints", link)
    MorlDriver(rl, collector=collector, trainer=run.trainer, stage=stage, log=run.log).run(run.state)
    link.reward_service_ready(reward_url)
    assert serve_metrics(shown.exporter.registry, [port]) == port


class _Reporting(FakeStage):
    def __init__(self, folder: Path, link: ContextLink) -> None:
        super().__init__(folder)
        self._link = link

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        self._link.report(step, metrics)


def show_ended_pipeline(folder: Path, port: int) -> None:
    """A controller whose pipeline has ended: what its stages left is read from real manifests."""
    store = LocalStore(folder / "store")
    left = {
        StageName.CURATE: _of_curate(),
        StageName.CURATE_RL: _of_curate_rl(),
        StageName.REWARD_MODEL_TEXT: {"loss_last": 0.5, "pairwise_accuracy": 0.7, "steps": 9.0},
        StageName.EVALUATE: _of_evaluate(folder),
    }
    stages = tuple(_publish(store, folder, stage, values) for stage, values in left.items())
    failure = LastFailure(attempt=1, reason="OutOfMemory", message="memory ran out", exit_code=137)
    stages = (*stages[:-1], stages[-1].model_copy(update={"attempt": 2, "last_failure": failure}))
    controller = OperatorMetrics(gpu_hour_price=2.0)
    now = datetime.now(UTC)
    status = MimoPipelineStatus(phase=Phase.SUCCEEDED, stages=stages, started_at=now, finished_at=now)
    controller.update(
        ShownPipeline(
            namespace="team",
            name="ended",
            status=status,
            seen_at=now,
            num_gpus={"reward-model-text": 8},
            last_values=ManifestValues(store).of(stages),
        )
    )
    _fail_one_round(controller)
    assert serve_metrics(controller.registry, [port]) == port


def _fail_one_round(controller: OperatorMetrics) -> None:
    """As the operator does it, over a store that does not answer."""

    def fail(namespace: str, name: str) -> float | None:
        raise ServiceUnavailableError(f"{namespace}/{name}: the store does not answer")

    asyncio.run(Workers(round=fail, metrics=controller).work_off(Key("team", "ended")))


def _shown(stage: StageName) -> StageMetrics:
    labels = dict(zip(names.RUN_LABELS, ("team", "live", str(stage), "1"), strict=True))
    return StageMetrics(labels=labels)


def _publish(store: LocalStore, folder: Path, stage: StageName, values: Mapping[str, float]) -> StageStatus:
    prefix = attempt_prefix("team/ended/abcd1234", stage, 1)
    (folder / "out").mkdir(exist_ok=True)
    publish_directory(
        store,
        prefix,
        folder / "out",
        stage=stage,
        attempt=1,
        run_id="team/ended/abcd1234",
        stage_key="k",
        metrics=dict(values),
    )
    return StageStatus(name=stage, state=StageState.SUCCEEDED, attempt=1, output_uri=store.uri(prefix))


def _of_curate() -> dict[str, float]:
    """Through the stage's own way into the manifest."""
    shown = _shown(StageName.CURATE)
    shown.record(curation_metrics({"datasets": {"ocr": {"kept": 60, "dropped": {"duplicate": 3, "too_small": 1}}}}))
    return {**shown.for_manifest(), "samples": 60.0}


def _of_curate_rl() -> dict[str, float]:
    shown = _shown(StageName.CURATE_RL)
    shown.record(selection_metrics({"rl-counting": {"kept": 1, "kept_to_fill": 15, "never_solved": 32}}))
    return shown.for_manifest()


def _of_evaluate(folder: Path) -> dict[str, float]:
    config = compose("tiny")
    models = [model_of_quality(name, quality, nats=2.0) for name, quality in (("base", 0), ("sft", 0.5), ("rl", 0.75))]
    evaluation = evaluate(
        bench(folder / "evaluation", models),
        ("base", "sft", "rl"),
        config=config.evaluation,
        processing=config.processing,
        workers=WorkerPlan(num_workers=1),
    )
    return headline_metrics(evaluation)


def start_prometheus(binary: str, folder: Path, port: int, targets: list[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    # JSON is YAML.
    scrape = {"job_name": "mimo", "static_configs": [{"targets": targets}]}
    # A scrape that a busy machine does not answer in time makes its series stale.
    settings = {"global": {"scrape_interval": "4s", "scrape_timeout": "4s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "prometheus.log").open("wb") as log:
        return subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(is_done: Callable[[], bool], deadline_s: float, evidence: Callable[[], str]) -> None:
    end_s = time.monotonic() + deadline_s
    while not is_done():
        assert time.monotonic() < end_s, evidence()
        time.sleep(0.5)
