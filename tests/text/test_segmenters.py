from __future__ import annotations

import pytest
from sacrebleu.metrics.bleu import BLEU

from s2s_cli.text.segmenters import bleu_tokenizer, tokenizer_notice


def test_tokenizers(monkeypatch):
    assert bleu_tokenizer("zh") == bleu_tokenizer("zh_TW") == bleu_tokenizer("ZH-cn") == "zh"
    assert bleu_tokenizer("yue") == bleu_tokenizer("zho") == bleu_tokenizer("cmn-Hans") == "zh"
    assert bleu_tokenizer("en") == bleu_tokenizer("de") == "13a"
    assert "BLEU splits th text" in tokenizer_notice("th") and "chrF" in tokenizer_notice("km")
    assert tokenizer_notice("vi") is tokenizer_notice("ar") is tokenizer_notice("xx") is None
    monkeypatch.setattr("s2s_cli.text.segmenters.find_spec", lambda name: None)
    assert bleu_tokenizer("ja") == bleu_tokenizer("ko") == "13a"
    assert "BLEU" in tokenizer_notice("ja") and "ja-mecab" in tokenizer_notice("ja")
    assert tokenizer_notice("zh") is tokenizer_notice("en") is None
    monkeypatch.setattr("s2s_cli.text.segmenters.find_spec", lambda name: object())
    assert bleu_tokenizer("ja") == "ja-mecab"
    assert bleu_tokenizer("ko-KR") == "ko-mecab"
    assert tokenizer_notice("ja") is None


@pytest.mark.parametrize("language", ["zh", "ja", "ko", "en"])
def test_tokenizers_are_known_to_sacrebleu(language):
    assert bleu_tokenizer(language) in BLEU.TOKENIZERS
