from __future__ import annotations

import json
from pathlib import Path

import pytest

from mimo_vl.errors import DigestMismatchError, InputError
from mimo_vl.rewards.media import MediaFolder
from mimo_vl.rewards.requests import answered, prompt_key, prompt_sample, score_request
from mimo_vl.schema.reward import ScoreMedia
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, RewardTask, Split


def _sample(task: RewardTask | None = RewardTask.GROUNDING_BOX, reference: str | None = "[10, 20, 30, 40]") -> Sample:
    return Sample(
        id="s",
        data_type=DataType.GROUNDING,
        language=Language.EN,
        split=Split.TRAIN,
        messages=(Message(role="user", parts=(MediaPart(index=0), TextPart(text="find it"))),),
        media=(MediaRef(sha256="a" * 64, kind="image", width=100, height=200),),
        task=task,
        reference=reference,
    )


def test_reference_boxes_follow_the_image_as_the_model_saw_it() -> None:
    request = score_request(_sample(), "answer", request_id="r", seen_sizes=[(50, 400)])
    # x halves (100 -> 50), y doubles (200 -> 400).
    assert json.loads(request.reference or "") == [5, 40, 15, 80]
    assert (request.media[0].width, request.media[0].height) == (50, 400)


def test_each_box_of_a_list_is_scaled() -> None:
    request = score_request(_sample(reference="[[10,20,30,40],[0,0,2,2]]"), "a", request_id="r", seen_sizes=[(50, 100)])
    assert json.loads(request.reference or "") == [[5, 10, 15, 20], [0, 0, 1, 1]]


def test_other_references_are_never_scaled() -> None:
    sample = _sample(task=RewardTask.COUNTING, reference="3")
    assert score_request(sample, "a", request_id="r", seen_sizes=[(50, 400)]).reference == "3"


def test_a_sample_without_a_task_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no task"):
        score_request(_sample(task=None), "a", request_id="r")


def test_the_number_of_seen_sizes_must_fit() -> None:
    with pytest.raises(ValueError, match="2 seen_sizes for 1 media"):
        score_request(_sample(), "a", request_id="r", seen_sizes=[(1, 1), (2, 2)])


def test_a_request_gives_back_the_prompt_with_media_in_place() -> None:
    request = score_request(_sample(), "a", request_id="r", seen_sizes=[(50, 400)])
    sample = prompt_sample(request)
    assert sample.messages == _sample().messages
    # The reward model resizes the stored file itself.
    assert sample.media == _sample().media


def test_media_that_no_part_places_come_before_the_text() -> None:
    request = score_request(_sample(), "a", request_id="r")
    plain = request.model_copy(update={"prompt": (request.prompt[0].model_copy(update={"content": "find it"}),)})
    assert prompt_sample(plain).messages == _sample().messages


def test_the_answer_is_a_finished_assistant_turn() -> None:
    assert answered(_sample(), "yes").messages[-1] == Message(role="assistant", parts=(TextPart(text="yes"),))


def test_completions_of_one_prompt_share_a_key_and_other_media_do_not() -> None:
    a = score_request(_sample(), "a", request_id="1")
    b = score_request(_sample(), "b", request_id="2")
    other = a.model_copy(update={"media": (a.media[0].model_copy(update={"sha256": "b" * 64}),)})
    assert prompt_key(a) == prompt_key(b)
    assert prompt_key(a) != prompt_key(other)


def _media(sha256: str) -> ScoreMedia:
    return ScoreMedia(uri="media/x", sha256=sha256, kind="image", width=1, height=1)


def test_media_are_found_by_content(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path / "media")
    digests = folder.add([b"one", b"two", b"one"])
    assert digests[0] == digests[2]
    assert len(list((tmp_path / "media").iterdir())) == 2
    assert folder.load(_media(digests[1])) == b"two"


def test_media_that_changed_are_an_error(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    digest = folder.add([b"one"])[0]
    (tmp_path / digest).write_bytes(b"other")
    with pytest.raises(DigestMismatchError, match=digest):
        folder.load(_media(digest))


@pytest.mark.parametrize("digest", ["../../etc/passwd", "/etc/passwd", "", "A" * 64])
def test_only_digests_are_looked_up(tmp_path: Path, digest: str) -> None:
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        MediaFolder(tmp_path).load(_media(digest))


def test_missing_media_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add it before scoring"):
        MediaFolder(tmp_path).load(_media("0" * 64))
