"""What a stage's main function can ask for and tell: inputs, folders, progress, checkpoints, publication."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from jobs.registered_model import MODEL_ALIASES, describe_model, model_version
from jobs.stage_metrics import StageMetrics
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.errors import ConfigError, PermanentError, StorageError
from mimo_vl.schema.manifest import FileEntry, InputRef, KeyEntry, Manifest, OutputPointer, Progress, content_digest
from mimo_vl.stop_request import StopRequest
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.attempts import require_not_revoked, write_progress
from mimo_vl.storage.checkpoints import keep_last, seal_checkpoint
from mimo_vl.storage.keys import record_key
from mimo_vl.storage.layout import CHECKPOINTS_DIR, OUTPUT_DIR, join, stage_prefix, step_dir
from mimo_vl.storage.pointer import move_pointer
from mimo_vl.tracking import Tracker
from mimo_vl.vocabulary import StageName

logger = logging.getLogger(__name__)

_MODEL_DIR, _MODEL_CONFIG = "model", "config.json"
_OUTPUT_TAG = "mimo.output"
# Progress is for people: once a second is enough, and cheap on any store.
_PROGRESS_INTERVAL_S = 1.0
# After a write that failed: a store that does not answer costs seconds each time.
_LOST_PROGRESS_INTERVAL_S = 60.0


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
    local_world_size: int
    node_rank: int
    out_dir: Path
    """Local folder whose files become the artifact. Write nothing into it that depends on time or place."""
    checkpoint_dir: Path
    """Local folder of this attempt's checkpoints: `step-<k>/`, sealed by `complete_checkpoint(k)`."""
    resume_from: Path | None
    """`checkpoint_dir` of an earlier attempt with the same stage key (see storage.checkpoints.newest_complete)."""
    resume_uri: str
    """Where `resume_from` lies in the store, for processes on other nodes; "" = there is none."""
    tracker: Tracker
    inputs: Mapping[str, InputRef]
    code_digest: str
    image: str
    """Reference of the container image; "" = none."""
    config_digest: str
    store: ArtifactStore
    files: AttemptFiles
    """The attempt's folders, for any process on any node."""
    stop: StopRequest
    started_at: str
    tracking_uri: str = ""
    """Of the tracking server; "" = none."""
    shown: StageMetrics = field(default_factory=StageMetrics)
    """What Prometheus sees of this process."""
    _uploaded: tuple[FileEntry, ...] = field(default=(), init=False)
    _last_progress_s: float = field(default=-math.inf, init=False)
    _is_progress_lost: bool = field(default=False, init=False)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def attempt_prefix(self) -> str:
        return self.files.prefix

    @property
    def output_uri(self) -> str:
        """URI of this attempt's artifact."""
        return self.store.uri(self.attempt_prefix)

    @cached_property
    def _progress_store(self) -> ArtifactStore:
        return self.files.impatient_store()

    def input_dir(self, name: str) -> Path:
        """Local folder with the files of an input, every digest verified.

        Raises:
            ConfigError: the stage has no such input.
            InputError: the artifact, or a file of it, is missing, truncated or has other bytes than recorded.
        """
        return self.files.materialise(self._input(name))

    def add_input(self, name: str, ref: InputRef) -> None:
        """An artifact that the configuration names, not the graph; the manifest records it like the others."""
        self.inputs = {**self.inputs, name: ref}

    def require_input(self, name: str) -> InputRef:
        """An input that processes on other nodes will read; refused early if it is not the artifact that is wanted.

        Raises: as input_dir, but the bytes of files are compared only where they lie on this node.
        """
        ref = self._input(name)
        self.files.require(ref)
        return ref

    def _input(self, name: str) -> InputRef:
        if name not in self.inputs:
            raise ConfigError(f"MIMO_INPUTS: stage {self.stage} needs input {name!r}; got {sorted(self.inputs)}")
        return self.inputs[name]

    def should_stop(self) -> bool:
        """True after SIGTERM on this rank; ranks must agree before one acts on it."""
        return self.stop.is_set()

    def progress(self, step: int, total: int, unit: str = "steps", message: str = "", **metrics: float) -> None:
        """Tell people how far the stage is. At most once a second, the last step always; rank 0 only."""
        self.shown.progress(step, total)
        now_s = time.monotonic()
        interval_s = _LOST_PROGRESS_INTERVAL_S if self._is_progress_lost else _PROGRESS_INTERVAL_S
        if not self.is_main or (now_s - self._last_progress_s < interval_s and step != total):
            return
        self._last_progress_s = now_s
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        record = Progress(step=step, total=total, unit=unit, message=message, metrics=finite)
        try:
            write_progress(self._progress_store, self.attempt_prefix, record)
            self._is_progress_lost = False
        except (StorageError, OSError) as error:
            # Progress is not worth failing for; what the stage writes next will fail if the store stays down.
            if not self._is_progress_lost:
                logger.warning("progress not written: %s", error)
            self._is_progress_lost = True

    def complete_checkpoint(self, step: int, *, keep: int = 0) -> None:
        """Checkpoint of a stage of one process: upload and seal `checkpoint_dir/step-<step>`."""
        self.seal_checkpoint(step, self.upload_checkpoint(step), keep=keep)

    def upload_checkpoint(self, step: int) -> tuple[FileEntry, ...]:
        """Put this rank's share of `checkpoint_dir/step-<step>` into the store; returns its entries.

        Every rank calls it after a barrier that follows the last write. Ranks that see the same folder divide its
        files: all of them on a file:// store, else those of one node.
        """
        share = (self.rank, self.world_size) if self.files.is_in_place else (self.local_rank, self.local_world_size)
        return self.files.upload(CHECKPOINTS_DIR, step_dir(step), rank=share[0], size=share[1])

    def seal_checkpoint(self, step: int, files: Iterable[FileEntry], *, keep: int = 0) -> None:
        """Declare the checkpoint complete and remove all but the newest `keep`.

        Every rank calls it, after the entries of all ranks have been gathered; rank 0 seals. An uploaded folder is
        removed: nobody reads it again, because a rank that fails ends the attempt.
        """
        if self.local_rank == 0 and not self.files.is_in_place:
            shutil.rmtree(self.checkpoint_dir / step_dir(step))
        if not self.is_main:
            return
        checkpoints = join(self.attempt_prefix, CHECKPOINTS_DIR)
        record = seal_checkpoint(
            self.store,
            join(checkpoints, step_dir(step)),
            step=step,
            stage_key=self.stage_key,
            files=files,
            saved_at=_now(),
        )
        removed = keep_last(self.store, checkpoints, keep) if keep else []
        uri = self.store.uri(join(checkpoints, step_dir(step)))
        self.tracker.set_tags(
            {_checkpoint_tag(step): _address(uri, content_digest(record.files))},
            removed=[_checkpoint_tag(step) for step in removed],
        )
        self.tracker.flush()
        logger.info("saved checkpoint step=%d uri=%s", step, self.output_uri)

    def checkpoint_uri(self, checkpoint: Path) -> str:
        """Of a `step-<k>` folder below `checkpoint_dir` or `resume_from`, for processes on other nodes."""
        if checkpoint.parent == self.checkpoint_dir:
            return self.store.uri(join(self.attempt_prefix, CHECKPOINTS_DIR, checkpoint.name))
        return f"{self.resume_uri.rstrip('/')}/{checkpoint.name}"

    def add_output(self, files: Iterable[FileEntry]) -> None:
        """Files of the output that a process on another node has put into the store."""
        self._uploaded += tuple(files)

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
        card = self._describe_model(metrics) if self._registers_model() else ""
        manifest = publish_directory(
            self.store,
            self.attempt_prefix,
            self.out_dir,
            uploaded=self._uploaded,
            stage=self.stage,
            attempt=self.attempt,
            run_id=self.run_id,
            stage_key=self.stage_key,
            inputs=dict(self.inputs),
            config_digest=self.config_digest,
            code_digest=self.code_digest,
            image=self.image,
            image_digest=self.image.partition("@")[2],
            metrics={**self.shown.for_manifest(), **metrics},
            tracking=dict(self.tracker.ids),
            started_at=self.started_at,
            finished_at=_now(),
        )
        self._announce(manifest.content_digest, card)
        return manifest

    def _announce(self, digest: str, card: str) -> None:
        uri = self.output_uri
        require_not_revoked(self.store, self.attempt_prefix)
        pointer = OutputPointer(attempt=self.attempt, uri=uri, content_digest=digest, stage_key=self.stage_key)
        move_pointer(self.store, stage_prefix(self.run_id, self.stage), pointer)
        if self.stage_key:
            entry = KeyEntry(
                stage=self.stage, stage_key=self.stage_key, run_id=self.run_id, uri=uri, content_digest=digest
            )
            record_key(self.store, self.namespace, entry)
        self.tracker.set_tags({_OUTPUT_TAG: _address(uri, digest)})
        if card:
            model = f"{uri}/{OUTPUT_DIR}/{_MODEL_DIR}"
            version = model_version(
                self.config, stage=self.stage, run_id=self.run_id, uri=model, digest=digest, card=card
            )
            self.tracker.register_model(version)

    def _registers_model(self) -> bool:
        uploaded = any(entry.path.startswith(f"{_MODEL_DIR}/") for entry in self._uploaded)
        return self.stage in MODEL_ALIASES and (uploaded or (self.out_dir / _MODEL_DIR).is_dir())

    def _describe_model(self, metrics: Mapping[str, float]) -> str:
        folder = self.out_dir / _MODEL_DIR
        if not (folder / _MODEL_CONFIG).is_file():
            # Exported on another node; MLmodel names the architecture that this file names.
            key = join(self.attempt_prefix, OUTPUT_DIR, _MODEL_DIR, _MODEL_CONFIG)
            self.store.get_file(key, folder / _MODEL_CONFIG)
        return describe_model(folder, stage=self.stage, config=self.config, inputs=self.inputs, metrics=metrics)


def _checkpoint_tag(step: int) -> str:
    return f"mimo.checkpoint.{step_dir(step)}"


def _address(uri: str, digest: str) -> str:
    return json.dumps({"uri": uri, "digest": digest})


def _require_finite(metrics: Mapping[str, float]) -> None:
    wrong = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if wrong:
        raise PermanentError(f"metrics of the manifest must be finite numbers; got {wrong}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
