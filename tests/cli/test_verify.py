"""``candlewick verify``: what it prints, and its status when an answer differs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from candlewick.cli.app import app
from candlewick.core.verification import Check, Verification

pytest.importorskip("candlewick._kernels", reason="the native module is not built")

SMALL = ["verify", "builtin", "--requests", "2", "--neighbours", "2", "--max-tokens", "6", "--threads", "1"]


def test_the_builtin_model_passes_and_json_says_all() -> None:
    result = CliRunner().invoke(app, [*SMALL, "--json"])
    assert result.exit_code == 0
    findings = json.loads(result.stdout)
    assert findings["passed"] is True
    assert len(findings["checks"]) > 8
    assert {check["passed"] for check in findings["checks"]} == {True}
    fingerprint = findings["fingerprint"]
    assert fingerprint["architecture"] == "smollm3"
    assert len(fingerprint["answers_sha256"]) == len(fingerprint["weights_sha256"]) == 64
    assert "beside 2 others" in result.stderr


def test_a_difference_is_shown_and_is_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Verification) -> Iterator[Check]:
        yield Check("alone", True, "4 tokens", 0.1)
        yield Check("by 2 threads", False, "request 1: token 0 is 5 (-0.5), not 6 (-0.25)", 0.1)

    monkeypatch.setattr(Verification, "run", run)
    result = CliRunner(env={"COLUMNS": "150"}).invoke(app, SMALL)
    assert result.exit_code == 1
    assert "different by 2 threads: request 1: token 0 is 5 (-0.5), not 6 (-0.25)" in result.stdout
    assert "weights_sha256" in result.stdout


def test_a_model_that_is_not_there() -> None:
    result = CliRunner().invoke(app, ["verify", "no-such-model.gguf"])
    assert result.exit_code == 1
    assert "no-such-model.gguf" in result.stderr
