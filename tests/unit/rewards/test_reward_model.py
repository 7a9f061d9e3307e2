from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.errors import InputError
from mimo_vl.model.packed import row_tensors
from mimo_vl.model.reward_head import load_reward_model
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import pack_row
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.rewards.media import MediaFolder
from mimo_vl.rewards.requests import score_request
from mimo_vl.rewards.reward_model import RewardModelScorer, build_scorer, weights_version
from mimo_vl.schema.reward import ScoreRequest
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, RewardTask, Split
from tests.fakes.reward_models import write_reward_model

# The first import of torch and transformers takes seconds.
pytestmark = pytest.mark.timeout(120)

PROCESSING = ProcessingConfig(min_pixels=3136, max_pixels=50176)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reward_model(tmp_path_factory.mktemp("rm"), kind="multimodal")


def _picture(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (56, 56), color).save(buffer, "PNG")
    return buffer.getvalue()


def _sample(text: str, pictures: tuple[bytes, ...] = ()) -> Sample:
    parts = (*(MediaPart(index=i) for i in range(len(pictures))), TextPart(text=text))
    return Sample(
        id=text,
        data_type=DataType.CAPTION,
        language=Language.EN,
        split=Split.TRAIN,
        messages=(Message(role="user", parts=parts),),
        media=tuple(
            MediaRef(sha256=hashlib.sha256(p).hexdigest(), kind="image", width=56, height=56) for p in pictures
        ),
        task=RewardTask.PREFERENCE_MULTIMODAL,
    )


def _requests(*answers: str, pictures: tuple[bytes, ...] = ()) -> list[ScoreRequest]:
    return [score_request(_sample("Describe it.", pictures), a, request_id=str(i)) for i, a in enumerate(answers)]


def _scorer(folder: Path, media: MediaFolder | None = None, token_budget: int = 4096) -> RewardModelScorer:
    return build_scorer(folder, PROCESSING, media=media, token_budget=token_budget)


def test_scores_equal_a_forward_over_the_training_layout_one_by_one(folder: Path, tmp_path: Path) -> None:
    """The layout of training: the prompt and the answer as a finished assistant turn, read at the last token."""
    media = MediaFolder(tmp_path)
    pictures = (_picture("red"),)
    media.add(pictures)
    answers = ("A 3 on red.", "A 5 on blue and more.", "")
    scores = _scorer(folder, media).raw_scores(_requests(*answers, pictures=pictures))
    encoder = SampleEncoder(load_tokenizer(folder), PROCESSING)
    model = load_reward_model(folder)
    wanted = []
    for answer in answers:
        prompt = _sample("Describe it.", pictures)
        turn = Message(role="assistant", parts=(TextPart(text=answer),))
        encoded = encoder.encode(prompt.model_copy(update={"messages": (*prompt.messages, turn)}), pictures)
        wanted.append(float(model.scores(row_tensors(pack_row([encoded]))).detach()))
    assert [s.value for s in scores] == pytest.approx(wanted, abs=1e-4)
    assert max(wanted) - min(wanted) > 0.01


def test_the_token_budget_does_not_change_scores(folder: Path) -> None:
    requests = _requests("1", "2 3", "4 5 6", "7 8 9 0")
    whole = [s.value for s in _scorer(folder).raw_scores(requests)]
    single = [s.value for s in _scorer(folder, token_budget=1).raw_scores(requests)]
    assert whole == pytest.approx(single, abs=1e-4)


def test_the_same_call_gives_the_same_bits(folder: Path) -> None:
    scorer = _scorer(folder)
    requests = _requests("1", "2 3", "4 5 6")
    assert scorer.raw_scores(requests) == scorer.raw_scores(requests)


def test_a_request_without_its_media_has_no_score_and_the_others_do(folder: Path, tmp_path: Path) -> None:
    requests = [*_requests("a", pictures=(_picture("red"),)), *_requests("b")]
    missing, scored = _scorer(folder, MediaFolder(tmp_path)).raw_scores(requests)
    assert missing.value is None
    assert "not in the media folder" in missing.reason
    assert scored.value is not None
    no_folder = _scorer(folder).raw_scores(requests)[0]
    assert "no media folder" in no_folder.reason


def test_the_version_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    other = write_reward_model(tmp_path / "other", kind="multimodal", seed=1)
    assert weights_version(folder) != weights_version(other)
    assert len(weights_version(folder)) == 12


def test_a_folder_without_a_reward_head_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reward"):
        _scorer(tmp_path)
