"""Profile + overrides -> PipelineConfig, with every wrong field reported at once. The only user of Hydra."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from mimo_vl.config.describe import describe_errors
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.errors import ConfigError

CONF_DIR = Path(__file__).parent / "conf"


def list_profiles() -> list[str]:
    return sorted(p.stem for p in (CONF_DIR / "profile").glob("*.yaml"))


def compose(profile: str, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Compose and validate. Overrides are Hydra's `path.to.field=value`; `@name` stands for conf/overrides/name.yaml.

    Raises:
        ConfigError: unknown profile, unknown key, wrong type or impossible combination; all of them at once.
    """
    return parse(compose_values(profile, overrides))


def compose_values(profile: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain values, before validation."""
    if profile not in list_profiles():
        near = difflib.get_close_matches(profile, list_profiles(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"profile: {profile!r} is unknown; {hint}choose one of {', '.join(list_profiles())}")
    # Hydra costs 0.15 s to import; only composing pays it.
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(config_dir=str(CONF_DIR), version_base="1.3"):
            composed = hydra_compose(
                "config", overrides=[f"profile={profile}", *map(_as_override, expand_override_sets(overrides))]
            )
            values = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_explain(str(error), overrides)) from error
    assert isinstance(values, dict)
    return {str(k): v for k, v in values.items()}


def parse(values: dict[str, Any]) -> PipelineConfig:
    try:
        return TypeAdapter(PipelineConfig).validate_python(values)
    except ValidationError as error:
        raise ConfigError("\n".join(describe_errors(PipelineConfig, error.errors()))) from error


def load_config(path: Path) -> PipelineConfig:
    """Read a composed YAML file (MIMO_CONFIG)."""
    if not path.is_file():
        raise ConfigError(f"MIMO_CONFIG: no file {path}; the controller mounts the composed configuration there")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ConfigError(f"MIMO_CONFIG: {path} holds {type(values).__name__}, wanted a mapping")
    return parse(values)


def dump_config(config: PipelineConfig) -> str:
    return yaml.safe_dump(TypeAdapter(PipelineConfig).dump_python(config, mode="json"), sort_keys=True)


def expand_override_sets(overrides: Sequence[str]) -> list[str]:
    """The overrides with every `@name` replaced by what the set holds, in order."""
    result: list[str] = []
    for item in overrides:
        if not item.startswith("@"):
            result.append(item)
            continue
        path = CONF_DIR / "overrides" / f"{item[1:]}.yaml"
        if not path.is_file():
            known = ", ".join("@" + p.stem for p in sorted(path.parent.glob("*.yaml")))
            raise ConfigError(f"override {item}: no such set of overrides; known: {known}")
        result.extend(yaml.safe_load(path.read_text(encoding="utf-8")))
    return result


def _as_override(item: str) -> str:
    """Let Hydra set any value, known to the YAML or not: the dataclasses know the fields and name a wrong one."""
    key = item.split("=", 1)[0]
    is_group = (CONF_DIR / key.split("@", 1)[0].strip("/")).is_dir() and "." not in key
    return item if is_group or key[:1] in "+~" else f"++{item}"


def _explain(message: str, overrides: Sequence[str]) -> str:
    first = message.strip().splitlines()[0]
    return f"overrides {list(overrides)}: {first}; `mimo check --profile NAME` prints every key"
