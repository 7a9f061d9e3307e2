"""Pure functions `score(item, response) -> ItemScore`: no network, no files, never a guess.

registry.py     name -> scorer
spatial.py      boxes by (1 + GIoU) / 2, points in a box
numeric.py      counts, time spans
mathematics.py  mathematical answers
text.py         digits read right, equality, token F1
custom.py       the user's own verifier
actions.py      one step of a GUI agent
verdict.py      a failed extraction as a score of 0
"""

from mimo_vl.evaluation.scorers.registry import build_scorers, scorer_named

__all__ = ["build_scorers", "scorer_named"]
