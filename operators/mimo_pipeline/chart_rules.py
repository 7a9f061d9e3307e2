"""The rules of the operator's Roles as the chart reads them: one list of permissions for code and chart."""

from __future__ import annotations

import yaml

from operators.mimo_pipeline.kubernetes.permissions import OPERATOR_RULES, PIPELINE_RULES


def rules_yaml() -> str:
    rules = {
        "pipelines": [rule.to_role_rule() for rule in PIPELINE_RULES],
        "operator": [rule.to_role_rule() for rule in OPERATOR_RULES],
    }
    return yaml.safe_dump(rules, sort_keys=False)
