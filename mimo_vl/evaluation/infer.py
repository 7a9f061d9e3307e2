"""Ask a model every item of a task that its log does not answer yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mimo_vl.data.record import Record
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.evaluation.response_log import Response, ResponseLog, response_key
from mimo_vl.evaluation.task import Decoding, Method, TaskSpec
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.schema.rollout import Completion, SamplingParams
from mimo_vl.schema.sample import Sample

logger = logging.getLogger(__name__)


class Generator(Protocol):
    """The part of an inference engine that evaluation needs."""

    def generate(self, prompts: Sequence[EncodedSample], params: SamplingParams) -> list[list[Completion]]: ...


class ItemEncoder(Protocol):
    """The part of the sample encoder that evaluation needs."""

    def encode(self, sample: Sample, media: Sequence[bytes]) -> EncodedSample: ...

    def encode_prompt(self, sample: Sample, media: Sequence[bytes]) -> EncodedSample: ...


@dataclass(frozen=True, kw_only=True)
class TextNats:
    """Negative log-likelihood of one text, summed over its tokens, in nats."""

    nats: float
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class ModelUnderTest:
    """`digest` is the content digest of the checkpoint; `text_nats` returns one entry per encoded sample."""

    name: str
    digest: str
    generator: Generator
    encoder: ItemEncoder
    text_nats: Callable[[Sequence[EncodedSample]], list[TextNats]]


@dataclass(frozen=True, kw_only=True)
class InferPlan:
    """How a task is asked. `seed` enters the random state of every sample: two models draw with the same numbers."""

    task: TaskSpec
    decoding: Decoding
    max_new_tokens: int
    batch_size: int
    seed: int


def infer(
    model: ModelUnderTest,
    plan: InferPlan,
    items: Sequence[Record],
    log: ResponseLog,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Response]:
    """`plan.decoding.num_samples` responses per item, in item order, then by sample index.

    Batches are fixed slices of `items`. A batch with an unanswered item is generated whole, so that no result depends
    on where an earlier run stopped; answers that the log has are kept as they are.

    Raises:
        InterruptedAfterSaveError: `should_stop` turned true between two batches.
    """
    responses: list[Response] = []
    for start in range(0, len(items), plan.batch_size):
        if should_stop():
            raise InterruptedAfterSaveError(
                f"{plan.task.id}: stopped at item {start} of {len(items)}; answers are kept"
            )
        batch = items[start : start + plan.batch_size]
        keys = _keys(model, plan, batch)
        fresh: list[Response] = []
        if any(log.get(key) is None for key in keys):
            fresh = _ask(model, plan, batch, keys)
            log.append(r for r in fresh if log.get(r.key) is None)
        by_key = {r.key: r for r in fresh}
        responses.extend(log.get(key) or by_key[key] for key in keys)
    return responses


def _keys(model: ModelUnderTest, plan: InferPlan, batch: Sequence[Record]) -> list[str]:
    return [
        response_key(
            plan.task,
            item.sample,
            index,
            model_digest=model.digest,
            decoding=plan.decoding,
            max_new_tokens=plan.max_new_tokens,
            seed=plan.seed,
        )
        for item in batch
        for index in range(plan.decoding.num_samples)
    ]


def _ask(model: ModelUnderTest, plan: InferPlan, batch: Sequence[Record], keys: Sequence[str]) -> list[Response]:
    """A batch that fails is asked item by item, so that one bad item does not take the others with it."""
    try:
        if plan.task.method is Method.LIKELIHOOD:
            return _measure(model, batch, keys)
        return _generate(model, plan, batch, keys)
    except (RuntimeError, ValueError) as error:
        if len(batch) == 1:
            return _failed(batch[0], keys, error)
        logger.warning("batch of %d failed, asking one by one: %s", len(batch), error)
    per_item = plan.decoding.num_samples
    return [
        response
        for i, item in enumerate(batch)
        for response in _ask(model, plan, [item], keys[i * per_item : (i + 1) * per_item])
    ]


def _measure(model: ModelUnderTest, batch: Sequence[Record], keys: Sequence[str]) -> list[Response]:
    encoded = [model.encoder.encode(item.sample, item.media) for item in batch]
    return [
        Response(key=key, item_id=item.sample.id, sample_index=0, nats=text.nats, num_tokens=text.num_tokens)
        for key, item, text in zip(keys, batch, model.text_nats(encoded), strict=True)
    ]


def _generate(model: ModelUnderTest, plan: InferPlan, batch: Sequence[Record], keys: Sequence[str]) -> list[Response]:
    params = SamplingParams(
        temperature=plan.decoding.temperature,
        top_p=plan.decoding.top_p,
        max_new_tokens=plan.max_new_tokens,
        num_samples=plan.decoding.num_samples,
        seed=plan.seed,
    )
    groups = model.generator.generate([model.encoder.encode_prompt(i.sample, i.media) for i in batch], params)
    return [
        Response(
            key=key,
            item_id=completion.prompt_id,
            sample_index=completion.sample_index,
            text=completion.text,
            num_tokens=len(completion.token_ids),
            finish_reason=completion.finish_reason,
        )
        for key, completion in zip(keys, (c for group in groups for c in group), strict=True)
    ]


def _failed(item: Record, keys: Sequence[str], error: Exception) -> list[Response]:
    logger.warning("generation failed item=%s error=%s", item.sample.id, error)
    reason = f"{type(error).__name__}: {error}"
    return [Response(key=key, item_id=item.sample.id, sample_index=i, error=reason) for i, key in enumerate(keys)]
