"""The reference pages name everything that there is, and their links and file names lead somewhere."""

from __future__ import annotations

import dataclasses
import inspect
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest

import candlewick
from candlewick import LLM, EngineConfig, Event, GenerationParams, Output, Timings, Usage
from candlewick.chat.tool_parsers import TOOL_FORMATS
from candlewick.core.errors import CandlewickError
from candlewick.core.models import ARCHITECTURES

REPOSITORY = Path(__file__).parents[2]
PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]


def read(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


def unnamed(names: Iterable[str], text: str) -> list[str]:
    """Those that stand nowhere in ``text`` as code."""
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", code)]


def field_names(*classes: type) -> list[str]:
    return [field.name for kind in classes for field in dataclasses.fields(kind)]


def test_every_public_name_is_in_the_library_reference() -> None:
    assert unnamed(candlewick.__all__, read("LIBRARY_API.md")) == []


def test_every_field_is_in_the_library_reference() -> None:
    fields = field_names(EngineConfig, GenerationParams, Output, Usage, Timings, *get_args(Event))
    assert unnamed(fields, read("LIBRARY_API.md")) == []


def test_every_argument_and_method_of_a_model_is_in_the_library_reference() -> None:
    arguments = [*inspect.signature(LLM.chat).parameters, *inspect.signature(LLM.__init__).parameters]
    methods = [name for name in dir(LLM) if not name.startswith("_")]
    known = {"self", "engine_config", "conversation"}
    assert unnamed({*arguments, *methods} - known, read("LIBRARY_API.md")) == []


def test_defaults_in_the_library_reference_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]*?)`? \|", read("LIBRARY_API.md"), re.MULTILINE))
    for value in (EngineConfig(), GenerationParams()):
        for name in field_names(type(value)):
            shown = rows[name].strip('"')
            assert shown == str(getattr(value, name)), f"{name} is {getattr(value, name)!r}"


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    text = read("LIBRARY_API.md")
    kinds = [CandlewickError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    own = {kind.__name__ for kind in kinds if kind.__module__ == CandlewickError.__module__}
    assert own == set(
        re.findall(r"^    [│├└─ ]*(\w+)", text[text.index("## Errors") :], re.MULTILINE)[: len(own)]
    )


def test_architectures_and_formats_are_named() -> None:
    assert unnamed(ARCHITECTURES, read("README.md")) == []
    assert unnamed(TOOL_FORMATS, read("LIBRARY_API.md")) == []


def test_every_quantisation_that_can_be_computed_is_named() -> None:
    kernels = pytest.importorskip("candlewick._kernels", reason="the native module is not built")
    from candlewick.core.tensor_types import TensorType

    supported = {kind.name for kind in TensorType if kernels.is_supported(kind)}
    for name in ("README.md", "CHANGELOG.md"):
        named = set(re.findall(r"\b(?:I?Q\d\w*|B?F\d\d|MXFP4)\b", read(name))) & set(TensorType.__members__)
        assert named == supported


def test_every_option_of_the_command_line_is_named() -> None:
    typer = pytest.importorskip("typer", reason="needs the cli extra")
    from candlewick.cli.app import app

    text = read("docs/COMMAND_LINE.md") + read("docs/CONFIGURATION.md")
    for name, command in typer.main.get_command(app).commands.items():
        options = [
            option for parameter in command.params for option in parameter.opts + parameter.secondary_opts
        ]
        variables = [parameter.envvar for parameter in command.params if parameter.envvar]
        expected = [option for option in options if option.startswith("-")] + variables
        assert f"## {name}\n" in text
        assert unnamed({*expected} - {"--help"}, text) == []


def test_the_tables_of_settings_are_those_of_the_code() -> None:
    from candlewick.server.config import ServeConfig
    from candlewick.server.settings import settings_of

    rows = [line for line in read("docs/CONFIGURATION.md").splitlines() if line.startswith("| `--")]
    expected = []
    for each in settings_of(ServeConfig):
        default = ", ".join(each.default) if each.many else each.default
        about = each.help if default in (None, "") else f"{each.help} Default: `{default}`."
        expected.append(f"| `{each.flag}` | `{each.variable}` | `{each.name}` | {about} |")
    assert sorted(rows) == sorted(expected)


def test_every_command_of_a_conversation_is_named() -> None:
    pytest.importorskip("rich", reason="needs the cli extra")
    from candlewick.cli.chat import COMMANDS

    assert unnamed([name.removeprefix("/") for name in COMMANDS], read("docs/COMMAND_LINE.md")) == []


def test_every_route_field_and_code_of_the_server_is_named() -> None:
    pytest.importorskip("fastapi", reason="needs the server extra")
    from candlewick.openai.errors import _TABLE
    from candlewick.openai.request import REFUSED_FIELDS, ChatCompletionRequest
    from candlewick.server import create_app
    from candlewick.server.config import ServerConfig
    from candlewick.server.routes.events import EventsRequest

    model = SimpleNamespace(
        engine=SimpleNamespace(observe_answers=lambda observer: None), model_name="served"
    )
    paths = create_app(model).openapi()["paths"]
    routes = [f"{method.upper()} {path.replace(':path', '')}" for path in paths for method in paths[path]]
    fields = [*ChatCompletionRequest.model_fields, *REFUSED_FIELDS, *EventsRequest.model_fields]
    codes = [row.code for row in _TABLE.values() if row.code]
    text = read("docs/SERVER.md")
    assert [route for route in routes if f"`{route}`" not in text] == []
    assert unnamed([*fields, *codes], text) == []
    assert unnamed(inspect.signature(create_app).parameters, read("LIBRARY_API.md")) == []
    assert unnamed(field_names(ServerConfig), read("docs/CONFIGURATION.md")) == []


def test_every_dependency_has_a_reason() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    groups = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    packages = {re.match(r"[\w-]+", requirement)[0] for group in groups for requirement in group}
    assert unnamed(packages - {"candlewick"}, read("docs/DEPENDENCIES.md")) == []


def test_files_in_the_tree_exist() -> None:
    text = read("ARCHITECTURE.md")
    tree = text[text.index("## The tree") : text.index("## One request's life")]
    existing = {path.name for folder in ("src", "kernels") for path in (REPOSITORY / folder).rglob("*.*")}
    named = re.findall(r"\b\w+\.(?:py|h|cpp)\b", tree)
    assert len(named) > 60
    assert [name for name in named if name not in existing] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if re.match(r"https?://", target):
            continue
        name, _, heading = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in anchors, target
