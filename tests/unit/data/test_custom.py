"""Own data: what a line may hold, what is refused and in which words, who is held out, what becomes of a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mimo_vl.data.custom.division import divide, source_digests
from mimo_vl.data.custom.folder import open_folder
from mimo_vl.data.custom.publish import publish_folder
from mimo_vl.data.pipelines.custom import custom_recipes, dropped_lines
from mimo_vl.errors import InputError
from mimo_vl.storage.artifacts import materialise
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily, Split
from tests.unit.data.builders import png
from tests.unit.data.own_data import own_line, write_own_data

# One problem in the second line of two.
WRONG = [
    ({"answer": "1"}, r"line 2: question: missing; every line has question and answer"),
    ({"question": " ", "answer": "1"}, r"line 2: question: got ' ', wanted text that is not blank"),
    (own_line(0, answer=5), r"line 2: answer: got '5', wanted: Input should be a valid string"),
    (own_line(0, anwser="x"), r"line 2: anwser: unknown field, got 'x'; wanted one of question, answer, image, images"),
    (own_line(0, language="fr"), r"line 2: language: got 'fr', wanted: Input should be 'en' or 'zh'"),
    (own_line(0, images=["0.png"]), r"line 2: image and images are both given; put all pictures into images"),
    (own_line(0, image="../0.png"), r"line 2: image: got '\.\./0\.png': leaves the folder"),
    (own_line(0, image="/etc/hostname"), r"line 2: image: got '/etc/hostname': leaves the folder"),
    (own_line(0, image="a/none.png"), r"line 2: image: got 'a/none\.png': no such file in the folder"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[message[8:30] for _, message in WRONG])
def test_a_wrong_line_is_named_with_field_given_and_wanted(
    tmp_path: Path, line: dict[str, object], message: str
) -> None:
    folder = write_own_data(tmp_path, [own_line(7), line])
    with pytest.raises(InputError, match=message):
        open_folder(folder)


def test_all_wrong_lines_are_named_at_once(tmp_path: Path) -> None:
    folder = write_own_data(tmp_path, [{"question": "a"}, own_line(1), {"answer": "b"}])
    with pytest.raises(InputError) as caught:
        open_folder(folder)
    assert [line.split("data.jsonl ")[1].split(";")[0] for line in str(caught.value).splitlines()] == [
        "line 1: answer: missing",
        "line 3: question: missing",
    ]


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"question": "a"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1: not JSON: .*; write one object on one line"):
        open_folder(tmp_path)


def test_a_folder_without_data_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no data\.jsonl in"):
        open_folder(tmp_path)
    (tmp_path / "data.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"has no line"):
        open_folder(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(png())
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "0.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InputError, match=r"got '0\.png': leaves the folder"):
        open_folder(write_own_data(folder, [own_line(0)]))


def test_bytes_that_are_no_picture_and_a_huge_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"no picture")
    # 8,001 x 8,000 pixels are more than 64 million, in a file of a few kilobytes.
    Image.new("1", (8001, 8000)).save(tmp_path / "1.png")
    with pytest.raises(InputError) as caught:
        open_folder(write_own_data(tmp_path, [own_line(0), own_line(1)]))
    first, second = str(caught.value).splitlines()
    assert "line 1: image: got '0.png': corrupt image" in first
    assert "line 2: image: got '1.png': image is 8001x8000; wanted at most 64000000 pixels" in second


def test_a_line_with_a_reference_becomes_a_prompt_for_the_own_verifier(tmp_path: Path) -> None:
    lines = [own_line(n) for n in range(4)] + [{"question": "Bare?", "answer": "yes", "language": "zh"}]
    items = open_folder(write_own_data(tmp_path, lines))
    recipes = {r.name: r for r in custom_recipes(items, seed=0, heldout_fraction=0.25)}
    assert set(recipes) == {"train-custom", "heldout-custom", "rl-custom", "eval-custom"}
    prompt = next(recipes["rl-custom"].candidates())
    assert prompt.sample.data_type is DataType.CUSTOM
    assert (prompt.sample.task, prompt.sample.family) == (RewardTask.CUSTOM, RlFamily.CUSTOM)
    assert prompt.sample.reference == prompt.sample.messages[0].parts[1].text.replace("Which?", prompt.sample.reference)
    assert [m.role for m in prompt.sample.messages] == ["user"]
    assert prompt.sample.meta == {"scorer": "custom"}
    both = [*recipes["train-custom"].candidates(), *recipes["heldout-custom"].candidates()]
    bare = next(r.sample for r in both if not r.media)
    assert (bare.task, bare.family, bare.language) == (None, None, Language.ZH)
    assert [m.role for m in bare.messages] == ["user", "assistant"]


def test_data_without_references_have_no_prompts(tmp_path: Path) -> None:
    lines = [{k: v for k, v in own_line(n).items() if k != "reference"} for n in range(4)]
    items = open_folder(write_own_data(tmp_path, lines))
    recipes = custom_recipes(items, seed=0, heldout_fraction=0.25)
    assert [r.name for r in recipes] == ["train-custom", "heldout-custom"]


def test_lines_that_share_a_picture_directly_or_through_others_stay_together(tmp_path: Path) -> None:
    for name in "abcdefgh":
        (tmp_path / name).write_bytes(png(shade=ord(name)))
    # a-b and b-c are one group; every other picture is one of its own.
    pictures = [["a", "b"], ["b", "c"], ["c"], ["d"], ["e"], ["f"], ["g"], ["h"]]
    lines = [{"question": f"q{i}", "answer": "x", "images": names} for i, names in enumerate(pictures)]
    items = open_folder(write_own_data(tmp_path, lines))
    sides_of_group = set()
    for seed in range(8):
        parts = divide(items, seed=seed, heldout_fraction=0.4)
        sources = {split: {d for i in parts[split] for d in source_digests(i)} for split in Split}
        assert sources[Split.TRAIN].isdisjoint(sources[Split.HELDOUT])
        assert len(parts[Split.TRAIN]) + len(parts[Split.HELDOUT]) == len(items)
        sides_of_group.add(items[0] in parts[Split.HELDOUT])
    assert sides_of_group == {True, False}


def test_the_same_question_without_a_picture_is_on_one_side(tmp_path: Path) -> None:
    lines = [{"question": f"q{n % 4}", "answer": str(n)} for n in range(8)]
    parts = divide(open_folder(write_own_data(tmp_path, lines)), seed=0, heldout_fraction=0.25)
    questions = {split: {i.line.question for i in parts[split]} for split in Split}
    # One of four questions is held out.
    assert (len(questions[Split.HELDOUT]), len(questions[Split.TRAIN])) == (1, 3)
    assert questions[Split.HELDOUT].isdisjoint(questions[Split.TRAIN])


def test_duplicates_and_unusable_pictures_are_counted_by_reason(tmp_path: Path) -> None:
    (tmp_path / "9.png").write_bytes(png(20, 20))
    folder = write_own_data(tmp_path, [own_line(1), own_line(1), own_line(2), own_line(9)])
    assert dropped_lines(open_folder(folder)) == {"duplicate": 1, "too_small": 1}


def test_publishing_takes_the_named_files_only_and_twice_is_once(tmp_path: Path) -> None:
    folder = write_own_data(tmp_path / "own", [own_line(1), own_line(2)])
    (folder / "notes.txt").write_text("private", encoding="utf-8")
    store = LocalStore(tmp_path / "store")
    items = open_folder(folder)
    first = publish_folder(store, folder, items)
    assert [entry.path for entry in first.files] == ["1.png", "2.png", "data.jsonl"]
    assert publish_folder(store, folder, items) == first
    prefix = "data/" + first.content_digest.removeprefix("sha256:")
    again = open_folder(materialise(store, prefix, tmp_path / "cache", first.content_digest))
    assert [i.line for i in again] == [i.line for i in items]


def test_other_bytes_have_another_digest(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    digests = set()
    for answer in ("one", "two"):
        folder = write_own_data(tmp_path / answer, [own_line(1, answer=answer)])
        digests.add(publish_folder(store, folder, open_folder(folder)).content_digest)
    assert len(digests) == 2
