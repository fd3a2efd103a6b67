"""Who must agree before a tool runs: rules, requests and answers.

Owns the decision whether a call waits. Refuses to know how a person is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from candlewick.core.errors import InvalidRequestError

Rule = Literal["always", "never"]
Approval = Rule | Mapping[str, Rule]
"""For all tools, or by a tool's name, ``"*"`` standing for those not named, which else need none. Of several
rules the strictest counts."""


@dataclass(frozen=True, kw_only=True)
class ApprovalRequest:
    """A call that waits for somebody's word. ``call_id`` is also what the answer is given for."""

    call_id: str
    name: str
    arguments: str
    """JSON text of an object."""
    server: str | None = None
    own_name: str = ""


@dataclass(frozen=True)
class ApprovalAnswer:
    """Yes or no; the reason is told to the model."""

    approved: bool
    reason: str | None = None


Approve = Callable[[ApprovalRequest], Awaitable[bool | ApprovalAnswer]]


def check_approval(approval: Approval, where: str) -> None:
    """Refuse what is no rule.

    Raises:
        InvalidRequestError: ``where`` names the place.
    """
    rules = {"": approval} if not isinstance(approval, Mapping) else approval
    for name, rule in rules.items():
        if rule not in ("always", "never"):
            place = f"{where}[{name!r}]" if name else where
            raise InvalidRequestError(f"{place} must be 'always' or 'never', got {rule!r}", where)


def rule_for(approval: Approval, name: str) -> Rule:
    """The rule for the tool ``name``."""
    return approval.get(name, approval.get("*", "never")) if isinstance(approval, Mapping) else approval


def to_answer(answer: bool | ApprovalAnswer) -> ApprovalAnswer:
    return answer if isinstance(answer, ApprovalAnswer) else ApprovalAnswer(bool(answer))
