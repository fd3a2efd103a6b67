"""Fetching models from a stand-in for the hub: a local server that answers as the real one does."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants, file_download

from candlewick.core.errors import ModelLoadError, ModelNotFoundError
from candlewick.core.model_source import resolve_model

COMMIT = "c" * 40
SIZE = 200_000
REPOSITORY = "owner/tiny-GGUF"


class StandInHub(ThreadingHTTPServer):
    """Serves one repository. Files live on another origin, reached by a redirect, as on the real hub."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files: dict[str, bytes] = {}
        self.commit = COMMIT
        self.requests: list[tuple[str, str, str | None]] = []
        """Method, path and range of all requests."""
        self.cut_after: int | None = None
        """Drop the connection of the next file after so many bytes."""
        self.corrupt = False
        self.etag: str | None = None
        """Instead of the file's hash."""
        self.refusal: tuple[int, dict[str, str]] | None = None
        """Status and headers of every answer about the repository."""
        self.file_refusal: tuple[int, dict[str, str]] | None = None
        self.authorized_on_storage = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, *names: str) -> None:
        for name in names:
            self.files[name] = hashlib.shake_128(name.encode()).digest(SIZE)

    def ranges(self) -> list[str | None]:
        """The ranges of all requests for the bytes of files."""
        return [
            byte_range
            for method, path, byte_range in self.requests
            if method == "GET" and "/storage/" in path
        ]


class HubHandler(BaseHTTPRequestHandler):
    server: StandInHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range")))
        if path == f"/api/models/{REPOSITORY}":
            if hub.refusal is not None:
                self.answer(hub.refusal[0], hub.refusal[1])
                return
            siblings = [{"rfilename": name} for name in hub.files]
            content = json.dumps({"id": REPOSITORY, "sha": hub.commit, "siblings": siblings}).encode()
            self.answer(200, {"Content-Type": "application/json"}, content)
        elif match := re.fullmatch(rf"/{REPOSITORY}/resolve/main/(.+)", path):
            self.redirect_to_storage(match[1])
        elif path.startswith("/storage/"):
            self.send_from_storage(path.removeprefix("/storage/"))
        else:
            self.answer(404, {"X-Error-Code": "RepoNotFound"})

    def redirect_to_storage(self, name: str) -> None:
        hub = self.server
        if hub.file_refusal is not None:
            self.answer(*hub.file_refusal)
            return
        content = hub.files.get(name)
        if content is None:
            self.answer(404, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {
            "X-Repo-Commit": hub.commit,
            "X-Linked-Etag": f'"{hub.etag or hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"http://localhost:{hub.server_port}/storage/{name}",
        }
        self.answer(302, headers)

    def send_from_storage(self, name: str) -> None:
        hub = self.server
        hub.authorized_on_storage |= "Authorization" in self.headers
        content = hub.files[name]
        if hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"Accept-Ranges": "bytes"}
        status, start = 200, 0
        if byte_range := self.headers.get("Range"):
            start = int(byte_range.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status = 206
        body = content[start:]
        cut_after, hub.cut_after = hub.cut_after, None
        self.answer(status, {**headers, "Content-Length": str(len(body))}, body[:cut_after])
        if cut_after is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    server = StandInHub()
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16_384)
    # Between attempts the library waits for a second; the stand-in needs no rest.
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    huggingface_hub.utils.disable_progress_bars()
    yield server
    huggingface_hub.utils.enable_progress_bars()
    server.shutdown()
    server.server_close()


def go_offline(hub: StandInHub) -> None:
    hub.shutdown()
    hub.server_close()
    huggingface_hub.close_session()  # its open connections outlive the listening socket


def environment_of(hub: StandInHub, cache: str | Path) -> dict[str, str]:
    """The variables with which another process uses this hub and cache."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(cache),
        "HF_HOME": str(cache),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def test_loads_the_usual_quantisation_into_the_hubs_cache(hub: StandInHub, cache: Path) -> None:
    hub.add("tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf", "README.md")
    path = resolve_model(f"hf:{REPOSITORY}")
    assert path == cache / "models--owner--tiny-GGUF" / "snapshots" / COMMIT / "tiny-Q4_K_M.gguf"
    assert path.read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    assert hub.ranges() == [None]
    assert huggingface_hub.try_to_load_from_cache(REPOSITORY, "tiny-Q4_K_M.gguf", cache_dir=cache) == str(
        path
    )


def test_a_second_time_loads_nothing(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    first = resolve_model(f"hf:{REPOSITORY}")
    assert resolve_model(f"hf:{REPOSITORY}:q4_k_m") == first
    assert len(hub.ranges()) == 1


def test_a_new_commit_with_the_same_file_loads_nothing(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    first = resolve_model(f"hf:{REPOSITORY}")
    hub.commit = "d" * 40
    second = resolve_model(f"hf:{REPOSITORY}")
    assert second.parent.name == hub.commit
    assert second.resolve() == first.resolve()
    assert len(hub.ranges()) == 1


def test_a_changed_file_is_loaded_again(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    resolve_model(f"hf:{REPOSITORY}")
    hub.commit = "d" * 40
    hub.files["tiny-Q4_K_M.gguf"] = b"new"
    assert resolve_model(f"hf:{REPOSITORY}").read_bytes() == b"new"


def test_files_and_quantisations_by_name(hub: StandInHub) -> None:
    hub.add("tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf", "sub/other-F16.gguf")
    assert resolve_model(f"hf:{REPOSITORY}:q8_0").name == "tiny-Q8_0.gguf"
    assert resolve_model(f"hf:{REPOSITORY}:sub/other-F16.gguf").name == "other-F16.gguf"
    with pytest.raises(
        ModelNotFoundError, match=r"hf:owner/tiny-GGUF has no model 'Q6_K'.*\n  sub/other-F16\.gguf\n"
    ):
        resolve_model(f"hf:{REPOSITORY}:Q6_K")


def test_all_parts_of_a_split_are_loaded(hub: StandInHub) -> None:
    parts = [f"Q8_0/tiny-Q8_0-{part:05d}-of-00003.gguf" for part in (1, 2, 3)]
    hub.add(*parts)
    path = resolve_model(f"hf:{REPOSITORY}:Q8_0")
    assert path.name == "tiny-Q8_0-00001-of-00003.gguf"
    for part in parts:
        assert (path.parent / Path(part).name).read_bytes() == hub.files[part]


def test_progress_is_reported(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    calls: list[tuple[str, int, int]] = []
    resolve_model(f"hf:{REPOSITORY}", progress=lambda *call: calls.append(call))
    assert calls[0] == ("tiny-Q4_K_M.gguf", 0, SIZE)
    assert calls[-1] == ("tiny-Q4_K_M.gguf", SIZE, SIZE)
    assert len(calls) > 5
    assert calls == sorted(calls)


def test_an_interrupted_download_goes_on_where_it_stopped(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")

    def interrupt(name: str, present: int, total: int) -> None:
        if present > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve_model(f"hf:{REPOSITORY}", progress=interrupt)
    calls: list[int] = []
    path = resolve_model(f"hf:{REPOSITORY}", progress=lambda name, present, total: calls.append(present))
    assert path.read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    first, second = hub.ranges()
    assert first is None
    assert second == f"bytes={calls[0]}-"
    assert SIZE // 4 < calls[0] <= SIZE
    assert not list(path.resolve().parent.glob("*.incomplete"))


def test_a_killed_process_leaves_what_it_had_loaded(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    code = (
        "import os, sys; from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 16384\n"
        "from candlewick.core.model_source import resolve_model\n"
        "def die(name, present, total):\n"
        "    if present > total // 2: os._exit(9)\n"
        f"resolve_model('hf:{REPOSITORY}', progress=die)"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=environment_of(hub, constants.HF_HUB_CACHE))
    assert killed.returncode == 9
    assert resolve_model(f"hf:{REPOSITORY}").read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    first, second = hub.ranges()
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").removesuffix("-")) > SIZE // 4


def test_two_at_once_load_a_file_once(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(resolve_model, [f"hf:{REPOSITORY}"] * 4))
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    assert hub.ranges() == [None]


def test_a_dropped_connection_is_taken_up_again(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    hub.cut_after = SIZE // 2
    assert resolve_model(f"hf:{REPOSITORY}").read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    first, second = hub.ranges()
    assert first is None
    assert second is not None


def test_too_long_a_rest_of_an_earlier_attempt_is_dropped(hub: StandInHub, cache: Path) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    digest = hashlib.sha256(hub.files["tiny-Q4_K_M.gguf"]).hexdigest()
    partial = cache / "models--owner--tiny-GGUF" / "blobs" / f"{digest}.candlewick.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(SIZE + 1))
    assert resolve_model(f"hf:{REPOSITORY}").read_bytes() == hub.files["tiny-Q4_K_M.gguf"]


def test_damaged_files_are_refused_and_not_kept(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    hub.corrupt = True
    with pytest.raises(ModelLoadError, match=r"SHA-256: tiny-Q4_K_M\.gguf was damaged on the way"):
        resolve_model(f"hf:{REPOSITORY}")
    hub.corrupt = False
    assert resolve_model(f"hf:{REPOSITORY}").read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    assert hub.ranges() == [None, None]


def test_an_etag_can_not_lead_out_of_the_cache(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    hub.etag = "../../../escaped"
    with pytest.raises(ModelNotFoundError, match=r"has the etag '\.\./\.\./\.\./escaped', which is no hash"):
        resolve_model(f"hf:{REPOSITORY}")
    assert not list(tmp_path.rglob("escaped*"))


def test_a_file_that_is_not_named_by_its_hash(hub: StandInHub) -> None:
    """Small files have their git hash for an etag, which does not verify their content."""
    hub.add("tiny-Q4_K_M.gguf")
    hub.etag = "0" * 40
    assert resolve_model(f"hf:{REPOSITORY}").read_bytes() == hub.files["tiny-Q4_K_M.gguf"]


def test_a_full_disk_is_told_before_loading(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": SIZE - 1}))
    with pytest.raises(ModelNotFoundError, match=r"GB more, but .* free; make room or set HF_HOME"):
        resolve_model(f"hf:{REPOSITORY}")
    assert hub.ranges() == []


def test_the_token_stays_with_the_hub(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    resolve_model(f"hf:{REPOSITORY}")
    assert not hub.authorized_on_storage


def test_a_cache_without_symbolic_links_keeps_one_copy(
    hub: StandInHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True, raising=False)
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda cache_dir=None: False)
    hub.add("tiny-Q4_K_M.gguf")
    path = resolve_model(f"hf:{REPOSITORY}")
    assert not path.is_symlink()
    assert [file for file in cache.rglob("*") if file.is_file() and file.stat().st_size == SIZE] == [path]
    assert resolve_model(f"hf:{REPOSITORY}") == path
    assert len(hub.ranges()) == 1


def test_without_a_connection_the_cache_answers(hub: StandInHub, caplog: pytest.LogCaptureFixture) -> None:
    hub.add("tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf")
    path = resolve_model(f"hf:{REPOSITORY}:Q8_0")
    go_offline(hub)
    with caplog.at_level(logging.WARNING):
        assert resolve_model(f"hf:{REPOSITORY}:q8_0") == path
        assert resolve_model(f"hf:{REPOSITORY}") == path
    assert "can't be reached" in caplog.text
    assert "using tiny-Q8_0.gguf from the cache" in caplog.text
    with pytest.raises(
        ModelNotFoundError, match=r"can't be reached .*; and the cache of .* has no model 'Q4_K_M'"
    ):
        resolve_model(f"hf:{REPOSITORY}:Q4_K_M")


def test_without_a_connection_or_cache_the_error_says_so(hub: StandInHub, cache: Path) -> None:
    go_offline(hub)
    expected = rf"hf:owner/tiny-GGUF: {re.escape(hub.url)} can't be reached .*connection.*cache in {cache}"
    with pytest.raises(ModelNotFoundError, match=expected):
        resolve_model(f"hf:{REPOSITORY}")


def test_switched_off_by_the_user(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("tiny-Q4_K_M.gguf")
    path = resolve_model(f"hf:{REPOSITORY}")
    num_requests = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()  # the library takes the switch into its client
    try:
        assert resolve_model(f"hf:{REPOSITORY}") == path
        with pytest.raises(ModelNotFoundError, match="switched off by HF_HUB_OFFLINE"):
            resolve_model("hf:owner/another")
    finally:
        huggingface_hub.close_session()
    assert len(hub.requests) == num_requests


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (401, {}, r"refused access \(401\): there is no such repository, .*hf auth login"),
        (404, {"X-Error-Code": "RepoNotFound"}, "has no such repository"),
        (
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            r"refused access \(401\): .*the token is not valid",
        ),
        (
            403,
            {"X-Error-Code": "GatedRepo"},
            r"access is gated; accept its conditions at http.*/owner/tiny-GGUF",
        ),
        (500, {}, r"answered with an error \(500\); try again later"),
        (200, {}, "doesn't answer like a hub"),
    ],
)
def test_refusals_are_explained(hub: StandInHub, status: int, headers: dict[str, str], message: str) -> None:
    hub.refusal = (status, headers)
    with pytest.raises(ModelNotFoundError, match=message):
        resolve_model(f"hf:{REPOSITORY}")


def test_a_gated_file_of_an_open_listing(hub: StandInHub) -> None:
    hub.add("tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf")
    cached = resolve_model(f"hf:{REPOSITORY}:Q8_0")
    hub.file_refusal = (403, {"X-Error-Code": "GatedRepo"})
    with pytest.raises(ModelNotFoundError, match="hf:owner/tiny-GGUF: access is gated"):
        resolve_model(f"hf:{REPOSITORY}:Q4_K_M")
    assert resolve_model(f"hf:{REPOSITORY}:Q8_0") == cached


def test_the_environment_is_obeyed(hub: StandInHub, tmp_path: Path) -> None:
    """In a process of its own, where the library reads the variables as users set them."""
    hub.add("tiny-Q4_K_M.gguf")
    environment = {
        **environment_of(hub, tmp_path / "cache of its own"),
        "TQDM_POSITION": "-1",
    }  # a bar at any rate
    code = f"from candlewick.core.model_source import resolve_model; print(resolve_model('hf:{REPOSITORY}'))"
    finished = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True
    )
    path = Path(finished.stdout.strip())
    assert path.is_relative_to(tmp_path / "cache of its own")
    assert path.read_bytes() == hub.files["tiny-Q4_K_M.gguf"]
    assert "tiny-Q4_K_M.gguf" in finished.stderr
