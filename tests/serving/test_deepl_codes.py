"""How DeepL writes the codes of languages."""

from __future__ import annotations

from s2s_cli.serving.deepl import spelled, variants


def test_codes_have_hyphens_and_capitals():
    assert [spelled(code) for code in ("de", "pt_BR", "zh-Hans")] == ["DE", "PT-BR", "ZH-HANS"]


def test_targets_with_variants_are_listed_in_each():
    assert variants(["de", "en", "pt_BR"]) == [("de", "DE"), ("en", "EN-GB"), ("en", "EN-US"), ("pt_BR", "PT-BR")]
