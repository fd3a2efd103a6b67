"""Where settings come from, and what is told about wrong ones."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewick.core.config import EngineConfig
from candlewick.core.errors import InvalidRequestError
from candlewick.server.config import ServeConfig
from candlewick.server.settings import read_settings, setting, settings_of, show_settings


@dataclass(frozen=True, kw_only=True)
class Kitchen:
    spices: tuple[str, ...] = setting((), "A spice.", flag="spice")
    guests: int | None = setting(None, "Guests.")
    hours: float = setting(1.5, "Hours.")
    pot_bytes: int = setting(1000, "The pot.")
    open: bool = setting(False, "Whether it is open.")
    heat: Literal["low", "high"] = setting("low", "The heat.")
    recipe: str | None = setting(None, "The recipe.", secret=True)


def read(
    given: dict[str, Any] | None = None, environment: dict[str, str] | None = None, file: Path | None = None
) -> tuple[Kitchen, dict[str, str]]:
    return read_settings(Kitchen, given or {}, environment or {}, file)


def write(folder: Path, text: str) -> Path:
    path = folder / "kitchen.toml"
    path.write_text(text)
    return path


def test_the_command_line_comes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'spices = ["salt"]\nguests = 3\nhours = 2\nopen = true\n')
    environment = {"CANDLEWICK_GUESTS": "4", "CANDLEWICK_HOURS": "3", "CANDLEWICK_SPICE": "pepper, thyme"}
    kitchen, sources = read({"guests": "5"}, environment, file)
    assert kitchen == Kitchen(spices=("pepper", "thyme"), guests=5, hours=3.0, open=True)
    assert sources == {
        "spices": "CANDLEWICK_SPICE",
        "guests": "--guests",
        "hours": "CANDLEWICK_HOURS",
        "open": str(file),
        "pot_bytes": "default",
        "heat": "default",
        "recipe": "default",
    }


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("12", 12), ("2K", 2000), ("2KiB", 2048), ("1.5 GiB", 3 * 2**29), ("3mb", 3_000_000), ("7B", 7)],
)
def test_sizes_may_have_units(text: str, num_bytes: int) -> None:
    assert read({"pot_bytes": text})[0].pot_bytes == num_bytes


@pytest.mark.parametrize(
    ("given", "environment", "toml", "told"),
    [
        ({"guests": "many"}, {}, "", "--guests: guests must be a whole number, got 'many'"),
        ({}, {"CANDLEWICK_HOURS": "x"}, "", "CANDLEWICK_HOURS: hours must be a number, got 'x'"),
        ({"pot_bytes": "big"}, {}, "", "must be a size such as 512MiB"),
        ({"heat": "hot"}, {}, "", "must be low or high, got 'hot'"),
        ({}, {"CANDLEWICK_OPEN": "perhaps"}, "", "true or false"),
        ({}, {}, "guests = 1.5", "a whole number, got 1.5"),
        ({}, {}, "guests = true", "a whole number, got True"),
        ({}, {}, "spices = [1]", "must be text, got 1"),
        ({}, {}, "heat = 3", "must be low or high, got 3"),
        ({}, {}, "gusts = 3", "there is no setting called 'gusts'; did you mean guests?"),
        ({}, {}, "guests =", "can't be read"),
    ],
)
def test_wrong_values_are_told_with_their_place(
    tmp_path: Path, given: dict[str, Any], environment: dict[str, str], toml: str, told: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(given, environment, write(tmp_path, toml))
    assert told in str(caught.value)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(InvalidRequestError, match=r"nowhere.toml can't be read"):
        read(file=Path("nowhere.toml"))


def test_secrets_are_not_shown() -> None:
    kitchen, sources = read({"recipe": "grandmother's"})
    assert "grandmother" not in show_settings(kitchen, sources) + repr(kitchen)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=3), st.booleans())
def test_what_is_shown_is_a_configuration_file(spices: list[str], is_open: bool) -> None:
    kitchen = Kitchen(spices=tuple(spices), open=is_open)
    shown = show_settings(kitchen, dict.fromkeys((each.name for each in settings_of(Kitchen)), "default"))
    values = tomllib.loads(shown)
    assert (values["spices"], values["open"], values["hours"]) == (spices, is_open, 1.5)


def test_every_setting_of_the_server_can_be_given_in_every_way(tmp_path: Path) -> None:
    samples: dict[str, Any] = {"port": 1, "access_log": "json", "metrics_prefix": "vllm"}
    kinds: dict[type, Any] = {int: 3, float: 2.5, str: "a", bool: True}
    for each in settings_of(ServeConfig):
        value = samples.get(each.name, kinds[each.kind])
        expected = (value,) if each.many else value
        shown = "true" if value is True else repr([value] if each.many else value)
        toml = write(tmp_path, f"{each.name} = {shown}")
        for arguments, environment, file in (
            ({each.name: [str(value)] if each.many else str(value)}, {}, None),
            ({}, {each.variable: str(value)}, None),
            ({}, {}, toml),
        ):
            config, sources = read_settings(ServeConfig, arguments, environment, file)
            assert getattr(config, each.name) == expected
            assert [name for name, source in sources.items() if source != "default"] == [each.name]


def test_the_draft_model_is_the_first_models() -> None:
    pytest.importorskip("uvicorn", reason="needs the server extra")
    from candlewick.server.serving import model_sources

    loaded: list[tuple[str, object]] = []

    def load(reference: str, engine: EngineConfig, progress: object) -> object:
        loaded.append((reference, engine.draft_model))
        return None

    config = ServeConfig(models=("large.gguf", "other=other.gguf"), draft_model="small.gguf")
    for source in model_sources(config, load):  # type: ignore[arg-type]
        source.load(lambda stage, done, total: None)
    assert loaded == [("large.gguf", "small.gguf"), ("other.gguf", None)]
