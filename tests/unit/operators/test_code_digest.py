"""The code digest follows sources and lock files, and nothing else."""

from __future__ import annotations

import shutil

from operators.mimo_pipeline.code_digest import code_digest, project_root


def _tree(root):
    for path, text in {"mimo_vl/a.py": "1", "jobs/b.py": "2", "requirements/train.txt": "x==1"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_a_changed_source_or_lock_file_changes_the_digest(tmp_path) -> None:
    root = _tree(tmp_path)
    digests = {code_digest(root)}
    (root / "mimo_vl/a.py").write_text("changed")
    digests.add(code_digest(root))
    (root / "requirements/train.txt").write_text("x==2")
    digests.add(code_digest(root))
    (root / "jobs/c.py").write_text("new")
    digests.add(code_digest(root))
    assert len(digests) == 4


def test_every_file_of_the_sources_changes_the_digest_unless_it_holds_configuration_values(tmp_path) -> None:
    for folder in ("mimo_vl", "jobs"):
        shutil.copytree(project_root() / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = [path for folder in ("mimo_vl", "jobs") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    # One of each kind: they enter by the ends of their names.
    kinds = {path.suffix: path for path in sorted(files) if path.suffix != ".yaml"}
    assert {".py", ".jinja", ".j2", ".css"} <= set(kinds)
    before = code_digest(tmp_path)
    for path in kinds.values():
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert code_digest(tmp_path) != before, path
        path.write_bytes(content)
    assert code_digest(tmp_path) == before


def test_configuration_values_caches_and_other_folders_do_not_matter(tmp_path) -> None:
    root = _tree(tmp_path)
    before = code_digest(root)
    for path in ("mimo_vl/conf/x.yaml", "mimo_vl/__pycache__/a.pyc", "tests/t.py", "operators/o.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("anything")
    assert code_digest(root) == before


def test_the_place_of_the_tree_does_not_matter(tmp_path) -> None:
    assert code_digest(_tree(tmp_path / "one")) == code_digest(_tree(tmp_path / "two"))
