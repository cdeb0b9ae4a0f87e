"""Descriptions and synopses out of the package lists of a Debian system."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from s2s_cli.data.cleaning import sentence_key
from s2s_cli.text.files import read_lines
from scripts import debian_synopsis_data
from scripts.debian_synopsis_data import Package, chosen, packages

TRANSLATION = """\
Package: clock
Description-md5: 0123456789abcdef0123456789abcdef
Description-en: shows the time of day
 This program shows the time of day in a window, in as many time zones as there are.
 .
 It has:
  * an alarm,
  * a  stop-watch for runners.

Package: empty
Description-en: transitional package

Package: clock-dev
Description-en: Shows the time of day!
 These are the headers of a library that shows the time of day in a window for programs that want one.

Package: short
Description-en: a tiny little tool
 It does nothing.
"""
PACKAGES = """\
Package: tool
Version: 1.0
Description: writes letters for people
 This program writes letters for people who have no time to write letters to the people who like letters.
Tag: role::program,
 works-with::text
"""
CLOCK = (
    "This program shows the time of day in a window, in as many time zones as there are. It has: * an alarm, * a"
    " stop-watch for runners."
)


def test_fields_are_read_as_debian_writes_them() -> None:
    found = list(packages(TRANSLATION.splitlines()))
    assert [package.name for package in found] == ["clock", "clock-dev", "short"]
    assert found[0] == Package("clock", CLOCK, "shows the time of day")
    (tool,) = packages(PACKAGES.splitlines())
    assert tool.synopsis == "writes letters for people" and tool.description.endswith("who like letters.")


def test_short_and_repeated_ones_are_left_out() -> None:
    found = [package for text in (PACKAGES, TRANSLATION) for package in packages(text.splitlines())]
    names = [package.name for split in chosen(found).values() for package in split]
    assert sorted(names) == ["clock", "tool"]


def many() -> list[Package]:
    text = "This one of many programs does what its number says, and nothing else, as far as its authors know"
    return [Package(f"tool{n}", f"{text} {n}", f"program of number {n}") for n in range(2000)]


def test_splits_follow_from_the_name_and_share_nothing() -> None:
    splits, without_first = chosen(many()), chosen(many()[1:])
    assert all(0.01 < len(splits[split]) / 2000 < 0.03 for split in ("dev", "test"))
    for split, members in splits.items():
        assert [package for package in members if package.name != "tool0"] == without_first[split]
    for side in ("description", "synopsis"):
        keys = [sentence_key(getattr(package, side)) for members in splits.values() for package in members]
        assert len(keys) == len(set(keys)) == 2000


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["debian_synopsis_data.py", *map(str, arguments)])
    debian_synopsis_data.main()


def test_files_are_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = tmp_path / "Translation-en.gz", tmp_path / "Packages"
    lists[0].write_bytes(gzip.compress(TRANSLATION.encode()))
    lists[1].write_text(PACKAGES, encoding="utf-8")
    for order, folder in ((lists, "one"), (lists[::-1], "two")):
        run(monkeypatch, *order, "--output", tmp_path / folder)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two and set(one) == {"train.tsv.xz", "dev.tsv.xz", "test.tsv.xz"}
    lines = [line for name in one for line in read_lines(tmp_path / "one" / name)]
    assert f"{CLOCK}\tshows the time of day" in lines


def test_lists_without_descriptions_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Packages").write_text("Package: tool\nDescription: a tool of some kind\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "Packages", "--output", tmp_path / "out")
    assert "let apt fetch Translation-en" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
