"""What the exit codes of the ranks mean for the stage: one exit code, one reason, one message."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping, Sequence

from jobs.failures import OOM, Failure
from mimo_vl.errors import EXIT_DONE, EXIT_PERMANENT, EXIT_RESUME, EXIT_RETRY
from mimo_vl.schema.manifest import ExitRecord


def summarise(
    codes: Sequence[int],
    failures: Mapping[int, Failure],
    *,
    first_failed: Sequence[int] = (),
    was_stopped: bool = False,
    was_out_of_memory: bool = False,
    first_rank: int = 0,
) -> ExitRecord:
    """Exit record without times.

    Args:
        codes: by rank on this node; negative = ended by this signal.
        failures: what ranks said about themselves.
        first_failed: ranks that failed before the others were told to end. What the others did then explains nothing.
        was_stopped: the launcher got SIGTERM: a rank that could not save before it ended is still only interrupted.
        was_out_of_memory: the kernel killed a process of this container for memory meanwhile.
        first_rank: of this node among all: in records and messages ranks have the numbers that their logs show.
    """
    exit_code = _exit_code([codes[rank] for rank in first_failed] or codes, was_stopped=was_stopped)
    by_rank = {str(first_rank + rank): code for rank, code in enumerate(codes)}
    if exit_code == EXIT_DONE:
        return ExitRecord(exit_code=exit_code, rank_exit_codes=by_rank, reason="Completed")
    rank = _culprit(codes, first_failed, exit_code, failures)
    reason, message = _explain(first_rank + rank, codes[rank], failures.get(rank), was_out_of_memory=was_out_of_memory)
    if was_stopped and exit_code == EXIT_RESUME and rank not in failures:
        reason, message = "Interrupted", f"stopped by SIGTERM; rank {first_rank + rank} ended with {codes[rank]}"
    return ExitRecord(exit_code=exit_code, rank_exit_codes=by_rank, reason=reason, message=message)


def first_to_fail(ended: Sequence[int], failures: Mapping[int, Failure], *, all_well_at_s: float) -> Sequence[int]:
    """`ended`, the ranks that ended badly first; or the one that had failed before them and took longer to end.

    A rank that fails while others wait for it in a collective takes them with it, and they may be gone before it is.

    Args:
        ended: before the others were told to end.
        failures: by rank; one that is not among `ended` may have failed for it.
        all_well_at_s: by time.monotonic: what failed before has not failed because a rank had ended.
    """
    others = {rank: failures[rank].failed_at_s for rank in failures if rank not in ended}
    if not ended or not others:
        return ended
    earliest = min(others, key=others.__getitem__)
    known = min(failures[rank].failed_at_s if rank in failures else all_well_at_s for rank in ended)
    return [earliest] if others[earliest] < known else ended


def _exit_code(codes: Sequence[int], *, was_stopped: bool) -> int:
    if all(code == EXIT_DONE for code in codes):
        return EXIT_DONE
    if EXIT_PERMANENT in codes:
        return EXIT_PERMANENT
    if EXIT_RESUME in codes or was_stopped:
        return EXIT_RESUME
    return EXIT_RETRY


def _culprit(codes: Sequence[int], first_failed: Sequence[int], exit_code: int, failures: Mapping[int, Failure]) -> int:
    """The rank whose message tells most: one with the stage's exit code, else one that failed first, else any.

    Of several the one that failed earliest: the others failed for it.
    """
    candidates = list(first_failed) or [rank for rank, code in enumerate(codes) if code != EXIT_DONE]
    exact = [rank for rank in candidates if codes[rank] == exit_code]
    return min(exact or candidates, key=lambda rank: failures[rank].failed_at_s if rank in failures else math.inf)


def _explain(rank: int, code: int, failure: Failure | None, *, was_out_of_memory: bool) -> tuple[str, str]:
    if failure is not None:
        return failure.reason, failure.message
    if code >= 0:
        return "Error", f"rank {rank} ended with exit code {code} and no message; see the stage's log"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if code == -signal.SIGKILL and was_out_of_memory:
        return OOM, f"rank {rank} was killed because memory ran out; give the stage more memory or shorter rows"
    hint = " (the kernel does so when memory runs out)" if code == -signal.SIGKILL else ""
    return "Killed", f"rank {rank} was ended by {name}{hint}"
