"""An option that has no effect is refused, before any work; and each option is known to have an effect or a rule."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from s2s_cli.cli.app import COMMANDS, app, command
from s2s_cli.cli.effects import IDLE
from s2s_cli.errors import ExitCode, UsageError
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.reading import Reader
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions

# Command line, and which of its options has no effect.
REFUSED = [
    ("translate a --join -o b --model m", "--model"),
    ("translate a --join -o b --strict", "--strict"),
    ("translate a --join -o b --ray local", "--ray"),
    ("translate a --join -o b --column c", "--column"),
    ("translate a --shard 1/2 -o b --column c", "--column"),
    ("translate a --ray local -o b --shard 1/2", "--shard"),
    ("translate a --ray local -o b --threads 2", "--threads"),
    ("translate a --join -o b --batch-tokens 9", "--batch-tokens"),
    ("translate a --join -o b --min-confidence 0.5", "--min-confidence"),
    ("translate a --join -o b --shard 1/2", "--shard"),
    ("translate a --join -o b --min-length 1", "--min-length"),
    ("translate a --join -o b --max-length-ratio 3", "--max-length-ratio"),
    ("translate a --join -o b --max-length-offset 1", "--max-length-offset"),
    ("translate a --join -o b --sample", "--sample"),
    ("translate a --join -o b --device cpu", "--device"),
    ("translate a --join -o b --threads 2", "--threads"),
    ("translate a --join -o b --engine fast", "--engine"),
    ("translate a --shard 1/2 -o b --attention h.html", "--attention"),
    ("translate a --join -o b --memory m.tmx", "--memory"),
    ("translate a --shard 1/2 -o b --in-place", "--in-place"),
    ("translate a --shard 1/2 -o b --format text", "--format"),
    ("translate a --join -o b --protect urls", "--protect"),
    ("translate a --join -o b --protect-pattern x", "--protect-pattern"),
    ("translate a --join -o b --glossary g.tsv", "--glossary"),
    ("translate --glossary-match any-case", "--glossary-match"),
    ("translate --glossary-way forced", "--glossary-way"),
    ("serve --glossary-match any-case", "--glossary-match"),
    ("serve --memory a.tmx --glossary-way forced", "--glossary-way"),
    ("translate --greedy --beam 5", "--beam"),
    ("translate --greedy --n-best 2", "--n-best"),
    ("translate --normalization none --length-penalty 2", "--length-penalty"),
    ("translate --greedy --length-penalty 0.5", "--length-penalty"),
    ("translate --beam 1 --normalization average", "--normalization"),
    ("translate --greedy --diverse 3", "--diverse"),
    ("translate --diversity 1", "--diversity"),
    ("translate --sample --beam 5", "--beam"),
    ("translate --sample --greedy", "--greedy"),
    ("translate --sample --diverse 2", "--diverse"),
    ("translate --sample --normalization none", "--normalization"),
    ("translate --temperature 1", "--temperature"),
    ("translate --top-k 5", "--top-k"),
    ("translate --top-p 0.9", "--top-p"),
    ("translate --seed 1", "--seed"),
    ("translate --greedy --mbr chrf", "--mbr"),
    ("translate --beam 1 --mbr chrf", "--mbr"),
    ("translate --sample --candidates 9", "--candidates"),
    ("translate --beam 9 --mbr bleu --candidates 9", "--candidates"),
    ("translate --sample --mbr bleu --n-best 2 --json --length-penalty 2", "--length-penalty"),
    ("translate --engine reference --shortlist", "--shortlist"),
    ("translate --engine int8 --precision bf16", "--precision"),
    ("evaluate --engine fast --precision fp32", "--precision"),
    ("translate --device cuda --workers 2", "--workers"),
    ("translate --json --alignments", "--alignments"),
    ("translate --format po --json", "--json"),
    ("translate --format text --n-best 2", "--n-best"),
    ("translate page.html --alignments", "--alignments"),
    ("translate page.html --attention a.html", "--attention"),
    ("translate -o page.html --strict", "--strict"),
    ("translate -o page.html --json-input", "--json-input"),
    ("translate --json --fuzzy 0.5", "--fuzzy"),
    ("translate --memory a.tmx --fuzzy 0.5", "--fuzzy"),
    ("evaluate --baseline b", "--baseline"),
    ("evaluate --greedy --beam 5", "--beam"),
    ("evaluate --normalization none --length-penalty 2 --json", "--length-penalty"),
    ("evaluate --greedy --length-penalty 0.5 --json", "--length-penalty"),
    ("evaluate --beam 1 --normalization average", "--normalization"),
    ("evaluate --sample --beam 5", "--beam"),
    ("evaluate --top-p 0.9", "--top-p"),
    ("evaluate --sample --normalization wu", "--normalization"),
    ("evaluate --perplexity --min-length 3", "--min-length"),
    ("evaluate --greedy --mbr chrf", "--mbr"),
    ("evaluate --mbr chrf --candidates 9", "--candidates"),
    ("evaluate --sample --mbr chrf --normalization wu", "--normalization"),
    ("evaluate --perplexity --sample --seed 3", "--sample"),
    ("evaluate --engine reference --shortlist", "--shortlist"),
    ("evaluate --device cuda --workers 2", "--workers"),
    ("evaluate --hypothesis a", "--hypothesis"),
    ("evaluate --language en", "--language"),
    ("evaluate --source a --glossary b", "--source"),
    ("evaluate --reference a --source a", "--source"),
    ("evaluate --glossary-match any-case", "--glossary-match"),
    ("evaluate --reference a --chrf --ter --language zh", "--language"),
    *(
        (f"evaluate --reference a {option}", option.split()[0])
        for option in (
            "--model a",
            "--test b",
            "--beam 5",
            "--greedy",
            "--normalization wu",
            "--length-penalty 1",
            "--min-length 1",
            "--max-length-ratio 2",
            "--max-length-offset 3",
            "--diverse 2",
            "--diversity 1",
            "--sample",
            "--temperature 1",
            "--top-k 5",
            "--top-p 0.5",
            "--mbr chrf",
            "--candidates 9",
            "--seed 1",
            "--perplexity",
            "--device auto",
            "--threads 2",
            "--workers 2",
            "--precision auto",
            "--engine int8",
            "--shortlist",
        )
    ),
]

# Options that have an effect beside any others. A new option belongs here or into `IDLE`.
ALWAYS_EFFECTIVE = {
    "prep": {"recipe", "overrides", "run", "force", "as_json", "ray"},
    "train": {"recipe", "overrides", "run", "dry_run"},
    "translate": {"inputs", "output", "join"},
    "evaluate": {"as_json", "bleu", "chrf", "chrf_words", "ter", "accuracy", "character_accuracy", "distinct"}
    | {"rouge", "references", "glossary"},
    "serve": {"model", "host", "port", "api_keys", "log", "beam", "workers", "batch_tokens", "engine", "body_bytes"}
    | {"texts", "characters", "alternatives", "waiting", "read_seconds", "answer_seconds", "stop_seconds"}
    | {"glossary", "memory", "protect", "protect_pattern"},
}

# With a model whose recipe searches greedily without a normalization.
REFUSED_WITH_THIS_MODEL = [
    ("translate --length-penalty 2 --json", "--length-penalty"),
    ("translate --length-penalty 2 --beam 4", "--length-penalty"),
    ("translate --normalization wu", "--normalization"),
    ("translate --mbr chrf", "--mbr"),
    ("evaluate --mbr chrf", "--mbr"),
    ("evaluate --length-penalty 2 --beam 4", "--length-penalty"),
    ("evaluate --normalization wu", "--normalization"),
]

ACCEPTED = [
    "translate --json --greedy --normalization wu --length-penalty 0.5",
    "translate --json --n-best 2",
    "translate --json --strict --attention b.html a.txt -o b.txt",
    "translate --json-input a.txt -o b.txt",
    "translate page.html --batch-tokens 9 --sample --seed 1",
    "translate a.txt --in-place --beam 3",
    "translate --normalization none --beam 3",
    "translate --alignments --n-best 2",
    "translate --diverse 3 --diversity 1 --n-best 3",
    "translate --sample --temperature 0.5 --top-k 5 --top-p 0.9 --seed 1",
    "translate --sample --n-best 9 --normalization wu --length-penalty 2",
    "translate --beam 5 --mbr chrf --normalization wu --n-best 5",
    "translate --sample --mbr bleu --candidates 9 --n-best 9 --temperature 0.7",
    "evaluate --sample --mbr chrf --seed 3 --json",
    "evaluate --perplexity --distinct --sample --json",
    "evaluate --reference a --hypothesis a --distinct --language zh",
    "translate --protect tags,numbers",
    "translate --protect none --protect-pattern [A-Z]+-[0-9]+",
    "translate --threads 2 --workers 2",
    "translate --precision fp32 --engine reference",
    "evaluate --threads 2 --workers 2 --beam 3 --json",
    "evaluate --normalization wu --length-penalty 2 --beam 3 --json",
    "evaluate --reference a --hypothesis a --language de",
    "evaluate --reference a --hypothesis a --bleu --chrf --language de",
]


def model_that_shows(attention_BKS: object) -> SimpleNamespace:
    """All of a model that tells whether it has attention: its first step."""
    step = SimpleNamespace(attention_BKS=attention_BKS)
    return SimpleNamespace(start=lambda *_: None, step=lambda *_: (step, None))


def fault_of(line: str) -> UsageError | None:
    """What a command line is refused for, if it is."""
    error = CliRunner().invoke(app, line.split(), input=b"").exception
    assert error is None or isinstance(error, UsageError), error
    return error


@pytest.fixture
def reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What of the work was begun, in a folder with one file and one model, which searches greedily."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_MODEL", "model")
    for name in ("a", "a.txt", "page.html"):
        Path(name).write_text("a\n")
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    begun: list[str] = []

    class Fake:
        options = SearchOptions(beam=1, normalization="none")
        device = "cpu"
        model = model_that_shows([[[1.0]]])
        division = Division(target="en")
        writer = SimpleNamespace(calibration=None)
        reader = Reader(cast("Any", None), division)

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    def load(models: object, **_: object) -> Fake:
        begun.append("load")
        return Fake()

    monkeypatch.setattr("s2s_cli.inference.translator.Translator.load", load)
    monkeypatch.setattr("s2s_cli.inference.stream.translate_stream", lambda *_, **__: begun.append("translate") or 1)
    monkeypatch.setattr("s2s_cli.documents.translation.translate_file", lambda *_, **__: begun.append("translate"))
    monkeypatch.setattr("s2s_cli.cli.evaluate._score_model", lambda *_: begun.append("score") or [])
    return begun


def is_told(error: UsageError | None, option: str) -> bool:
    return error is not None and (error.where, error.exit_code) == (option, ExitCode.USAGE) and bool(error.hint)


@pytest.mark.parametrize(("line", "option"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_has_no_effect_is_refused_before_anything_is_loaded(line: str, option: str, reached: list[str]):
    assert is_told(fault_of(line), option)
    assert reached == []


@pytest.mark.parametrize(("line", "option"), REFUSED_WITH_THIS_MODEL)
def test_what_the_model_leaves_without_effect_is_refused(line: str, option: str, reached: list[str]):
    assert is_told(fault_of(line), option)
    assert reached == ["load"]


def test_a_model_without_calibration_has_no_least_confidence(reached: list[str]):
    assert is_told(fault_of("translate --min-confidence 0.5"), "--min-confidence")
    assert is_told(fault_of("translate a.txt -o b.txt --min-confidence 0.5"), "--min-confidence")
    assert reached == ["load", "load"]


@pytest.mark.parametrize("option", ["--alignments", "--attention b.html"])
@pytest.mark.parametrize("output", ["", "-o b"])
def test_a_model_without_attention_shows_none(
    option: str, output: str, reached: list[str], monkeypatch: pytest.MonkeyPatch
):
    fake: Any = Translator.load("model")
    monkeypatch.setattr(type(fake), "model", model_that_shows(None))
    assert is_told(fault_of(f"translate a {output} {option}"), option.split()[0])
    assert reached == ["load", "load"]
    assert not Path("b").exists() and not Path("b.html").exists()
    assert fault_of("translate a --json") is None  # whose lists of links are then empty


@pytest.mark.parametrize("line", ACCEPTED)
def test_what_has_an_effect_is_accepted(line: str, reached: list[str]):
    assert fault_of(line) is None


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("translate --glossary a --glossary b", "--glossary"),
        ("translate a --attention a.html --attention b.html", "--attention"),
        ("translate a -o b --output c", "--output"),
        ("evaluate --reference a --hypothesis a --hypothesis a.txt", "--hypothesis"),
        ("train a --run b --run c", "--run"),
    ],
)
def test_an_option_of_one_file_is_not_repeated(line: str, option: str, reached: list[str]):
    assert is_told(fault_of(line), option)
    assert reached == []


def test_what_can_hold_together_may_be_repeated(reached: list[str]):
    assert (
        fault_of("translate a --seed 1 --sample --sample --seed 2 --model model --model model --protect-pattern a")
        is None
    )
    assert reached == ["load", "translate"]


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["translate", "a", "-o", ""], "--output"),
        (["translate", "--output="], "--output"),
        (["translate", "--model", "model", "--model", ""], "--model"),
        (["translate", "a", "-o", "b", "--shard", ""], "--shard"),
        (["evaluate", "--reference", "a", "--hypothesis", ""], "--hypothesis"),
        (["prep", ""], "RECIPE"),
        (["train", "a", "--run", ""], "--run"),
        (["serve", "--glossary", ""], "--glossary"),
    ],
)
def test_an_empty_value_is_refused(arguments: list[str], where: str, reached: list[str]):
    error = CliRunner().invoke(app, arguments, input=b"").exception
    assert isinstance(error, UsageError) and is_told(error, where) and "empty" in str(error)
    assert reached == []


def test_worker_processes_are_refused_where_a_gpu_was_chosen(reached: list[str], monkeypatch: pytest.MonkeyPatch):
    gpu = SimpleNamespace(device="cuda", options=SearchOptions())
    monkeypatch.setattr("s2s_cli.inference.translator.Translator.load", lambda *_, **__: gpu)
    assert is_told(fault_of("translate --workers 2"), "--workers")
    assert is_told(fault_of("evaluate --workers 2"), "--workers")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_has_a_rule_or_always_an_effect(name: str):
    options = {parameter.name: parameter.opts[0] for parameter in command(name).params}
    ruled = {option for idle in IDLE.get(name, ()) for option in idle.options if option in options}
    assert ruled | ALWAYS_EFFECTIVE[name] == set(options)
    assert not ruled & ALWAYS_EFFECTIVE[name]
    tried = {option for line, option in REFUSED if line.split()[0] == name}
    assert {options[option] for option in ruled} == tried
