"""Preparation: what comes out, and when it is done again."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from small_corpora import files, hashes, sentences, tiny_recipe, write

from s2s_cli import processes
from s2s_cli.data import clean_text, preparation, tokenising
from s2s_cli.data.clean_text import CleanText
from s2s_cli.data.preparation import prepare
from s2s_cli.data.prepared import open_prepared
from s2s_cli.errors import DataError
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import SealedDirectory
from s2s_cli.text.files import read_lines

# -------------------------------------------------------------------------------------------------------------- content


def test_pairs_come_out_whole_and_in_order(run: Path) -> None:
    data = open_prepared(run)
    kept = []
    seen: set[tuple[str, str]] = set()
    for pair in (*sentences(300, 1), *sentences(50, 2)):
        if pair not in seen:
            kept.append(pair)
            seen.add(pair)
    decoded = [
        tuple(tok.decode(ids.tolist()) for tok, ids in zip(
            (data.tokenizers.source, data.tokenizers.target), data.train.pair(index), strict=True
        ))
        for index in range(len(data.train))
    ]  # fmt: skip
    assert decoded == kept
    assert data.test_names == ["test"] and len(data.dev) == 20
    assert data.dev_texts() == tuple(map(list, zip(*sentences(20, 3), strict=True)))


def test_each_rule_is_counted_and_no_side_ever_shifts(corpora: Path, tmp_path: Path) -> None:
    dev_source, test_target = sentences(20, 3)[0][0], sentences(20, 4)[0][1]
    pairs = [
        ("le chat", "the cat"),
        ("", "nothing on the left"),
        ("rien à droite", "\u3000"),
        ("le  chat\r", "\ufeffthe cat"),
        ("hotel", "hotel"),
        ("Где дом?", "the house"),
        (dev_source.upper() + "!", "whatever"),
        ("n'importe quoi", test_target),
        ("mot " * 40, "word " * 40),
        ("la maison rouge mange la maison", "the"),
        ("un chien", "a dog"),
    ]
    write(corpora / "train.fr.xz", [source for source, _ in pairs])
    write(corpora / "train.en.gz", [target for _, target in pairs])
    recipe = tiny_recipe(
        tokenizer={"kind": "word", "vocabulary": 60},
        data={"train": [files("train")], "cleaning": {"max_pieces": 30, "max_length_ratio": 2.0}},
    )
    data = prepare(recipe, corpora, tmp_path / "run")
    counts = data.manifest.splits["train"]
    assert counts["pairs_read"] == len(pairs) == counts["pairs"] + sum(counts["rejected"].values())
    expected = {"empty": 2, "identical": 1, "script": 1, "overlap": 2, "duplicate": 1, "length": 1}
    assert counts["rejected"] == expected
    tokenizers = data.tokenizers
    last = data.train.pair(len(data.train) - 1)
    assert (tokenizers.source.decode(last[0]), tokenizers.target.decode(last[1])) == ("un chien", "a dog")
    unknown = sum(int((data.train.pair(i)[0] == 1).sum()) for i in range(len(data.train)))
    assert counts["source"]["unknown"] == unknown


def test_held_out_texts_score_like_the_original_file(corpora: Path, tmp_path: Path) -> None:
    """Whatever is in a reference, the score is that of sacrebleu on the file."""
    references = ["Caf\u0065\u0301  au lait", "a\u2028b\u0085c\x0b", " spaces  kept ", "", "tab\tand nul\0", "ﬁn…"]
    sources = ["un", "", "trois\u00a0mots", "quatre", "five", "six"]
    write(corpora / "test.fr.xz", sources)
    write(corpora / "test.en.gz", references)
    data = prepare(tiny_recipe(), corpora, tmp_path / "run")
    kept_sources, kept = data.test_texts("test")
    assert kept == references
    assert kept_sources == ["un", "", "trois mots", "quatre", "five", "six"]
    hypotheses = ["Café au lait", "a b c", "spaces", "x", "tab and", "fin"]
    with sacrebleu.utils.smart_open(str(corpora / "test.en.gz")) as file:
        original = [line.rstrip("\n") for line in file]
    for metric in (sacrebleu.corpus_bleu, sacrebleu.corpus_chrf, sacrebleu.corpus_ter):
        assert metric(hypotheses, [kept]).score == metric(hypotheses, [original]).score
    counts = data.manifest.splits["test-test"]
    assert counts["pairs"] == 6 and counts["without_loss"] == {"empty": 2}


@pytest.mark.parametrize("kind", ["sentencepiece", "character", "word"])
@pytest.mark.parametrize("joint", [True, False])
def test_tokenizers_of_all_kinds(corpora: Path, tmp_path: Path, kind: str, joint: bool) -> None:
    data = prepare(tiny_recipe(tokenizer={"kind": kind, "vocabulary": 60, "joint": joint}), corpora, tmp_path / "run")
    assert data.tokenizers.joint == joint and data.tokenizers.source.kind == kind
    assert data.manifest.tokenizers["source"] == data.tokenizers.source.size <= 60


def test_columns_and_several_tests(corpora: Path, tmp_path: Path) -> None:
    write(corpora / "all.tsv", [f"{i}\t{en}\t{fr}" for i, (fr, en) in enumerate(sentences(60, 9))])
    tsv = {"tsv": "all.tsv", "columns": [3, 2]}
    tests = [files("test"), {"tsv": "all.tsv", "columns": [3, 2], "name": "in domain/x"}]
    recipe = tiny_recipe(data={"train": [tsv], "test": tests, "cleaning": {"drop_overlap": False}})
    data = prepare(recipe, corpora, tmp_path / "run")
    assert data.test_names == ["test", "in-domain-x"]
    assert data.test_texts("in-domain-x")[0][0] == sentences(60, 9)[0][0]


def test_number_of_processes_and_size_of_chunks_change_nothing(
    corpora: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (clean_text, tokenising):
        monkeypatch.setattr(module, "CHUNK", 7)
    for cores in (1, 3):
        monkeypatch.setattr(processes, "usable_cores", lambda cores=cores: cores)
        prepare(tiny_recipe(), corpora, tmp_path / str(cores))
        assert hashes(tmp_path / str(cores)) == hashes(run)


def test_a_new_python_that_prepares_does_not_wait_for_torch(
    corpora: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[bytes] = []
    monkeypatch.setattr(preparation, "apart", lambda work, fresh: works.append(pickle.dumps(work)))
    assert preparation.prepare_apart(tiny_recipe(), corpora, run).test_names == ["test"]
    code = "import pickle, sys; pickle.load(sys.stdin.buffer)(); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], input=works[0], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, f"data is up to date: {run / 'data'}\n".encode())


def test_the_sample_is_bounded_and_uniform(corpora: Path, tmp_path: Path) -> None:
    lines = [str(number) for number in range(1000)]
    for name in ("s", "t"):
        write(tmp_path / name, lines)
    kept = np.arange(1000) % 2 == 0
    text = CleanText(tmp_path / "s", tmp_path / "t", kept, [])
    numbers = [int(source) for source, _ in text.sample(100)]
    assert len(numbers) == 100 and len(set(numbers)) == 100
    assert all(number % 2 == 0 for number in numbers) and 400 < np.mean(numbers) < 600
    assert len(list(text.sample(5000))) == 500
    assert list(text.sample(100)) == [(str(number), str(number)) for number in numbers]


# --------------------------------------------------------------------------------------------------------- when it runs


def test_a_second_run_does_nothing_unless_something_relevant_changed(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def said(recipe: Recipe, **options: bool) -> str:
        prepare(recipe, corpora, run, **options)
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    report = said(tiny_recipe())
    assert "350 pairs read" in report and "unknown" in report and "prepared in" in report
    first = hashes(run)
    nothing_done = f"data is up to date: {run / 'data'}\n"
    assert said(tiny_recipe()) == nothing_done
    assert said(tiny_recipe(training={"epochs": 3}, seed=9)) == nothing_done
    os.utime(corpora / "dev.fr.xz", (1, 1))
    assert said(tiny_recipe()) == nothing_done
    assert hashes(run) == first
    assert "data.cleaning.max_pieces: 100 -> 12" in said(tiny_recipe(data={"cleaning": {"max_pieces": 12}}))
    assert "tokenizer.vocabulary: 80 -> 70" in said(
        tiny_recipe(tokenizer={"vocabulary": 70}, data={"cleaning": {"max_pieces": 12}})
    )
    said(tiny_recipe())
    write(corpora / "dev.en.gz", [target for _, target in sentences(20, 33)])
    assert "dev.en.gz (dev.0.target): changed content" in said(tiny_recipe())
    assert "more.fr.xz (train.1.source): removed" in said(tiny_recipe(data={"train": [files("train")]}))
    assert "prepared in" in said(tiny_recipe(data={"train": [files("train")]}), force=True)


def test_case_markup_is_prepared_with_and_its_absence_is_what_it_was(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(**tokenizer: object) -> str:
        prepare(tiny_recipe(tokenizer={"vocabulary": 80, **tokenizer}), corpora, tmp_path / "run")
        return capsys.readouterr().err

    write(corpora / "train.en.gz", [target.upper() for _, target in sentences(300, 1)])
    said()
    keys = open_prepared(tmp_path / "run").manifest.keys
    assert not any("case_markup" in key for key in keys)  # as older versions wrote them
    assert "up to date" in said(case_markup=False)
    assert "tokenizer.case_markup: (absent) -> true" in said(case_markup=True)
    data = open_prepared(tmp_path / "run")
    assert data.tokenizers.joint and data.tokenizers.target.case_markup
    assert data.tokenizers.target.decode(data.train.pair(0)[1]) == sentences(1, 1)[0][1].upper()
    assert "up to date" in said(case_markup=True)
    assert "tokenizer.target.case_markup: (absent) -> false" in said(case_markup=True, target={"case_markup": False})
    assert not open_prepared(tmp_path / "run").tokenizers.target.case_markup


def test_the_time_of_a_file_is_not_trusted_against_a_checksum(corpora: Path, tmp_path: Path) -> None:
    path, run, train = corpora / "train.fr", tmp_path / "run", {"source": "train.fr", "target": "train.en.gz"}
    path.write_text("".join(f"{line}\n" for line in read_lines(corpora / "train.fr.xz")))
    prepare(tiny_recipe(data={"train": [train]}), corpora, run)
    status, text = path.stat(), path.read_text()
    path.write_text(text.replace("e", "a", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    digest = sha256(path.read_bytes()).hexdigest()
    prepared = prepare(tiny_recipe(data={"train": [train | {"sha256": {"source": digest}}]}), corpora, run)
    assert prepared.manifest.inputs["train.0.source"].sha256 == digest
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    prepared = prepare(tiny_recipe(data={"train": [train]}), corpora, run, force=True)
    assert prepared.manifest.inputs["train.0.source"].sha256 == sha256(path.read_bytes()).hexdigest()


def test_a_rule_without_effect_is_told_of(corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(tiny_recipe(languages={"source": "french", "target": "eng"}), corpora, tmp_path / "run")
    told = capsys.readouterr().err
    assert "min_script_share has no effect on the source: the script of `french` is not known" in told
    assert told.count("min_script_share") == 1


def test_moved_corpora_are_the_same_corpora(
    corpora: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpora.rename(tmp_path / "elsewhere")
    prepare(tiny_recipe(), tmp_path / "elsewhere", run)
    assert capsys.readouterr().err == f"data is up to date: {run / 'data'}\n"


@pytest.mark.parametrize("name", ["train/source.bin", "manifest.json", "dev/target.txt"])
def test_damaged_data_is_noticed_and_made_anew(
    corpora: Path, run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = hashes(run)
    (run / "data" / name).write_bytes(b"{")
    with pytest.raises(DataError):
        open_prepared(run)
    prepare(tiny_recipe(), corpora, run)
    assert f"data is prepared again: {run / 'data' / name}: " in capsys.readouterr().err
    assert hashes(run) == first


@pytest.mark.parametrize("name", ["train/source.bin", "train/target.idx", "dev/target.txt", "tokenizer.model"])
def test_one_flipped_bit_in_prepared_data_is_noticed_and_mended(
    corpora: Path, run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, path = hashes(run), run / "data" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"{name}: is damaged: its SHA-256 differs from manifest.json"):
        opened = open_prepared(run)
        opened.dev_texts()
        opened.sealed.verify_all()
    prepare(tiny_recipe(), corpora, run)
    assert f"prepared again: {path}" in capsys.readouterr().err
    assert hashes(run) == first


@pytest.mark.parametrize("damaged", ["test-test/source.txt", "train/source.bin", "manifest.json"])
def test_damaged_data_of_checkpoints_is_kept_if_the_corpora_are_others(
    corpora: Path, run: Path, damaged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be all that is left of them: a copy of the damaged file can mend it."""
    (run / "checkpoints" / "step-1").mkdir(parents=True)
    (run / "data" / damaged).write_bytes(b"{")
    before = contents(run / "data")
    sides = {path: list(read_lines(path)) for path in (corpora / "train.fr.xz", corpora / "train.en.gz")}
    for path, lines in sides.items():
        write(path, lines[1:])
    expected = "is damaged: .*manifest.json" if damaged == "manifest.json" else "not that of the checkpoints"
    with pytest.raises(DataError, match=expected):
        prepare(tiny_recipe(), corpora, run)
    assert contents(run / "data") == before
    for path, lines in sides.items():
        write(path, lines)
    if damaged != "manifest.json":
        prepare(tiny_recipe(), corpora, run).sealed.verify_all()


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_what_is_hashed_when(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file once where it is prepared or looked at again; what a model is scored on where that is read."""
    verified: list[str] = []
    monkeypatch.setattr(SealedDirectory, "verify", lambda self, name: verified.append(name))
    prepared = prepare(tiny_recipe(), corpora, tmp_path / "run")
    open_prepared(tmp_path / "run").test_texts("test")
    assert verified == []
    prepare(tiny_recipe(), corpora, tmp_path / "run")
    assert verified == list(prepared.manifest.files)


def test_data_of_the_form_before_is_up_to_date(corpora: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "data" / "manifest.json"
    content = json.loads(path.read_text())
    assert content["tokenizers"]["joint"] is True
    content["files"] = {name: {"bytes": e["size"], "sha256": e["sha256"]} for name, e in content["files"].items()}
    path.write_text(json.dumps(content))
    prepare(tiny_recipe(), corpora, run)
    assert capsys.readouterr().err.startswith("data is up to date")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "train/../secret", "train/deep/file", "manifest.json"])
def test_files_outside_the_directory_are_refused(run: Path, name: str) -> None:
    manifest = run / "data" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"][name] = {"size": 1, "sha256": "0" * 64}
    manifest.write_text(json.dumps(content))
    with pytest.raises(DataError, match="not a plain file name"):
        open_prepared(run)


def test_nothing_prepared(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prepared data"):
        open_prepared(tmp_path)


# --------------------------------------------------------------------------------------------------------------- faults


def test_sides_of_unlike_length_leave_nothing(corpora: Path, tmp_path: Path) -> None:
    write(corpora / "train.en.gz", ["one line"] * 299)
    with pytest.raises(DataError, match="300 and 299 lines") as caught:
        prepare(tiny_recipe(), corpora, tmp_path / "run")
    assert caught.value.exit_code == 3
    assert list((tmp_path / "run").iterdir()) == []


def test_wrong_checksum(corpora: Path, tmp_path: Path) -> None:
    train = {**files("train"), "sha256": {"source": "0" * 64}}
    with pytest.raises(DataError, match="SHA-256"):
        prepare(tiny_recipe(data={"train": [train]}), corpora, tmp_path / "run")


def test_nothing_left_says_why(corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.train: no pair is left.* script"):
        prepare(tiny_recipe(languages={"source": "ru", "target": "en"}), corpora, tmp_path / "run")
    with pytest.raises(DataError, match=r"data.train: no pair is left.* length"):
        prepare(tiny_recipe(data={"cleaning": {"max_pieces": 1}}), corpora, tmp_path / "run")
    (tmp_path / "empty.tsv").touch()
    for split in ("train", "test"):
        empty = {split: [{"tsv": str(tmp_path / "empty.tsv")}]}
        with pytest.raises(DataError, match=f"data.{split}.*: there is no pair: the files are empty"):
            prepare(tiny_recipe(data=empty), corpora, tmp_path / "run")


def test_two_tests_of_one_name(corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two test sets"):
        prepare(tiny_recipe(data={"test": [files("test"), files("test")]}), corpora, tmp_path / "run")


@pytest.mark.parametrize("name", ["n" * 200, "测" * 60])
def test_a_name_too_long_for_a_folder_is_refused_before_the_work(corpora: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="the name of a test set is too long"):
        prepare(tiny_recipe(data={"test": [{**files("test"), "name": name}]}), corpora, tmp_path / "run")
    data = prepare(tiny_recipe(data={"test": [{**files("test"), "name": name[:36]}]}), corpora, tmp_path / "run")
    assert data.test_names == [name[:36]]


def test_the_manifest_is_json_a_program_may_read(run: Path) -> None:
    data = open_prepared(run)
    assert json.loads((data.directory / "manifest.json").read_text()) == data.manifest.values()
    assert set(data.manifest.splits) == {"train", "dev", "test-test"}
    assert all(len(record.sha256) == 64 for record in data.manifest.files.values())
