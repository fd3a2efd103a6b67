"""What to put beside a result so that somebody else can have it again: the model's and the machine's identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from candlewick.core.config import EngineConfig
from candlewick.core.gguf import GGUFFile
from candlewick.core.machine import choose_instruction_set
from candlewick.core.weights_identity import weights_digest

SAMPLER = "philox4x32-10"
"""The generator that draws come from, keyed by seed, choice and index; see ``kernels/sampling/philox.h``."""


@dataclass(frozen=True)
class Fingerprint:
    """Equal fingerprints promise equal answers to equal requests; the instruction set alone may differ."""

    candlewick: str
    """The package's version."""
    model: str
    """The file's name."""
    architecture: str
    weights_sha256: str
    """Of the file, metadata included; of the digests of all parts if it is split."""
    template_sha256: str | None
    """Of the file's chat template, if it has one."""
    kv_cache_type: str
    instruction_set: str
    sampler: str = SAMPLER

    @classmethod
    def of(cls, file: GGUFFile, config: EngineConfig) -> Self:
        """Reads the whole file.

        Raises:
            InvalidRequestError: ``config`` forces an instruction set that this CPU does not have.
        """
        template = file.metadata.get("tokenizer.chat_template")
        return cls(
            candlewick=version("candlewick"),
            model=file.path.name,
            architecture=file.metadata.text("general.architecture"),
            weights_sha256=weights_digest(file.paths),
            template_sha256=hashlib.sha256(template.encode()).hexdigest()
            if isinstance(template, str)
            else None,
            kv_cache_type=config.kv_cache_type,
            instruction_set=choose_instruction_set(config.isa),
        )
