"""`s2s translate` as a process of its own, with pipes and signals, over a tiny model with random weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from starts import PATIENCE, Ended, Started

from s2s_cli import Translator, __version__
from s2s_cli.checkpoint.model_directory import save_model
from s2s_cli.errors import CheckpointError, UsageError
from s2s_cli.model.building import build_model
from s2s_cli.recipe import schema
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import Tokenizer, TokenizerPair

LETTERS = CharacterTokenizer("▁abcdefghijklmnopqrstuvwxyz")
TINY = {
    "embedding": 8,
    "encoder": {"hidden": 8},
    "decoder": {"hidden": 16},
    "attention": {"size": 8},
}


def export(directory: Path, *, seed: int = 1, target: Tokenizer = LETTERS, languages: str = "fr-en") -> Path:
    """A run with an exported model, which translates into gibberish."""
    torch.manual_seed(seed)
    model = schema.Model.read(TINY)
    config = {
        "s2s_version": __version__,
        "name": "tiny",
        "languages": dict(zip(("source", "target"), languages.split("-"), strict=True)),
        "model": model.values(),
        "source_vocabulary": LETTERS.size,
        "target_vocabulary": target.size,
        "decoding": schema.Decoding(beam=2).values(),
        "max_pieces": 30,
    }
    weights = build_model(model, LETTERS.size, target.size).state_dict()
    directory.mkdir()
    save_model(directory / "model", weights, config, TokenizerPair(LETTERS, target), "# Tiny\n")
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("translate") / "tiny")


def start(
    run: Path, *options: object, stdin: int | None = None, stdout: int | None = None, fresh: bool = False
) -> Started:
    """A translating process; as a context, it does not outlive the test."""
    words = ("translate", "--model", run, "--threads", "1", *options)
    return Started(*words, stdin=stdin, stdout=stdout, fresh=fresh)


def translate(run: Path, data: bytes, *options: object, fresh: bool = False) -> Ended:
    return start(run, *options, fresh=fresh).finish(data)


def is_one_sentence(message: bytes) -> bool:
    return message.count(b"\n") == 1 and b"Traceback" not in message


def test_lines_in_and_lines_out(run: Path) -> None:
    data = b"\xef\xbb\xbfun\r\n\ndeux \xe2\x80\xa8 trois\n\xff\n\0\nquatre"
    done = translate(run, data, "--json", fresh=True)
    records = [json.loads(line) for line in done.output.splitlines()]
    assert done.code == 0
    assert [record["source"] for record in records] == ["un", "", "deux \u2028 trois", "\ufffd", "\0", "quatre"]
    assert [record["line"] for record in records] == list(range(6))
    assert b"<stdin>:4: invalid UTF-8" in done.messages and is_one_sentence(done.messages)


def test_empty_input(run: Path) -> None:
    with open(os.devnull, "rb") as nothing:
        assert start(run, stdin=nothing.fileno()).finish() == (0, b"", b"")


def test_strict_input(run: Path) -> None:
    done = translate(run, b"un\ndeux \xff\n", "--strict")
    assert done.code == 3
    assert done.output.count(b"\n") == 1
    assert b"<stdin>:2" in done.messages and is_one_sentence(done.messages)


def test_a_glossary_is_kept_to(run: Path, tmp_path: Path) -> None:
    """In each sentence, whatever is protected, or demanded besides; with a PO file, too."""
    glossary, document = tmp_path / "terms.tsv", tmp_path / "a.po"
    glossary.write_text("deux\tred fox\ncinq\tquick\n")
    lines = [b'{"text": "un deux. Trois <b>cinq</b>", "constraints": ["dog"]}', b'{"text": "un"}']
    options = ["--glossary", glossary, "--glossary-match", "any-case"]
    done = translate(run, b"\n".join(lines), "--json-input", *options)
    first, second = done.output.decode().splitlines()
    assert (done.code, done.messages) == (0, b"")
    assert all(phrase in first for phrase in ("red fox", "quick", "dog")) and "fox" not in second
    done = translate(run, b"Un DEUX. Trois <b>cinq</b>", "--protect", "tags", *options)
    assert b"red fox" in done.output and b"quick" in done.output
    assert (done.output.count(b"<b>"), done.output.count(b"</b>")) == (1, 1)
    document.write_text('msgid "un <b>cinq</b> %s"\nmsgstr ""\n')
    written = translate(run, b"", document, *options).output
    assert b"quick" in written and written.count(b"%s") == 2
    glossary.write_text("deux\tfox\ncinq\tFox\n")
    done = translate(run, b"un", *options)
    assert (done.code, done.output) == (3, b"")
    assert f"{glossary}:2: the model cannot write 'F'".encode() in done.messages and is_one_sentence(done.messages)


def test_requests_in_json(run: Path) -> None:
    """What is demanded stands in the output, and other fields come back; a line that is no request ends it."""
    lines = [
        b'{"text": "un deux", "constraints": ["fox", "red fox"], "id": 7}',
        b'{"text": "trois", "prefix": "the qu", "avoid": ["the"]}',
        b'{"text": "quatre", "prefix": "the qu", "avoid": ["cat"], "other": {"a": [1]}}',
        b'{"texts": "cinq"}',
    ]
    done = translate(run, b"\n".join([lines[0], lines[2]]), "--json-input", "--json")
    first, second = map(json.loads, done.output.splitlines())
    assert (done.code, done.messages) == (0, b"")
    assert "red fox" in first["translation"] and first["id"] == 7
    assert second["translation"].startswith("the qu") and second["other"] == {"a": [1]}
    for bad, what in ((lines[1], b"<stdin>:2: the prefix 'the qu' has"), (lines[3], b"<stdin>:2: text: this key")):
        done = translate(run, b"\n".join([lines[0], bad, lines[2]]), "--json-input")
        assert done.code == 3
        assert done.output.count(b"\n") == 1 and b"red fox" in done.output
        assert done.messages.startswith(b"error: " + what) and is_one_sentence(done.messages)
    done = translate(run, lines[0], "--json-input", "--greedy")
    assert (done.code, done.output) == (2, b"")
    assert b"<stdin>:1: constraints need a beam" in done.messages and is_one_sentence(done.messages)


@pytest.mark.slow  # the first MiB is translated, whatever it holds
def test_a_line_of_10_mb_takes_bounded_memory(run: Path) -> None:
    sizes = {}
    for name, line in {"short": b"un", "letters": b"x" * 10_000_000, "marks": b"a\xcc\x81\xcc\x96" * 2_000_000}.items():
        with start(run, fresh=True) as running:
            running.write(b"un\n" + line + b"\ndeux\n")
            lines = [running.stdout.readline() for _ in range(3)]
            sizes[name] = peak_memory(running.pid)
            done = running.finish()
        assert done.output == b""
        assert all(line.endswith(b"\n") for line in lines)
        assert (b"<stdin>:2: a line that is too long" in done.messages) == (name != "short")
    assert max(sizes.values()) < sizes["short"] + 400_000_000


def peak_memory(process: int) -> int:
    """Most bytes that a process had so far."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_a_file_gives_the_same_as_python(run: Path, tmp_path: Path) -> None:
    lines = [f"{'abc ' * (i % 6)}{chr(97 + i % 26)}" for i in range(150)]
    path = tmp_path / "input"
    path.write_text("\n".join(lines) + "\n")
    with path.open("rb") as source:
        done = start(run, stdin=source.fileno()).finish()
    assert (done.code, done.messages) == (0, b"")
    translations = Translator.load(run).translate(lines)
    assert [translation.text for translation in translations] == done.output.decode().split("\n")[:-1]


def test_a_slow_producer_is_answered_line_by_line(run: Path) -> None:
    with start(run, fresh=True) as running:
        for line in (b"un\n", b"deux\n", b"\n"):
            running.write(line)
            assert running.stdout.readline().endswith(b"\n")  # though the input has not ended
        assert running.poll() is None
        running.send_signal(signal.SIGINT)  # while it waits
        assert running.wait() == 130


def test_a_reader_that_leaves_ends_it(run: Path) -> None:
    """`yes | s2s translate | head -1`."""
    with (
        subprocess.Popen(["yes", "oui"], stdout=subprocess.PIPE) as producer,
        start(run, stdin=producer.stdout.fileno()) as running,
    ):
        producer.stdout.close()
        assert running.stdout.readline().endswith(b"\n")
        running.stdout.close()
        done = running.finish()
        assert (done.code != 0, done.messages) == (True, b"")
        producer.wait(timeout=PATIENCE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_in_one_sentence(run: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = start(run, stdout=full.fileno()).finish(b"un\ndeux\n")
    assert done.code == 1
    assert b"No space left" in done.messages and is_one_sentence(done.messages)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_finished_lines_are_out_when_a_signal_ends_it(run: Path, number: signal.Signals, code: int) -> None:
    with (
        subprocess.Popen(["yes", "oui"], stdout=subprocess.PIPE) as producer,
        start(run, stdin=producer.stdout.fileno(), fresh=number == signal.SIGTERM) as running,
    ):
        producer.stdout.close()
        first = running.stdout.readline()
        running.send_signal(number)
        done = running.finish()
        producer.wait(timeout=PATIENCE)
    assert done.code == code
    assert done.output.endswith(b"\n") and set(done.output.splitlines(keepends=True)) == {first}
    assert is_one_sentence(done.messages)


def test_attention_is_drawn_beside_the_translations(run: Path, tmp_path: Path) -> None:
    data, path = b"un\n\ndeux trois\n", tmp_path / "attention.html"
    plain, drawn = translate(run, data), translate(run, data, "--attention", path)
    assert drawn == (0, plain.output, b"")
    page = path.read_text(encoding="utf-8")
    assert "Line 1<" in page and "Line 2<" not in page and "Line 3<" in page
    assert page.endswith("</html>\n")


def test_attention_in_an_unknown_form_is_refused_before_anything_else(run: Path, tmp_path: Path) -> None:
    done = translate(run, b"un\n", "--attention", tmp_path / "attention.pdf")
    assert (done.code, done.output) == (2, b"")
    assert b".html or .htm or .png" in done.messages and is_one_sentence(done.messages)


def test_an_ensemble_of_one_model_twice_is_that_model(run: Path) -> None:
    lines = ["un", "deux trois", ""]
    single, double = Translator.load(run), Translator.load([run, run / "model"])
    for one, two in zip(single.translate(lines), double.translate(lines), strict=True):
        assert one.text == two.text
        assert one.score == pytest.approx(two.score, abs=1e-5)
        assert one.alignment == two.alignment


def test_an_ensemble_of_unlike_models_differs_from_each(run: Path, tmp_path: Path) -> None:
    other = export(tmp_path / "other", seed=2)
    scores = [Translator.load(models).translate(["un deux"])[0].score for models in (run, other, [run, other])]
    assert len({round(score or 0.0, 6) for score in scores}) == 3


def test_an_ensemble_needs_one_vocabulary(run: Path, tmp_path: Path) -> None:
    other = export(tmp_path / "other", target=CharacterTokenizer("▁abc"))
    with pytest.raises(CheckpointError, match="target vocabulary differs"):
        Translator.load([run, other])
    back = export(tmp_path / "back", languages="en-fr")  # joint vocabularies of both directions may be the same
    with pytest.raises(UsageError, match="back/model: it translates en into fr, and .* fr into en"):
        Translator.load([run, back])
    Translator.load([run, export(tmp_path / "british", languages="fr-en_GB")])
