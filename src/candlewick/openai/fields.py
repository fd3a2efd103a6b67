"""Checking the fields of a JSON body against a pydantic model, with errors in the client's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from candlewick.core.errors import InvalidRequestError

Model = TypeVar("Model", bound=BaseModel)

LONGEST_SHOWN = 80
"""Characters of a wrong value that an error message shows."""


def _declare(schema: dict[str, Any], request: type[WireRequest]) -> None:
    """Say in the JSON schema, too, what becomes of the fields."""
    for name in request.harmless:
        schema["properties"][name]["x-harmless"] = True
    if request.refused:
        schema["x-refused"] = dict(request.refused)


class WireRequest(BaseModel):
    """A request as it came over the wire, its types checked; make it by :meth:`parse`."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_declare)

    refused: ClassVar[Mapping[str, str]] = {}
    """Fields that would change the answer and can't be honoured, with the reason; ``null`` is as good as absent."""
    harmless: ClassVar[frozenset[str]] = frozenset()
    """Fields that are read and change nothing: they name, bill, store or speed up a request."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Check a request's fields.

        Raises:
            InvalidRequestError: a field is unknown, unsupported, contradicts another or holds a wrong value;
                ``parameter`` names it.
        """
        for name, reason in cls.refused.items():
            if body.get(name) is not None:
                raise InvalidRequestError(f"{name!r} is not supported: {reason}", name)
        request = parse_fields(cls, {key: body[key] for key in body if key not in cls.refused})
        request.check()
        return request

    def check(self) -> None:
        """Refuse what the fields ask for together, or ask of us and can't have.

        Raises:
            InvalidRequestError: ``parameter`` names the field.
        """


def parse_fields(model: type[Model], body: Mapping[str, Any]) -> Model:
    """``body`` as an instance of ``model``.

    Raises:
        InvalidRequestError: a field is unknown, missing or holds a wrong value; ``parameter`` is its path as
            the client wrote it, such as ``stop[1]``.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _explain(error, body) from None


def _explain(error: ValidationError, body: Mapping[str, Any]) -> InvalidRequestError:
    # Of a union's branches the one that got furthest is what the client meant.
    problem = max(error.errors(include_url=False), key=lambda problem: len(problem["loc"]))
    path, kind = _path_in(body, problem["loc"]), problem["type"]
    if kind == "extra_forbidden":
        return InvalidRequestError(f"unknown field {path!r}; remove it or check its spelling", path)
    if kind == "missing":
        path = f"{path}.{problem['loc'][-1]}".lstrip(".")
        return InvalidRequestError(f"the field {path!r} is missing", path)
    value = repr(problem["input"])
    shown = value if len(value) <= LONGEST_SHOWN else value[: LONGEST_SHOWN - 3] + "..."
    return InvalidRequestError(f"{path}: {problem['msg'].lower()}, got {shown}", path)


def _path_in(body: Any, location: tuple[int | str, ...]) -> str:
    """``location`` without the parts that name branches of a union: they lead nowhere in the body."""
    path = ""
    for part in location:
        if isinstance(body, Mapping) and part in body:
            path += f".{part}"
            body = body[part]
        elif isinstance(body, list) and isinstance(part, int):
            path += f"[{part}]"
            body = body[part]
    return path.lstrip(".")
