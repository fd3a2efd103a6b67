"""Content that clients keep for us without reading it: ``encrypted_content`` of reasoning and compaction items.

It is packed, not secret: it holds the client's own conversation, which the client has seen. The check value only
tells damaged content and that of other services apart from ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib

from candlewick.core.errors import InvalidRequestError

_MARK = "candle1."
_CHECK_BYTES = 8


def seal(text: str) -> str:
    """``text`` as opaque ASCII."""
    data = zlib.compress(text.encode("utf-8", "surrogatepass"))
    return _MARK + base64.urlsafe_b64encode(_check(data) + data).decode()


def unseal(content: object, where: str, max_bytes: int = 64 * 2**20) -> str:
    """The text that :func:`seal` was given.

    Raises:
        InvalidRequestError: the content was not made here; ``where`` names the field.
    """
    if isinstance(content, str) and content.startswith(_MARK):
        try:
            packed = base64.urlsafe_b64decode(content.removeprefix(_MARK).encode("ascii"))
            check, data = packed[:_CHECK_BYTES], packed[_CHECK_BYTES:]
            if check == _check(data):
                unpacker = zlib.decompressobj()
                text = unpacker.decompress(data, max_bytes)
                if unpacker.eof:
                    return text.decode("utf-8", "surrogatepass")
        except (binascii.Error, zlib.error, ValueError):
            pass
    raise InvalidRequestError(
        f"{where} was not made by this server, or is damaged; leave the item out", where
    )


def _check(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECK_BYTES).digest()
