"""Reading of corpora: every pair in its place, every fault with its file and line."""

from __future__ import annotations

import gzip
import lzma
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.data.corpora import as_kept, folders_of, locate
from s2s_cli.errors import DataError, MachineError, UsageError
from s2s_cli.recipe import schema
from s2s_cli.text.files import read_lines

LINES = ["un", "", "deux mots", "trois"]


def _pairs(directory: Path, **corpus: object) -> list[tuple[str, str]]:
    return list(locate(schema.Corpus.read(corpus), folders_of([], directory)).pairs())


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last_end", [True, False])
def test_lines_of_all_kinds_of_files(tmp_path: Path, suffix: str, end: bytes, last_end: bool) -> None:
    content = b"\xef\xbb\xbf" + end.join(line.encode() for line in LINES) + end * last_end
    path = tmp_path / f"file{suffix}"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix](content))
    assert list(read_lines(path)) == LINES


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    odd = "a\u2028b\u2029c\u0085d\x0be\x0cf\rg\0h\x1ci"
    (tmp_path / "file").write_bytes(f"{odd}\nsecond\n".encode())
    assert list(read_lines(tmp_path / "file")) == [odd, "second"]


@settings(max_examples=100)
@given(lines=st.lists(st.text(st.characters(exclude_characters="\n\r\ufeff", exclude_categories=["Cs"]))))
def test_lines_come_back_as_they_are(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    assert list(read_lines(path)) == lines


def test_pairs_of_two_files_and_of_columns(tmp_path: Path) -> None:
    (tmp_path / "a.fr").write_text("un\n\ntrois\n")
    (tmp_path / "a.en").write_text("one\ntwo\n\n")
    assert _pairs(tmp_path, source="a.fr", target="a.en") == [("un", "one"), ("", "two"), ("trois", "")]
    (tmp_path / "a.tsv").write_text("1\tone\tun\n\n2\ttwo\tdeux\textra\n")
    assert _pairs(tmp_path, tsv="a.tsv", columns=(3, 2)) == [("un", "one"), ("", ""), ("deux", "two")]


@pytest.mark.parametrize(("sources", "targets"), [(5, 3), (3, 5), (0, 1)])
def test_sides_of_unlike_length_name_both_counts(tmp_path: Path, sources: int, targets: int) -> None:
    (tmp_path / "s").write_text("line\n" * sources)
    (tmp_path / "t").write_text("line\n" * targets)
    with pytest.raises(DataError, match=f"{sources} and {targets} lines") as caught:
        _pairs(tmp_path, source="s", target="t")
    assert caught.value.exit_code == 3


def test_invalid_utf8_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "latin1").write_bytes(b"fine\nfine\ncaf\xe9\n")
    with pytest.raises(DataError, match="0xe9 is not UTF-8") as caught:
        list(read_lines(tmp_path / "latin1"))
    assert caught.value.where == f"{tmp_path / 'latin1'}:3"


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_damaged_archives(tmp_path: Path, suffix: str) -> None:
    text = "".join(f"{number * 7919} lines of text\n" for number in range(2000)).encode()
    whole = {".gz": gzip.compress, ".xz": lzma.compress}[suffix](text)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    path = tmp_path / f"file{suffix}"
    for content in (whole[: len(whole) // 2], bytes(flipped), b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged archive") as caught:
            list(read_lines(path))
        assert caught.value.where == str(path)


def test_a_missing_column_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("one\tun\ntwo deux\n")
    with pytest.raises(DataError, match="no column 2, only 1 column$") as caught:
        _pairs(tmp_path, tsv="a.tsv")
    assert caught.value.where == f"{tmp_path / 'a.tsv'}:2"


def test_places_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, data, here = tmp_path / "recipes", tmp_path / "corpora", tmp_path / "here"
    for folder in (beside, data, here / "data"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.delenv("S2S_DATA", raising=False)
    (here / "data" / "a.tsv").write_text("in\tdata")
    assert _pairs(beside, tsv="a.tsv") == [("in", "data")]
    monkeypatch.setenv("S2S_DATA", str(data))
    with pytest.raises(DataError, match="not found") as caught:
        _pairs(beside, tsv="a.tsv")
    assert str(beside) in str(caught.value) and str(data) in str(caught.value)
    (data / "a.tsv").write_text("in\tcorpora")
    assert _pairs(beside, tsv="a.tsv") == [("in", "corpora")]
    (beside / "a.tsv").write_text("beside\trecipe")
    assert _pairs(beside, tsv="a.tsv") == [("beside", "recipe")]
    assert _pairs(beside, tsv=str(data / "a.tsv")) == [("in", "corpora")]


def _kept(
    recipe_dir: Path, run: Path, *paths: str, folders: list[str] | None = None, model: str | None = None
) -> list[str]:
    """`data.folders` of the recipe that a run keeps."""
    recipe = schema.Recipe.read(
        {
            "name": "n",
            "languages": {"source": "fr", "target": "en"},
            "data": {"train": [{"tsv": path} for path in paths], "dev": [{"tsv": paths[0]}], "folders": folders or []},
            "init": model and {"from": model},
        }
    )
    return as_kept(recipe, recipe_dir, run).data.folders


def test_a_folder_that_a_recipe_cannot_name_is_told_of(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    (folder / "a").touch()
    with pytest.raises(UsageError, match="whose name is not UTF-8"):
        _kept(folder, tmp_path / "run", "a")


def test_folders_that_a_run_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, outside = tmp_path / "project", tmp_path / "outside"
    recipes, run, data = project / "recipes", project / "runs" / "n", project / "data"
    for folder in (recipes, run, data, outside):
        folder.mkdir(parents=True)
    (recipes / "a").touch()
    (data / "b").touch()
    (outside / "c").touch()
    monkeypatch.chdir(project)
    monkeypatch.delenv("S2S_DATA", raising=False)
    assert _kept(Path("recipes"), Path("runs/n"), "a") == ["../../recipes"]
    assert _kept(Path("recipes"), Path("runs/n"), "a", "b") == ["../../recipes", "../../data"]
    assert _kept(Path("recipes"), Path("runs/n"), "c", folders=["../../outside"]) == [str(outside)]
    assert _kept(Path("recipes"), outside / "n", "a") == [str(recipes)]
    assert _kept(Path("recipes"), Path("runs/n"), str(outside / "c"), "https://example.org/a") == []
    assert _kept(run, Path("runs/n"), "a", folders=["../../recipes"]) == ["../../recipes"]
    assert _kept(Path("recipes"), Path("runs/n"), "a", model="runs") == ["../../recipes", "../.."]
    assert _kept(Path("recipes"), Path("runs/n"), "a", model=str(project / "runs")) == ["../../recipes"]
    assert _kept(Path("recipes"), Path("runs/n"), "a", model="gone") == ["../../recipes"]
    monkeypatch.setenv("S2S_DATA", str(outside))
    assert _kept(Path("recipes"), Path("runs/n"), "c") == []


def test_names_of_corpora(tmp_path: Path) -> None:
    (tmp_path / "test_2016.de.xz").touch()
    (tmp_path / "t").touch()
    corpus = schema.Corpus(source="test_2016.de.xz", target="t")
    assert locate(corpus, [tmp_path]).name == "test_2016"
    assert locate(corpus.replaced(name="flickr"), [tmp_path]).name == "flickr"


def test_addresses_need_a_checksum_and_two_files_two(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sha256"):
        _pairs(tmp_path, tsv="https://example.org/a.tsv")
    (tmp_path / "a").touch()
    with pytest.raises(UsageError, match="one `sha256` for two files"):
        _pairs(tmp_path, source="a", target="a", sha256="0" * 64)


def test_an_unreadable_file_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be read"):
        list(read_lines(tmp_path))
