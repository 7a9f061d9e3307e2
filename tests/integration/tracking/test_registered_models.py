"""What the registry names is loaded by MLflow and by from_pretrained, and does what its signature says."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from jobs.registered_model import describe_model, model_version
from mimo_vl.config.compose import compose
from mimo_vl.config.storage import TrackingConfig
from mimo_vl.model.checkpoint import prepare_model, save_model
from mimo_vl.model.configure import TokenIds, build_model_config
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking import RunStatus, build_tracker
from mimo_vl.vocabulary import StageName
from tests.fakes.model_sizes import tiny_config
from tests.fakes.reward_models import write_reward_model
from tests.registered_model import answer_by_mlflow, answer_by_transformers, asking

from .conftest import Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CONFIG = compose("tiny")
ATTEMPT = "runs/local/demo/dddd4444/{stage}/attempt-1"


def _write_chat_model(folder: Path) -> Path:
    tokenizer = train_bpe(["Read the digits.", "user\n", "assistant\n", "0 1 2 3 4 5 6 7 8 9"] * 4, vocab_size=320)
    special = tokenizer.special_ids
    token_ids = TokenIds(
        image_pad=special.image_pad,
        video_pad=special.video_pad,
        vision_start=special.vision_start,
        vision_end=special.vision_end,
        end_of_turn=special.turn_end,
        end_of_text=special.end_of_text,
    )
    torch.manual_seed(0)
    config = build_model_config(tiny_config(), vocab_size=tokenizer.vocab_size, token_ids=token_ids)
    save_model(prepare_model(Qwen2_5_VLForConditionalGeneration(config)), folder)
    tokenizer.save(folder)
    return folder


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (56, 56), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def _frame(**columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def _describe(folder: Path, stage: StageName) -> str:
    return describe_model(folder, stage=stage, config=CONFIG, inputs={}, metrics={"loss_last": 1.25})


def _register(store: ArtifactStore, server: Server, stage: StageName, journal: Path, card: str) -> str:
    """The model of the attempt, as the attempt does it; returns its URI."""
    attempt = ATTEMPT.format(stage=stage)
    tracker = build_tracker(
        TrackingConfig(system_metrics_interval_s=0.0),
        uri=server.uri,
        store=store,
        impatient=store,
        run="runs/local/demo/dddd4444",
        attempt=attempt,
        journal_dir=journal,
    )
    tracker.start(f"{stage}-1", {}, {})
    uri = store.uri(f"{attempt}/output/model")
    digest = f"sha256:{stage}"
    version = model_version(CONFIG, stage=stage, run_id="local/demo/dddd4444", uri=uri, digest=digest, card=card)
    tracker.register_model(version)
    tracker.finish(RunStatus.FINISHED)
    return uri


def test_a_chat_model_answers_rows_with_an_image_and_without(tmp_path: Path) -> None:
    import mlflow.pyfunc

    folder = _write_chat_model(tmp_path / "model")
    _describe(folder, StageName.LONG_CONTEXT_SFT)
    model = mlflow.pyfunc.load_model(str(folder))
    assert [c.name for c in model.metadata.signature.inputs] == ["prompt", "image"]
    rows = _frame(prompt=["Read the digits.", "Read the digits."], image=[_png(), None])
    answers = model.predict(rows, params={"max_new_tokens": 4, "temperature": 0.0})
    assert len(answers) == 2
    assert all(isinstance(a["response"], str) for a in answers)
    # Greedy: the same row gives the same answer; the card's example has no image column at all.
    again = model.predict(_frame(prompt=["Read the digits."]), params={"max_new_tokens": 4})
    assert again[0] == answers[1]


def test_the_files_beside_the_weights_are_the_same_each_time_and_transformers_ignores_them(tmp_path: Path) -> None:
    folder = _write_chat_model(tmp_path / "model")
    card = _describe(folder, StageName.MORL)
    files = [(folder / name).read_bytes() for name in ("MLmodel", "README.md")]
    assert _describe(folder, StageName.MORL) == card
    assert files == [(folder / name).read_bytes() for name in ("MLmodel", "README.md")]
    assert "| loss_last | 1.25 |" in card
    assert files[1].startswith(b"---\nlibrary_name: transformers\n")
    assert Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, local_files_only=True).num_parameters() > 0


def test_a_reward_model_scores_responses(tmp_path: Path) -> None:
    import mlflow.pyfunc

    folder = write_reward_model(tmp_path / "model", kind="multimodal")
    _describe(folder, StageName.REWARD_MODEL_MULTIMODAL)
    model = mlflow.pyfunc.load_model(str(folder))
    assert [c.name for c in model.metadata.signature.inputs] == ["prompt", "response", "image"]
    rows = _frame(prompt=["Read the digits."] * 2, response=["A 3 on red.", "0 1 2"], image=[_png(), None])
    scores = [row["score"] for row in model.predict(rows)]
    assert all(math.isfinite(score) for score in scores)
    assert scores[0] != scores[1]


def test_the_registry_leads_to_the_model_in_the_store(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    stage = StageName.REWARD_MODEL_TEXT
    store, attempt = LocalStore(tmp_path / "store"), ATTEMPT.format(stage=stage)
    folder = write_reward_model(tmp_path / "store" / attempt / "output" / "model", kind="text")
    card = _describe(folder, stage)
    uri = _register(store, server, stage, tmp_path / "store" / attempt / "journal", card)

    monkeypatch.setenv("MIMO_STORE", store.uri())
    with asking(server.uri):
        model = mlflow.pyfunc.load_model("models:/mimo-vl-tiny@reward-text")
        scores = model.predict(_frame(prompt=["Read the digits."], response=["0 1 2"]))
        found = mlflow.MlflowClient().get_model_version_by_alias("mimo-vl-tiny", "reward-text")
    assert math.isfinite(scores[0]["score"])
    assert found.tags["mimo.uri"] == uri
    assert found.description == card


def test_a_model_in_a_bucket_is_loaded_by_its_alias(
    server: Server, store: ArtifactStore, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/mlflow.md says of sources on S3, with keys that `store` has set."""
    from mlflow.artifacts import download_artifacts

    attempt = ATTEMPT.format(stage=StageName.MORL)
    folder = _write_chat_model(tmp_path / "model")
    card = _describe(folder, StageName.MORL)
    for path in sorted(folder.iterdir()):
        store.put_file(f"{attempt}/output/model/{path.name}", path)
    uri = _register(store, server, StageName.MORL, tmp_path / "journal", card)
    assert uri.startswith("s3://artifacts/team/")

    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://{endpoint}")
    with asking(server.uri):
        answer = answer_by_mlflow("models:/mimo-vl-tiny@rl", "Read the digits.")
        loaded = download_artifacts("models:/mimo-vl-tiny@rl", dst_path=str(tmp_path / "loaded"))
    assert answer == answer_by_transformers(Path(loaded), "Read the digits.")
    ours = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, local_files_only=True).state_dict()
    theirs = Qwen2_5_VLForConditionalGeneration.from_pretrained(loaded, local_files_only=True).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
