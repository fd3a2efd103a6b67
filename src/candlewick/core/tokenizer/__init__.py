"""Text to token ids and back; see :class:`Tokenizer`."""

from candlewick.core.tokenizer.incremental import IncrementalDecoder
from candlewick.core.tokenizer.tokenizer import Tokenizer

__all__ = ["IncrementalDecoder", "Tokenizer"]
