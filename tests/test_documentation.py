"""What the documentation names is there: files, tests, options, keys of recipes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from s2s_cli.cli.app import COMMANDS, command
from s2s_cli.errors import RecipeError
from s2s_cli.recipe.loading import load_recipe

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/data/*/*.md")])
RECIPES = sorted(ROOT.glob("recipes/**/*.yaml"))
FOLDERS = (ROOT, ROOT / "s2s_cli", ROOT / "recipes")  # from which files are named
FILE = re.compile(r"(?<![\w./~-])(?:[a-z][\w-]*/)+[\w-]+\.(?:py|md|yaml|sh|c)\b")
CALL = re.compile(rf"\bs2s ({'|'.join(COMMANDS)})\b([^|`\n#]*)")
OPTION = re.compile(r"(?<!\S)--?[a-z][a-z+-]*")
MADE_UP = ("a/s2s_cli", "b/s2s_cli")  # sides of a diff


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        path, _, anchor = "".join(target).partition("#")
        if not path.startswith("http"):
            found = (page.parent / path) if path else page
            assert found.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings], target


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=named)
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in set(FILE.findall(page.read_text(encoding="utf-8"))):
        is_there = any((folder / name).exists() for folder in (*FOLDERS, page.parent))
        assert is_there or name.startswith(MADE_UP), name


@cache
def source_of_tests() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_tests_that_are_named_are_there(page: Path) -> None:
    for name in set(re.findall(r"\btest_[a-z_]{12,}", page.read_text(encoding="utf-8"))):
        assert f"def {name}" in source_of_tests() or list(ROOT.glob(f"tests/**/{name}.py")), name


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=named)
def test_commands_have_the_options_that_are_shown(page: Path) -> None:
    for name, line in CALL.findall(page.read_text(encoding="utf-8")):
        known = {option for parameter in command(name).params for option in parameter.opts} | {"--help"}
        assert set(OPTION.findall(line)) <= known, (name, line)


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=named)
def test_scripts_have_the_options_that_are_shown(page: Path) -> None:
    for name, line in re.findall(r"\bpython (scripts/\w+\.py)([^|`\n#]*)", page.read_text(encoding="utf-8")):
        source = (ROOT / name).read_text(encoding="utf-8")
        assert all(f'"{option}"' in source for option in OPTION.findall(line)), (name, line)


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=named)
def test_each_key_that_is_set_has_an_option_of_its_own(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\n# ", " ")
    assert not re.findall(r"--set (?:'[^']*'|[^\s`]+)\s+[a-z_]+(?:\.\w+)*=", text)


def test_a_recipe_of_ones_own_needs_no_file_of_the_demo(tmp_path: Path) -> None:
    """quickstart.yaml, changed as README says."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    copied = r"Copy \[`(recipes/quickstart.yaml.*?)```yaml\n(.*?)^```"
    [(told, shown)] = re.findall(copied, readme, re.DOTALL | re.MULTILINE)
    assert "remove `exclude`" in told
    own, values = (yaml.safe_load(text) for text in (shown, (ROOT / "recipes/quickstart.yaml").read_text("utf-8")))
    values |= {**own, "data": values["data"] | own["data"]}
    del values["data"]["cleaning"]["exclude"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert recipe.name == own["name"]
    assert all(path in shown for path in recipe.data.files())


def test_recipes_that_are_shown_are_valid(tmp_path: Path) -> None:
    """Whole ones as they stand; sections of one as part of a small one."""
    shown = 0
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            if block.startswith((" ", "#")):
                block = f"data:\n{block}"
            values = {"name": "x", "languages": {"source": "fr", "target": "en"}} | yaml.safe_load(block)
            data = values.setdefault("data", {})
            for split in ("train", "dev"):
                data.setdefault(split, [{"source": "a", "target": "b"}])
            (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
            try:
                load_recipe(tmp_path / "recipe.yaml", ())
            except RecipeError as error:
                raise AssertionError(f"{page}: {block}") from error
            shown += 1
    assert shown >= 5
