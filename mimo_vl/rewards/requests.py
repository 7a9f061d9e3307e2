"""How a sample and a completion become a score request, and how a request becomes a sample again.

Boxes of a sample are in pixels of the stored image, boxes of a request in pixels of the image as the model saw it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, cast

from mimo_vl.canonical import canonical_json
from mimo_vl.schema.reward import ChatMessage, ScoreMedia, ScoreRequest
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Part, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, RewardTask, Split

_BOX_TASKS = (RewardTask.GROUNDING_BOX, RewardTask.GROUNDING_POINT)
Role = Literal["system", "user", "assistant"]


def score_request(
    sample: Sample,
    response: str,
    *,
    request_id: str,
    seen_sizes: Sequence[tuple[int, int]] = (),
) -> ScoreRequest:
    """Build the request for one completion of a prompt.

    Args:
        sample: a prompt with `task`, and `reference` unless it is a preference query.
        response: the raw completion, thinking and any forced prefill included.
        request_id: unique within a batch.
        seen_sizes: (width, height) of each medium as the model saw it; empty = as stored.
    """
    if sample.task is None:
        raise ValueError(f"sample {sample.id} has no task; only prompts of an RL family can be scored")
    sizes = list(seen_sizes) or [(m.width, m.height) for m in sample.media]
    if len(sizes) != len(sample.media):
        raise ValueError(f"sample {sample.id}: {len(sizes)} seen_sizes for {len(sample.media)} media; give one each")
    media = tuple(
        ScoreMedia(
            uri=f"media/{m.sha256}",
            sha256=m.sha256,
            kind=m.kind,
            width=width,
            height=height,
            fps=m.fps,
            num_frames=m.num_frames,
            stored_width=m.width,
            stored_height=m.height,
        )
        for m, (width, height) in zip(sample.media, sizes, strict=True)
    )
    reference = sample.reference
    if reference is not None and sample.task in _BOX_TASKS and sample.media:
        stored = (sample.media[0].width, sample.media[0].height)
        reference = scaled_reference(reference, stored=stored, seen=sizes[0])
    return ScoreRequest(
        id=request_id,
        task=sample.task,
        prompt=tuple(_chat_message(m) for m in sample.messages),
        response=response,
        reference=reference,
        media=media,
    )


def scaled_reference(reference: str, *, stored: tuple[int, int], seen: tuple[int, int]) -> str:
    """Boxes from stored pixels to seen pixels; unchanged where both sizes agree."""
    if stored == seen:
        return reference
    factors = (seen[0] / stored[0], seen[1] / stored[1])

    def scale(value: object) -> object:
        if isinstance(value, list) and value and isinstance(value[0], list):
            return [scale(v) for v in value]
        return [v * factors[i % 2] for i, v in enumerate(cast("list[float]", value))]

    return json.dumps(scale(json.loads(reference)))


def _chat_message(message: Message) -> ChatMessage:
    role = "user" if message.role == "document" else message.role
    if all(isinstance(p, TextPart) for p in message.parts):
        return ChatMessage(role=role, content="".join(p.text for p in message.parts if isinstance(p, TextPart)))
    return ChatMessage(role=role, content=message.parts)


def prompt_sample(request: ScoreRequest) -> Sample:
    """The prompt of a request as a sample, for encoding. Media that no part places come before the first user text."""
    messages = [_message(m) for m in request.prompt]
    is_placed = any(isinstance(p, MediaPart) for m in messages for p in m.parts)
    if request.media and not is_placed:
        first = next((i for i, m in enumerate(messages) if m.role == "user"), 0)
        parts: tuple[Part, ...] = tuple(MediaPart(index=i) for i in range(len(request.media)))
        messages[first] = Message(role=messages[first].role, parts=(*parts, *messages[first].parts))
    return Sample(
        id=request.id,
        data_type=DataType.INSTRUCTION,
        language=Language.EN,
        split=Split.HELDOUT,
        messages=tuple(messages),
        media=tuple(_media_ref(m) for m in request.media),
        task=request.task,
    )


def answered(prompt: Sample, response: str) -> Sample:
    """The prompt with `response` as the assistant's turn: what a reward model reads, in training as in scoring."""
    turn = Message(role="assistant", parts=(TextPart(text=response),))
    return prompt.model_copy(update={"messages": (*prompt.messages, turn)})


def _media_ref(media: ScoreMedia) -> MediaRef:
    return MediaRef(
        sha256=media.sha256,
        kind=media.kind,
        width=media.stored_width or media.width,
        height=media.stored_height or media.height,
        num_frames=media.num_frames,
        fps=media.fps,
    )


def _message(message: ChatMessage) -> Message:
    parts = (TextPart(text=message.content),) if isinstance(message.content, str) else message.content
    return Message(role=message.role, parts=parts)


def prompt_key(request: ScoreRequest) -> bytes:
    """Equal for completions of the same prompt: what makes a group in one batch."""
    return canonical_json([[m.model_dump(mode="json") for m in request.prompt], [m.sha256 for m in request.media]])
