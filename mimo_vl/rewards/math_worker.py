"""The process that runs symbolic algebra for MathPool: one JSON request per line in, one verdict per line out.

Run as `python -m mimo_vl.rewards.math_worker MEMORY_BYTES DEADLINE_S`. It may hang or die at any time; its parent
kills it. It never imports torch. When the parent is gone it ends: on end of input, or by its own alarm while it hangs.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from typing import TextIO

READY = "ready"
# The alarm is a last resort for orphans; the parent's deadline must always come first.
_ALARM_MARGIN_S = 5


def main() -> int:
    memory_bytes, deadline_s = int(sys.argv[1]), float(sys.argv[2])
    replies = sys.stdout
    sys.stdout = sys.stderr  # a library's chatter must not enter the protocol
    logging.disable(logging.WARNING)  # Math-Verify warns at each call that its own time-outs are off

    from mimo_vl.answers.mathematics import MathVerdict, judge_symbolically

    # A first call loads sympy and the grammar (about 0.5 s), so that no deadline pays for it.
    judge_symbolically("x+1", "1+x^{1}")
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    _reply(replies, READY)
    for line in sys.stdin:
        gold, answer = json.loads(line)
        signal.alarm(int(deadline_s) + _ALARM_MARGIN_S)
        try:
            verdict = judge_symbolically(gold, answer)
        except Exception:  # noqa: BLE001 - untrusted model output may break a parser in any way
            verdict = MathVerdict.UNPARSABLE_ANSWER
        signal.alarm(0)
        _reply(replies, verdict)
    return 0


def _reply(stream: TextIO, word: str) -> None:
    stream.write(word + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
