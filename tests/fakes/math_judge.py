"""A math judge without worker processes: what exact checks leave open is wrong."""

from __future__ import annotations

from mimo_vl.answers.mathematics import MathVerdict, judge_cheaply


class CheapJudge:
    def judge(self, gold: str, answer: str) -> MathVerdict:
        return judge_cheaply(gold, answer) or MathVerdict.WRONG
