"""A line of own data as a draft, which becomes a training sample or a prompt like any other."""

from __future__ import annotations

from mimo_vl.data.custom.division import source_digests
from mimo_vl.data.custom.folder import CustomItem
from mimo_vl.data.synthesis.draft import Draft, ask
from mimo_vl.data.synthesis.studio import Medium
from mimo_vl.vocabulary import DataType, RewardTask, RlFamily


def to_draft(item: CustomItem) -> Draft:
    line = item.line
    has_reference = line.reference is not None
    return Draft(
        data_type=DataType.CUSTOM,
        language=line.language,
        question=ask(line.question, num_media=len(item.media)),
        answer=line.answer,
        media=tuple(Medium(data, ref) for data, ref in zip(item.pictures(), item.media, strict=True)),
        source_ids=source_digests(item),
        reference=line.reference,
        scorer=RewardTask.CUSTOM.value if has_reference else "",
        task=RewardTask.CUSTOM if has_reference else None,
        family=RlFamily.CUSTOM if has_reference else None,
    )
