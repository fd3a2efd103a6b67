"""Whatever the API's own document allows, and what it does not: nothing makes the server fail."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

schemathesis = pytest.importorskip("schemathesis")
pytest.importorskip("candlewick._kernels", reason="needs the native module")


def _schema() -> object:
    from candlewick.chat.llm import AsyncLLM
    from candlewick.server import create_app

    # A short context keeps every answer short.
    llm = AsyncLLM("builtin", num_threads=1, max_context=96)
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(llm, allowed_hosts=["*"]))


schema = _schema()
QUICK = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@schema.parametrize()  # type: ignore[attr-defined]
@settings(max_examples=2, **QUICK)
def test_no_request_makes_it_fail(case: schemathesis.Case) -> None:
    assert case.call().status_code < 500


@pytest.mark.slow
@schema.parametrize()  # type: ignore[attr-defined]
@settings(max_examples=200, **QUICK)
def test_no_request_of_many_makes_it_fail(case: schemathesis.Case) -> None:
    assert case.call().status_code < 500
