"""The right answer of every generator gets full marks from the scorer and the verifier that will judge it."""

from __future__ import annotations

import pytest

from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.data.synthesis.catalogue import EVALUATION, RL, Blend
from mimo_vl.data.synthesis.draft import to_prompt
from mimo_vl.data.synthesis.studio import Studio
from mimo_vl.evaluation.scorers.registry import build_scorers
from mimo_vl.evaluation.task import EvalItem
from mimo_vl.vocabulary import DataType, Language, Split
from tests.unit.data.test_synthesis import _rngs


class _EqualText:
    """A judge that knows only equal strings: a right answer needs no symbolic mathematics here."""

    def judge(self, gold: str, answer: str) -> MathVerdict:
        return MathVerdict.CORRECT if gold == answer else MathVerdict.WRONG


_BLENDS: dict[str, Blend] = {
    **{f.value: blend for f, blend in RL.items() if "preference" not in f},
    **{t.value: blend for t, blend in EVALUATION.items() if t is not DataType.TEXT},
}


@pytest.mark.parametrize("family", sorted(_BLENDS))
def test_gold_answers_score_one_and_wrong_ones_less(family: str, studios: dict[Split, Studio]) -> None:
    scorers = build_scorers(_EqualText())
    num_checked = 0
    for i, rng in enumerate(_rngs(12)):
        make = _BLENDS[family][i % len(_BLENDS[family])][0]
        draft = make(studios[Split.HELDOUT], rng, list(Language)[i % 2])
        sample = to_prompt(draft, sample_id="x", split=Split.HELDOUT).sample
        item = EvalItem(sample=sample, sent_sizes=tuple((m.width, m.height) for m in sample.media))
        assert draft.answer is not None
        assert scorers[draft.scorer](item, draft.answer).metrics["score"] == 1.0
        assert scorers[draft.scorer](item, "???").metrics.get("score", 0.0) == 0.0
        num_checked += 1
    assert num_checked == 12
