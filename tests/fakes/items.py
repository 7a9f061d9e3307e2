"""Hand-made evaluation items."""

from __future__ import annotations

from mimo_vl.evaluation.task import EvalItem
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, RlFamily, Split


def eval_sample(
    item_id: str = "item-0",
    *,
    reference: str = "3",
    data_type: DataType = DataType.COUNTING,
    family: RlFamily | None = None,
    size: tuple[int, int] | None = None,
    kind: str = "image",
    **meta: str,
) -> Sample:
    """A question, with one medium of (width, height) `size` if given."""
    media = (
        (MediaRef(sha256="0" * 64, kind=kind, width=size[0], height=size[1], fps=2.0 if kind == "video" else None),)
        if size
        else ()
    )
    parts = (MediaPart(index=0), TextPart(text="question?")) if size else (TextPart(text="question?"),)
    return Sample(
        id=item_id,
        data_type=data_type,
        language=Language.EN,
        split=Split.HELDOUT,
        messages=(Message(role="user", parts=parts),),
        media=media,
        family=family,
        reference=reference,
        meta=meta,
    )


def eval_item(
    reference: str, *, size: tuple[int, int] | None = None, sent_size: tuple[int, int] | None = None, **meta: str
) -> EvalItem:
    return EvalItem(
        sample=eval_sample(reference=reference, size=size, **meta), sent_sizes=(sent_size,) if sent_size else ()
    )
