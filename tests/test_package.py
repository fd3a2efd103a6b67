"""The package as a whole: its public names, how fast it imports, what it drags in, and its typed native module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import candlewick


def test_every_public_name_exists():
    for name in candlewick.__all__:
        assert getattr(candlewick, name) is not None
    assert set(candlewick.__all__) - {"__version__"} == set(candlewick._HOME_OF)


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        candlewick.no_such_name  # noqa: B018


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_is_quick_and_light():
    heavy = run(
        "import sys, candlewick; "
        "print([m for m in ('numpy', 'tokenizers', 'minijinja', 'pydantic', 'fastapi', 'openai', 'torch') "
        "if m in sys.modules])"
    )
    assert heavy.strip() == "[]"


def test_the_engine_needs_no_template_server_or_wire_library():
    loaded = run(
        "import sys; from candlewick import InferenceEngine, GenerationParams; "
        "print([m for m in ('minijinja', 'pydantic', 'fastapi', 'openai', 'typer', 'torch') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_the_native_modules_types_are_complete():
    kernels = pytest.importorskip("candlewick._kernels")
    stub = ast.parse((Path(candlewick.__file__).parent / "_kernels.pyi").read_text())
    described = {
        node.name: {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef)
        else set()
        for node in stub.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    actual = {
        name: {m for m in vars(value) if not m.startswith("_")} if isinstance(value, type) else set()
        for name, value in vars(kernels).items()
        if not name.startswith("_")
    }
    assert {name: methods - {"__init__"} for name, methods in described.items()} == actual
