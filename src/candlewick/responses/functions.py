"""Python functions as tools: the schema from signature and docstring, the call, and what it gives back.

Owns all that pydantic is needed for. Refuses to know limits, approvals and the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from candlewick.chat.messages import Tool
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.tools import ExecutableTool, ToolContext, ToolError, ToolResult

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECTION = re.compile(r"\s*(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):\s*$")
_GOOGLE_ARGUMENT = re.compile(r"\s*\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_SPHINX_FIELD = re.compile(r"\s*:(\w+)\s*(?:[\w\[\], |.]+\s)?(\w*)\s*:\s*(.*)$")


def function_tool(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    needs_approval: bool = False,
) -> ExecutableTool:
    """Make a tool of a function, sync (run in a thread of its own) or async.

    The schema comes from the annotations, the descriptions from the docstring (its ``Args:`` or ``:param:``
    fields). A parameter annotated :class:`ToolContext` is not told to the model: it gets the call's context.
    What the function returns becomes text: a text as it is, all else as JSON, a :class:`ToolResult` is taken
    as it is. Arguments that do not fit are told to the model, and the function is not called.

    Args:
        function: a function, method or callable object. A sync one can't be interrupted: after a time-out
            its thread runs on to its end, and the model is told so.
        name, description: instead of the function's own.

    Raises:
        InvalidRequestError: the signature can't be expressed as a JSON schema, or the name is not 1 to 64
            letters, digits, ``_`` and ``-``.
    """
    tool_name = name or str(getattr(function, "__name__", type(function).__name__))
    if not _NAME.fullmatch(tool_name):
        raise InvalidRequestError(
            f"a tool's name must be 1 to 64 letters, digits, '_' and '-', got {tool_name!r}; give one by name=",
            "tools",
        )
    call = _FunctionCall(function, tool_name)
    definition = Tool(
        name=tool_name,
        description=description if description is not None else call.description,
        parameters=call.schema,
    )
    return ExecutableTool(definition=definition, execute=call.execute, needs_approval=needs_approval)


class _FunctionCall:
    """A function with the model of its arguments."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        from pydantic import ConfigDict, Field, create_model
        from pydantic.errors import PydanticUserError

        target = function if inspect.isroutine(function) else type(function).__call__
        self._function = function
        self._is_async = inspect.iscoroutinefunction(target)
        self._signature = inspect.signature(function)
        self._context_names: list[str] = []
        self._names: dict[str, str] = {}
        """The parameters by the names of the model's fields."""
        self.description, documented = _read_docstring(inspect.getdoc(function) or "")
        fields: dict[str, Any] = {}
        try:
            hints = get_type_hints(target, include_extras=True)
            for parameter in self._signature.parameters.values():
                annotation = hints.get(parameter.name, Any)
                if annotation is ToolContext:
                    self._context_names.append(parameter.name)
                    continue
                if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    raise InvalidRequestError(
                        f"the tool {name!r} takes {parameter}: a model can only be told of named parameters",
                        "tools",
                    )
                default = ... if parameter.default is parameter.empty else parameter.default
                # An alias keeps names such as "json" or "_x", which pydantic's own attributes forbid.
                field = f"argument_{len(fields)}"
                told: dict[str, Any] = {"alias": parameter.name}
                if parameter.name in documented:
                    told["description"] = documented[parameter.name]
                fields[field] = (annotation, Field(default, **told))
                self._names[field] = parameter.name
            self._model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
            self.schema = _without_titles(self._model.model_json_schema(by_alias=True))
        except (PydanticUserError, NameError, TypeError) as error:
            raise InvalidRequestError(
                f"the parameters of the tool {name!r} can't be made a JSON schema: {error}", "tools"
            ) from error

    async def execute(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Call the function.

        Raises:
            ToolError: the arguments don't fit, or the result can't be written as JSON.
            Exception: whatever the function raises.
        """
        bound = self._bind(arguments, context)
        if self._is_async:
            value = await self._function(*bound.args, **bound.kwargs)
        else:
            value = await _in_thread(lambda: self._function(*bound.args, **bound.kwargs))
            if inspect.isawaitable(value):
                value = await value
        return to_tool_result(value)

    def _bind(self, arguments: Mapping[str, Any], context: ToolContext) -> inspect.BoundArguments:
        from pydantic import ValidationError

        try:
            checked = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_context=False)
            )
            raise ToolError(f"the arguments do not fit: {problems}") from error
        bound = self._signature.bind_partial()
        bound.arguments.update({name: getattr(checked, field) for field, name in self._names.items()})
        bound.arguments.update(dict.fromkeys(self._context_names, context))
        # BoundArguments fills positional parameters in the order of its dictionary.
        order = list(self._signature.parameters)
        bound.arguments = dict(sorted(bound.arguments.items(), key=lambda item: order.index(item[0])))
        return bound


def to_tool_result(value: Any) -> ToolResult:
    """What a function returned, as a result.

    Raises:
        ToolError: it can't be written as JSON.
    """
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, str):
        return ToolResult(text=value)
    from pydantic_core import PydanticSerializationError, from_json, to_json

    try:
        data = to_json(value, bytes_mode="base64", inf_nan_mode="strings", exclude_none=False)
        return ToolResult(text=data.decode(), structured=from_json(data))
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ToolError(f"the tool returned a {type(value).__name__}, which is no JSON: {error}") from error


async def _in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread of its own, which neither a shared pool nor the program's end waits for.

    A pool would be full once a few functions hang.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Any, error: BaseException | None) -> None:
        if future.done():  # cancelled: nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def work() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = context.run(function)
        except StopIteration as stop:  # a future can't carry it
            error = RuntimeError(f"the function raised {stop!r}")
        except BaseException as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, name="candlewick-tool", daemon=True).start()
    return await future


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description, and what is said of each parameter (Google's and Sphinx's forms)."""
    description: list[str] = []
    arguments: dict[str, str] = {}
    section, current, indent = "", "", 0
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section, current = heading[1], ""
        elif field := _SPHINX_FIELD.match(line):
            section, current = "Sphinx", field[2] if field[1] == "param" else ""
            if current:
                arguments[current] = field[3].strip()
        elif section in ("Args", "Arguments", "Parameters"):
            depth = len(line) - len(line.lstrip())
            item = _GOOGLE_ARGUMENT.match(line)
            if item and (not current or depth <= indent):
                current, indent = item[1], depth
                arguments[current] = item[2].strip()
            elif current and line.strip():
                arguments[current] = f"{arguments[current]} {line.strip()}".strip()
        elif section == "Sphinx" and current and line.strip():
            arguments[current] = f"{arguments[current]} {line.strip()}".strip()
        elif not section:
            description.append(line)
    return "\n".join(description).strip(), arguments


def _without_titles(schema: Any) -> Any:
    """Pydantic's titles say again what the names say; in a prompt they cost tokens."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without_titles(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
