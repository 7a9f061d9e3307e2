"""What a stage's main function can ask for and tell: inputs, folders, progress, checkpoints, publication."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.errors import ConfigError, PermanentError, StorageError
from mimo_vl.schema.manifest import InputRef, KeyEntry, Manifest, OutputPointer, Progress
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.storage.artifacts import materialise, publish_directory
from mimo_vl.storage.attempts import require_not_revoked, write_progress
from mimo_vl.storage.checkpoints import complete_checkpoint, keep_last, upload_checkpoint
from mimo_vl.storage.keys import record_key
from mimo_vl.storage.layout import OUTPUT_DIR, stage_prefix, step_dir
from mimo_vl.storage.pointer import move_pointer
from mimo_vl.tracking import Tracker, write_mlmodel
from mimo_vl.vocabulary import StageName

logger = logging.getLogger(__name__)

# Stages whose model is registered, and under which alias.
_MODEL_ALIASES = {StageName.LONG_CONTEXT_SFT: "sft", StageName.MORL: "rl"}
_MODEL_DIR = "model"
# Progress is for people: once a second is enough, and cheap on any store.
_PROGRESS_INTERVAL_S = 1.0


@dataclass(kw_only=True)
class StageContext:
    namespace: str
    pipeline: str
    run_id: str
    stage: StageName
    attempt: int
    stage_key: str
    config: PipelineConfig
    rank: int
    world_size: int
    local_rank: int
    out_dir: Path
    """Local folder whose files become the artifact. Write nothing into it that depends on time or place."""
    checkpoint_dir: Path
    """Local folder of this attempt's checkpoints: `step-<k>/`, sealed by `complete_checkpoint(k)`."""
    resume_from: Path | None
    """`checkpoint_dir` of an earlier attempt with the same stage key (see storage.checkpoints.newest_complete)."""
    tracker: Tracker
    inputs: Mapping[str, InputRef]
    code_digest: str
    config_digest: str
    store: ArtifactStore
    attempt_prefix: str
    cache_dir: Path
    stop: threading.Event
    started_at: str
    tracking_uri: str = ""
    """Of the tracking server; "" = none."""
    _last_progress_s: float = field(default=-math.inf, init=False)
    _is_progress_lost: bool = field(default=False, init=False)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def output_uri(self) -> str:
        """URI of this attempt's artifact."""
        return self.store.uri(self.attempt_prefix)

    def input_dir(self, name: str) -> Path:
        """Local folder with the files of an input, every digest verified.

        Raises:
            ConfigError: the stage has no such input.
            InputError: the artifact, or a file of it, is missing, truncated or has other bytes than recorded.
        """
        if name not in self.inputs:
            raise ConfigError(f"MIMO_INPUTS: stage {self.stage} needs input {name!r}; got {sorted(self.inputs)}")
        ref = self.inputs[name]
        store = store_for_uri(ref.uri, self.config.storage)
        return materialise(store, "", self.cache_dir, ref.digest)

    def should_stop(self) -> bool:
        """True after SIGTERM on this rank; ranks must agree before one acts on it."""
        return self.stop.is_set()

    def progress(self, step: int, total: int, unit: str = "steps", message: str = "", **metrics: float) -> None:
        """Tell people how far the stage is. At most once a second, the last step always; rank 0 only."""
        now_s = time.monotonic()
        if not self.is_main or (now_s - self._last_progress_s < _PROGRESS_INTERVAL_S and step != total):
            return
        self._last_progress_s = now_s
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        record = Progress(step=step, total=total, unit=unit, message=message, metrics=finite)
        try:
            write_progress(self.store, self.attempt_prefix, record)
            self._is_progress_lost = False
        except (StorageError, OSError) as error:
            # Progress is not worth failing for; what the stage writes next will fail if the store stays down.
            if not self._is_progress_lost:
                logger.warning("progress not written: %s", error)
            self._is_progress_lost = True

    def complete_checkpoint(self, step: int, *, keep: int = 0) -> None:
        """Seal `checkpoint_dir/step-<step>`, upload it if the store is remote, remove all but the newest `keep`.

        Call it on every rank after a barrier that follows the last write; ranks above 0 do nothing.
        """
        if not self.is_main:
            return
        folder = self.checkpoint_dir / step_dir(step)
        complete_checkpoint(folder, step=step, stage_key=self.stage_key, saved_at=_now())
        if self.store.local_path() is None:
            upload_checkpoint(self.store, self.attempt_prefix, folder)
        self.tracker.flush()
        if keep:
            keep_last(self.checkpoint_dir, keep)
        logger.info("saved checkpoint step=%d uri=%s", step, self.output_uri)

    def publish(self, metrics: Mapping[str, float]) -> Manifest | None:
        """Manifest, then the stage's pointer, then the key index; None on ranks above 0, which do nothing.

        Raises:
            AttemptClaimedError: the controller revoked this attempt.
            PreconditionFailedError: a later attempt published first.
        """
        if not self.is_main:
            return None
        _require_finite(metrics)
        require_not_revoked(self.store, self.attempt_prefix)
        if self._registers_model():
            write_mlmodel(self.out_dir / _MODEL_DIR)
        manifest = publish_directory(
            self.store,
            self.attempt_prefix,
            self.out_dir,
            stage=self.stage,
            attempt=self.attempt,
            run_id=self.run_id,
            stage_key=self.stage_key,
            inputs=dict(self.inputs),
            config_digest=self.config_digest,
            code_digest=self.code_digest,
            metrics=dict(metrics),
            tracking=dict(self.tracker.ids),
            started_at=self.started_at,
            finished_at=_now(),
        )
        self._announce(manifest.content_digest)
        return manifest

    def _announce(self, digest: str) -> None:
        uri = self.output_uri
        require_not_revoked(self.store, self.attempt_prefix)
        pointer = OutputPointer(attempt=self.attempt, uri=uri, content_digest=digest, stage_key=self.stage_key)
        move_pointer(self.store, stage_prefix(self.run_id, self.stage), pointer)
        if self.stage_key:
            entry = KeyEntry(
                stage=self.stage, stage_key=self.stage_key, run_id=self.run_id, uri=uri, content_digest=digest
            )
            record_key(self.store, self.namespace, entry)
        if self._registers_model():
            model = f"{uri}/{OUTPUT_DIR}/{_MODEL_DIR}"
            self.tracker.register_model(f"mimo-vl-{self.config.profile}", model, digest, _MODEL_ALIASES[self.stage])

    def _registers_model(self) -> bool:
        return self.stage in _MODEL_ALIASES and (self.out_dir / _MODEL_DIR).is_dir()


def _require_finite(metrics: Mapping[str, float]) -> None:
    wrong = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if wrong:
        raise PermanentError(f"metrics of the manifest must be finite numbers; got {wrong}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
