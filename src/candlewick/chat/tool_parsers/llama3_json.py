"""``{"name": …, "parameters": {…}}`` as the whole answer, perhaps after ``<|python_tag|>``: Llama 3.1 to 3.3.

Several calls stand one after another, with ``;`` or white space between. Only the names of offered tools make
an object a call: any other JSON is an ordinary answer. Tools that the model was trained with are called as in
``<|python_tag|>brave_search.call(query="…")``, which counts when a tool of this name is on offer.
"""

from __future__ import annotations

from collections.abc import Sequence

from candlewick.chat.messages import Tool
from candlewick.chat.tool_parsers.call_syntax import CallSyntax
from candlewick.chat.tool_parsers.json_text import read_call
from candlewick.chat.tool_parsers.python_calls import read_balanced, report_method_call
from candlewick.chat.tool_parsers.tool_format import CallReader, CallSink, ToolFormat, scan_space


def _read(sink: CallSink, tools: Sequence[Tool]) -> CallReader:
    names = frozenset(tool.name for tool in tools)
    char = yield from scan_space((yield))
    if char != "{":
        code: list[str] = []
        yield from read_balanced(char, code)
        report_method_call(code[0], sink, tools)
        return
    while True:
        char = yield from scan_space((yield from read_call(char, sink, names)))
        if char == ";":
            char = yield from scan_space((yield))
        if not char:
            return


FORMAT = ToolFormat(
    name="llama3_json",
    markers=("<|python_tag|>",),
    read=_read,
    signs=('{"name": function name, "parameters"',),
    tokens=("<|python_tag|>",),
    openers="{",
    syntaxes=(CallSyntax('{"name": "$name", "parameters": $arguments}', between="; "),),
)
