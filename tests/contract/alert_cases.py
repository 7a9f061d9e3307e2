"""One case for each alert: series that fire it at `at`, and series of the same shape that do not."""

from __future__ import annotations

from dataclasses import dataclass, field

_STAGE = 'mimo_namespace="ml",mimo_pipeline="p",stage="morl"'


@dataclass(frozen=True, kw_only=True)
class Case:
    """Values are promtool's: `0x90` = 0 and 90 times the same, `0+1x90` = 0, 1, 2, ...; one sample a minute."""

    fires: dict[str, str]
    silent: dict[str, str]
    labels: dict[str, str]
    """Of the alert, beside its severity."""
    ended: dict[str, str] = field(default_factory=dict)
    """What the controller shows for ever of a stage that ended while the alert fired; silent, too."""
    at: str = "90m"


_RUN = {"mimo_namespace": "ml", "mimo_pipeline": "p", "stage": "morl"}
_TASK = {"mimo_namespace": "ml", "mimo_pipeline": "p", "task": "math"}
_OF_TASK = 'mimo_namespace="ml",mimo_pipeline="p",task="math"'
_RESULTS = f'mimo_rewards_results_total{{{_OF_TASK},status="scored"}}'
_NULLS = f"mimo_rewards_nulls_total{{{_OF_TASK}}}"
_TIMEOUTS = f"mimo_rewards_timeouts_total{{{_OF_TASK}}}"
# Another team's pipeline of the same name scores everything.
_OTHERS = _RESULTS.replace("ml", "vision")


def _gauge(metric: str, more: str = "") -> str:
    return f"{metric}{{{_STAGE}{more}}}"


def _state(state: str) -> str:
    return _gauge("mimo_pipeline_stage_state", f',state="{state}"')


# Its process has been there for all the time.
_LIVE = {_gauge("mimo_stage_start_time_seconds", ',attempt="1"'): "0x90"}
# It ended after half an hour; the controller shows its last values, under the same labels.
_ENDED = {
    _gauge("mimo_stage_start_time_seconds", ',attempt="1"'): "0x30 stale",
    _state("Running"): "1x30 stale",
    _state("Succeeded"): "_x31 1x60",
}


CASES = {
    # Two replicas stand by, none holds the lease.
    "MimoOperatorDoesNotWork": Case(
        fires={'mimo_operator_leader{pod="a"}': "0x90", 'mimo_operator_leader{pod="b"}': "0x90"},
        silent={'mimo_operator_leader{pod="a"}': "1x90", 'mimo_operator_leader{pod="b"}': "0x90"},
        labels={},
    ),
    "MimoOperatorRoundsFail": Case(
        fires={'mimo_operator_errors_total{kind="StorageError"}': "0+2x90"},
        # One error an hour ago.
        silent={'mimo_operator_errors_total{kind="StorageError"}': "0x30 1x60"},
        labels={"kind": "StorageError"},
    ),
    "MimoPipelineFailed": Case(
        fires={'mimo_pipeline_phase{mimo_namespace="ml",mimo_pipeline="p",phase="Failed"}': "1x90"},
        silent={'mimo_pipeline_phase{mimo_namespace="ml",mimo_pipeline="p",phase="Running"}': "1x90"},
        labels={"mimo_namespace": "ml", "mimo_pipeline": "p"},
    ),
    "MimoStageFailsAgain": Case(
        # The third attempt waits for its time.
        fires={_gauge("mimo_pipeline_stage_failures"): "2x90", _state("Retrying"): "1x90"},
        silent={_gauge("mimo_pipeline_stage_failures"): "1x90", _state("Running"): "1x90"},
        # The third attempt succeeded: the count stays.
        ended={_gauge("mimo_pipeline_stage_failures"): "2x90", **_ENDED},
        labels=_RUN,
    ),
    "MimoStageQueuedLong": Case(
        fires={_state("Queued"): "1x90"},
        # Admitted after half an hour.
        silent={_state("Queued"): "1x30 stale", _state("Running"): "_x30 1x60"},
        ended={_state("Queued"): "1x70 stale", _state("Skipped"): "_x71 1x20"},
        labels=_RUN,
    ),
    "MimoStageStalled": Case(
        # The clock of the test begins at 0: at 90 min it began 90 min ago; the last step was 10 min ago, or never.
        fires={_gauge("mimo_stage_start_time_seconds", ',attempt="1"'): "0x90"},
        silent={
            _gauge("mimo_stage_start_time_seconds", ',attempt="1"'): "0x90",
            _gauge("mimo_stage_last_step_time_seconds", ',attempt="1"'): "4800x90",
        },
        ended=_ENDED,
        labels={**_RUN, "attempt": "1"},
    ),
    "MimoStageShowsNoMetrics": Case(
        fires={_state("Running"): "1x90"},
        silent={_state("Running"): "1x90", **_LIVE},
        ended=_ENDED,
        labels=_RUN,
    ),
    "MimoNodeMemoryAlmostFull": Case(
        fires={_gauge("mimo_system_system_memory_usage_percentage"): "97x90"},
        silent={_gauge("mimo_system_system_memory_usage_percentage"): "94x90"},
        ended={_gauge("mimo_system_system_memory_usage_percentage"): "97x30 stale", **_ENDED},
        labels=_RUN,
    ),
    "MimoTrainingWaitsForData": Case(
        fires={_gauge("mimo_train_data_wait_fraction"): "0.4x90", **_LIVE},
        # Only while the loader starts.
        silent={_gauge("mimo_train_data_wait_fraction"): "0.9x5 0.02x85", **_LIVE},
        ended={_gauge("mimo_train_data_wait_fraction"): "0.4x90", **_ENDED},
        labels=_RUN,
    ),
    "MimoLogprobMismatch": Case(
        fires={_gauge("mimo_rl_logprob_gap"): "0.06x90", **_LIVE},
        silent={_gauge("mimo_rl_logprob_gap"): "0.04x90", **_LIVE},
        ended={_gauge("mimo_rl_logprob_gap"): "0.06x90", **_ENDED},
        labels=_RUN,
    ),
    "MimoGroupsTeachNothing": Case(
        fires={_gauge("mimo_rl_valid_groups", ',part=""'): "0.01x90", **_LIVE},
        # One family teaches nothing, all together do.
        silent={
            _gauge("mimo_rl_valid_groups", ',part="counting"'): "0x90",
            _gauge("mimo_rl_valid_groups", ',part=""'): "0.4x90",
            **_LIVE,
        },
        ended={_gauge("mimo_rl_valid_groups", ',part=""'): "0.01x90", **_ENDED},
        labels=_RUN,
    ),
    "MimoRewardsUnknown": Case(
        # 6 of 60 completions a minute.
        fires={_RESULTS: "0+60x90", _NULLS: "0+6x90", _OTHERS: "0+6000x90"},
        silent={_RESULTS: "0+60x90", _NULLS: "0+1x90"},
        labels=_TASK,
    ),
    "MimoRewardTimeouts": Case(
        fires={_TIMEOUTS: "0+1x90"},
        silent={_TIMEOUTS: "0x10 3x80"},
        labels=_TASK,
    ),
}
