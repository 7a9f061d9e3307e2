"""run_stage in this process: what it claims, publishes, reports."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.failures import read_failure
from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.errors import InputError, InterruptedAfterSaveError, PermanentError, StorageError
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import InputRef, Revocation
from mimo_vl.storage.artifacts import publish_directory, read_manifest
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.attempts import read_claim, read_progress, revoke_attempt
from mimo_vl.storage.checkpoints import newest_complete
from mimo_vl.storage.keys import find_by_key
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.pointer import read_pointer
from mimo_vl.tracking import ModelVersion, NullTracker, RunStatus, Target
from mimo_vl.tracking.mlmodel import without_front_matter
from mimo_vl.vocabulary import StageName

RUN_ID = "local/demo/abcd1234"
ATTEMPT = f"runs/{RUN_ID}/curate/attempt-1"


@pytest.fixture(scope="module")
def config_text() -> str:
    return dump_config(compose("tiny", ["tracking.kind='null'"]))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def environ(store: LocalStore, tmp_path: Path, config_text: str) -> dict[str, str]:
    (tmp_path / "config.yaml").write_text(config_text)
    made = tmp_path / "made"
    made.mkdir()
    (made / "tokenizer.json").write_bytes(b"{}")
    base = publish_directory(store, "base", made, stage="base", attempt=1, run_id=RUN_ID, stage_key="sha256:b")
    env = StageEnvironment(
        namespace="local",
        pipeline="demo",
        run_id=RUN_ID,
        stage=StageName.CURATE,
        attempt=1,
        config_path=tmp_path / "config.yaml",
        inputs={"base": InputRef(uri=store.uri("base"), digest=base.content_digest)},
        output_uri=store.uri(ATTEMPT),
        stage_key="sha256:key",
        code_digest="sha256:code",
        image="registry/trainer@sha256:1a",
    )
    return env.to_environ() | {"MIMO_FAILURE_DIR": str(tmp_path / "failures")}


def _raising(error: Exception) -> Callable[[StageContext], Mapping[str, float]]:
    def main(ctx: StageContext) -> Mapping[str, float]:
        raise error

    return main


def test_a_stage_reads_verified_inputs_and_publishes(environ: dict[str, str], store: LocalStore) -> None:
    def main(ctx: StageContext) -> Mapping[str, float]:
        text = (ctx.input_dir("base") / "tokenizer.json").read_text()
        (ctx.out_dir / "copy.json").write_text(text)
        return {"num_samples": 3.0}

    assert run_stage(main, environ) == 0
    manifest = read_manifest(store, ATTEMPT)
    assert manifest.metrics == {"num_samples": 3.0}
    assert manifest.code_digest == "sha256:code"
    assert (manifest.image, manifest.image_digest) == ("registry/trainer@sha256:1a", "sha256:1a")
    assert list(manifest.inputs) == ["base"]
    pointer = read_pointer(store, f"runs/{RUN_ID}/curate")
    assert pointer is not None
    assert pointer.uri == store.uri(ATTEMPT)
    entry = find_by_key(store, "local", "sha256:key")
    assert entry is not None
    assert entry.content_digest == manifest.content_digest
    claim = read_claim(store, ATTEMPT)
    assert claim is not None
    assert (claim.pid, claim.stage_key) == (os.getpid(), "sha256:key")


def test_a_claimed_attempt_is_left_alone(environ: dict[str, str], store: LocalStore) -> None:
    called: list[StageContext] = []

    def main(ctx: StageContext) -> Mapping[str, float]:
        called.append(ctx)
        return {}

    assert run_stage(main, environ) == 0
    assert run_stage(main, environ) == 75
    assert len(called) == 1
    assert run_stage(main, environ | {"MIMO_CLAIM_OWNER": "somebody-else"}) == 75
    assert len(called) == 1


def test_ranks_above_0_write_nothing_of_their_own(environ: dict[str, str], store: LocalStore) -> None:
    def main(ctx: StageContext) -> Mapping[str, float]:
        assert (ctx.rank, ctx.world_size, ctx.local_rank) == (1, 2, 1)
        ctx.progress(1, 1)
        return {"loss": 1.0}

    before = [info.key for info in store.list()]
    assert run_stage(main, environ | {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}) == 0
    assert [info.key for info in store.list()] == before


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("shard 3 is truncated"), 2),
        (InterruptedAfterSaveError("saved step 5"), 75),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 1),
        (RuntimeError("surprise"), 1),
    ],
)
def test_what_went_wrong_decides_the_exit_code_and_publishes_nothing(
    error: Exception,
    code: int,
    environ: dict[str, str],
    store: LocalStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_stage(_raising(error), environ) == code
    assert not store.exists(f"{ATTEMPT}/manifest.json")
    failure = read_failure(tmp_path / "failures", 0)
    assert failure is not None
    assert failure.exit_code == code
    lines = [line for line in capsys.readouterr().err.splitlines() if f"exit_code={code}" in line]
    assert len(lines) == 1
    assert failure.message in lines[0]


def test_an_input_with_other_bytes_is_exit_2(environ: dict[str, str], store: LocalStore, tmp_path: Path) -> None:
    store.put_bytes("base/output/tokenizer.json", b"[]")
    assert run_stage(lambda ctx: {"n": float(len(str(ctx.input_dir("base"))))}, environ) == 2
    failure = read_failure(tmp_path / "failures", 0)
    assert failure is not None
    assert failure.reason == "DigestMismatchError"
    assert "tokenizer.json has sha256" in failure.message


def test_an_input_nobody_gave_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    assert run_stage(lambda ctx: {"n": float(len(str(ctx.input_dir("morl"))))}, environ) == 2
    failure = read_failure(tmp_path / "failures", 0)
    assert failure is not None
    assert failure.message == "MIMO_INPUTS: stage curate needs input 'morl'; got ['base']"


def test_a_revoked_attempt_is_not_published(environ: dict[str, str], store: LocalStore) -> None:
    def main(ctx: StageContext) -> Mapping[str, float]:
        revoke_attempt(store, ATTEMPT, Revocation(reason="node lost"))
        return {}

    assert run_stage(main, environ) == 75
    assert not store.exists(f"{ATTEMPT}/manifest.json")
    assert read_pointer(store, f"runs/{RUN_ID}/curate") is None


def test_a_metric_that_is_no_number_is_refused(environ: dict[str, str], store: LocalStore) -> None:
    assert run_stage(lambda _: {"loss_last": float("nan")}, environ) == 2
    assert not store.exists(f"{ATTEMPT}/manifest.json")


def test_sigterm_asks_main_to_stop(environ: dict[str, str]) -> None:
    def main(ctx: StageContext) -> Mapping[str, float]:
        assert not ctx.should_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert ctx.should_stop()
        raise InterruptedAfterSaveError("saved")

    assert run_stage(main, environ) == 75


def test_progress_is_written_at_once_then_rarely_and_at_the_end(environ: dict[str, str], store: LocalStore) -> None:
    seen: list[int] = []

    def main(ctx: StageContext) -> Mapping[str, float]:
        for step in range(1, 101):
            ctx.progress(step, 100, loss=float("inf") if step == 100 else 1.0)
            progress = read_progress(store, ATTEMPT)
            assert progress is not None
            seen.append(progress.step)
        return {}

    assert run_stage(main, environ) == 0
    assert seen[0] == 1
    assert len(set(seen)) < 10
    assert seen[-1] == 100
    last = read_progress(store, ATTEMPT)
    assert last is not None
    assert last.metrics == {}


def test_progress_does_not_wait_for_a_store_that_is_away(
    environ: dict[str, str], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries_s: list[float] = []
    clock_s = itertools.count(0.0, 2.0)
    now_s = [0.0]

    class Away(LocalStore):
        def put_bytes(self, key: str, data: bytes, **_: object) -> str:
            tries_s.append(now_s[0])
            raise StorageError("away")

    def tick() -> float:
        now_s[0] = next(clock_s)
        return now_s[0]

    monkeypatch.setattr(AttemptFiles, "impatient_store", lambda files: Away(Path("/nowhere")))
    monkeypatch.setattr("jobs.stage_context.time", SimpleNamespace(monotonic=tick))

    def main(ctx: StageContext) -> Mapping[str, float]:
        for step in range(1, 51):
            ctx.progress(step, 50)
        return {}

    assert run_stage(main, environ) == 0
    # A call every 2 s: after the first failure only once a minute, and the last step.
    assert tries_s == [0.0, 60.0, 98.0]
    assert read_progress(store, ATTEMPT) is None


def test_the_next_attempt_finds_the_checkpoint_of_the_one_before(environ: dict[str, str], store: LocalStore) -> None:
    def first(ctx: StageContext) -> Mapping[str, float]:
        assert ctx.resume_from is None
        for step in (1, 2, 3):
            (ctx.checkpoint_dir / f"step-{step}").mkdir()
            (ctx.checkpoint_dir / f"step-{step}" / "state").write_text(str(step))
            ctx.complete_checkpoint(step, keep=2)
        raise InterruptedAfterSaveError("saved step 3")

    def second(ctx: StageContext) -> Mapping[str, float]:
        assert ctx.resume_from is not None
        newest = newest_complete(ctx.resume_from)
        assert newest is not None
        assert (newest / "state").read_text() == "3"
        return {}

    assert run_stage(first, environ) == 75
    kept = sorted(p.name for p in (store.local_path(f"{ATTEMPT}/checkpoints") or Path()).iterdir())
    assert kept == ["step-2", "step-3"]
    changes = {
        "MIMO_ATTEMPT": "2",
        "MIMO_OUTPUT": store.uri(ATTEMPT.replace("attempt-1", "attempt-2")),
        "MIMO_RESUME_FROM": store.uri(f"{ATTEMPT}/checkpoints"),
    }
    assert run_stage(second, environ | changes) == 0


@pytest.mark.parametrize(
    ("stage", "alias"),
    [
        ("long-context-sft", "sft"),
        ("morl", "rl"),
        ("reward-model-text", "reward-text"),
        ("reward-model-multimodal", "reward-multimodal"),
    ],
)
def test_a_model_is_registered_with_its_digest_and_its_card(
    environ: dict[str, str], store: LocalStore, stage: str, alias: str
) -> None:
    attempt = f"runs/{RUN_ID}/{stage}/attempt-1"
    recorder = _Recorder()

    def main(ctx: StageContext) -> Mapping[str, float]:
        ctx.tracker = recorder
        (ctx.out_dir / "model").mkdir()
        (ctx.out_dir / "model" / "config.json").write_text('{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}')
        return {"loss_last": 1.5, "tokens_per_s": 77.0}

    assert run_stage(main, environ | {"MIMO_STAGE": stage, "MIMO_OUTPUT": store.uri(attempt)}) == 0
    manifest = read_manifest(store, attempt)
    assert [f.path for f in manifest.files] == ["model/MLmodel", "model/README.md", "model/config.json"]
    [version] = recorder.models
    uri = store.uri(f"{attempt}/output/model")
    assert (version.name, version.uri, version.digest) == ("mimo-vl-tiny", uri, manifest.content_digest)
    assert version.alias == alias
    assert version.tags == {"mimo.run_id": RUN_ID, "mimo.stage": stage, "mimo.uri": uri}
    readme = store.get_bytes(f"{attempt}/output/model/README.md")[0].decode()
    assert readme.startswith("---\nlibrary_name: transformers\n")
    assert version.card == without_front_matter(readme)
    assert version.card.startswith("# mimo-vl-tiny: ")
    # A rate would make another digest on every machine.
    assert "loss_last" in version.card
    assert "tokens_per_s" not in version.card


def test_what_an_attempt_tells_of_its_output_and_its_checkpoints(environ: dict[str, str], store: LocalStore) -> None:
    recorder = _Recorder()

    def main(ctx: StageContext) -> Mapping[str, float]:
        ctx.tracker = recorder
        for step in (1, 2, 3):
            (ctx.checkpoint_dir / f"step-{step}").mkdir(parents=True)
            (ctx.checkpoint_dir / f"step-{step}" / "state").write_text(str(step))
            ctx.complete_checkpoint(step, keep=2)
        (ctx.out_dir / "data").write_text("x")
        return {}

    assert run_stage(main, environ) == 0
    # As many as the store keeps.
    assert sorted(recorder.tags) == ["mimo.checkpoint.step-2", "mimo.checkpoint.step-3", "mimo.output"]
    output = json.loads(recorder.tags["mimo.output"])
    assert output == {"uri": store.uri(ATTEMPT), "digest": read_manifest(store, ATTEMPT).content_digest}
    checkpoint = json.loads(recorder.tags["mimo.checkpoint.step-3"])
    assert checkpoint["uri"] == store.uri(f"{ATTEMPT}/checkpoints/step-3")
    assert checkpoint["digest"].startswith("sha256:")


def test_a_failure_reaches_the_tracker_with_its_reason(environ: dict[str, str]) -> None:
    recorder = _Recorder()

    def wrong(ctx: StageContext) -> Mapping[str, float]:
        del ctx
        raise PermanentError("the loss is NaN")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.runtime.start_tracker", lambda *_, **__: recorder)
        assert run_stage(wrong, environ) == 2
    assert recorder.end == (RunStatus.FAILED, "PermanentError", "the loss is NaN")


class _Recorder(NullTracker):
    def __init__(self) -> None:
        self.models: list[ModelVersion] = []
        self.tags: dict[str, str] = {}
        self.end: tuple[RunStatus, str, str] | None = None

    def register_model(self, version: ModelVersion) -> None:
        self.models.append(version)

    def set_tags(
        self, tags: Mapping[str, str], *, removed: Sequence[str] = (), target: Target = Target.ATTEMPT
    ) -> None:
        self.tags |= tags
        for name in removed:
            del self.tags[name]

    def finish(self, status: RunStatus, *, reason: str = "", message: str = "") -> None:
        self.end = (status, reason, message)
