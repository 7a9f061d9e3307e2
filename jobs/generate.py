"""Every file that is made from code: `python -m jobs.generate` writes them, `--check` only compares.

Those of the operator are listed in operators/mimo_pipeline/generate.py, which may not know the command line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence

from jobs.cli_reference import cli_reference
from jobs.rest_reference import rest_reference
from operators.mimo_pipeline.generate import FILES as OPERATOR_FILES
from operators.mimo_pipeline.generate import ROOT, stale_files, write_files

logger = logging.getLogger(__name__)

FILES: Mapping[str, Callable[[], str]] = {
    **OPERATOR_FILES,
    "docs/cli.md": cli_reference,
    "docs/rest.md": rest_reference,
}


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in ([], ["--check"]):
        logger.error("usage: python -m jobs.generate [--check]; got %s", list(arguments))
        return 2
    if not arguments:
        for name in write_files(ROOT, FILES):
            logger.info("wrote %s", name)
        return 0
    stale = stale_files(ROOT, FILES)
    for name in stale:
        logger.error("%s is not what the code generates; run `make generate` and commit it", name)
    return 1 if stale else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main(sys.argv[1:]))
