"""Turns what a user calls a model into the file to open: ``builtin``, a path, or ``hf:owner/repository``.

Knows where models are, not what is in them. Everything about the hub is in :mod:`candlewick.core.hub`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from candlewick.core.errors import ModelNotFoundError
from candlewick.core.model_files import choose_model, find_models

BUILTIN = "builtin"
_BUILTIN_FILE = "candlewick-tiny.gguf"
_HUB_PREFIX = "hf:"
_HUB_REFERENCE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?::(?P<wanted>.+))?")


def resolve_model(reference: str | Path, *, progress: Callable[[str, int, int], None] | None = None) -> Path:
    """The GGUF file (the first part of a split) that ``reference`` means.

    - ``"builtin"``: the tiny model inside the package.
    - ``"hf:owner/repository"``, ``"hf:owner/repository:Q4_K_M"``, ``"hf:owner/repository:file.gguf"``: loaded
      from the Hugging Face hub unless its cache has it. With nothing named, the usual quantisation is taken,
      Q4_K_M first.
    - anything else: a path to a file, or to a directory that holds exactly one model.

    ``progress(name, bytes_present, bytes_total)`` is called while a file is loaded; without it, a bar is
    drawn on standard error if that is a terminal.

    Raises:
        ModelNotFoundError: the reference leads nowhere, or to more than one model.
        ModelLoadError: a file was damaged while it was loaded.
    """
    if reference == BUILTIN:
        return _builtin_model()
    if isinstance(reference, str) and reference.startswith(_HUB_PREFIX):
        return _hub_model(reference, progress)
    return _model_at(reference)


def _builtin_model() -> Path:
    path = Path(str(files("candlewick") / "builtin" / _BUILTIN_FILE))
    if not path.is_file():
        raise ModelNotFoundError(
            f"the built-in model is missing from this installation ({path}); install Candlewick again, or "
            "name a model by its path or as hf:owner/repository"
        )
    return path


def _hub_model(reference: str, progress: Callable[[str, int, int], None] | None) -> Path:
    match = _HUB_REFERENCE.fullmatch(reference.removeprefix(_HUB_PREFIX))
    if match is None:
        raise ModelNotFoundError(
            f"{reference!r} is no hub reference; write hf:owner/repository, hf:owner/repository:Q4_K_M or "
            "hf:owner/repository:file.gguf"
        )
    # The hub's library takes a quarter of a second to import, and most models are files.
    from candlewick.core.hub import fetch_model

    return fetch_model(match["repository"], match["wanted"], progress)


def _model_at(reference: str | Path) -> Path:
    try:
        path = Path(reference).expanduser()
        exists = path.exists()
        names = [entry.name for entry in path.iterdir()] if path.is_dir() else None
    except (OSError, RuntimeError) as error:  # no permission, no such user
        raise ModelNotFoundError(f"{str(reference)!r} is no usable path: {error}") from error
    if not exists:
        hint = ""
        if _HUB_REFERENCE.fullmatch(str(reference)) and path.suffix != ".gguf":
            hint = f"; to load it from the Hugging Face hub, write {_HUB_PREFIX}{reference}"
        raise ModelNotFoundError(f"{str(reference)!r} is neither 'builtin' nor a file or directory{hint}")
    if names is None:
        return path
    models = find_models(names)
    if len(models) > 1:
        listing = "\n  ".join(model.name for model in models)
        raise ModelNotFoundError(f"{path} has more than one model; name one of these files:\n  {listing}")
    return path / choose_model(models, None, str(path)).name
