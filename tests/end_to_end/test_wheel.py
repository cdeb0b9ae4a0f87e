"""The wheel where there is neither a compiler nor PyTorch: it translates and scores, and says what the rest lacks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from s2s_cli import Translator
from s2s_cli.errors import ExitCode
from s2s_cli.text.symbols import WordTokenizer
from s2s_cli.text.tokenizer import EOS, TokenizerPair
from scripts.tortures.task import ROOT

pytestmark = pytest.mark.slow
SOURCES = ("s2s_cli", "scripts/wheel_hook.py", "pyproject.toml", "README.md", "LICENSE")
LINES = ["some words", "words words some", ""]
PYTORCH_IS_MISSING = "error: this needs PyTorch, which is not installed (pip install torch)\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("build")
    (folder / "scripts").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    command = "pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .".split()
    subprocess.run([sys.executable, "-m", *command], cwd=folder, check=True, timeout=600)
    [made] = (folder / "dist").iterdir()
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel and what it requires, but for PyTorch."""
    folder = tmp_path_factory.mktemp("fresh")
    python = folder / "bin" / "python"
    for words in (
        ["venv", "--without-pip", str(folder)],
        ["pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)],
    ):
        subprocess.run([sys.executable, "-m", *words], check=True, timeout=600)
    [packages] = folder.glob("lib/python*/site-packages")
    [itself] = packages.glob("s2s_cli-*.dist-info")
    for path in {path for name in required(Distribution.at(itself)) for path in installed(distribution(name))}:
        (packages / path.name).symlink_to(path)
    return python


def required(whole: Distribution) -> set[str]:
    """The names of all distributions that one needs without its extras, PyTorch left out."""
    found, rest = set[str](), [whole]
    while rest:
        for line in rest.pop().requires or ():
            name = re.match(r"[\w.-]+", line)[0]
            if ";" not in line and name not in found | {"torch"}:
                found.add(name)
                rest.append(distribution(name))
    return found


def installed(found: Distribution) -> Iterator[Path]:
    """Its packages and modules."""
    for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        yield Path(str(found.locate_file(name)))


@pytest.fixture(scope="module")
def folder(tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a model, texts and a recipe."""
    folder = tmp_path_factory.mktemp("work")
    tokenizer = WordTokenizer(["some", "words"])
    tools.export(folder / "model", ("fr", "en"), TokenizerPair(tokenizer, tokenizer), packed=True, bias={EOS: -3.0})
    (folder / "text").write_text("the cat sat on the mat\n")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    return folder


def run(python: Path, folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program of the environment: there is no other on the path, and so no compiler."""
    environment = {"PATH": str(python.parent), "HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    command = [python.parent / words[0], *words[1:]]
    return subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, timeout=600, check=False
    )


def test_it_is_of_this_platform_and_small(wheel: Path):
    assert re.fullmatch(r"s2s_cli-[\d.]+-py3-none-(linux|macosx)_\w+\.whl", wheel.name)
    assert wheel.stat().st_size < 5 << 20


@pytest.mark.parametrize("engine", ["auto", "fast", "int8"])
def test_translations_are_those_of_any_other_place(python: Path, folder: Path, engine: str):
    words = ["translate", "--model", "model", "--engine", engine, "--json"]
    done = run(python, folder, "s2s", *words, stdin="".join(f"{line}\n" for line in LINES))
    assert (done.returncode, done.stderr) == (0, "")
    expected = Translator.load(folder / "model", engine=engine).translate(LINES)
    assert expected[0].text and not expected[-1].text
    assert done.stdout.splitlines() == [each.to_json(number) for number, each in enumerate(expected)]
    assert not (folder / "home").exists()  # the library came with the wheel: none was compiled


def test_python_translates(python: Path, folder: Path):
    program = "import sys, s2s_cli; t = s2s_cli.Translator.load('model'); print(t.translate(['some words'])[0].text)"
    program += "; print('torch' in sys.modules)"
    done = run(python, folder, "python", "-c", program)
    [expected] = Translator.load(folder / "model").translate(["some words"])
    assert (done.stdout, done.stderr) == (f"{expected.text}\nFalse\n", "")


def test_hypotheses_are_scored(python: Path, folder: Path):
    done = run(python, folder, "s2s", "evaluate", "--hypothesis", "text", "--reference", "text", "--bleu", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["value"] == pytest.approx(100)


@pytest.mark.parametrize("words", ["train recipes/quickstart.yaml", "translate --model model --engine reference"])
def test_what_needs_pytorch_says_so(python: Path, folder: Path, words: str):
    done = run(python, folder, "s2s", *words.split(), stdin="some words\n")
    assert (done.returncode, done.stdout) == (ExitCode.MACHINE, "")
    assert done.stderr.endswith(PYTORCH_IS_MISSING)


def test_a_model_that_the_engine_does_not_know_needs_pytorch(python: Path, folder: Path, tools):
    tokenizer = WordTokenizer(["some", "words"])
    other = {"decoder": {"hidden": 16, "context": "initial", "feed_previous": False}}
    tools.export(folder / "other", ("fr", "en"), TokenizerPair(tokenizer, tokenizer), **other)
    done = run(python, folder, "s2s", "translate", "--model", "other", stdin="some words\n")
    assert (done.returncode, done.stdout) == (ExitCode.MACHINE, "")
    assert done.stderr.endswith(PYTORCH_IS_MISSING)
