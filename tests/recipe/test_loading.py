"""Recipes: what YAML means, what is a fault, where it is, and that all faults are told at once."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.errors import ExitCode, RecipeError
from s2s_cli.recipe.loading import dump_recipe, load_recipe
from s2s_cli.recipe.schema import Recipe

MINIMAL = """\
name: test
languages: {source: fr, target: en}
data:
  train: [{tsv: train.tsv}]
  dev: [{tsv: dev.tsv}]
"""


@pytest.fixture
def load(tmp_path: Path):
    """Load a recipe from text, with overrides."""

    def load_text(text: str | bytes, *overrides: str) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_recipe(path, overrides)

    return load_text


@pytest.fixture
def faults(load):
    """The faults of a recipe, without the name of its folder."""

    def faults_of(text: str | bytes, *overrides: str) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(text, *overrides)
        assert caught.value.exit_code == ExitCode.USAGE
        assert str(caught.value).count("\n") + 1 == len(caught.value.faults)  # one line each
        return [f"{Path(str(fault.where)).name}: {fault.what} ({fault.hint})" for fault in caught.value.faults]

    return faults_of


def test_a_minimal_recipe_has_defaults_for_all_the_rest(load):
    recipe = load(MINIMAL)
    assert recipe.data.train[0].columns == (1, 2)
    assert recipe.model.decoder.context == "attention"


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "off", "NO", "3_000", "0x1F", "0o17", "1:30", "2024-01-01", ".inf"]
)
def test_words_of_old_yaml_stay_text(load, word):
    assert load(MINIMAL.replace("target: en", f"target: {word}")).languages.target == word


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("1E-3", 1e-3), ("0.001", 1e-3), (".5", 0.5), ("2", 2.0), ("+3.", 3.0)]
)
def test_numbers(load, text, value):
    assert load(f"{MINIMAL}training: {{learning_rate: {text}}}").training.learning_rate == value


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("1e6", 1_000_000), ("3.0", 3), ("007", 7)])
def test_whole_numbers(load, text, value):
    updates = load(f"{MINIMAL}training: {{updates: {text}}}").training.updates
    assert (updates, type(updates)) == (value, int)


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_booleans(load, text):
    assert load(f"{MINIMAL}model: {{layer_norm: {text}}}").model.layer_norm is True


@pytest.mark.parametrize("text", ["null", "~", ""])
def test_null(load, text):
    assert load(f"{MINIMAL}validation:\n  every: {text}\n").validation.every is None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("training: {epochs: 3.5}", "give a whole number, not 3.5"),
        ("training: {epochs: true}", "give a whole number, not true"),
        ("training: {epochs: '3'}", "give a whole number, not the text '3'"),
        ("training: {epochs: 3_000}", "give a whole number, not the text '3_000'"),
        ("training: {epochs: 1e400}", "give a whole number, not the text '1e400'"),
        ("training: {learning_rate: .inf}", "give a number, not the text '.inf'"),
        ("training: {learning_rate: 0}", "must be greater than 0"),
        ("training: {betas: [0.9]}", "is missing"),
        ("training: 3", "give a section with keys, not 3"),
        ("training:", "leave the key out"),
        ("model: {layer_norm: no}", "write false"),
        ("seed: 4294967296", "must be less than"),
        ("seed: 1" + "0" * 5000, "give a whole number"),
        ("model: {cell: gruu}", "not the text 'gruu' (did you mean `gru`"),
        ("model: {encoder: {kind: transfomer}}", "encoder.kind: must be one of recurrent, transformer, not the text"),
        ("model: {encoder: {kind: transfomer}}", "(did you mean `transformer`?)"),
        ("model: {encoder: {kind: null}}", "encoder.kind: must be one of recurrent, transformer, not null"),
        ("model: {encoder: {kind: transformer, heads: 0}}", "encoder.heads: must be at least 1"),
        ("model: {encoder: {kind: transformer, heads: 3}}", "heads = 3 must divide hidden = 256"),
        ("model: {encoder: [1]}", "give a section with keys, not [1]"),
        ("model: {embedding: 65537}", "must be at most 65536"),
        ("model: {encoder: {layers: 101}}", "must be at most 100"),
        ("decoding: {batch_tokens: 1e9}", "must be at most"),
        ("training: {threads: 2e9}", "must be at most 1024"),
        ("validation: {beam: 1001}", "must be at most 1000"),
        ("tokenizer: {character_coverage: 0.97}", "must be at least 0.98"),
        ("tokenizer: {source: {vocabulary: 3}}", "tokenizer.source.vocabulary: must be at least 8"),
        ("tokenizer: {target: {vocabulary: 5e6}}", "tokenizer.target.vocabulary: must be at most"),
        ("tokenizer: {joint: false, target: {kind: words}}", "did you mean `word`?"),
        (
            "tokenizer: {kind: word, case_markup: true}",
            "tokenizer.case_markup needs a tokenizer of kind `sentencepiece`, not `word` (give case_markup: false)",
        ),
        (
            "tokenizer: {case_markup: true, target: {kind: character}}",
            "tokenizer.target.case_markup needs a tokenizer of kind `sentencepiece`, not `character`",
        ),
        ("tokenizer: {case_markup: 1}", "give true or false, not 1"),
        ("model: {tied: all}\ntokenizer: {joint: false}", "needs one joint vocabulary"),
        ("model: {output: copy}\ntokenizer: {joint: false}", "`copy` needs one joint vocabulary"),
        (
            "training: {objective: {kind: r_drop}}\nmodel: {dropout: {embedding: 0, state: 0, readout: 0}}",
            "training.objective `r_drop` needs dropout",
        ),
        ("training: {objective: {alpha: 2}}", "training.objective.alpha: unknown key"),
        ("training: {objective: {kind: minimum_risk, mix: 1}}", "training.objective.mix: must be less than 1"),
        ("training: {objective: {kind: minimum_risk, candidates: 1}}", "candidates: must be at least 2"),
        ("training: {objective: {kind: minimum_risk, alpha: 2}}", "training.objective.alpha: unknown key"),
        (
            "training: {objective: {kind: minimum_risk, mix: 0}}",
            "training.label_smoothing has no effect: training.objective.mix is 0 (give label_smoothing: 0)",
        ),
        (
            "training: {objective: {kind: minimum_risk, mix: 0}, label_smoothing: 0}\n"
            "model: {attention: {coverage: true, coverage_loss: 0.5}}",
            "model.attention.coverage_loss has no effect",
        ),
        ("  protect: {kinds: []}", "data: `protect` has no effect"),
        ('  protect: {patterns: [""]}', "data: `protect.patterns` has an empty one"),
        ("  terms: {share: 0.7}\n  protect: {share: 0.4}", "data: a pair has marks or terms, not both:"),
        ("training: {objective: {kind: rdrop}}", "training.objective.kind: must be one of cross_entropy, r_drop,"),
        (
            "tokenizer: {target: {kind: word}}\ntraining: {subword_sampling: {source: 0.2, target: 0.2}}",
            "training.subword_sampling.target needs a tokenizer of kind `sentencepiece`: that of this side is `word`",
        ),
        ("model: {output: copy, decoder: {context: initial}}", "`copy` needs decoder.context `attention`"),
        ("model: {decoder: {feed_previous: false}}", "needs decoder.feed_previous: true"),
        (
            "model: {attention: {heads: 2, coverage: true}, decoder: {context: initial}}",
            "model.attention.coverage has no effect: model.decoder.context is `initial`; model.attention.heads has no",
        ),
        (
            "model: {encoder: {bridge: copy}, decoder: {context: every_step}}",
            "model.encoder.bridge has no effect: with model.decoder.context `every_step`",
        ),
        (
            "model: {tied: target, decoder: {context: every_step, feed_previous: false}}",
            "model.tied `target` has no effect: without model.decoder.feed_previous",
        ),
        ("init: {extend: true}", "init.from: this key is missing"),
        ("init: {from: 3}", "init.from: give text, not 3 (put it into quotes)"),
        ("init: {from: runs/general}\ntokenizer: {vocabulary: 80}", "`tokenizer` has no effect: init takes"),
        (
            "tokenizer: {source: {kind: word, model: bpe}}",
            "tokenizer.source.model has no effect: the kind of this tokenizer is `word`",
        ),
        (
            "tokenizer: {kind: word, target: {character_coverage: 0.99}}",
            "tokenizer.target.character_coverage has no effect: the kind of this tokenizer is `word`",
        ),
        (
            "tokenizer: {kind: word, model: bpe}",
            "tokenizer.model has no effect: no side has a tokenizer of kind `sentencepiece`",
        ),
        (
            "training: {averaging: {count: 10}, decay_factor: 0.5}",
            "training.decay_factor has no effect: training.schedule is `inverse_sqrt`; training.averaging.count has no"
            " effect: training.averaging.method is `ema`",
        ),
        (
            "training: {averaging: {method: last, decay: 0.99}}",
            "training.averaging.decay has no effect: training.averaging.method is `last`",
        ),
        (
            "decoding: {normalization: none, length_penalty: 0.5}",
            "decoding.length_penalty has no effect: decoding.normalization is `none`",
        ),
        (
            "model: {attention: {input_feeding: false}, encoder: {residual: true}}",
            "model.attention.input_feeding has no effect: model.attention.query is `previous`; model.encoder.residual"
            " has no effect: model.encoder.layers is `1`",
        ),
        (
            "model: {dropout: {variational: true, embedding: 0, state: 0, readout: 0, source_words: 0.1}}",
            "model.dropout.variational has no effect",
        ),
        (
            "model: {attention: {query: current}, dropout: {variational: true, embedding: 0, state: 0}}",
            "model.dropout.variational has no effect",
        ),
        (
            "model: {attention: {query: current}, dropout: {embedding: 0, state: 0}}\n"
            "training: {objective: {kind: r_drop}}",
            "training.objective `r_drop` needs dropout",
        ),
        ("model: {dropout: {state: 0.0019}}", "model.dropout.state has no effect: below 0.002"),
        ("model: {decoder: {residual: true}}", "model.decoder.residual has no effect: model.decoder.layers is `1`"),
    ],
)
def test_wrong_values_are_told_with_their_line(faults, line, fault):
    (only,) = faults(MINIMAL + line)
    assert fault in only
    assert only.startswith(("recipe.yaml:6: ", "recipe.yaml:3: data", "recipe.yaml:1: "))  # 3 and 1: what has the key


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("trainig: {}", "`training`"),
        ("training: {learning_rat: 1}", "`learning_rate`"),
        ("learning_rate: 1", "`training.learning_rate`"),
        ("training: {batch: {tokens: 1}}", "`batch_tokens`"),
        ("model: {hidden: 3}", "`model.encoder.hidden` or `model.decoder.hidden`"),
        ("model: {encoder: {embedding: 3}}", "`model.embedding`"),
        ("model: {encoder: {kind: transformer, head: 3}}", "`heads`"),
        ("model: {encoder: {kind: transformer, residual: true}}", "other kinds of `encoder` have this key"),
        ("model: {encoder: {heads: 3}}", "other kinds of `encoder` have this key"),
        ("xyzzy: 1", "known here: name, seed"),
        ("init: {form: runs/general, from: x}", "`from`"),
        ("from: runs/general", "`init.from`"),
    ],
)
def test_unknown_keys_suggest_the_key_that_was_meant(faults, line, meant):
    (only,) = faults(MINIMAL + line)
    assert "unknown key" in only
    assert meant in only


def test_all_faults_are_told_at_once_in_the_order_of_the_file(faults):
    text = """\
name: a/b
seed: -1
languages: {source: 1}
data:
  train: []
  dev:
    - {tsv: a, source: b}
    - {tsv: c, columns: [0, 1], encoding: utf-8}
epochs: 3
epochs: 4
"""
    told = faults(text, "decoding.beam=0", "nonsense", "decoding.beem=3")
    assert [line.partition(" (")[0] for line in told] == [
        "recipe.yaml:10: the key `epochs` is repeated here, after line 9",
        "--set nonsense: give KEY=VALUE, such as training.epochs=5",
        "recipe.yaml:1: name: takes letters, digits, `.`, `_` and `-` only",
        "recipe.yaml:2: seed: must be at least 0",
        "recipe.yaml:3: languages.target: this key is missing",
        "recipe.yaml:3: languages.source: give text, not 1",
        "recipe.yaml:5: data.train: needs 1 item or more",
        "recipe.yaml:7: data.dev.0: give either `source` and `target`, or one of `tsv`, `tmx`, `xliff`, `po`, `jsonl`,"
        " `parquet`",
        "recipe.yaml:8: data.dev.1.columns.0: must be at least 1",
        "recipe.yaml:8: data.dev.1.encoding: unknown key",
        "recipe.yaml:9: epochs: unknown key",
        "--set decoding.beam: must be at least 1",
        "--set decoding.beem: unknown key",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "recipe.yaml: the recipe is empty"),
        ("# nothing\n", "recipe.yaml: the recipe is empty"),
        ("---\n", "recipe.yaml: the recipe is empty"),
        ("- 1\n", "recipe.yaml: the recipe is not a mapping"),
        ("just text", "recipe.yaml: the recipe is not a mapping"),
        ("name: a\n---\nname: b\n", "recipe.yaml:2: a second document"),
        ("name: a\n  b: c\n", "recipe.yaml:2: not valid YAML"),
        ("name: [a\n", "recipe.yaml:2: not valid YAML"),
        ("name: a\n\tseed: 1\n", "recipe.yaml:2: not valid YAML"),
        ("name: a\n? [x]\n: 1\n", "recipe.yaml:2: a key must be one word"),
        ("name: !!python/object/apply:os.system [true]", "recipe.yaml:1: the tag `tag:yaml.org,2002:python/"),
        ("name: !!str no", "recipe.yaml:1: the tag"),
        ("name: &a x\nseed: *a\n", "recipe.yaml:1: anchors and aliases"),
        ("name: a\n&k seed: 1\n", "recipe.yaml:2: anchors and aliases"),
        ("name: a\nlanguages:\n  *k : fr\n", "recipe.yaml:3: anchors and aliases"),
        ("name: a\n!!str seed: 1\n", "recipe.yaml:2: the tag `tag:yaml.org,2002:str`"),
        ("name: a\n? !!python/name:os.system x\n: 1\n", "recipe.yaml:2: the tag `tag:yaml.org,2002:python/"),
        ("name: a\n&k [x]: 1\n", "recipe.yaml:2: anchors and aliases"),
        ('name: "\\ud800"', "recipe.yaml:1: control characters"),
        ('name: "\\0"', "recipe.yaml:1: control characters"),
        ('name: "\\U00110000"', "recipe.yaml:1: not valid YAML"),
        ("name: a\nseed: \x01", "recipe.yaml:2: character U+0001"),
        (b"name: a\nseed: \xff\n", "recipe.yaml:2: not valid UTF-8"),
        (b"name: a\n" + b"#" * (1 << 20), "recipe.yaml: larger than 1 MiB"),
    ],
)
def test_what_is_no_recipe_at_all(faults, text, fault):
    (only,) = faults(text)
    assert only.startswith(fault)


def test_missing_and_unreadable_files(tmp_path: Path):
    for path, what in ((tmp_path / "none.yaml", "no such recipe"), (tmp_path, "cannot be read")):
        with pytest.raises(RecipeError, match=what) as caught:
            load_recipe(path)
        assert str(path) in str(caught.value)


def test_a_byte_order_mark_and_crlf_are_harmless(load):
    assert load(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode()) == load(MINIMAL)


@pytest.mark.parametrize(
    "text", [f"{'k' * 9_000}: 1", '"\\e[2J\\n": 1', f"training: {{cell: {'c' * 9_000}}}", "!" + "t" * 9_000]
)
def test_what_is_wrong_is_quoted_in_few_printable_characters(faults, text):
    for line in (*faults(MINIMAL + text), *faults(MINIMAL, f"{text}\x1b[2J=1")):
        assert len(line) < 700
        assert line.isprintable()


def test_of_very_many_faults_some_are_told_and_the_others_counted(faults):
    told = faults(MINIMAL + "".join(f"key{number}: 1\n" for number in range(1_000)))
    assert len(told) == 21
    assert told[-1] == "recipe.yaml: and 980 faults more (None)"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a [*a]\n",
        "a: " + "[" * 5000 + "]" * 5000,
        "a: " + "{a: " * 5000 + "}" * 5000,
        "\n".join(" " * depth + "a:" for depth in range(1000)),
        "a: [" + "x, " * 50_000 + "]",
        "\n".join(f"k{number}: 1" for number in range(20_000)),
    ],
    ids=["aliases", "recursion", "lists", "mappings", "indents", "items", "keys"],
)
def test_hostile_yaml_costs_little(faults, text):
    begin = time.process_time()
    tracemalloc.start()
    try:
        (only,) = faults(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(only) < 300
    assert peak < 50 << 20
    assert time.process_time() - begin < 60  # seconds of a processor, traced; few without


@given(st.one_of(st.binary(max_size=200), st.text("-?:,[]{}#&*!|>'\"%@` \n\tab1.~", max_size=80).map(str.encode)))
def test_any_bytes_give_a_recipe_or_a_recipe_error(load, noise):
    for text in (noise, MINIMAL.encode() + noise):
        try:
            load(text)
        except RecipeError as error:
            assert error.faults


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_override_gives_a_recipe_or_a_recipe_error(load, key, value):
    for override in (key, f"{key}={value}", f"name={value}", f"data.{key}={value}"):
        try:
            load(MINIMAL, override)
        except RecipeError as error:
            assert error.faults


def test_overrides(load):
    recipe = load(
        MINIMAL,
        "training.learning_rate=3e-4",
        "data.train.0={tsv: pairs.tsv}",
        "data.train.0.columns=[2, 1]",
        "data.dev.0.name=no",
        "languages={source: de, target: nl}",
        "languages.target=no",
        "model.decoder.hidden=128",
        "validation.every=",
    )
    assert recipe.training.learning_rate == 3e-4
    assert recipe.data.train[0].columns == (2, 1)
    assert recipe.data.dev[0].name == "no"
    assert (recipe.languages.source, recipe.languages.target) == ("de", "no")
    assert recipe.model.decoder.hidden == 128
    assert recipe.validation.every is None


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("training.epochs", "--set training.epochs: give KEY=VALUE"),
        ("=3", "--set : give KEY=VALUE"),
        ("training..epochs=3", "--set training..epochs: give KEY=VALUE"),
        ("training.epochs=[", "--set training.epochs: not valid YAML"),
        ("training.epochs=many", "--set training.epochs: give a whole number"),
        ("training.epoch=3", "--set training.epoch: unknown key"),
        ("training={epoch: 3}", "--set training: training.epoch: unknown key"),
        ("data.train.1.tsv=x", "--set data.train.1.tsv: `data.train` has no item `1`"),
        ("data.train.-1.tsv=x", "--set data.train.-1.tsv: `data.train` has no item `-1`"),
        ("name.first=x", "--set name.first: `name` has a value, not keys"),
        ("name=&a x", "--set name: anchors and aliases"),
        ("training={epochs: 3, epochs: 4}", "--set training: the key `epochs` is repeated here"),
    ],
)
def test_faults_of_overrides_name_the_option(faults, override, fault):
    (only,) = faults(MINIMAL, override)
    assert only.startswith(fault)


READ_AS_OTHERS = ["", *"no yes on true null ~ 1e-3 -.5 7 1. 0x1F 3_000 2024-01-01 .inf".split()]
SIGNS = [*"!x &x *x { [ ' \" %x @x `x = << \u2028 日本語 😀".split(" "), " x ", "a: b", "- x", "# x"]
TRICKY = st.sampled_from(READ_AS_OTHERS + SIGNS)
TEXT = TRICKY | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)


DIGEST = st.text("0123456789abcdefABCDEF", min_size=64, max_size=64)


@pytest.fixture
def minimal(load) -> Recipe:
    return load(MINIMAL)


@given(TEXT, TEXT, DIGEST, st.floats(1e-12, 1e12), st.none() | st.integers(1, 2**40))
def test_a_dumped_recipe_reads_as_the_same(load, minimal, language, path, digest, rate, updates):
    values = minimal.values()
    values["languages"]["target"] = language
    values["data"]["train"] = [{"source": path, "target": path, "sha256": {"source": digest, "target": digest}}]
    values["training"] |= {"learning_rate": rate, "updates": updates}
    recipe = Recipe.read(values)
    assert load(dump_recipe(recipe)) == recipe


def test_a_recipe_of_many_corpora_can_be_read_again(load, minimal):
    values = minimal.values()
    values["data"]["train"] = [{"tsv": f"{number}.tsv", "weight": 0.5} for number in range(1_500)]
    recipe = Recipe.read(values)
    assert load(dump_recipe(recipe)) == recipe


@pytest.mark.parametrize("rest", ["", ", extend: true}\ntokenizer: {vocabulary: 80"])
def test_so_does_one_that_begins_with_a_model(load, rest):
    recipe = load(MINIMAL + f"init: {{from: runs/general{rest}}}")
    assert recipe.init.from_ == "runs/general" and recipe.init.extend == bool(rest)
    again = load(dump_recipe(recipe))
    assert again == recipe and again.keeps_tokenizers != bool(rest)
