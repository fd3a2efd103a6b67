"""Conversations driven by the scripted model of the layers below."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("pydantic", reason="needs the responses extra")

sys.path.insert(0, str(Path(__file__).parents[1] / "openai"))
