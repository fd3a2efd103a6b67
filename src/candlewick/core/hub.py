"""Fetches models from the Hugging Face hub into the hub's own cache, where other programs find them too.

Owns what :mod:`huggingface_hub` leaves open: a download that was interrupted goes on where it stopped, in the
next process too; what was loaded is checked against its hash; and when the hub can't be asked, the cache
answers. This module imports :mod:`huggingface_hub` and is itself imported on first use only.

Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache (layout of the cache).
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]  # lazy exports

from candlewick.core.errors import ModelLoadError, ModelNotFoundError
from candlewick.core.model_files import choose_model, find_models

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are here and the bytes in all."""

_LOGGER = logging.getLogger(__name__)
_REVISION = "main"
_ETAG = re.compile(r"[0-9A-Za-z_-]+")
"""What may become a file's name in the cache."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
# All that talking to the hub may raise. The first base of the hub's error is that of its HTTP client, which
# is another package from version to version; ValueError is an answer that is no JSON (a proxy's log-in page).
_HUB_ERRORS = (OSError, ValueError, cast("type[Exception]", HfHubHTTPError.__bases__[0]))


def fetch_model(repository: str, wanted: str | None, progress: Progress | None) -> Path:
    """The first file of a model of ``owner/name``; it and a split's other parts are loaded unless cached.

    ``wanted`` is a file's name, a quantisation or ``None`` (see
    :func:`~candlewick.core.model_files.choose_model`). Without ``progress`` a bar is drawn on standard error if that
    is a terminal.

    Raises:
        ModelNotFoundError: no such repository or model, no access, or no connection and not in the cache.
        ModelLoadError: what was loaded is not what the hub announced.
    """
    api = HfApi(library_name="candlewick")
    try:
        siblings = api.model_info(repository).siblings or []
        names = [sibling.rfilename for sibling in siblings]
        model = choose_model(find_models(names), wanted, f"hf:{repository}")
        paths = [_fetch_file(api, repository, name, progress) for name in model.parts]
    except _HUB_ERRORS as error:
        return _find_in_cache(repository, wanted, _explain(error, repository, api.endpoint), error)
    return paths[0]


def _fetch_file(api: HfApi, repository: str, name: str, progress: Progress | None) -> Path:
    url = hf_hub_url(repository, name, revision=_REVISION, endpoint=api.endpoint)
    headers = build_hf_headers(library_name="candlewick")
    remote = get_hf_file_metadata(url, headers=headers, endpoint=api.endpoint)
    if remote.etag is None or remote.size is None or remote.commit_hash is None:
        raise ValueError(f"{url} was answered without etag, size or commit")
    if not _ETAG.fullmatch(remote.etag):
        raise ValueError(f"{url} has the etag {remote.etag!r}, which is no hash")
    cache = Path(constants.HF_HUB_CACHE)
    cached = try_to_load_from_cache(repository, name, cache_dir=cache, revision=remote.commit_hash)
    if isinstance(cached, str):
        return Path(cached)
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    blob = cache / folder / "blobs" / remote.etag
    lock = cache / ".locks" / folder / f"{remote.etag}.lock"
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        # Larger files the hub serves only by its library's own protocol, which can't be resumed.
        if not blob.exists() and remote.size <= constants.MAX_HTTP_DOWNLOAD_SIZE:
            _load_blob(url, headers, name, remote.size, blob, progress)
    # With the blob in its place this only enters it under its name and revision.
    path = Path(hf_hub_download(repository, name, cache_dir=cache, endpoint=api.endpoint))
    if not path.is_symlink():
        blob.unlink(missing_ok=True)  # a cache without symbolic links has a copy by now
    return path


def _load_blob(
    url: str, headers: dict[str, str], name: str, size: int, blob: Path, progress: Progress | None
) -> None:
    """Load ``size`` bytes into ``blob``, going on from what an earlier attempt left."""
    # A name of our own: what other programs leave may have holes.
    partial = blob.with_name(f"{blob.name}.candlewick.incomplete")
    with partial.open("ab") as file:
        if file.tell() > size:
            file.seek(0)
            file.truncate()
        present = file.tell()
        bar: Any = None if progress is None else _ProgressBar(progress, name, present, size)
        free = shutil.disk_usage(blob.parent).free
        if free < size - present:
            raise ModelNotFoundError(
                f"{name} needs {(size - present) / 1e9:.1f} GB more, but {blob.parent} has "
                f"{free / 1e9:.1f} GB free; make room or set HF_HOME to a larger disk"
            )
        http_get(
            url,
            file,
            resume_size=present,
            headers=headers,
            expected_size=size,
            displayed_filename=name,
            _tqdm_bar=bar,
        )
    # The etag, and so the blob's name, is the hash of every large file.
    if _SHA256.fullmatch(blob.name):
        with partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != blob.name:
            partial.unlink()
            raise ModelLoadError(partial, "SHA-256", f"{name} was damaged on the way; load it again")
    partial.replace(blob)


class _ProgressBar:
    """The one method of a tqdm bar that the hub's download calls."""

    def __init__(self, report: Progress, name: str, present: int, size: int) -> None:
        self._report = report
        self._name = name
        self._present = present
        self._size = size
        report(name, present, size)

    def update(self, num_bytes: int) -> None:
        self._present += num_bytes
        self._report(self._name, self._present, self._size)


def _find_in_cache(repository: str, wanted: str | None, reason: str, error: Exception) -> Path:
    """The model as the cache has it, because the hub can't be asked for ``reason``."""
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    reference = folder / "refs" / _REVISION
    place = f"hf:{repository}"
    try:
        snapshot = folder / "snapshots" / reference.read_text().strip()
        names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.gguf") if path.is_file()]
    except OSError:
        names = []
    if not names:
        raise ModelNotFoundError(
            f"{place}: {reason}; and the cache in {folder.parent} does not have it"
        ) from error
    try:
        model = choose_model(find_models(names), wanted, f"the cache of {place}")
    except ModelNotFoundError as not_cached:
        raise ModelNotFoundError(f"{place}: {reason}; and {not_cached}") from error
    _LOGGER.warning("%s: %s; using %s from the cache", place, reason, model.name)
    return snapshot / model.name


def _explain(error: Exception, repository: str, endpoint: str) -> str:
    """What went wrong and what to do, without the name of the model before it."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return (
            f"access is gated; accept its conditions at {endpoint}/{repository}, then log in with "
            "'hf auth login' or set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{endpoint} has no such repository, or it is private; check the name, or log in with "
            "'hf auth login' or set HF_TOKEN"
        )
    if status in (401, 403):
        return (
            f"{endpoint} refused access ({status}): there is no such repository, it is private, or the token "
            "is not valid; check the name, or log in with 'hf auth login' or set HF_TOKEN"
        )
    if isinstance(error, EntryNotFoundError) and status == 404:
        return f"{endpoint} no longer has the file; try again"
    if status is not None:
        return f"{endpoint} answered with an error ({status}); try again later"
    if constants.HF_HUB_OFFLINE:
        return "the hub is switched off by HF_HUB_OFFLINE"
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return f"the cache in {constants.HF_HUB_CACHE} can't be used: {error}"
    if isinstance(error, ValueError):
        return f"{endpoint} doesn't answer like a hub ({error}); check HF_ENDPOINT and your proxy"
    return (
        f"{endpoint} can't be reached ({type(error).__name__}: {error}); check your connection. What was "
        "loaded is kept, and loading goes on from there"
    )
