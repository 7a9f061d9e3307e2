"""A second signal inside the handler of the first must not wait for it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from mimo_vl.stop_request import StopRequest


def test_a_second_signal_between_any_two_lines_of_set_does_not_hang() -> None:
    stop, interrupted = StopRequest(), 0

    def signal_again(frame: FrameType, event: str, argument: object) -> object:
        nonlocal interrupted
        if frame.f_code is StopRequest.set.__code__ and interrupted < 5:
            interrupted += 1
            os.kill(os.getpid(), signal.SIGTERM)
        return signal_again

    before, tracer = signal.signal(signal.SIGTERM, lambda *_: stop.set()), sys.gettrace()
    sys.settrace(signal_again)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.set()
    finally:
        sys.settrace(tracer)
        signal.signal(signal.SIGTERM, before)
    assert stop.is_set()
    assert interrupted > 1
