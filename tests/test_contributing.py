"""The worked examples of CONTRIBUTING.md work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SCORE, ENCODER = re.findall(r"^```diff\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("diff", "most"), [(SCORE, 20), (ENCODER, 30)], ids=["score", "encoder"])
def test_the_example_is_as_small_as_it_says(diff: str, most: int) -> None:
    changed = [line for line in diff.split("\n") if re.match(r"[+-](?![+-]{2} )", line)]
    assert len(changed) <= most
    assert f"{len(changed)} changed lines in two files" in TEXT
    assert len(re.findall(r"^\+\+\+ ", diff, re.MULTILINE)) == 2


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|c))`", TEXT))
    assert len(named) > 40
    assert [path for path in named if not any((ROOT / folder / path).is_file() for folder in ("", "s2s_cli"))] == []
    tables = re.findall(r"`(\w+)`(?:,| of) `((?:\w+/)+\w+\.py)`", TEXT)
    assert len(tables) > 15
    for name, path in tables:
        assert name in (ROOT / ("" if path.startswith("tests/") else "s2s_cli") / path).read_text()


SOME = "(unrolled_training or padding or learns)"
FAMILY, SCORES = "tests/model/test_family.py", "tests/model/test_attention_scores.py"


@pytest.mark.parametrize(
    ("diffs", "tests", "where"),
    [
        pytest.param(
            [SCORE, ENCODER], f"(cosine or convolutional) and {SOME} or every_score", [FAMILY, SCORES], id="both"
        ),
        pytest.param([SCORE], "cosine or every_score", ["tests/model"], id="score", marks=pytest.mark.slow),
        pytest.param([ENCODER], "convolutional", ["tests/model"], id="encoder", marks=pytest.mark.slow),
    ],
)
@pytest.mark.skipif(shutil.which("git") is None, reason="no git to apply the diff with")
def test_the_new_member_passes_the_tests_of_the_family(
    diffs: list[str], tests: str, where: list[str], tmp_path: Path
) -> None:
    for name in ("s2s_cli", "tests/model"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)  # else a repository above would be meant
    for diff in diffs:
        subprocess.run(["git", "apply"], cwd=tmp_path, input=diff.encode(), check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *where, "-k", tests],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20
