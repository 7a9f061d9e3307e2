"""A MimoPipeline object as a user would write it, made from a profile: `mimo submit` and examples/*.yaml. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from mimo_vl.config.compose import compose, expand_override_sets
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import GROUP, KIND, VERSION, InputSpec, MimoPipelineSpec
from operators.mimo_pipeline.api_model import LabelValue
from operators.mimo_pipeline.profile_graph import graph_of
from operators.mimo_pipeline.stage_graph import only, problems, up_to

# Characters of a list that stay on one line.
_LINE = 100


@dataclass(frozen=True, kw_only=True)
class Submission:
    """`stages`, `through`: parts of the default graph; empty = all of it."""

    profile: str
    name: str = ""
    """Empty = the profile's name, with hyphens."""
    namespace: str = ""
    """Empty = left to the client."""
    overrides: tuple[str, ...] = ()
    inputs: tuple[InputSpec, ...] = ()
    stages: tuple[str, ...] = ()
    through: str = ""
    queue: str = ""
    """Kueue LocalQueue of its jobs; empty = that of the operator's settings, if they name one."""

    @property
    def object_name(self) -> str:
        return self.name or self.profile.replace("_", "-")


def build_spec(submission: Submission) -> tuple[PipelineConfig, MimoPipelineSpec]:
    """Raises ConfigError for everything that is wrong with configuration, graph and names."""
    config = compose(submission.profile, submission.overrides)
    _require_base(config, submission)
    graph = graph_of(config, submission.inputs)
    if submission.stages:
        graph = only(graph, submission.stages)
    if submission.through:
        graph = up_to(graph, submission.through)
    spec = MimoPipelineSpec(
        profile=submission.profile,
        overrides=tuple(expand_override_sets(submission.overrides)),
        inputs=submission.inputs,
        stages=tuple(graph),
        queue_name=_parse_queue(submission.queue),
    )
    wrong = problems(submission.object_name, spec)
    if wrong:
        raise ConfigError("\n".join(wrong))
    return config, spec


def build_object(submission: Submission) -> dict[str, Any]:
    """Without defaults: a later version may choose better ones."""
    _, spec = build_spec(submission)
    metadata = {"name": submission.object_name}
    if submission.namespace:
        metadata["namespace"] = submission.namespace
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": metadata,
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


def object_yaml(body: dict[str, Any]) -> str:
    """Short lists of names on one line, long ones with an entry per line."""
    return yaml.dump(
        body, Dumper=_ObjectDumper, sort_keys=False, width=120, allow_unicode=True, default_flow_style=None
    )


class _ObjectDumper(yaml.SafeDumper):
    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        is_short = all(isinstance(v, str) for v in sequence) and sum(len(v) + 2 for v in sequence) <= _LINE
        return super().represent_sequence(tag, sequence, flow_style=is_short if flow_style is None else flow_style)


def parse_inputs(arguments: Sequence[str]) -> tuple[InputSpec, ...]:
    """NAME=URI@DIGEST[,SECRET], such as base=s3://models/base@sha256:01ab,models-reader."""
    return tuple(_parse_input(argument) for argument in arguments)


def _parse_input(argument: str) -> InputSpec:
    name, _, rest = argument.partition("=")
    artifact, _, secret = rest.partition(",")
    uri, _, digest = artifact.rpartition("@")
    if not (name and uri and digest):
        raise ConfigError(f"--input: got {argument!r}, wanted NAME=URI@DIGEST or NAME=URI@DIGEST,SECRET")
    values = {"name": name, "uri": uri, "digest": digest, "secretRef": secret or None}
    try:
        return TypeAdapter(InputSpec).validate_python(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"--input {argument}: {wrong}") from error


def _parse_queue(name: str) -> str:
    try:
        queue: str = TypeAdapter(LabelValue).validate_python(name)
    except ValidationError:
        raise ConfigError(
            f"--queue: got {name!r}, wanted the name of a LocalQueue: at most 63 letters, digits, '-', '_' and '.', "
            "with a letter or digit at both ends"
        ) from None
    return queue


def _require_base(config: PipelineConfig, submission: Submission) -> None:
    given = {i.name for i in submission.inputs}
    if config.base is None and StageName.BASE not in given and not submission.stages:
        raise ConfigError(
            f"inputs: profile {submission.profile} makes no base models; give them with --input base=URI@DIGEST"
        )
