"""Parts become one model; what is saved loads in plain transformers; the 7B has the report's parameter counts."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mimo_vl.config.compose import compose
from mimo_vl.config.training import Component
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.model.assemble import assemble, build_on_meta, fresh_language_model, fresh_vision_tower, resize_rows
from mimo_vl.model.checkpoint import load_model, save_model, save_vision_tower
from mimo_vl.model.configure import TokenIds, build_model_config
from mimo_vl.model.freeze import apply_freeze_plan, component_of, parameter_groups
from tests.fakes.model_sizes import tiny_config
from tests.unit.model.builders import TOKEN_IDS, VOCAB_SIZE, tiny_model

pytestmark = pytest.mark.timeout(120)


def _digest(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()


def _assemble(folder: Path, *, seed: int = 0, vocab_size: int = VOCAB_SIZE):
    config = dataclasses.replace(tiny_config(), vision_source="base-stage")
    save_vision_tower(fresh_vision_tower(config, seed=5), folder / "vision")
    fresh_language_model(config, vocab_size=VOCAB_SIZE, seed=6, token_ids=TOKEN_IDS).save_pretrained(
        folder / "language"
    )
    return assemble(
        config,
        vocab_size=vocab_size,
        language_path=folder / "language",
        vision_path=folder / "vision",
        token_ids=TOKEN_IDS,
        seed=seed,
    )


def test_parts_are_taken_over_and_only_the_projector_depends_on_the_seed(tmp_path):
    one, two = _assemble(tmp_path, seed=1), _assemble(tmp_path, seed=2)
    tower = fresh_vision_tower(tiny_config(), seed=5).state_dict()
    language = fresh_language_model(tiny_config(), vocab_size=VOCAB_SIZE, seed=6, token_ids=TOKEN_IDS).state_dict()
    differing = set()
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        if not torch.equal(a, b):
            differing.add(component_of(name))
        elif component_of(name) is Component.VISION:
            assert torch.equal(a, tower[name.removeprefix("model.visual.")])
        elif component_of(name) is Component.LANGUAGE:
            assert torch.equal(a, language[name.replace("model.language_model.", "model.")])
    assert differing == {Component.PROJECTOR}
    assert one.lm_head.weight is one.model.language_model.embed_tokens.weight


def test_same_seed_same_bytes_and_plain_transformers_loads_them(tmp_path):
    for name in ("a", "b"):
        save_model(_assemble(tmp_path), tmp_path / name)
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")
    stock, info = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "a", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ours = load_model(tmp_path / "a")
    for (name, a), b in zip(stock.named_parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_loading_and_saving_again_changes_no_byte(tmp_path):
    save_model(_assemble(tmp_path), tmp_path / "a")
    save_model(load_model(tmp_path / "a"), tmp_path / "b")
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")


def test_untied_models_keep_their_own_head(tmp_path):
    model = tiny_model(tmp_path, tie=False)
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert not torch.equal(loaded.lm_head.weight, loaded.model.language_model.embed_tokens.weight)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_a_larger_vocabulary_adds_mean_rows_and_a_smaller_one_cuts(tmp_path):
    weight = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert resize_rows(weight, 3).tolist() == [[1.0, 2.0], [3.0, 6.0], [2.0, 4.0]]
    assert resize_rows(weight, 1).tolist() == [[1.0, 2.0]]
    assert len(_assemble(tmp_path, vocab_size=VOCAB_SIZE + 7).lm_head.weight) == VOCAB_SIZE + 7


def test_a_checkpoint_of_other_sizes_names_the_tensor(tmp_path):
    _assemble(tmp_path)
    config = tiny_config(num_layers=3)
    with pytest.raises(InputError, match=r"missing model.language_model.layers.2"):
        assemble(
            config, vocab_size=VOCAB_SIZE, language_path=tmp_path / "language", vision_path=None, token_ids=TOKEN_IDS
        )


def test_a_folder_without_model_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        load_model(tmp_path)
    with pytest.raises(InputError, match=r"no \*\.safetensors"):
        assemble(tiny_config(), vocab_size=VOCAB_SIZE, language_path=tmp_path, vision_path=None, token_ids=TOKEN_IDS)


def test_a_tokenizer_without_vision_tokens_is_a_config_error():
    with pytest.raises(ConfigError, match="image_pad"):
        TokenIds.from_lookup({"<|im_end|>": 1}.get)


def test_fewer_rows_than_the_tokenizer_has_ids_is_a_config_error():
    config = tiny_config()
    config = dataclasses.replace(config, language=dataclasses.replace(config.language, vocab_size=50))
    with pytest.raises(ConfigError, match="got 50, wanted 0 or at least the tokenizer's 96"):
        build_model_config(config, vocab_size=VOCAB_SIZE)


# The 7B of the report, by hand. D = 4096 (language), E = 1280 (vision), F = 11008, G = 3456, V = 151680 rows.
LANGUAGE_LAYER = (
    4096 * 4096 + 4096  # q
    + 2 * (4096 * 1024 + 1024)  # k, v: 8 groups of 128
    + 4096 * 4096  # o
    + 3 * 4096 * 11008  # gate, up, down
    + 2 * 4096  # norms
)  # fmt: skip
LANGUAGE = 36 * LANGUAGE_LAYER + 2 * 151680 * 4096 + 4096
VISION_LAYER = 1280 * 3840 + 3840 + 1280 * 1280 + 1280 + 3 * 1280 * 3456 + 2 * 3456 + 1280 + 2 * 1280
VISION = 32 * VISION_LAYER + 3 * 2 * 14 * 14 * 1280
PROJECTOR = 1280 + (5120 * 5120 + 5120) + (5120 * 4096 + 4096)


@pytest.fixture(scope="module")
def mimo_vl_7b():
    config = compose("mimo_vl_7b")
    return config, build_on_meta(build_model_config(config.model, vocab_size=151665))


def test_the_7b_has_the_parameter_counts_of_the_report(mimo_vl_7b):
    assert (LANGUAGE, VISION, PROJECTOR) == (7_622_619_136, 636_401_664, 47_196_416)
    _, model = mimo_vl_7b
    counts = dict.fromkeys(Component, 0)
    for name, parameter in model.named_parameters():
        assert parameter.is_meta
        counts[component_of(name)] += parameter.numel()
    assert counts == {Component.LANGUAGE: LANGUAGE, Component.VISION: VISION, Component.PROJECTOR: PROJECTOR}


def test_trainable_parameters_per_stage_of_the_7b(mimo_vl_7b):
    config, model = mimo_vl_7b
    trainable = [sum(apply_freeze_plan(model, stage.trainable).values()) for stage in config.stages.values()]
    expected = {
        "projector-warmup": PROJECTOR,  # 47.2 M
        "vision-language-alignment": PROJECTOR + VISION,  # 683.6 M
        "multimodal-pretraining": PROJECTOR + VISION + LANGUAGE,  # 8.31 B
        "long-context-sft": PROJECTOR + VISION + LANGUAGE,
    }
    assert dict(zip([str(name) for name in config.stages], trainable, strict=True)) == expected
    assert [round(n / 1e6, 1) for n in expected.values()] == [47.2, 683.6, 8306.2, 8306.2]


def test_parameter_groups_cover_each_trainable_parameter_once_with_its_components_rate(tmp_path):
    model = tiny_model(tmp_path)
    apply_freeze_plan(model, {Component.VISION, Component.PROJECTOR})
    rates = {Component.VISION: 1e-4, Component.PROJECTOR: 1e-5}
    groups = parameter_groups(model, rates, weight_decay=0.1)
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in groups] == [
        ("vision", 1e-4, 0.1),
        ("vision-no-decay", 1e-4, 0.0),
        ("projector", 1e-5, 0.1),
        ("projector-no-decay", 1e-5, 0.0),
    ]
    grouped = [id(p) for g in groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert all(p.dim() >= 2 for g in groups if g["weight_decay"] for p in g["params"])
