"""Which engine decodes: what the model, the device and the user allow."""

from __future__ import annotations

from typing import Any

import pytest

from s2s_cli.errors import UsageError
from s2s_cli.inference import engines
from s2s_cli.inference.engines import ENGINES, choose_engine
from s2s_cli.native import library
from s2s_cli.recipe import schema


def section(**choices: Any) -> dict[str, Any]:
    return schema.Model.read(choices).values()


@pytest.fixture(autouse=True)
def _a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load", object)
    engines._tell_of_slowness.cache_clear()


def test_8_bits_are_chosen_only_where_they_are_harmless() -> None:
    assert choose_engine("auto", section(), "cpu", int8_is_harmless=True) == "int8"
    assert choose_engine("auto", section(), "cpu") == "fast"
    assert choose_engine("int8", section(), "cpu") == "int8"
    assert choose_engine("fast", section(), "cpu", int8_is_harmless=True) == "fast"
    assert choose_engine("reference", section(), "cpu", int8_is_harmless=True) == "reference"


def test_where_the_engine_cannot_or_is_slow_pytorch_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine("auto", section(output="copy"), "cpu", int8_is_harmless=True) == "reference"
    assert choose_engine("auto", section(), "cuda", int8_is_harmless=True) == "reference"
    monkeypatch.setattr(library, "load", lambda: None)
    assert choose_engine("auto", section(), "cpu") == "reference"
    assert choose_engine("auto", section(), "cpu", shortlist=True) == "fast"
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert choose_engine("auto", section(), "cpu") == "fast"  # there is nothing else


@pytest.mark.parametrize(
    ("name", "model", "device", "shortlist", "fault"),
    [
        ("int4", {}, "cpu", False, "unknown engine `int4`"),
        ("fast", {"output": "copy"}, "cpu", False, "--engine fast: the engine does not know a part .* output = copy"),
        ("int8", {}, "cuda", False, "--engine int8: the engine runs on the CPU only"),
        ("reference", {}, "cpu", True, "--shortlist needs the engine, not the reference"),
        ("auto", {"output": "copy"}, "cpu", True, "--shortlist needs the engine, which does not know a part"),
    ],
)
def test_what_cannot_be_is_refused(name: str, model: dict, device: str, shortlist: bool, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        choose_engine(name, section(**model), device, shortlist=shortlist)
    assert set(ENGINES) == {"auto", "reference", "fast", "int8"}


def test_that_no_engine_fits_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    choose_engine("auto", section(), "cpu")
    choose_engine("reference", section(output="copy"), "cpu")
    assert capsys.readouterr() == ("", "")
    for _ in range(2):
        choose_engine("auto", section(output="copy"), "cpu")
    said = capsys.readouterr().err.splitlines()
    assert said == ["no engine fits this model: PyTorch decodes it, with the same results but more slowly"]
