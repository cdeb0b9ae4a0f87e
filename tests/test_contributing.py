"""The worked example of CONTRIBUTING.md works."""

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
(DIFF,) = re.findall(r"^```diff\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
CHANGED = [line for line in DIFF.split("\n") if re.match(r"[+-](?![+-]{2} )", line)]


def test_the_example_is_as_small_as_it_says() -> None:
    assert len(CHANGED) <= 20
    assert f"{len(CHANGED)} changed lines in two files" in TEXT
    assert len(re.findall(r"^\+\+\+ ", DIFF, re.MULTILINE)) == 2


@pytest.mark.parametrize(
    "tests",
    [
        pytest.param("cosine and (unrolled_training or padding or learns) or every_score", id="some"),
        pytest.param("cosine or every_score", id="all", marks=pytest.mark.slow),
    ],
)
@pytest.mark.skipif(shutil.which("git") is None, reason="no git to apply the diff with")
def test_the_new_score_passes_the_tests_of_the_family(tests: str, tmp_path: Path) -> None:
    for name in ("s2s_cli", "tests/model"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)  # else a repository above would be meant
    subprocess.run(["git", "apply"], cwd=tmp_path, input=DIFF.encode(), check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/model", "-k", tests],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20
