"""The interfaces of LibreTranslate and DeepL, by the server as a process: the answers are what the translator gives."""

from __future__ import annotations

import json
import socket
from contextlib import closing, suppress
from urllib.parse import urlencode

import pytest
from serving_process import Server
from starts import PATIENCE

from s2s_cli import Translator

TEXT = "guten Tag! wie geht es?\n\n  alles gut  \r\nja"
FORM = {"content_type": "application/x-www-form-urlencoded"}
PARTS = {"content_type": "multipart/form-data; boundary=x"}


def lines_by(translator: Translator, text: str) -> str:
    """The translation of a text line by line, with the white space around lines and their ends as they were."""
    shown = text.replace("\r\n", "\r\n\x00").replace("\n", "\n\x00").replace("\r\n\x00\x00", "\r\n\x00").split("\x00")
    whole = []
    for line in shown:
        core = line.strip()
        whole.append(line.replace(core, translator.translate([core])[0].text) if core else line)
    return "".join(whole)


def in_parts(fields: list[tuple[str, str]]) -> bytes:
    """A form of several parts, in UTF-8."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    return "".join([*parts, "--x--\r\n"]).encode()


def in_charset(name: str) -> dict[str, str]:
    return {"content_type": f"{PARTS['content_type']}; charset={name}"}


def libre(server: Server, **fields: object):
    return server.ask("/translate", {"source": "de", "target": "en"} | fields)


def test_a_text_and_a_list_by_json_and_by_forms(server: Server, german: Translator):
    expected = lines_by(german, TEXT)
    assert libre(server, q=TEXT).body == {"translatedText": expected}
    assert libre(server, q=[TEXT, "", "ja"]).body == {
        "translatedText": [expected, "", german.translate(["ja"])[0].text]
    }
    fields = [("q", TEXT), ("source", "de"), ("target", "en"), ("format", "text")]
    form = server.ask("/translate", urlencode(fields).encode(), **FORM)
    assert form.body == {"translatedText": expected}
    assert server.ask("/translate", in_parts(fields), **PARTS).body == {"translatedText": expected}
    several = [("q", TEXT), ("q[]", "ja"), *fields[1:]]
    for answer in (
        server.ask("/translate", urlencode(several).encode(), **FORM),
        server.ask("/translate", in_parts(several), **PARTS),
    ):
        assert answer.body == {"translatedText": [expected, german.translate(["ja"])[0].text]}


def test_alternatives(server: Server, german: Translator):
    from dataclasses import replace

    options = replace(german.options, beam=4, n_best=4)
    texts = [each.text for each in german.translate(["guten Tag"], options)[0].n_best]
    body = libre(server, q="guten Tag", alternatives=3).body
    assert [body["translatedText"], *body["alternatives"]] == list(dict.fromkeys(texts))
    body = libre(server, q=["guten Tag", "ja"], alternatives=1).body
    assert len(body["translatedText"]) == len(body["alternatives"]) == 2
    assert all(isinstance(each, list) for each in body["alternatives"])


def test_html_keeps_its_tags(server: Server, german: Translator):
    body = libre(server, q="<p>guten Tag</p><p>a&amp;b</p>", format="html").body
    expected = german.translate(["guten Tag"])[0].text
    assert body["translatedText"].startswith("<p>") and expected in body["translatedText"].replace("&lt;", "<")
    assert body["translatedText"].count("</p>") == 2


def test_the_language_is_detected_among_those_that_are_served(server: Server):
    body = server.ask(
        "/translate", {"q": "Das ist ein schöner Tag für uns alle", "source": "auto", "target": "en"}
    ).body
    assert body["detectedLanguage"]["language"] == "de" and 0 < body["detectedLanguage"]["confidence"] <= 100
    body = server.ask("/translate", {"q": ["the weather is fine"], "source": "auto", "target": "de"}).body
    assert [each["language"] for each in body["detectedLanguage"]] == ["en"]
    found = server.ask("/detect", {"q": "what a beautiful day this is"}).body
    assert found[0]["language"] == "en" and {each["language"] for each in found} == {"de", "en"}


def test_what_there_is(server: Server):
    assert server.ask("/languages").body == [
        {"code": "de", "name": "German", "targets": ["en"]},
        {"code": "en", "name": "English", "targets": ["de"]},
    ]
    assert server.ask("/health").body == {"status": "ok"}
    settings = server.ask("/frontend/settings").body
    assert settings["charLimit"] == 50_000 and settings["language"]["source"]["code"] == "de"
    assert settings["keyRequired"] is False


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"source": "de", "target": "en"}, "missing q"),
        ({"q": "a", "target": "en"}, "missing source"),
        ({"q": "a", "source": "de"}, "missing target"),
        ({"q": 7, "source": "de", "target": "en"}, "q must be"),
        ({"q": ["a", 7], "source": "de", "target": "en"}, "q must be"),
        ({"q": "a", "source": "xx", "target": "en"}, "xx is not supported"),
        ({"q": "a", "source": "de", "target": "de"}, "not available as a target"),
        ({"q": "a", "source": "de", "target": "en", "format": "pdf"}, "format"),
        ({"q": "a", "source": "de", "target": "en", "alternatives": -1}, "alternatives"),
        ({"q": "a", "source": "de", "target": "en", "alternatives": 99}, "alternatives"),
        ({"q": "a \ud800", "source": "de", "target": "en"}, "surrogate"),
        ({"q": ["a"] * 501, "source": "de", "target": "en"}, "texts"),
        ([], "not a JSON object"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: Server, fields: object, part: str):
    answer = server.ask("/translate", fields)
    assert answer.status == 400 and list(answer.body) == ["error"] and part in answer.body["error"]


GREETING = in_parts([("q", "Grüße"), ("source", "de"), ("target", "en")])


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"content_type": "application/json"}, 400),
        (b"[" * 100_000, {"content_type": "application/json"}, 400),
        (b"\xff\xfe", {"content_type": "application/json"}, 400),
        (b"q=Gr%FC%DFe&source=de&target=en", FORM, 400),  # ISO 8859-1: replaced characters would be translated
        (b"q=Gr\xfc\xdfe&source=de&target=en", FORM, 400),
        (b"q=Gr\xc3\xbc%C3%9Fe%00&source=de&target=en", FORM, 200),
        (b"&".join([b"a=1"] * 2000), FORM, 400),
        (b"x", {"content_type": "multipart/form-data"}, 400),
        (GREETING, PARTS, 200),
        (GREETING, in_charset("UTF-8"), 200),
        (GREETING, in_charset('"us-ascii"'), 400),
        (GREETING.replace("üß".encode(), b""), in_charset("US-ASCII"), 200),
        (GREETING.replace("ü".encode(), b"\xfc"), PARTS, 400),
        (GREETING.replace(b'"target"', b'"target\xfc"'), PARTS, 400),
        *((GREETING, in_charset(name), 400) for name in ("punycode", "unicode_escape", "ISO-8859-1", "utf-16", "")),
        (b"x", {"content_encoding": "gzip"}, 415),
        (b"q=" + b"a" * 60_000 + b"&source=de&target=en", FORM, 413),
        (b"a" * (1 << 20) + b"a", {}, 413),
        (b"a" * (4 << 20), FORM, 413),
    ],
)
def test_bodies_that_are_none(server: Server, body: bytes, headers: dict[str, str], status: int):
    answer = server.ask("/translate", body, **headers)
    assert answer.status == status and isinstance(answer.body, dict)


HEAD = b"POST /translate HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (HEAD + b"X: ", b"a" * 65_536, b"431"),
        (HEAD, b"X: a\r\n" * 10_000, b"431"),
        (b"GET /", b"a" * 65_536, b"431"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n" * 100_000, b"413"),  # trailers
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a" * 1_000_000, b"413"),
        (b"", b"GET /health HTTP/1.1\r\n\r\n" * 1000, b"200"),
    ],
)
def test_what_never_becomes_a_request_is_not_kept(server: Server, start: bytes, piece: bytes, status: bytes):
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)) as connection:
        with pytest.raises(ConnectionError):
            for data in (start, *[piece] * 2000):
                connection.sendall(data)
        received = b""
        with suppress(ConnectionError):  # a reset may overtake the answer
            received = connection.recv(4096)
    # On a busy machine the server's time for a request may be over before it is too long.
    assert received[:12] in (b"HTTP/1.1 %s" % status, b"HTTP/1.1 408", b"")


def test_what_is_not_http_is_told_so(server: Server):
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)) as connection:
        connection.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and list(json.loads(body)) == ["error"]


def test_a_client_that_asks_for_another_protocol_is_answered_by_this_one(server: Server, german: Translator):
    asked = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAEAAEAA"}
    answer = server.ask("/translate", {"q": "ja", "source": "de", "target": "en"}, **asked)
    assert answer.body == {"translatedText": german.translate(["ja"])[0].text}


def test_paths_and_methods(server: Server):
    assert server.ask("/nothing").body == {"error": "Not Found"}
    assert server.ask("/v2/nothing").body == {"message": "Not Found"}
    assert server.ask("/page/../../secret").status == 404
    assert server.ask("/translate").status == 405
    preflight = server.ask("/translate", method="OPTIONS")
    assert preflight.status == 204 and preflight.headers["access-control-allow-origin"] == "*"


def deepl(server: Server, **fields: object):
    return server.ask("/v2/translate", {"source_lang": "DE", "target_lang": "EN-US"} | fields)


def test_deepl(server: Server, german: Translator):
    ja = german.translate(["ja"])[0].text
    assert deepl(server, text=["ja", TEXT]).body == {
        "translations": [
            {"detected_source_language": "DE", "text": ja},
            {"detected_source_language": "DE", "text": lines_by(german, TEXT)},
        ]
    }
    form = server.ask("/v2/translate", b"text=ja&text=nein&target_lang=en&source_lang=de", **FORM)
    assert [each["text"] for each in form.body["translations"]] == [ja, german.translate(["nein"])[0].text]
    billed = deepl(server, text=["ja"], show_billed_characters=True).body["translations"]
    assert billed[0]["billed_characters"] == 2
    xml = deepl(server, text=["ja <x>nein</x>"], tag_handling="xml", ignore_tags=["x"]).body["translations"][0]["text"]
    assert "<x>nein</x>" in xml


def test_sentences_are_split_as_asked(server: Server, german: Translator):
    text = "ja. nein.\nja"
    whole = [each["text"] for each in deepl(server, text=[text], split_sentences="0").body["translations"]]
    from dataclasses import replace

    german_whole = Translator(
        german.model, german.tokenizers, options=german.options, division=replace(german.division, split="long")
    )
    assert whole == [german_whole.translate([text])[0].text]
    with_tags = [deepl(server, text=["ja\nnein"], tag_handling=form) for form in ("xml", "html")]
    assert ["\n" in answer.body["translations"][0]["text"] for answer in with_tags] == [True, False]
    joined = deepl(server, text=[text], split_sentences="nonewlines").body["translations"][0]["text"]
    assert joined == german.translate([text])[0].text


@pytest.mark.parametrize(
    "fields",
    [
        {"text": ["a"], "target_lang": "FR"},
        {"text": [], "target_lang": "EN-US"},
        {"text": ["a"] * 51},
        {"text": ["a"], "formality": "more"},
        {"text": ["a"], "glossary_id": "x"},
        {"text": ["<a>"], "tag_handling": "xml"},
        {"text": ["a"], "ignore_tags": ["x"]},
        {"text": ["a"], "split_sentences": "2"},
        {"text": ["a"], "show_billed_characters": "yes"},
        {"text": "a", "target_lang": None},
    ],
)
def test_deepl_refuses(server: Server, fields: dict[str, object]):
    answer = deepl(server, **fields)
    assert answer.status == 400 and list(answer.body) == ["message"]


def test_explaining_tells_what_is_translated(server: Server, german: Translator):
    [part] = server.ask("/api/explain", {"q": "guten Tag", "source": "de", "target": "en"}).body["parts"]
    found = german.translate(["guten Tag"], keep_attention=True)[0]
    assert part["text"] == found.text and part["tokens"] == found.tokens
    assert [tuple(pair) for pair in part["alignment"]] == found.alignment
    assert len(part["attention"]) == len(part["tokens"])
    assert all(sum(row) == pytest.approx(1, abs=0.01) for row in part["attention"])
    assert len(part["steps"]) >= len(part["tokens"])


def test_the_description_names_what_there_is(server: Server):
    described = server.ask("/openapi.json").body
    for path, methods in described["paths"].items():
        for method in methods:
            answer = server.ask(path, {} if method == "post" else None, method=method.upper())
            assert answer.status in (200, 400), (path, answer)
    for path in ("/", "/docs", "/page/page.js", "/page/page.css"):
        answer = server.ask(path)
        assert answer.status == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
        assert b"http://" not in answer.body.replace(b"http://www.w3.org/", b"") and b"https://" not in answer.body


def test_methods_that_are_not_described_are_refused(server: Server):
    for path, methods in server.ask("/openapi.json").body["paths"].items():
        for method in {"get", "post", "put", "delete"} - set(methods):
            assert server.ask(path, b"", method=method.upper()).status == 405, (path, method)


def test_what_stands_for_nothing_is_described_and_taken(server: Server, german: Translator):
    ja = german.translate(["ja"])[0].text
    paths = server.ask("/openapi.json").body["paths"]
    for kind, blanks in (("application/json", ["", None]), ("application/x-www-form-urlencoded", [""])):
        schema = paths["/translate"]["post"]["requestBody"]["content"][kind]["schema"]
        assert schema["properties"]["format"]["anyOf"][1]["enum"] == blanks
        assert ("minItems" in schema["properties"]["q"]["oneOf"][1]) == (blanks == [""])
    for fields in ({"format": None, "alternatives": ""}, {"api_key": None}, {"alternatives": 0.0}):
        assert libre(server, q="ja", **fields).body == {"translatedText": ja}
    assert libre(server, q="ja", alternatives="1").body["alternatives"] is not None
    assert libre(server, q="ja", alternatives=0.5).status == 400
    for fields in ({"context": None, "formality": ""}, {"outline_detection": "0", "preserve_formatting": True}):
        assert deepl(server, text="ja", source_lang="", **fields).body["translations"][0]["text"]
    for fields in ({"outline_detection": 5}, {"preserve_formatting": "maybe"}, {"context": 7}):
        assert deepl(server, text="ja", **fields).status == 400


def test_pairs_that_are_described_are_those_that_are_served(server: Server):
    paths = server.ask("/openapi.json").body["paths"]
    schema = paths["/translate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    described = {
        (source, target)
        for rule in schema["anyOf"]
        for source in rule["properties"]["source"]["enum"]
        for target in rule["properties"]["target"]["enum"]
    }
    for source in schema["properties"]["source"]["enum"]:
        for target in schema["properties"]["target"]["enum"]:
            is_served = libre(server, q="ja", source=source, target=target).status == 200
            assert is_served == ((source, target) in described)


def test_metrics_and_the_log_tell_of_requests_but_not_of_texts(server: Server):
    libre(server, q="geheimes")
    metrics = server.ask("/metrics").body.decode()
    assert 's2s_requests_total{route="/translate",status="200"}' in metrics
    assert "s2s_batch_parts_count" in metrics and "s2s_queue_parts 0.0" in metrics
    log = server.process.said()
    assert "POST /translate 200" in log and "pair=de-en" in log and "geheimes" not in log


def test_the_log_as_json_and_keys(models, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("free\nslow 2 20\ncounted - 9\n")
    with Server("--log", "json", "--api-keys", keys, models=models) as server:
        assert libre(server, q="a").status == 403
        assert libre(server, q="a", api_key="wrong").status == 403
        assert libre(server, q="a", api_key="free").status == 200
        header = {"authorization": "DeepL-Auth-Key slow"}
        fields = {"text": ["abcd"], "source_lang": "DE", "target_lang": "EN-US"}
        assert server.ask("/v2/translate", fields, **header).status == 200
        assert server.ask("/v2/usage", **header).body == {"character_count": 4, "character_limit": 20}
        slow = server.ask("/v2/translate", fields, **header)
        assert slow.status == 429 and int(slow.headers["retry-after"]) > 0
        big = {"text": ["a" * 21], "source_lang": "DE", "target_lang": "EN-US"}
        assert server.ask("/v2/translate", big, authorization="DeepL-Auth-Key free").status == 200
        counted = {"authorization": "DeepL-Auth-Key counted"}
        assert server.ask("/v2/translate", fields | {"target_lang": "FR"}, **counted).status == 400
        assert libre(server, q="abcd", target="fr", api_key="counted").status == 400
        assert server.ask("/v2/usage", **counted).body["character_count"] == 0  # what is refused costs nothing
        lines = [json.loads(line) for line in server.process.said().splitlines() if line.startswith("{")]
        assert [line["status"] for line in lines if line["path"] == "/translate"] == [403, 403, 200, 400]
        assert "slow" not in server.process.said()
