"""Which of many file names is the model that is meant: groups the parts of splits, matches quantisations.

Knows names alone: no directory, no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from candlewick.core.errors import ModelNotFoundError
from candlewick.core.gguf import split_part

PREFERRED_QUANTISATIONS = (
    "Q4_K_M",
    "Q4_K_S",
    "Q5_K_M",
    "IQ4_XS",
    "Q4_0",
    "Q5_K_S",
    "Q6_K",
    "Q8_0",
    "MXFP4",
    "BF16",
    "F16",
    "F32",
)
"""What is taken when nothing is named: the usual balance of size and quality first, the largest last."""

# Files beside a model that are GGUF too, but not language models: vision projectors, importance matrices.
_COMPANIONS = re.compile(r"mmproj|imatrix", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One model: its file, or the parts of its split in order; names are relative, with ``/``."""

    parts: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """Parts of the split that are not there."""

    @property
    def name(self) -> str:
        return (self.parts or self.missing)[0]

    def has_label(self, label: str) -> bool:
        """Whether ``label``, such as ``Q4_K_M`` in any case, stands in the name as a whole."""
        path = PurePosixPath(self.name)
        split = split_part(path.name)
        name = str(path.with_name(split[0]) if split else path.with_suffix(""))
        # "Q4_K" is not meant by "model-Q4_K_M", though a "_" ends it.
        whole = rf"(?<![A-Za-z0-9]){re.escape(label)}(?![A-Za-z0-9]|_[A-Za-z0-9])"
        return re.search(whole, name, re.IGNORECASE) is not None


def find_models(names: Iterable[str]) -> list[ModelFiles]:
    """The models among file names, sorted by name; other files are passed over."""
    gguf_names = (name for name in names if name.endswith(".gguf"))
    present = {name for name in gguf_names if not _COMPANIONS.search(PurePosixPath(name).name)}
    models: dict[str, ModelFiles] = {}
    for name in present:
        path = PurePosixPath(name)
        split = split_part(path.name)
        if split is None:
            models[name] = ModelFiles((name,))
            continue
        stem, _, count = split
        part_names = (f"{stem}-{part:05d}-of-{count:05d}.gguf" for part in range(1, count + 1))
        all_parts = [str(path.with_name(part_name)) for part_name in part_names]
        models[all_parts[0]] = ModelFiles(
            tuple(part for part in all_parts if part in present),
            tuple(part for part in all_parts if part not in present),
        )
    return [models[name] for name in sorted(models)]


def choose_model(models: Sequence[ModelFiles], wanted: str | None, place: str) -> ModelFiles:
    """The one model that ``wanted`` names: a file, a quantisation in any case, or ``None`` for the usual one.

    Raises:
        ModelNotFoundError: none, more than one, or an incomplete one; names ``place`` and the choices.
    """
    if not models:
        raise ModelNotFoundError(f"{place} holds no GGUF model; name a place that has a .gguf file")
    if wanted is None:
        chosen = _preferred(models)
    elif wanted.lower().endswith(".gguf"):
        chosen = [
            model
            for model in models
            if any(wanted in (part, PurePosixPath(part).name) for part in model.parts + model.missing)
        ]
    else:
        chosen = [model for model in models if model.has_label(wanted)]
    if len(chosen) != 1:
        problem = "has more than one model" if wanted is None else f"has no model {wanted!r}"
        if chosen and wanted is not None:
            problem = f"has more than one model {wanted!r}"
        choices = "\n  ".join(model.name for model in chosen or models)
        raise ModelNotFoundError(f"{place} {problem}; name one of these files:\n  {choices}")
    if chosen[0].missing:
        missing = ", ".join(chosen[0].missing)
        raise ModelNotFoundError(f"{place}: parts of {chosen[0].name} are missing: {missing}")
    return chosen[0]


def _preferred(models: Sequence[ModelFiles]) -> Sequence[ModelFiles]:
    if len(models) == 1:
        return models
    for quantisation in PREFERRED_QUANTISATIONS:
        labelled = [model for model in models if model.has_label(quantisation)]
        if labelled:
            return labelled
    return models
