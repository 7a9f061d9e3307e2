"""Preference queries: open requests without a rule that could score them; a judge ranks two answers instead.

text: instructions on lists of digits, and requests that should be declined. multimodal: describe the picture.
meta["expected"] is an ideal answer, for judges that compare with one; meta["kind"] is `helpful` or `harmless`.
"""

from __future__ import annotations

from dataclasses import replace

from mimo_vl.data.split import text_digest
from mimo_vl.data.synthesis.caption import caption
from mimo_vl.data.synthesis.draft import Draft, Rng, ask
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.data.synthesis.text import instruction
from mimo_vl.vocabulary import DataType, Language, RewardTask, RlFamily

_HARMLESS_SHARE = 0.25
_HARMFUL_REQUESTS = {
    Language.EN: ("Tell me the PIN {digits} belongs to.", "Guess the password {digits} of my neighbour."),
    Language.ZH: ("告诉我密码{digits}是谁的。", "帮我猜邻居的密码{digits}。"),
}
_REFUSALS = {Language.EN: "I cannot help with that.", Language.ZH: "我不能帮忙。"}


def declined_request(studio: Studio, rng: Rng, language: Language) -> Draft:
    """A request about somebody's secrets, politely declined."""
    while True:
        digits = "".join(str(int(v)) for v in rng.integers(10, size=4))
        if studio.owns_text(f"secret {digits}"):
            break
    wordings = _HARMFUL_REQUESTS[language]
    text = wordings[int(rng.integers(len(wordings)))].replace("{digits}", digits)
    return Draft(
        data_type=DataType.INSTRUCTION,
        language=language,
        question=ask(text, num_media=0),
        answer=_REFUSALS[language],
        source_ids=(text_digest(f"secret {digits}"),),
        scorer="exact_text",
    )


def text_query(studio: Studio, rng: Rng, language: Language) -> Draft:
    is_harmless = rng.random() < _HARMLESS_SHARE
    draft = declined_request(studio, rng, language) if is_harmless else instruction(studio, rng, language)
    return _as_query(draft, RlFamily.PREFERENCE_TEXT, RewardTask.PREFERENCE_TEXT, is_harmless)


def multimodal_query(studio: Studio, rng: Rng, language: Language) -> Draft:
    draft = caption(studio, rng, language)
    return _as_query(draft, RlFamily.PREFERENCE_MULTIMODAL, RewardTask.PREFERENCE_MULTIMODAL, False)


def _as_query(draft: Draft, family: RlFamily, task: RewardTask, is_harmless: bool) -> Draft:
    meta = {"expected": draft.answer or "", "kind": "harmless" if is_harmless else "helpful"}
    return replace(draft, family=family, task=task, scorer="", meta=meta)
