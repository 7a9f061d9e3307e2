"""Files made from code are what the code makes now."""

from __future__ import annotations

import pytest

from operators.mimo_pipeline.generate import FILES, ROOT, main, stale_files, write_files


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_generated_file_is_up_to_date(name) -> None:
    assert list(stale_files(ROOT, {name: FILES[name]})) == [], "run `make generate` and commit what changed"


def test_the_crd_and_the_examples_are_generated() -> None:
    wanted = {"charts/mimo-pipeline/files/crd.yaml", "examples/tiny.yaml", "examples/demo-ci.yaml"}
    assert wanted <= set(FILES)


def test_only_what_differs_is_stale_and_written(tmp_path) -> None:
    files = {"a/b.txt": lambda: "made", "c.txt": lambda: "also made"}
    assert write_files(tmp_path, files) == ["a/b.txt", "c.txt"]
    (tmp_path / "a/b.txt").write_text("edited by hand", encoding="utf-8")
    assert stale_files(tmp_path, files) == {"a/b.txt": "made"}
    assert write_files(tmp_path, files) == ["a/b.txt"]
    assert (tmp_path / "a/b.txt").read_text(encoding="utf-8") == "made"
    assert stale_files(tmp_path, files) == {}


def test_the_check_fails_and_names_a_stale_file(monkeypatch, caplog) -> None:
    monkeypatch.setattr("operators.mimo_pipeline.generate.stale_files", lambda: {"examples/tiny.yaml": "made"})
    assert main(["--check"]) == 1
    assert "examples/tiny.yaml is not what the code generates; run `make generate`" in caplog.text
    monkeypatch.setattr("operators.mimo_pipeline.generate.stale_files", dict)
    assert main(["--check"]) == 0
