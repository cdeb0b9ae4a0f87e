"""Scores against the `sacrebleu` command, run as a process of its own on files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from s2s_cli.errors import DataError, ExitCode, UsageError
from s2s_cli.evaluation.metrics import METRICS, read_lines, score

HYPOTHESES = """A man in an orange hat is starring at something.
A Boston Terrier is running on lush green grass in front of a white fence. \t
 Five people wearing winter jackets and helmets stand in the snow,  with snowmobiles in the background.

People are fixing the roof of a house\u2028on "Main Street"; it's 3.5 m high\u0085
A man in light colored clothing photographs a group of men wearing dark suits & hats
"""
REFERENCES = """A man in an orange hat starring at something.\r
A Boston Terrier is running on lush green grass in front of a white fence.
A girl in karate uniform breaking a stick with a front kick.
Five people wearing winter jackets and helmets stand in the snow, with snowmobiles in the background.
People are fixing the roof of a house.
A man in light colored clothing photographs a group of men wearing dark suits and hats standing around a woman.
"""
OTHER_REFERENCES = """A man with an orange hat stares at something .
A terrier runs over green grass before a white fence.
A girl kicks a stick in two.
Five people in jackets and helmets are standing in snow.

A man takes pictures of men in suits.
"""
CHINESE = (
    "我昨天去了北京。\n他的价格是 3.5 元,很便宜!\n你好吗?\n",
    "我昨天去北京了。\n它的价格是3.5元,真便宜!\n你好吗?\n",
)


def command(tmp_path: Path, hypotheses: str, references: list[str], *options: str) -> list[dict]:
    paths = [tmp_path / f"{place}.txt" for place in range(1 + len(references))]
    for path, text in zip(paths, [hypotheses, *references], strict=True):
        path.write_bytes(text.encode())
    arguments = [*map(str, paths[1:]), "-i", str(paths[0]), "-w", "14", *options]
    done = subprocess.run([sys.executable, "-m", "sacrebleu", *arguments], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


def ours(tmp_path: Path, references: int, metric: str, language: str):
    paths = [tmp_path / f"{place}.txt" for place in range(1 + references)]
    hypotheses, *others = (read_lines(path) for path in paths)
    return score(hypotheses, others, [metric], language)[0]


@pytest.mark.parametrize("references", [[REFERENCES], [REFERENCES, OTHER_REFERENCES]], ids=["one", "two"])
@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("bleu", ["-m", "bleu"]),
        ("chrf", ["-m", "chrf"]),
        ("chrf++", ["-m", "chrf", "--chrf-word-order", "2"]),
        ("ter", ["-m", "ter"]),
    ],
)
def test_the_figures_are_those_of_the_command(tmp_path, references, metric, options):
    (expected,) = command(tmp_path, HYPOTHESES, references, *options)
    found = ours(tmp_path, len(references), metric, "en")
    assert found.name == expected["name"]
    assert f"{found.value:.14f}" == f"{expected['score']:.14f}"
    assert found.signature == expected["signature"]
    assert found.details == expected.get("verbose_score", "")
    assert 0.0 < found.value < 100.0


@pytest.mark.parametrize("options", [["-tok", "zh"], ["-l", "en-zh"]])
def test_chinese(tmp_path, options):
    hypotheses, references = CHINESE
    (expected,) = command(tmp_path, hypotheses, [references], "-m", "bleu", *options)
    found = ours(tmp_path, 1, "bleu", "zh-CN")
    assert f"{found.value:.14f}" == f"{expected['score']:.14f}"
    assert found.signature == expected["signature"].replace("lang:en-zh|", "")
    assert "tok:zh" in found.signature


def test_several_metrics_come_in_the_order_asked_for():
    found = score(["a b c d"], [["a b c d"]], ["ter", "chrf++", "bleu", "chrf"], "en")
    assert [figure.name for figure in found] == ["TER", "chrF2++", "BLEU", "chrF2"]
    assert [figure.value for figure in found] == pytest.approx([0.0, 100.0, 100.0, 100.0])


@pytest.mark.parametrize(("hypotheses", "references"), [(2, [3]), (3, [2]), (0, [1]), (2, [2, 5])])
def test_differing_counts_are_named(hypotheses, references):
    with pytest.raises(DataError, match=rf"{hypotheses} and {references[-1]} lines") as caught:
        score(["x"] * hypotheses, [["x"] * count for count in references], ["bleu"], "en")
    assert caught.value.exit_code == ExitCode.DATA


@pytest.mark.parametrize("references", [[], [[]]])
def test_nothing_to_score(references):
    with pytest.raises(DataError):
        score([], references, ["bleu"], "en")


def test_an_unknown_metric_is_named():
    with pytest.raises(UsageError, match=r"`meteor`.*bleu, chrf, chrf\+\+, ter"):
        score(["x"], [["x"]], ["meteor"], "en")


def test_sacrebleu_is_imported_late():
    code = "import sys, s2s_cli.evaluation.metrics; sys.exit(bool({'sacrebleu', 'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert set(METRICS) >= {"bleu", "chrf", "chrf++", "ter", "accuracy", "character_accuracy", "rouge-L"}
