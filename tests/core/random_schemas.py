"""Random JSON schemas out of what constraints support, most of them with an end in sight."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]

_NAMES = st.sampled_from(["a", "name", "key with space", 'quo"te', "ünï", "x/y", "$ref"])
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_LITERALS = st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), _TEXTS)
_PATTERNS = st.sampled_from(["^[a-c]{1,3}$", "^(yes|no)$", "^\\d{2}-\\d{2}$", "^\\w+$", "b", "^x"])
_FORMATS = st.sampled_from(["date", "time", "date-time", "uuid", "ipv4", "email"])


def _strings() -> st.SearchStrategy[Schema]:
    lengths = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(
        lambda size: {"type": "string", "minLength": size[0], "maxLength": size[0] + size[1]}
    )
    return st.one_of(
        lengths,
        _PATTERNS.map(lambda pattern: {"type": "string", "pattern": pattern}),
        _FORMATS.map(lambda name: {"type": "string", "format": name}),
    )


def _numbers() -> st.SearchStrategy[Schema]:
    return st.builds(
        lambda kind, low, span: {"type": kind, "minimum": low, "maximum": low + span},
        st.sampled_from(["integer", "number"]),
        st.integers(-1000, 1000),
        st.integers(0, 2000),
    )


def _objects(children: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    def build(properties: dict[str, Schema], required: set[str], more: Schema | bool) -> Schema:
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(required & properties.keys()),
            "additionalProperties": more,
        }

    return st.builds(
        build,
        st.dictionaries(_NAMES, children, max_size=4),
        st.sets(_NAMES),
        st.one_of(st.just(False), st.just(False), st.just(False), children, st.just(True)),
    )


def _arrays(children: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.builds(
        lambda items, low, span: {"type": "array", "items": items, "minItems": low, "maxItems": low + span},
        children,
        st.integers(0, 2),
        st.integers(0, 2),
    )


_LEAVES = st.one_of(
    _strings(),
    _numbers(),
    st.sampled_from(["boolean", "null"]).map(lambda kind: {"type": kind}),
    st.lists(_LITERALS, min_size=1, max_size=4, unique_by=repr).map(lambda values: {"enum": values}),
    _LITERALS.map(lambda value: {"const": value}),
    st.just({"type": ["integer", "null"]}),
    st.just({"$ref": "#/$defs/tree"}),
)

_TREE: Schema = {
    "type": "object",
    "properties": {
        "value": {"type": "integer", "minimum": 0, "maximum": 9},
        "next": {"$ref": "#/$defs/tree"},
    },
    "required": ["value"],
    "additionalProperties": False,
}

SCHEMAS: st.SearchStrategy[Schema] = st.recursive(
    _LEAVES,
    lambda children: st.one_of(
        _objects(children),
        _arrays(children),
        st.lists(children, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=6,
).map(lambda schema: {**schema, "$defs": {"tree": _TREE}})
"""May refer to ``#/$defs/tree``, which they define and which refers to itself."""
