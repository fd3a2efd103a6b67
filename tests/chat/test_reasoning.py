"""Finding a model's thinking markers, and whether a prompt has opened a block."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from candlewick.chat.messages import Message
from candlewick.chat.reasoning import KNOWN_FORMATS, ReasoningFormat, find_reasoning, template_switch
from candlewick.chat.template import ChatTemplate
from candlewick.core.errors import InvalidRequestError

THINK = ReasoningFormat("<think>", "</think>")


def test_markers_are_found_in_the_vocabulary_or_the_template():
    assert find_reasoning("", {"[THINK]", "[/THINK]"}.__contains__) == ReasoningFormat("[THINK]", "[/THINK]")
    assert find_reasoning("{{ x.split('</think>') }}", lambda text: False) == THINK
    assert find_reasoning("{{ x }}", lambda text: False) is None
    assert find_reasoning("{{ x }}", {"<think>"}.__contains__) is None


def test_the_vocabulary_outweighs_the_template_and_both_outweigh_one():
    vocabulary = {"[THINK]", "[/THINK]", "<seed:think>", "</seed:think>"}
    assert find_reasoning("</think>", vocabulary.__contains__).start == "[THINK]"
    assert find_reasoning("</seed:think>", vocabulary.__contains__).start == "<seed:think>"


@pytest.mark.parametrize(
    ("prompt", "starts_open"),
    [
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|Assistant|><think>", True),
        ("assistant\n<think>\n\n</think>\n\n", False),
        ("Write between <think> and </think>.\nassistant\n", False),
    ],
)
def test_an_open_block_is_seen_at_the_end_of_the_prompt(prompt, starts_open):
    assert THINK.after_prompt(prompt).starts_open is starts_open


def test_modes():
    assert [template_switch(mode) for mode in ("think", "no_think", "adaptive")] == [True, False, None]
    with pytest.raises(InvalidRequestError, match="got 'sometimes'"):
        template_switch("sometimes")


def test_no_marker_stands_inside_another():
    markers = [marker for known in KNOWN_FORMATS for marker in (known.start, known.end)]
    assert not [(a, b) for a in markers for b in markers if a != b and a in b]


DATA = os.environ.get("CANDLEWICK_TEST_DATA")


@pytest.mark.skipif(not DATA, reason="CANDLEWICK_TEST_DATA names no folder with templates")
@pytest.mark.parametrize(
    ("family", "when_on", "when_off"),
    [
        ("HuggingFaceTB-SmolLM3-3B", False, False),
        ("Qwen-Qwen3-0.6B", False, False),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", True, False),
        ("deepseek-ai-DeepSeek-V3.1", True, False),
    ],
)
def test_published_templates_switch_thinking(family, when_on, when_off):
    source = Path(DATA, "templates", f"{family}.jinja").read_text()
    found = find_reasoning(source, lambda text: False)
    assert found == THINK
    template = ChatTemplate(source, control_tokens=[])
    prompts = [
        "".join(
            text for text, _ in template.render([Message(role="user", content="Hi")], enable_thinking=switch)
        )
        for switch in (True, False)
    ]
    assert prompts[0] != prompts[1]
    assert prompts[1].rstrip().endswith("</think>")
    assert [found.after_prompt(prompt).starts_open for prompt in prompts] == [when_on, when_off]
