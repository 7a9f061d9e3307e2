"""How fast is it: tokens/s, patches/s, share of the device's peak (MFU), share of time spent waiting for data."""

from __future__ import annotations

from mimo_vl.training.callbacks.callback import Callback, StepReport
from mimo_vl.training.flops import FlopCount

# The newest step counts 10 %: steady enough to read, quick enough to show a change.
_NEWEST_WEIGHT = 0.1


class Throughput(Callback):
    """Running means over steps, weighted towards the newest.

    peak_flops: of all ranks together; None where it is not known, then no MFU is reported.
    """

    def __init__(self, flops: FlopCount, *, peak_flops: float | None) -> None:
        self._flops = flops
        self._peak_flops = peak_flops
        self._num_tokens = self._num_pairs = self._num_patches = self._seconds = self._wait_s = 0.0
        self.total_tokens = 0
        self.total_s = 0.0

    def on_step_end(self, report: StepReport) -> None:
        keep = 1.0 - _NEWEST_WEIGHT if self._seconds else 0.0
        new = 1.0 - keep
        self._num_tokens = keep * self._num_tokens + new * report.result.num_tokens
        self._num_pairs = keep * self._num_pairs + new * report.result.num_pairs
        self._num_patches = keep * self._num_patches + new * report.result.num_patches
        self._seconds = keep * self._seconds + new * report.step_s
        self._wait_s = keep * self._wait_s + new * report.data_wait_s
        self.total_tokens += report.result.num_tokens
        self.total_s += report.step_s

    def rates(self) -> dict[str, float]:
        """Of this process since it started or resumed; empty before the first step."""
        if not self._seconds:
            return {}
        rates = {
            "tokens_per_s": self._num_tokens / self._seconds,
            "patches_per_s": self._num_patches / self._seconds,
            "data_wait_fraction": self._wait_s / self._seconds,
        }
        if self._peak_flops:
            flops = self._flops.total(
                num_tokens=self._num_tokens, num_pairs=self._num_pairs, num_patches=self._num_patches
            )
            rates["mfu"] = flops / self._seconds / self._peak_flops
        return rates
