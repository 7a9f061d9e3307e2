"""A checkpoint folder under test: the likelihood of texts and greedy answers, against transformers alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mimo_vl.config.compose import compose
from mimo_vl.evaluation.infer import ModelUnderTest
from mimo_vl.evaluation.models import ModelSource, load_under_test
from mimo_vl.inference.load import load_encoder, load_engine
from mimo_vl.model.checkpoint import load_model, save_model
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.processing.tokenizer import load_tokenizer, train_bpe
from mimo_vl.schema.rollout import SamplingParams
from mimo_vl.schema.sample import Message, Sample, TextPart
from tests.fakes.items import eval_sample
from tests.fakes.tiny_vlm import build_model

pytestmark = pytest.mark.timeout(120)

TEXTS = ["the first text is short", "a second one that is rather longer than the first", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = train_bpe(TEXTS * 4, vocab_size=400)
    save_model(build_model(vocab_size=tokenizer.vocab_size, end_token=tokenizer.special_ids.turn_end), folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> ModelUnderTest:
    source = ModelSource(name="sft", folder=folder, digest="sha256:a")
    return load_under_test(source, compose("tiny").processing, dtype="float32")


def _document(text: str) -> Sample:
    messages = (Message(role="document", parts=(TextPart(text=text),)),)
    return eval_sample(reference=text).model_copy(update={"messages": messages})


def _nats_of_stock_model(folder: Path, encoded: EncodedSample) -> float:
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    ids = torch.from_numpy(encoded.input_ids_T)[None]
    with torch.inference_mode():
        logp = torch.log_softmax(stock(input_ids=ids).logits[0, :-1], dim=-1)
    targets = ids[0, 1:]
    supervised = torch.from_numpy(encoded.supervised_T[1:])
    return float(-logp.gather(1, targets[:, None])[:, 0][supervised].sum())


def test_packed_likelihoods_are_those_of_each_text_alone(model: ModelUnderTest, folder: Path) -> None:
    encoded = [model.encoder.encode(_document(text), ()) for text in TEXTS]
    measured = model.text_nats(encoded)
    assert [m.num_tokens for m in measured] == [int(e.supervised_T.sum()) for e in encoded]
    for one, sample in zip(measured, encoded, strict=True):
        assert one.nats == pytest.approx(_nats_of_stock_model(folder, sample), rel=1e-5)


def test_greedy_answers_do_not_depend_on_the_batch(model: ModelUnderTest) -> None:
    prompts = [model.encoder.encode_prompt(eval_sample(f"item-{i}"), ()) for i in range(3)]
    params = SamplingParams(temperature=0.0, max_new_tokens=6)
    together = [group[0].text for group in model.generator.generate(prompts, params)]
    alone = [model.generator.generate([p], params)[0][0].text for p in prompts]
    assert together == alone


def test_an_answer_ends_with_the_text_as_in_rollouts(folder: Path, tmp_path: Path) -> None:
    """A base model ends documents, not turns: what it would write after the end of the text is no answer."""
    drawing_evenly = load_model(folder)
    torch.nn.init.zeros_(drawing_evenly.lm_head.weight)
    save_model(drawing_evenly, tmp_path)
    load_tokenizer(folder).save(tmp_path)
    processing = compose("tiny").processing
    encoder = load_encoder(tmp_path, processing)
    tested = load_under_test(ModelSource(name="base", folder=tmp_path, digest="sha256:b"), processing, dtype="float32")
    params = SamplingParams(temperature=1.0, max_new_tokens=60, num_samples=64)
    prompt = encoder.encode_prompt(eval_sample(), ())
    answers = tested.generator.generate([prompt], params)[0]
    end_of_text = encoder.tokenizer.special_ids.end_of_text
    ended = [a for a in answers if end_of_text in a.token_ids]
    # 64 answers of up to 60 tokens out of 400: about one in eight meets the end of the text first.
    assert len(ended) > 0
    for answer in ended:
        assert answer.finish_reason == "stop"
        assert answer.token_ids.index(end_of_text) == len(answer.token_ids) - 1
    rolled_out = load_engine(tmp_path, encoder).generate([prompt], params)[0]
    assert [a.token_ids for a in answers] == [a.token_ids for a in rolled_out]
