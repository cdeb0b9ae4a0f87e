"""Forms: what they take, what they refuse and where, and that plain values come back as they were."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.forms import Fault, Form, FormError, above, at_least, at_most, below, characters, matching, one_or_more


class Gate(Form):
    kind: Literal["gate"] = "gate"
    open: bool = False


class Wall(Form):
    kind: Literal["wall"]
    height: Annotated[float, above(0), at_most(10)] = 2.5


class Plot(Form):
    """All that an annotation may be."""

    name: Annotated[str, characters(5), matching("[a-z]+", "takes letters")]
    number: Annotated[int, at_least(1), below(9)] = 1
    corners: tuple[int, int] = (0, 0)
    edge: Gate | Wall = Gate()
    edges: Annotated[list[Gate | Wall], one_or_more] | None = None
    owner: str | list[str] | None = None
    prices: dict[Literal["old", "new"], float] = {}  # noqa: RUF012
    notes: dict[str, Any] = {}  # noqa: RUF012
    from_: int = 0

    def check(self) -> None:
        if self.number == self.from_:
            raise ValueError("number and from must differ")


class Open(Form):
    others: ClassVar[Any] = Wall
    renamed: ClassVar[dict[str, str]] = {"old": "new"}

    new: int = 0


def faults(values: object, form: type[Form] = Plot) -> list[str]:
    with pytest.raises(FormError) as caught:
        form.read(values)
    assert str(caught.value) == "; ".join(map(str, caught.value.faults))
    return [str(fault) for fault in caught.value.faults]


def test_defaults_and_given_values():
    plot = Plot.read({"name": "a", "edge": {"kind": "wall", "height": 3}, "corners": [1, 2], "from": 5})
    assert (plot.number, plot.from_, plot.corners, plot.edges) == (1, 5, (1, 2), None)
    assert plot.edge == Wall(kind="wall", height=3.0) and type(plot.edge.height) is float
    assert plot.given() == {"name": "a", "edge": {"kind": "wall", "height": 3.0}, "corners": [1, 2], "from": 5}
    assert list(plot.values()) == "name number corners edge edges owner prices notes from".split()
    assert plot.values(without=["from_", "notes"]).keys() == plot.values().keys() - {"from", "notes"}


def test_a_default_that_is_given_makes_no_difference_but_is_known():
    assert Plot(name="a") == Plot(name="a", number=1) != Plot(name="a", number=2)
    assert vars(Plot(name="a", number=1)).keys() == {"name", "number"}
    assert Gate() != Wall(kind="wall")


def test_a_form_never_changes_but_can_be_replaced():
    plot = Plot(name="a")
    with pytest.raises(AttributeError, match="Plot.name never changes"):
        plot.name = "b"  # type: ignore[misc]
    assert plot.replaced(name="b") == Plot(name="b") and plot == Plot(name="a")
    with pytest.raises(FormError, match="number: must be at least 1"):
        plot.replaced(number=0)
    assert copy.deepcopy(plot) == pickle.loads(pickle.dumps(plot)) == plot


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "name: this key is missing"),
        ({"name": "a", "colour": 1}, "colour: unknown key"),
        ({"name": "abcdef"}, "name: must have at most 5 characters"),
        ({"name": "A"}, "name: takes letters"),
        ({"name": "\ud800"}, r"name: a lone surrogate is no text: the text '\ud800'"),
        ({"name": 3}, "name: give text, not 3"),
        ({"name": "a", "number": True}, "number: give a whole number, not true"),
        ({"name": "a", "number": 1.0}, "number: give a whole number, not 1.0"),
        ({"name": "a", "number": "1"}, "number: give a whole number, not the text '1'"),
        ({"name": "a", "number": 9}, "number: must be less than 9"),
        ({"name": "a", "from": 1}, "number and from must differ"),
        ({"name": "a", "from_": 1}, "from_: unknown key"),
        ({"name": "a", "corners": [1]}, "corners.1: this value is missing"),
        ({"name": "a", "corners": [1, 2, 3]}, "corners: takes no more than 2 items"),
        ({"name": "a", "edge": {"kind": "hedge"}}, "edge.kind: must be one of gate, wall, not the text 'hedge'"),
        ({"name": "a", "edge": {"kind": ["wall"]}}, 'edge.kind: must be one of gate, wall, not ["wall"]'),
        ({"name": "a", "edge": {"height": 3}}, "edge.height: unknown key"),
        ({"name": "a", "edge": None}, "edge: give a section with keys, not null"),
        ({"name": "a", "edge": {"kind": "wall", "height": float("nan")}}, "edge.height: must be greater than 0"),
        ({"name": "a", "edge": {"kind": "wall", "height": float("inf")}}, "edge.height: must be at most 10"),
        ({"name": "a", "edge": {"kind": "wall", "height": 10**400}}, "edge.height: give a number, not 1000"),
        ({"name": "a", "edges": []}, "edges: needs 1 item or more"),
        ({"name": "a", "edges": [{}, {"open": 1}]}, "edges.1.open: give true or false, not 1"),
        ({"name": "a", "owner": [1]}, "owner.0: give text, not 1"),
        ({"name": "a", "prices": {"new": "1"}}, "prices.new: give a number, not the text '1'"),
        ({"name": "a", "prices": {"worn": 1.0}}, "prices.worn: must be one of old, new"),
        ([], "give a section with keys, not []"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(values: object, fault: str):
    (only,) = faults(values)
    assert only.startswith(fault)


def test_all_faults_are_told():
    assert faults({"number": 0, "owner": 1, "edge": {"kind": "wall", "height": 11, "open": True}}) == [
        "number: must be at least 1",
        "owner: give text, not 1",
        "owner: give a list, not 1",
        "edge.height: must be at most 10",
        "edge.open: unknown key",
        "name: this key is missing",
    ]


def test_other_keys_and_those_of_older_versions():
    found = Open.read({"old": 3, "north": {"kind": "wall"}})
    assert found.new == 3 and vars(found)["north"] == Wall(kind="wall")
    assert found.values() == {"new": 3, "north": {"kind": "wall", "height": 2.5}}
    assert faults({"north": {}}, Open) == ["north.kind: this key is missing"]
    assert faults({"check": {"kind": "wall"}}, Open) == ["check: unknown key"]  # else it would hide the method


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from([*Plot(name="a").values(), "kind", "height", "open", "old"])


@given(st.dictionaries(KEYS, ANY_JSON | st.dictionaries(KEYS, ANY_JSON, max_size=3), max_size=5))
def test_anything_gives_a_form_or_its_faults(values: dict[str, Any]):
    try:
        plot = Plot.read(values | {"name": "a"})
    except FormError as error:
        assert error.faults and all(isinstance(fault, Fault) and fault.what for fault in error.faults)
        assert str(error).isprintable()
    else:
        text = json.dumps(plot.values())
        assert json.dumps(Plot.read(json.loads(text)).values()) == text
