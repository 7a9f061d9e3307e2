"""The ConfigMap by which all processes of a pipeline get its composed configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.metadata import shared_metadata

CONFIG_KEY = "config.yaml"


def build_config_map(facts: ClusterFacts, config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` is `status.runtime.config`: plain values, frozen at the start."""
    text = yaml.safe_dump(dict(config), sort_keys=True)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": shared_metadata(facts.config_map, facts),
        "data": {CONFIG_KEY: text},
    }
