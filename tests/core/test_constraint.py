"""What a constraint may be made of, and what compiling it for a vocabulary says about it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from scripted_runner import EOS, THINK, VOCAB_SIZE, ByteTokenizer

from candlewick.core import grammar as grammar_module
from candlewick.core.constraint import Constraint
from candlewick.core.errors import InvalidRequestError
from candlewick.core.grammar import GrammarCompiler, GrammarError, GrammarTokenizer, Matcher
from candlewick.core.params import GenerationParams

pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(ByteTokenizer())


def allowed(matcher: Matcher) -> set[int]:
    mask = np.zeros(-(-VOCAB_SIZE // 32), dtype=np.uint32)
    matcher.write_mask(mask)
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


class TestSleep:
    """A constraint that is looked at from certain tokens on."""

    LETTERS_THEN_CALL = Constraint("lark", f'start: /[a-z]*/ <[{THINK}]> "yes"', wakes_at=frozenset({THINK}))

    def test_all_is_free_until_it_wakes(self, compiler: GrammarCompiler) -> None:
        matcher = compiler.compile(self.LETTERS_THEN_CALL).new_matcher()
        for token_id in b"abc":
            assert matcher.is_free
            assert matcher.is_accepting
            assert not matcher.is_complete
            assert not matcher.forced_tokens()
            assert set(range(VOCAB_SIZE)) <= allowed(matcher)
            matcher.accept(token_id)
        matcher.accept(THINK)
        assert not matcher.is_free
        assert allowed(matcher) == {ord("y")}
        assert bytes(matcher.forced_tokens()) == b"yes"
        for token_id in b"yes":
            assert not matcher.is_complete
            matcher.accept(token_id)
        assert matcher.is_complete
        matcher.retract(1)
        assert allowed(matcher) == {ord("s")}

    def test_where_the_grammar_does_not_allow_it_all_stays_free(self, compiler: GrammarCompiler) -> None:
        matcher = compiler.compile(self.LETTERS_THEN_CALL).new_matcher()
        for token_id in (*b"A", THINK, *b"no", THINK):
            matcher.accept(token_id)
            assert matcher.is_free

    def test_it_is_compiled_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        may_compile = threading.Event()
        vocabulary = grammar_module._new_vocabulary

        def slow(tokenizer: GrammarTokenizer) -> object:
            assert may_compile.wait(20)
            return vocabulary(tokenizer)

        monkeypatch.setattr(grammar_module, "_new_vocabulary", slow)
        compiler = GrammarCompiler(ByteTokenizer())
        matcher = compiler.compile(self.LETTERS_THEN_CALL).new_matcher()
        matcher.accept(ord("a"))
        assert matcher.is_free
        other = compiler.compile(replace(self.LETTERS_THEN_CALL, wakes_at=frozenset({EOS}))).new_matcher()
        assert other.is_free
        may_compile.set()
        matcher.accept(THINK)
        assert bytes(matcher.forced_tokens()) == b"yes"

    def test_what_can_not_be_compiled_binds_nothing(self, compiler: GrammarCompiler) -> None:
        wrong = Constraint("lark", "start: missing", wakes_at=frozenset({THINK}))
        matcher = compiler.compile(wrong).new_matcher()
        matcher.accept(THINK)
        assert matcher.is_free
        with pytest.raises(InvalidRequestError):
            compiler.compile(Constraint("lark", wrong.text))

    def test_answers_of_one_grammar_wake_by_themselves(self, compiler: GrammarCompiler) -> None:
        one, other = (compiler.compile(self.LETTERS_THEN_CALL).new_matcher() for _ in range(2))
        one.accept(THINK)
        assert (one.is_free, other.is_free) == (False, True)
        bound = compiler.compile(Constraint("lark", self.LETTERS_THEN_CALL.text)).new_matcher()
        assert not bound.is_free


def is_allowed_text(compiler: GrammarCompiler, constraint: Constraint, text: str) -> bool:
    matcher = compiler.compile(constraint).new_matcher()
    try:
        for token_id in text.encode():
            matcher.accept(token_id)
    except GrammarError:
        return False
    return matcher.is_accepting


@pytest.mark.parametrize(
    ("constraint", "fine", "wrong"),
    [
        (Constraint.json_schema({"type": "integer"}), ["0", "-17"], ["1.5", "x", "", '"1"', " 1"]),
        (Constraint.json_schema(True), ["null", "[1, 2]", '{"a": {}}'], ["", "nul", "{'a': 1}"]),
        (Constraint.regex(r"a/b\n?"), ["a/b", "a/b\n"], ["a", "a/b\\n", "a/b\n\n"]),
        (Constraint.regex(r"a\/b"), ["a/b"], ["a\\/b"]),
        (Constraint.regex("a\nb"), ["a\nb"], ["a", "ab"]),
        (Constraint.regex('"quoted"'), ['"quoted"'], ["quoted"]),
        (Constraint.regex(""), [""], ["a"]),
        (
            Constraint.choice(["yes", "no", 'it\'s "so"\n', "😀\\"]),
            ["yes", "no", 'it\'s "so"\n', "😀\\"],
            ["y", "yesno"],
        ),
        (Constraint.lark('start: "(" start ")" | "x"'), ["x", "((x))"], ["((x)", ""]),
        (
            Constraint.lark("start: @a @b", a=Constraint.choice(["1"]), b=Constraint.regex("2+")),
            ["122"],
            ["1", "21"],
        ),
    ],
)
def test_exactly_the_right_texts_are_allowed(
    compiler: GrammarCompiler, constraint: Constraint, fine: list[str], wrong: list[str]
):
    assert all(is_allowed_text(compiler, constraint, text) for text in fine)
    assert not any(is_allowed_text(compiler, constraint, text) for text in wrong)


@pytest.mark.parametrize(
    ("constraint", "named"),
    [
        (Constraint.json_schema({"type": "object", "if": {}}), '"if"'),
        (Constraint.json_schema({"type": "array", "uniqueItems": True}), '"uniqueItems"'),
        (Constraint.json_schema({"properties": {"a": {"not": {"type": "string"}}}}), '"not"'),
        (Constraint.json_schema({"type": "string", "format": "colour"}), "colour"),
        (Constraint.json_schema({"type": "strin"}), "strin"),
        (Constraint.json_schema({"$ref": "https://example.com/schema"}), "https://example.com/schema"),
        (Constraint.json_schema({"$ref": "#/$defs/missing"}), "missing"),
        (Constraint.json_schema({"type": "integer", "minimum": 5, "maximum": 3}), "greater than maximum"),
        (Constraint.json_schema(False), "JSON schema"),
        (Constraint.regex("a(?=b)"), "look"),
        (Constraint.regex("a("), "unclosed group"),
        (Constraint.lark("start: missing"), "missing"),
        (Constraint.lark("not a grammar"), "grammar"),
        (Constraint.lark("start: @other"), "other"),
    ],
)
def test_what_cant_be_followed_is_refused_by_name(
    compiler: GrammarCompiler, constraint: Constraint, named: str
):
    with pytest.raises(InvalidRequestError, match="can't be followed") as caught:
        compiler.compile(constraint)
    assert named in str(caught.value)
    assert caught.value.parameter == "constraint"


def nested_schema(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint.json_schema(nested_schema(400)),
        Constraint.regex("(" * 5_000 + "a" + ")" * 5_000),
        Constraint.lark("start: " + "(" * 5_000 + '"a"' + ")" * 5_000),
        Constraint.choice(["long" * 100_000]),
    ],
    ids=["deep schema", "deep regex", "deep grammar", "long text"],
)
def test_excessive_grammars_are_refused(compiler: GrammarCompiler, constraint: Constraint):
    with pytest.raises(InvalidRequestError, match="can't be followed"):
        compiler.compile(constraint)


def test_long_chains_of_references_end_no_process(compiler: GrammarCompiler):
    links = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(7_000)}
    chain = {"$ref": "#/$defs/a0", "$defs": {**links, "a7000": {"const": 5}}}
    matcher = compiler.compile(Constraint.json_schema(chain)).new_matcher()
    assert bytes(matcher.forced_tokens()) == b"5"


def test_large_repetitions_cost_what_is_used_of_them(compiler: GrammarCompiler):
    matcher = compiler.compile(Constraint.regex("(" * 50 + "a" + "{1,1000})" * 50)).new_matcher()
    assert allowed(matcher) == {ord("a")}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constraint.json_schema("{}"),
        lambda: Constraint.json_schema({"const": float("nan")}),
        lambda: Constraint.json_schema({"const": object()}),
        lambda: Constraint.json_schema({"x-guidance": 5}),
        lambda: Constraint.json_schema(nested_schema(100_000)),
        lambda: Constraint.regex(5),
        lambda: Constraint.regex("\ud800"),
        lambda: Constraint.lark(None),
        lambda: Constraint.choice([]),
        lambda: Constraint.choice(["a", ""]),
        lambda: Constraint.choice("abc"),
        lambda: Constraint.choice([1]),
        lambda: GenerationParams(constraint={"type": "object"}),
        lambda: GenerationParams(max_thinking_tokens=-1),
    ],
)
def test_wrong_values_are_refused(make):
    with pytest.raises(InvalidRequestError, match=r"must be|lone surrogate"):
        make()


def test_two_parts_of_one_name_are_refused(compiler: GrammarCompiler):
    inner = Constraint.lark("start: @a", a=Constraint.regex("x"))
    with pytest.raises(InvalidRequestError, match="one name"):
        compiler.compile(Constraint.lark("start: @a @b", a=Constraint.regex("x"), b=inner))


def test_a_schema_can_ask_for_white_space(compiler: GrammarCompiler):
    schema = {"type": "array", "items": {"type": "integer"}}
    loose = Constraint.json_schema(schema, options={"whitespace_flexible": True, "item_separator": ","})
    assert is_allowed_text(compiler, loose, "[ 1,\n 2 ]")
    assert not is_allowed_text(compiler, Constraint.json_schema(schema), "[ 1,\n 2 ]")


def test_end_tokens_are_allowed_where_the_grammar_accepts_only(compiler: GrammarCompiler):
    matcher = compiler.compile(Constraint.regex("ab?")).new_matcher()
    assert allowed(matcher) == {ord("a")}
    matcher.accept(ord("a"))
    assert allowed(matcher) == {ord("b"), EOS}
    assert matcher.is_accepting
    assert not matcher.is_complete
    matcher.accept(ord("b"))
    assert matcher.is_complete


def test_markers_are_no_text(compiler: GrammarCompiler):
    matcher = compiler.compile(Constraint.regex("(?s:.*)")).new_matcher()
    assert THINK not in allowed(matcher)
    marked = compiler.compile(Constraint.lark(f'start: <[{THINK}]> "x"')).new_matcher()
    assert allowed(marked) == {THINK}


def test_tokens_are_forced_where_one_text_is_left_and_can_be_retracted(compiler: GrammarCompiler):
    matcher = compiler.compile(Constraint.choice(["prefix-one", "prefix-two"])).new_matcher()
    assert bytes(matcher.forced_tokens()) == b"prefix-"
    for token_id in b"prefix-t":
        matcher.accept(token_id)
    assert bytes(matcher.forced_tokens()) == b"wo"
    matcher.retract(1)
    assert allowed(matcher) == {ord("o"), ord("t")}


def test_a_token_that_is_not_allowed_is_an_error(compiler: GrammarCompiler):
    matcher = compiler.compile(Constraint.regex("a")).new_matcher()
    with pytest.raises(GrammarError):
        matcher.accept(ord("b"))


def test_a_leading_space_stands_before_the_text(compiler: GrammarCompiler):
    for constraint in (
        Constraint.regex("ab"),
        Constraint.choice(["ab"]),
        Constraint.json_schema({"const": "ab"}),
    ):
        matcher = compiler.compile(constraint, leading_space=True).new_matcher()
        assert allowed(matcher) == {ord(" ")}


def test_one_constraint_is_compiled_once(compiler: GrammarCompiler):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert compiler.compile(Constraint.json_schema(schema)) is compiler.compile(
        Constraint.json_schema(dict(schema))
    )
    assert compiler.compile(Constraint.json_schema(schema)) is not compiler.compile(
        Constraint.json_schema({})
    )


def test_many_threads_may_compile_at_once():
    fresh = GrammarCompiler(ByteTokenizer())
    texts: list[str] = []

    def compile_one(number: int) -> None:
        matcher = fresh.compile(Constraint.json_schema({"const": number % 5})).new_matcher()
        texts.append(bytes(matcher.forced_tokens()).decode())

    threads = [threading.Thread(target=compile_one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(json.loads, texts)) == sorted([0, 1, 2, 3, 4] * 4)
