"""Did the demo learn what it must: one line `ok|FAIL name: got, wanted` per claim; exit 1 if one fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mimo_vl.evaluation.claims import check


def main(arguments: Sequence[str], write: Callable[[str], object] = sys.stdout.write) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        write(f"usage: python -m jobs.demo_check SUMMARY_JSON; got {list(arguments)}, wanted one existing file\n")
        return 2
    claims = check(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    for claim in claims:
        write(f"{claim}\n")
    num_failed = sum(not claim.holds for claim in claims)
    write(f"{len(claims) - num_failed} claims hold, {num_failed} fail\n")
    return 1 if num_failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
