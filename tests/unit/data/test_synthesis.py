from __future__ import annotations

import json
import re
from itertools import islice

import numpy as np
import pytest

from mimo_vl.config.compose import compose
from mimo_vl.data.filters.answers import judge_answer
from mimo_vl.data.pipelines.curate import recipes
from mimo_vl.data.pipelines.recipe import Form, Recipe
from mimo_vl.data.record import Record
from mimo_vl.data.step import KEEP, drop
from mimo_vl.data.synthesis.catalogue import RL, TRAINING
from mimo_vl.data.synthesis.grounding import grounding_box, grounding_point
from mimo_vl.data.synthesis.gui import gui_action
from mimo_vl.data.synthesis.reading import counting, ocr
from mimo_vl.data.synthesis.reasoning import arithmetic_terms, arithmetic_text, text_reasoning, visual_reasoning
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.data.synthesis.video import temporal_grounding, timespan
from mimo_vl.processing.images import decode_image
from mimo_vl.processing.videos import plan_video, read_frames
from mimo_vl.schema.sample import TextPart
from mimo_vl.vocabulary import DataType, Language, Split

_POINT_ACTIONS = ("click", "longpress", "drag", "input")
_WORD_ACTIONS = ("scroll", "open", "press", "finished", "hover", "select", "wait", "appswitch")


def _rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([7, i]) for i in range(count)]


def _all_recipes() -> list[Recipe]:
    synthesis = compose("tiny").data.synthesis
    assert synthesis is not None
    return recipes(synthesis)


def _records(recipe: Recipe, studios: dict[Split, Studio], count: int) -> list[Record]:
    return list(islice(recipe.candidates(studios[recipe.split], seed=0, shard=0, size=count), count))


def test_every_recipe_uses_only_sources_of_its_split(studios: dict[Split, Studio]) -> None:
    digests = {
        split: {s.digest for kind in ("digits", "photographs", "paragraphs") for s in getattr(studio.sources, kind)}
        for split, studio in studios.items()
    }
    seen: dict[Split, set[str]] = {split: set() for split in Split}
    for recipe in _all_recipes():
        for record in _records(recipe, studios, 12):
            assert record.sample.split is recipe.split
            seen[recipe.split].update(record.sample.source_ids)
    assert len(seen[Split.HELDOUT]) > 100
    assert seen[Split.TRAIN].isdisjoint(digests[Split.HELDOUT])
    assert seen[Split.HELDOUT].isdisjoint(digests[Split.TRAIN])
    # also the sources that are no files: arithmetic problems and lists of digits
    assert seen[Split.TRAIN].isdisjoint(seen[Split.HELDOUT])


def test_evaluation_recipes_are_held_out_prompts_with_a_reference(studios: dict[Split, Studio]) -> None:
    found = [r for r in _all_recipes() if r.name.startswith("eval-")]
    assert len(found) == 13
    for recipe in found:
        assert (recipe.split, recipe.form) == (Split.HELDOUT, Form.PROMPT)
        for record in _records(recipe, studios, 3):
            assert record.sample.reference
            assert record.sample.messages[-1].role in ("user", "document")
            assert record.sample.meta["scorer"]


def test_the_same_seed_gives_the_same_records_and_another_seed_others(studios: dict[Split, Studio]) -> None:
    recipe = next(r for r in _all_recipes() if r.name == "train-ocr")

    def make(seed: int) -> list[Record]:
        return list(islice(recipe.candidates(studios[Split.TRAIN], seed=seed, shard=1, size=4), 4))

    assert make(0) == make(0)
    assert make(0) != make(1)


def test_preference_prompts_of_rl_are_the_first_queries_of_the_reward_models(studios: dict[Split, Studio]) -> None:
    by_name = {r.name: r for r in _all_recipes()}
    for kind in ("text", "multimodal"):
        queries = _records(by_name[f"queries-{kind}"], studios, 5)
        assert _records(by_name[f"rl-preference_{kind}"], studios, 5) == queries
        assert all(q.sample.meta["expected"] for q in queries)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("data_type", list(TRAINING))
def test_samples_are_short_and_pictures_need_no_resizing(
    data_type: DataType, language: Language, studios: dict[Split, Studio]
) -> None:
    for make, _ in TRAINING[data_type]:
        for rng in _rngs(4):
            draft = make(studios[Split.TRAIN], rng, language)
            for medium in draft.media:
                assert medium.ref.width % 28 == medium.ref.height % 28 == 0
                if medium.ref.kind == "image":
                    assert decode_image(medium.data).size == (medium.ref.width, medium.ref.height)
                    assert 3136 <= medium.ref.width * medium.ref.height <= 12544


def test_both_languages_ask_in_their_own_script(studios: dict[Split, Studio]) -> None:
    for blend in RL.values():
        for make, _ in blend:
            for language in Language:
                draft = make(studios[Split.TRAIN], _rngs(1)[0], language)
                text = "".join(p.text for p in draft.question if isinstance(p, TextPart))
                assert bool(re.search("[\u4e00-\u9fff]", text)) is (language is Language.ZH)


def test_a_box_encloses_the_ink_of_its_digit(studios: dict[Split, Studio]) -> None:
    num_checked = 0
    for rng in _rngs(60):
        draft = grounding_box(studios[Split.TRAIN], rng, Language.EN)
        pixels = np.asarray(decode_image(draft.media[0].data)).astype(int)
        background = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
        if len(set(map(tuple, background.tolist()))) > 1 or len(draft.source_ids) > 1:
            continue  # a photograph, or a second digit
        rows, columns = np.nonzero(np.abs(pixels - background[0]).max(axis=2) > 40)
        if len(rows) == 0:
            continue
        x1, y1, x2, y2 = json.loads(draft.reference or "")
        assert x1 <= columns.min() <= columns.max() < x2
        assert y1 <= rows.min() <= rows.max() < y2
        num_checked += 1
    assert num_checked > 10


def test_box_and_point_answers_have_the_released_form(studios: dict[Split, Studio]) -> None:
    box = grounding_box(studios[Split.TRAIN], _rngs(1)[0], Language.EN)
    point = grounding_point(studios[Split.TRAIN], _rngs(1)[0], Language.EN)
    x1, y1, x2, y2 = json.loads(box.reference or "")
    label = box.meta["label"]
    assert box.answer == f'```json\n[{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "label": "{label}"}}]\n```'
    centre = [(x1 + x2) // 2, (y1 + y2) // 2]
    assert point.answer == f'```json\n[{{"point_2d": {centre}, "label": "{label}"}}]\n```'


def test_an_event_is_visible_exactly_in_its_seconds(studios: dict[Split, Studio]) -> None:
    config = compose("tiny").processing
    for rng in _rngs(8):
        draft = temporal_grounding(studios[Split.TRAIN], rng, Language.EN)
        ref = draft.media[0].ref
        plan = plan_video(num_frames=ref.num_frames, fps=2.0, height=ref.height, width=ref.width, config=config)
        frames = read_frames(draft.media[0].data, plan).astype(int)
        start, end = json.loads(draft.reference or "")
        inside = np.zeros(len(frames), dtype=bool)
        inside[int(start * 2) : int(end * 2)] = True
        shown, hidden = frames[inside], frames[~inside]
        assert (shown == shown[0]).all()
        assert (hidden == hidden[0]).all()
        assert (shown[0] != hidden[0]).any()
        assert draft.answer == rf"\boxed{{{timespan(int(start), int(end))}}}"


def test_timespans_are_minutes_and_seconds() -> None:
    assert timespan(2, 65) == "[00:02, 01:05]"


def test_thoughts_calculate_step_by_step_to_the_reference(studios: dict[Split, Studio]) -> None:
    num_checked = 0
    for make in (visual_reasoning, text_reasoning):
        for rng in _rngs(30):
            draft = make(studios[Split.TRAIN], rng, Language.ZH)
            match = re.fullmatch(r"<think>(.*)</think>\\boxed\{(\d+)\}", draft.answer or "")
            assert match is not None
            assert match[2] == draft.reference
            for step in match[1].split(","):
                left, right = step.split("=")
                a, operator, b = re.fullmatch(r"(\d+)([+-])(\d+)", left).groups()  # type: ignore[union-attr]
                assert int(a) + (int(b) if operator == "+" else -int(b)) == int(right) >= 0
                num_checked += 1
    assert num_checked > 60


def test_arithmetic_is_written_with_signs() -> None:
    assert arithmetic_text([3, 5, -2]) == "3+5-2"


def test_no_heldout_problem_is_ever_posed_in_training(studios: dict[Split, Studio]) -> None:
    texts = {}
    for split, studio in studios.items():
        texts[split] = {arithmetic_text(arithmetic_terms(studio, rng)) for rng in _rngs(300)}
    assert len(texts[Split.HELDOUT]) > 100
    assert texts[Split.TRAIN].isdisjoint(texts[Split.HELDOUT])


def test_counts_and_digits_are_balanced(studios: dict[Split, Studio]) -> None:
    counts = [counting(studios[Split.TRAIN], rng, Language.EN) for rng in _rngs(120)]
    assert sorted({int(c.reference or "") for c in counts}) == [1, 2, 3, 4, 5, 6]
    assert all(c.answer == rf"\boxed{{{c.reference}}}" for c in counts)
    digits = "".join(ocr(studios[Split.TRAIN], rng, Language.EN).answer or "" for rng in _rngs(120))
    assert set(digits) == set("0123456789")


def test_gui_answers_are_one_json_action_and_cover_all_twelve(studios: dict[Split, Studio]) -> None:
    seen = set()
    for rng in _rngs(400):
        draft = gui_action(studios[Split.TRAIN], rng, Language.EN)
        action = json.loads(draft.answer or "")
        seen.add(action["action"])
        if "start_point" in action:
            (x1, y1, x2, y2) = json.loads(draft.meta["boxes"])[0]
            assert x1 < action["start_point"][0] < x2
            assert y1 < action["start_point"][1] < y2
    assert seen == {*_POINT_ACTIONS, *_WORD_ACTIONS}


def test_a_box_outside_its_image_and_a_span_outside_its_video_are_dropped(studios: dict[Split, Studio]) -> None:
    by_name = {r.name: r for r in _all_recipes()}
    record = _records(by_name["rl-grounding"], studios, 1)[0]
    assert judge_answer(record) == KEEP
    outside = Record(sample=record.sample.model_copy(update={"reference": "[0, 0, 500, 20]"}), media=record.media)
    assert judge_answer(outside) == drop("box_outside_image")
    clip = _records(by_name["rl-temporal_grounding"], studios, 1)[0]
    assert judge_answer(clip) == KEEP
    late = Record(sample=clip.sample.model_copy(update={"reference": "[2.0, 60.0]"}), media=clip.media)
    assert judge_answer(late) == drop("span_outside_video")


def test_every_rl_family_has_prompts() -> None:
    names = {r.name for r in _all_recipes()}
    assert {f"rl-{family}" for family in RL} <= names
