"""Files made from code are what the code makes now."""

from __future__ import annotations

from operators.mimo_pipeline.generate import FILES, ROOT, main, stale_files, write_files


def test_every_generated_file_is_up_to_date() -> None:
    assert len(FILES) >= 1
    assert stale_files(ROOT) == [], "run `make generate` and commit what changed"


def test_check_fails_on_a_difference_and_generate_mends_it(tmp_path) -> None:
    assert sorted(write_files(tmp_path)) == sorted(FILES)
    assert stale_files(tmp_path) == []
    name = next(iter(FILES))
    (tmp_path / name).write_text("edited by hand", encoding="utf-8")
    assert stale_files(tmp_path) == [name]
    assert write_files(tmp_path) == [name]
    assert stale_files(tmp_path) == []


def test_verify_exits_zero_when_nothing_differs() -> None:
    assert main(["--check"]) == 0
