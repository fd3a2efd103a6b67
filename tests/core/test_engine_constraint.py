"""Constrained answers: always valid when they end by themselves, whatever the model would rather say."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_engine import new_engine, write_model
from random_schemas import SCHEMAS, Schema
from scripted_runner import EOS, THINK, ByteTokenizer, ScriptedRunner, reply

from candlewick.core.config import EngineConfig
from candlewick.core.constraint import Constraint
from candlewick.core.engine import ChoiceResult, InferenceEngine
from candlewick.core.errors import EngineFailed, InvalidRequestError
from candlewick.core.params import GenerationParams

pytest.importorskip("llguidance", reason="the extra 'structured' is not installed")
pytest.importorskip("candlewick._kernels", reason="the native module is not built")

FORMATS = jsonschema.FormatChecker(set(jsonschema.FormatChecker.checkers) - {"time"})


@FORMATS.checks("time")
def is_time(text: object) -> bool:
    """RFC 3339's full-time, whose offset jsonschema's own check of this format does not know."""
    return not isinstance(text, str) or bool(
        re.fullmatch(r"\d\d:\d\d:\d\d(\.\d+)?(z|[+-]\d\d:\d\d)", text, re.IGNORECASE)
    )


@FORMATS.checks("date", raises=ValueError)
def is_date(text: object) -> bool:
    """RFC 3339's full-date, whose year 0000 (a leap year) Python's calendar does not know."""
    if isinstance(text, str):
        datetime.date.fromisoformat(re.sub("^0000-", "2000-", text))
    return True


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["alpha", "beta"]},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def random_bytes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceEngine]:
    """Random weights and a token for each byte."""
    path = write_model(tmp_path_factory.mktemp("model") / "random.gguf", "F32")
    with new_engine(path, num_threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def builtin() -> Iterator[InferenceEngine]:
    with InferenceEngine.load("builtin", EngineConfig(max_context=512, num_threads=1)) as engine:
        yield engine


@pytest.fixture(params=["random_bytes", "builtin"])
def engine(request: pytest.FixtureRequest) -> InferenceEngine:
    return request.getfixturevalue(request.param)


def scripted(text: str | Sequence[int] = "", **config: int) -> InferenceEngine:
    """Would answer with ``text``, then with the end token."""
    return InferenceEngine(ScriptedRunner(next_token=reply(text)), ByteTokenizer(), EngineConfig(**config))  # type: ignore[arg-type]


def run(engine: InferenceEngine, constraint: Constraint | None, **params: object) -> ChoiceResult:
    settled = GenerationParams(constraint=constraint, **{"max_tokens": 200, "seed": 1, **params})  # type: ignore[arg-type]
    return engine.submit([1, 2, 3], settled).result()[0]


def check(schema: Schema, answer: ChoiceResult) -> bool:
    """Whether the answer came to its end, where it must be valid."""
    if answer.finish_reason == "length":
        return False
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    validator.validate(json.loads(answer.text))
    return True


class TestWhateverTheModelSays:
    @settings(max_examples=40, deadline=None)
    @given(schema=SCHEMAS, temperature=st.sampled_from([0.0, 1.0, 100.0]), seed=st.integers(0, 99))
    def test_answers_are_valid_json_of_the_schema(
        self,
        random_bytes: InferenceEngine,
        builtin: InferenceEngine,
        schema: Schema,
        temperature: float,
        seed: int,
    ):
        constraint = Constraint.json_schema(schema)
        for engine in (random_bytes, builtin):
            check(schema, run(engine, constraint, temperature=temperature, seed=seed))

    def test_most_answers_come_to_an_end(self, builtin: InferenceEngine):
        ends = [
            check(PERSON, run(builtin, Constraint.json_schema(PERSON), seed=i, temperature=1.5))
            for i in range(30)
        ]
        assert sum(ends) >= 28

    @pytest.mark.parametrize(
        "pattern", ["[a-z]{3}-\\d{2,4}", "(ab|cd)*e", "(?i)yes|no", "[^ 0-9]{1,5} [A-Za-z]{1,5}", "é{2}[^x]"]
    )
    def test_regular_expressions_match_in_full(self, engine: InferenceEngine, pattern: str):
        for seed in range(10):
            answer = run(engine, Constraint.regex(pattern), temperature=100.0, seed=seed)
            if answer.finish_reason == "stop":
                assert re.fullmatch(pattern, answer.text)
            else:
                assert answer.finish_reason == "length"

    def test_choices_are_taken_as_they_are(self, engine: InferenceEngine):
        texts = ["yes", "no", "yes and no", "nö 😀"]
        answers = [run(engine, Constraint.choice(texts), temperature=100.0, seed=seed) for seed in range(20)]
        assert {answer.text for answer in answers} <= set(texts)
        assert len({answer.text for answer in answers}) > 1
        assert {answer.finish_reason for answer in answers} == {"stop"}

    def test_what_the_model_wants_is_kept_where_it_is_allowed(self):
        with scripted("yes and no") as engine:
            assert run(engine, Constraint.choice(["no", "yes and no", "yes"])).text == "yes and no"
        with scripted("yes") as engine:
            assert run(engine, Constraint.choice(["no", "yes and no", "yes"])).text == "yes"

    def test_no_text_at_all_may_be_the_answer(self):
        with scripted() as engine:
            answer = run(engine, Constraint.regex("(never)?"))
        assert (answer.text, answer.token_ids, answer.finish_reason) == ("", (EOS,), "stop")


class TestSleep:
    """Constraints that are looked at from certain tokens on."""

    CALL = Constraint("lark", f'start: <[^{THINK}]>* <[{THINK}]> "yes" /[0-9]/', wakes_at=frozenset({THINK}))

    @pytest.mark.parametrize("params", [{}, {"logprobs": 1}], ids=["plain", "logprobs"])
    def test_an_answer_is_bound_from_there_on(self, params: dict[str, int]):
        said = [*b"Any text", THINK, *b"no way"]
        with scripted(said) as engine:
            answer = run(engine, self.CALL, **params)
        assert list(answer.token_ids[:12]) == [*b"Any text", THINK, *b"yes"]
        assert chr(answer.token_ids[12]).isdigit()
        assert (len(answer.token_ids), answer.finish_reason) == (13, "stop")

    def test_an_answer_that_never_gets_there_is_what_it_is_without(self, builtin: InferenceEngine):
        for seed in range(6):
            free = run(builtin, None, seed=seed, temperature=1.0)
            bound = Constraint("lark", 'start: <[^5]>* <[5]> "x"', wakes_at=frozenset({5}))
            answer = run(builtin, bound, seed=seed, temperature=1.0)
            same = free.token_ids.index(5) + 1 if 5 in free.token_ids else len(free.token_ids)
            assert answer.token_ids[:same] == free.token_ids[:same]

    def test_it_may_end_before(self):
        with scripted("Hi") as engine:
            answer = run(engine, self.CALL)
        assert (answer.text, answer.finish_reason) == ("Hi", "stop")


class TestSkippingAhead:
    def test_forced_tokens_need_no_step(self, builtin: InferenceEngine):
        before = builtin.stats().steps
        answer = run(builtin, Constraint.json_schema(PERSON), temperature=0.0)
        assert builtin.stats().steps - before < len(answer.token_ids) * 0.7
        assert answer.usage.completion_tokens == len(answer.token_ids)

    def test_answers_are_the_same_with_log_probabilities(self, engine: InferenceEngine):
        for seed in range(10):
            params = {"temperature": 1.0, "seed": seed, "repetition_penalty": 1.1, "max_tokens": 60}
            plain = run(engine, Constraint.json_schema(PERSON), **params)
            measured = run(engine, Constraint.json_schema(PERSON), logprobs=1, **params)
            assert measured.token_ids == plain.token_ids
            assert measured.text == plain.text
            assert all(output.logprob is not None and output.logprob <= 0 for output in measured.outputs)
            assert all(output.logprob is None for output in plain.outputs)

    def test_tokens_are_those_of_the_tokenizer(self, builtin: InferenceEngine):
        text = '{"description": "a fixed text, with several words"}'
        answer = run(builtin, Constraint.choice([text]))
        assert list(answer.token_ids) == builtin.tokenizer.encode(text)

    @pytest.mark.parametrize("max_tokens", [1, 2, 5, 16, 17, 18])
    def test_the_limit_counts_them(self, max_tokens: int):
        text = "seventeen letters"
        with scripted() as engine:
            answer = run(engine, Constraint.choice([text]), max_tokens=max_tokens)
        assert answer.text == text[:max_tokens]
        assert answer.usage.completion_tokens == min(max_tokens, len(text))
        assert answer.finish_reason == ("length" if max_tokens < len(text) else "stop")

    def test_a_stop_string_ends_them(self):
        with scripted() as engine:
            answer = run(engine, Constraint.choice(["one, two, three"]), stop=(", th",))
        assert (answer.text, answer.finish_reason) == ("one, two", "stop")
        assert answer.usage.completion_tokens == len("one, two, th")

    def test_a_request_cancelled_before_its_first_step_has_told_nothing(self):
        with scripted(max_running=1) as engine:
            generations = [
                engine.submit([1], GenerationParams(constraint=Constraint.choice(["abc"]))) for _ in range(2)
            ]
            for generation in generations:
                generation.cancel()
            for generation in generations:
                answer = generation.result()[0]
                assert answer.usage.completion_tokens == len(answer.token_ids)


class TestEnds:
    def test_stop_tokens_wait_until_the_form_is_there(self):
        with scripted("aab") as engine:
            answer = run(engine, Constraint.regex("a{3}b*"), stop_token_ids=(ord("b"),))
        assert answer.text == "aaa"
        assert answer.token_ids[3] in (ord("b"), EOS)
        assert answer.finish_reason == "stop"

    def test_a_constraint_that_stop_tokens_contradict_fails_the_request_only(self):
        with scripted("a") as engine:
            with pytest.raises(EngineFailed, match="others go on"):
                run(engine, Constraint.choice(["ab", "ac"]), stop_token_ids=(ord("a"),))
            assert run(engine, Constraint.choice(["ab"])).text == "ab"

    def test_an_ignored_end_token_does_not_come(self):
        with scripted("a") as engine:
            answer = run(engine, Constraint.regex("a+"), ignore_eos=True, max_tokens=9)
        assert (answer.text, answer.finish_reason) == ("a" * 9, "length")
        with scripted("a") as engine:
            assert run(engine, Constraint.regex("a{3}"), ignore_eos=True).finish_reason == "stop"


class TestTogether:
    def test_answers_are_the_same_alone_and_in_a_crowd(self, tmp_path: Path):
        path = write_model(tmp_path / "random.gguf", "Q8_0")
        constraints = [
            Constraint.json_schema(PERSON),
            Constraint.regex("[a-f]{5,40}"),
            None,
            Constraint.choice(["some text", "some other text"]),
            Constraint(
                "lark", f"start: <[^{THINK}]>* <[{THINK}]> /[a-f]{{3,9}}/", wakes_at=frozenset({THINK})
            ),
        ]
        requests = [
            (
                [7, 8, 9 + i % 3],
                GenerationParams(
                    constraint=constraints[i % 5], seed=i, max_tokens=40, temperature=1.5, n=1 + i % 2
                ),
            )
            for i in range(30)
        ]

        def tokens(answers: tuple[ChoiceResult, ...]) -> list[tuple[int, ...]]:
            return [answer.token_ids for answer in answers]

        alone = []
        for request in requests:
            with new_engine(path, num_threads=1) as engine:
                alone.append(tokens(engine.submit(*request).result()))
        # So few blocks that sequences are preempted again and again, once they come faster than they are answered: on
        # a busy machine compiling the grammars can take longer, but not the second time.
        with new_engine(path, num_blocks=6, max_step_tokens=32, num_threads=1) as engine:
            for _ in range(10):
                generations = [engine.submit(*request) for request in requests]
                assert [tokens(generation.result()) for generation in generations] == alone
                if engine.stats().preemptions > 0:
                    break
            assert engine.stats().preemptions > 0

    def test_choices_of_one_request_go_their_own_ways(self, builtin: InferenceEngine):
        params = GenerationParams(constraint=Constraint.json_schema(PERSON), n=8, seed=3, temperature=2.0)
        answers = builtin.submit([1, 2, 3], params).result()
        assert len({answer.text for answer in answers}) > 4
        for answer in answers:
            check(PERSON, answer)

    def test_a_refused_constraint_never_reaches_the_engine(self):
        with scripted() as engine, pytest.raises(InvalidRequestError, match="uniqueItems"):
            run(engine, Constraint.json_schema({"type": "array", "uniqueItems": True}))

    def test_a_bare_prompt_has_no_thinking_to_limit(self):
        with scripted() as engine, pytest.raises(InvalidRequestError, match="conversation"):
            engine.submit([1], GenerationParams(max_thinking_tokens=5))
