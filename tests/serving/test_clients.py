"""The clients of others, unchanged: DeepL's own, and libretranslatepy."""

from __future__ import annotations

from contextlib import closing

import deepl
import pytest
from libretranslatepy import LibreTranslateAPI
from serving_process import Server

from s2s_cli import Translator


def test_the_client_of_deepl(server: Server, german: Translator, english: Translator):
    with closing(deepl.Translator("any", server_url=server.address, send_platform_info=False)) as client:
        one = client.translate_text("guten Tag", source_lang="DE", target_lang="EN-US")
        assert one.text == german.translate(["guten Tag"])[0].text and one.detected_source_lang == "DE"
        two = client.translate_text(["what is this thing", "yes it is"], target_lang="DE")
        assert [each.text for each in two] == [
            english.translate([each])[0].text for each in ("what is this thing", "yes it is")
        ]
        assert {each.detected_source_lang for each in two} == {"EN"}
        tagged = client.translate_text(
            'hello <x id="1"></x> you', source_lang="EN", target_lang="DE", tag_handling="xml", ignore_tags=["x"]
        )
        assert '<x id="1"></x>' in tagged.text
        client.translate_text(
            "<p>hello</p>", source_lang="EN", target_lang="DE", tag_handling="html", split_sentences="0"
        )
        assert [each.code for each in client.get_source_languages()] == ["DE", "EN"]
        assert [each.code for each in client.get_target_languages()] == ["DE", "EN-GB", "EN-US"]
        usage = client.get_usage()
        assert usage.character.count is not None and not usage.any_limit_reached
        with pytest.raises(deepl.DeepLException, match="target_lang"):
            client.translate_text("hello", source_lang="EN", target_lang="FR")
        with pytest.raises(deepl.DeepLException, match="formality"):
            client.translate_text("hello", source_lang="EN", target_lang="DE", formality="more")
        with pytest.raises(deepl.DeepLException, match="glossary_id"):
            client.translate_text("hello", source_lang="EN", target_lang="DE", glossary="an-id")


def test_keys_and_quotas_by_the_client_of_deepl(models, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("known - 5\n")
    with Server("--api-keys", keys, models=models) as server:
        with (
            closing(deepl.Translator("unknown", server_url=server.address)) as client,
            pytest.raises(deepl.AuthorizationException),
        ):
            client.get_usage()
        with closing(deepl.Translator("known", server_url=server.address)) as client:
            client.translate_text("abc", source_lang="DE", target_lang="EN-US")
            assert client.get_usage().character.count == 3
            with pytest.raises(deepl.QuotaExceededException):
                client.translate_text("abc", source_lang="DE", target_lang="EN-US")


def test_a_client_of_libretranslate(server: Server, german: Translator):
    client = LibreTranslateAPI(server.address)
    assert client.translate("guten Tag", "de", "en") == german.translate(["guten Tag"])[0].text
    assert {each["code"] for each in client.languages()} == {"de", "en"}
    assert client.detect("what a beautiful day this is")[0]["language"] == "en"
