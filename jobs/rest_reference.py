"""docs/rest.md: how a program asks the reward service, read from the records, the rules and the refusals."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.router import PREFERENCE_TASKS, RuleRouter, preference_name
from mimo_vl.rewards.service.client import TRANSIENT
from mimo_vl.rewards.service.wire import REFUSALS
from mimo_vl.rewards.verdict import RuleContext, Verifier
from mimo_vl.rewards.verifiers.registry import build_registry
from mimo_vl.schema.nested import models_of
from mimo_vl.schema.record import Record
from mimo_vl.schema.reward import (
    STATUS_MEANING,
    ChatMessage,
    ScoreBatchRequest,
    ScoreBatchResponse,
    ScoreRequest,
)
from mimo_vl.vocabulary import RewardTask

_HEAD = """\
# REST interface of the reward service

<!-- generated from mimo_vl/schema/reward.py and mimo_vl/rewards by `make generate`; do not edit -->
Reinforcement learning asks it for the reward of each completion; any program may. One call scores a batch: rule tasks
by rules, preference tasks by reward models. Every reward is in [0, 1], or null where nothing can be said.

## Endpoints
| request | token | answer |
|---|---|---|
| `POST /v1/score` | yes | [ScoreBatchRequest](#scorebatchrequest) in, [ScoreBatchResponse](#scorebatchresponse) out |
| `GET /healthz` | no | 200 while the service answers: `reward_models` has `version` or `problem` of each |
| `GET /metrics` | no | Prometheus metrics: names in [metrics.md](metrics.md) |

Bodies are JSON; an unknown field is an error. Pixels are never in them: media are named by their sha256.

## Token
`Authorization: Bearer TOKEN`. The service that a `morl` stage starts for itself has a random token, which only the
stage knows; on one machine `MIMO_REWARD_TOKEN` in the environment of `mimo run` chooses it. It listens on a free port
of loopback; on a cluster on port 8000 of the Ray head, behind the head's Service (`kubectl get services`), which the
NetworkPolicies of the chart open to the namespace's Ray pods alone.

## Start one by itself
In an environment of `make setup`; without reward models, preference tasks are `unavailable`.

```python
import os

from mimo_vl.schema.ray_environment import RAY_ENVIRONMENT

os.environ |= {**RAY_ENVIRONMENT, "RAY_AUTH_MODE": "disabled"}  # before ray is imported
import ray

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.service.app import ServicePlace, deploy

ray.init(num_cpus=2, include_dashboard=False)
processing = ProcessingConfig(min_pixels=3136, max_pixels=12544)
print(deploy(RewardsConfig(), processing, reward_models={}, token="secret", place=ServicePlace(port=8000)))
input("Enter stops it ")
```
"""
_TRY_AGAIN = f"""\
Ray Serve itself answers 5xx while a replica starts or is full, and 408 after its deadline. The client of this package,
`mimo_vl.rewards.service.client.RewardClient`, sends a batch again after {", ".join(map(str, sorted(TRANSIENT)))}, with
growing waits up to its deadline; every other refusal is the caller's to mend.
"""
_TABLE = "| field | type | default | |\n|---|---|---|---|"
_EXAMPLE = ScoreRequest(
    id="count-1",
    task=RewardTask.COUNTING,
    prompt=(ChatMessage(role="user", content="How many cups are on the table?"),),
    response="<think>One red, two blue.</think>There are \\boxed{3} cups.",
    reference="3",
)


class _NoMath:
    """The example needs no symbolic mathematics."""

    def judge(self, gold: str, answer: str) -> MathVerdict:
        raise AssertionError(f"asked to compare {gold!r} and {answer!r}")


def rest_reference() -> str:
    parts = [_HEAD, _example(), "## Request\n", *_sections(ScoreBatchRequest), _tasks()]
    return "\n".join([*parts, "## Response\n", *_sections(ScoreBatchResponse), _statuses(), _codes()])


def undescribed_fields() -> list[str]:
    """`Class.field` of each field on the page whose meaning nobody wrote down."""
    roots = (ScoreBatchRequest, ScoreBatchResponse)
    return [
        f"{model.__name__}.{name}"
        for root in roots
        for model in models_of(root)
        for name, field in model.model_fields.items()
        if not field.description
    ]


def _example() -> str:
    """The answer is what the rule says; only its time is made up."""
    result = RuleRouter(RewardsConfig(), _NoMath()).score(_EXAMPLE).model_copy(update={"latency_ms": 0.1})
    body = json.dumps(ScoreBatchRequest(requests=(_EXAMPLE,)).model_dump(mode="json", exclude_defaults=True), indent=2)
    answer = json.dumps(ScoreBatchResponse(results=(result,)).model_dump(mode="json"), indent=2)
    return (
        "## Example\n```bash\ncurl --silent http://127.0.0.1:8000/v1/score --header 'Authorization: Bearer secret' "
        f"--data '{body}'\n```\n\n```json\n{answer}\n```\n"
    )


def _sections(root: type[Record]) -> Iterator[str]:
    """One table per record, in the order in which the fields name them."""
    for model in models_of(root):
        properties = model.model_json_schema()["properties"]
        types = {name: _type(node) for name, node in properties.items()}
        rows = [
            f"| `{name}` | {types[name]} | {_default(field)} | {_one_line(field.description)} |"
            for name, field in model.model_fields.items()
        ]
        about = f"{_one_line(model.__doc__)}\n\n" if model.__doc__ else ""
        yield f"### {model.__name__}\n\n{about}" + "\n".join([_TABLE, *rows]) + "\n"


def _type(node: Mapping[str, Any]) -> str:
    """In words of JSON."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for choices in ("anyOf", "oneOf"):
        if choices in node:
            return " or ".join(_type(choice) for choice in node[choices])
    if values := node.get("enum", [node["const"]] if "const" in node else []):
        return ", ".join(f"`{value}`" for value in values)
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if node["type"] == "object":
        return f"map to {_type(node['additionalProperties'])}"
    return f"number, {node['minimum']:g} to {node['maximum']:g}" if "minimum" in node else str(node["type"])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    return f"`{json.dumps(field.get_default(call_default_factory=True))}`"


def _tasks() -> str:
    config = RewardsConfig()
    rows = [_rule_row(task, verifier, config) for task, verifier in build_registry(config).items()]
    rows += [
        f"| `{task}` | none | `{preference_name(config)}` | Bradley–Terry score of the reward model, mapped |"
        for task in PREFERENCE_TASKS
    ]
    rows.append(
        f"| `{RewardTask.CUSTOM}` | what it wants | its own | that of `rewards.custom_verifier`; none by default |"
    )
    head = "| `task` | `reference` | `reward_name` | the reward |\n|---|---|---|---|"
    names = (
        "Names of mappings are those of the defaults; `rewards.*` in [configuration](configuration.md) has the others."
    )
    return f"### RewardTask\n\n{names}\n\n" + "\n".join([head, *rows]) + "\n"


def _rule_row(task: RewardTask, verifier: Verifier, config: RewardsConfig) -> str:
    """What a rule wants as reference is what it says when there is none."""
    request = ScoreRequest(id="", task=task, prompt=(), response="")
    reason = verifier.verify(request, RuleContext(config=config, math=_NoMath())).reason
    reference = reason.partition("wanted ")[2]
    about = _one_line(inspect.getdoc(inspect.getmodule(verifier.verify))).split(". ")[0].partition(": ")[2]
    return f"| `{task}` | {reference} | `{verifier.name(config)}` | {about.split(' (report')[0]} |"


def _statuses() -> str:
    rows = [f"| `{status}` | {meaning} |" for status, meaning in STATUS_MEANING.items()]
    return "### ScoreStatus\n\n" + "\n".join(["| `status` | |", "|---|---|", *rows]) + "\n"


def _codes() -> str:
    rows = ["| 200 | every request has a result; look at the `status` of each |"]
    rows += [f"| {code} | {meaning} |" for code, meaning in REFUSALS.items()]
    table = "\n".join(["| code | |", "|---|---|", *rows])
    refused = 'A refusal refuses the whole batch; its body is `{"error": "what is wrong and how to mend it"}`.'
    return f"## HTTP codes\n\n{refused}\n\n{table}\n\n{_TRY_AGAIN}"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")
