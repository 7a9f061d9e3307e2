"""Chat: one prompt or many, with or without an image."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from jobs.chat import main
from mimo_vl.errors import InputError
from mimo_vl.evaluation.chat import Chat
from mimo_vl.schema.rollout import SamplingParams
from tests.fakes.answering import FakeEngine, fake_model

PARAMS = SamplingParams(temperature=0.0, max_new_tokens=8)


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (56, 28)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_each_line_is_answered_until_an_empty_one() -> None:
    model = fake_model(lambda *_: "four")
    said: list[str] = []
    Chat(model=model, params=PARAMS, image=_png()).converse(["how many?\n", "again?\n", "\n", "late\n"], said.append)
    assert said == ["four\n", "four\n"]
    assert isinstance(model.generator, FakeEngine)
    assert model.generator.params == [PARAMS, PARAMS]


def test_file_that_is_no_image_is_an_error_with_a_remedy() -> None:
    with pytest.raises(InputError, match="give a PNG or JPEG"):
        Chat(model=fake_model(lambda *_: ""), params=PARAMS, image=b"text").answer("what?")


def test_missing_image_and_missing_run_end_with_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hello", "--image", str(tmp_path / "none.png")]) == 2
    assert "--image: no file" in capsys.readouterr().err
    assert main(["hello", "--run-dir", str(tmp_path)]) == 2
    assert "--run-dir" in capsys.readouterr().err
