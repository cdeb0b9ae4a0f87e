from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.errors import CheckpointError, MachineError
from s2s_cli.sealed import MANIFEST, Manifest, ManifestWriter, SealedDirectory


@pytest.fixture
def sealed(tmp_path) -> Path:
    writer = ManifestWriter(tmp_path)
    writer.write("one", [b"some ", b"bytes"])
    (tmp_path / "two").write_bytes(b"written by others")
    writer.seal(Manifest)
    return tmp_path


def relist(directory: Path, **changes) -> None:
    """Change entries of the manifest: a hostile author can."""
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["files"].update(changes)
    (directory / MANIFEST).write_text(json.dumps(manifest))


def entry(data: bytes) -> dict:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        opened = SealedDirectory.open(directory)
        for name in opened.files:
            opened.read(name)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 1000
    return message


def test_round_trip(sealed):
    opened = SealedDirectory.open(sealed)
    assert {name: opened.read(name) for name in opened.files} == {"one": b"some bytes", "two": b"written by others"}


def test_what_is_mapped_is_verified_and_not_empty(sealed):
    assert SealedDirectory.open(sealed).map("one")[:] == b"some bytes"
    (sealed / "one").write_bytes(b"")
    relist(sealed, one=entry(b""))
    with pytest.raises(CheckpointError, match="is empty"):
        SealedDirectory.open(sealed).map("one")


def test_hidden_files_are_neither_refused_nor_read(sealed):
    (sealed / ".DS_Store").touch()
    assert SealedDirectory.open(sealed).files.keys() == {"one", "two"}


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "..",
        ".",
        "/etc/hostname",
        "a/b",
        "a\\b",
        "",
        ".hidden",
        "ｓｅｃｒｅｔ",
        "a\x1b[2Jb",
        "a\nb",
        MANIFEST,
        "x" * 500,
    ],
)
def test_names_that_are_not_plain_are_refused(sealed, name):
    (sealed.parent / "secret").write_bytes(b"secret")
    relist(sealed, **{name: entry(b"secret")})
    assert "which is not a plain file name" in refusal(sealed)


def test_links_are_refused(sealed, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_bytes(b"secret")
    relist(sealed, link=entry(b"secret"))
    (sealed / "link").symlink_to(secret)
    assert refusal(sealed) == f"{sealed / 'link'}: is not a regular file"


def test_a_link_in_place_of_the_manifest_is_refused(sealed):
    (sealed / MANIFEST).rename(sealed.parent / "elsewhere.json")
    (sealed / MANIFEST).symlink_to(sealed.parent / "elsewhere.json")
    assert "is not a regular file" in refusal(sealed)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_folders_and_pipes_are_refused_without_waiting(sealed, make):
    relist(sealed, thing=entry(b""))
    make(sealed / "thing")
    assert refusal(sealed) == f"{sealed / 'thing'}: is not a regular file"


class Nested(Manifest):
    levels = 2
    count: int


@pytest.fixture
def nested(tmp_path) -> Path:
    (tmp_path / "folder").mkdir()
    writer = ManifestWriter(tmp_path)
    writer.write("folder/one", [b"some bytes"])
    writer.seal(Nested, count=7)
    return tmp_path


def test_files_of_a_folder_and_facts_of_the_form_come_back(nested):
    opened = SealedDirectory.open(nested, Nested)
    assert opened.manifest.count == 7 and opened.read("folder/one") == b"some bytes"
    assert "folder/one" not in refusal(nested)  # a flat form knows no folders: it refuses the key, or the name


@pytest.mark.parametrize("name", ["folder/../secret", "folder/deep/file", "folder/.hidden", "folder//one", "/folder"])
def test_names_of_a_folder_that_are_not_plain_are_refused(nested, name):
    relist(nested, **{name: entry(b"secret")})
    with pytest.raises(CheckpointError, match="which is not a plain file name"):
        SealedDirectory.open(nested, Nested)


def test_a_link_in_place_of_a_folder_is_refused(nested, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "folder"
    (nested / "folder").rename(elsewhere)
    (nested / "folder").symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match="'folder' is not listed"):
        SealedDirectory.open(nested, Nested)


def test_unlisted_files_of_a_folder_are_refused(nested):
    (nested / "folder" / "two").touch()
    with pytest.raises(CheckpointError, match="'folder/two' is not listed"):
        SealedDirectory.open(nested, Nested)


def test_an_entry_that_says_bytes_is_read(sealed):
    data = (sealed / "one").read_bytes()
    relist(sealed, one={"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    assert SealedDirectory.open(sealed).read("one") == data


def test_unlisted_files_are_refused(sealed):
    (sealed / "three").touch()
    assert "'three' is not listed in manifest.json" in refusal(sealed)


def test_missing_files_are_named(sealed):
    (sealed / "one").unlink()
    assert refusal(sealed) == f"{sealed / 'one'}: cannot be read: No such file or directory"
    assert "No such file" in refusal(sealed / "nowhere")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_that_a_file_cannot_be_read_now_is_no_fault_of_the_directory(sealed, monkeypatch, number):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    opened = SealedDirectory.open(sealed)
    for call in ("open", "lstat", "scandir"):
        with monkeypatch.context() as patch, pytest.raises(MachineError, match="cannot be read"):
            patch.setattr(os, call, fail)
            opened.read("one") if call == "open" else SealedDirectory.open(sealed)


def test_a_directory_without_manifest_is_not_whole(sealed):
    (sealed / MANIFEST).unlink()
    assert "has no manifest.json" in refusal(sealed)


@pytest.mark.parametrize("size", [10**12, -1, 1.5, "10", None, True])
def test_sizes_are_checked_before_anything_is_allocated(sealed, size):
    relist(sealed, one={"size": size, "sha256": "0" * 64})
    assert refusal(sealed)


def test_a_sparse_giant_is_refused(sealed):
    os.truncate(sealed / "one", 2**43)
    relist(sealed, one={"size": 2**43, "sha256": "0" * 64})
    assert "more than the memory of this machine" in refusal(sealed)
    os.truncate(sealed / MANIFEST, 2**43)
    assert "more than the 16,777,216 expected" in refusal(sealed)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "files": {}}', "[" * 100_000, "9" * 5000, "\xff", '"\\ud800"']
)
def test_bad_manifests_are_one_sentence(sealed, text):
    (sealed / MANIFEST).write_text(text, encoding="latin-1")
    assert MANIFEST in refusal(sealed)


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_in_any_file(sealed, position, bit):
    for name in ("one", "two"):
        original = (sealed / name).read_bytes()
        damaged = bytearray(original)
        damaged[position % len(damaged)] ^= 1 << bit
        (sealed / name).write_bytes(damaged)
        assert refusal(sealed).startswith(f"{sealed / name}: is damaged")
        with pytest.raises(CheckpointError, match="is damaged"):
            SealedDirectory.open(sealed).verify(name)
        (sealed / name).write_bytes(original)
