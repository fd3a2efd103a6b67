"""Model references: the built-in model, paths and directories."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from candlewick.core import model_source
from candlewick.core.errors import ModelNotFoundError
from candlewick.core.model_source import resolve_model


def test_the_built_in_model_is_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_source, "files", lambda package: tmp_path / package)
    with pytest.raises(ModelNotFoundError, match="built-in model is missing from this installation"):
        resolve_model("builtin")
    (tmp_path / "candlewick" / "builtin").mkdir(parents=True)
    (tmp_path / "candlewick" / "builtin" / "candlewick-tiny.gguf").touch()
    assert resolve_model("builtin") == tmp_path / "candlewick" / "builtin" / "candlewick-tiny.gguf"


def test_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").touch()
    assert resolve_model(tmp_path / "m.gguf") == tmp_path / "m.gguf"
    assert resolve_model(str(tmp_path / "m.gguf")) == tmp_path / "m.gguf"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve_model("~/m.gguf") == tmp_path / "m.gguf"
    monkeypatch.chdir(tmp_path)
    assert resolve_model("m.gguf").resolve() == (tmp_path / "m.gguf").resolve()


def test_a_directory_with_one_model(tmp_path: Path) -> None:
    for name in ("m.gguf", "mmproj-m-f16.gguf", "README.md"):
        (tmp_path / name).touch()
    assert resolve_model(tmp_path) == tmp_path / "m.gguf"


def test_a_directory_with_a_split(tmp_path: Path) -> None:
    for part in (1, 2, 3):
        (tmp_path / f"m-{part:05d}-of-00003.gguf").touch()
    assert resolve_model(tmp_path) == tmp_path / "m-00001-of-00003.gguf"
    (tmp_path / "m-00001-of-00003.gguf").unlink()
    with pytest.raises(ModelNotFoundError, match=r"parts of m.* are missing: m-00001-of-00003\.gguf"):
        resolve_model(tmp_path)


def test_a_directory_with_no_model_or_several(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="holds no GGUF model"):
        resolve_model(tmp_path)
    for name in ("a-Q4_K_M.gguf", "a-Q8_0.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(ModelNotFoundError, match=r"more than one model.*\n  a-Q4_K_M\.gguf\n  a-Q8_0\.gguf"):
        resolve_model(tmp_path)


def test_references_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"'none\.gguf' is neither 'builtin' nor a file or directory$"
    ):
        resolve_model("none.gguf")
    with pytest.raises(ModelNotFoundError, match=r"write hf:owner/model:Q4_K_M"):
        resolve_model("owner/model:Q4_K_M")
    with pytest.raises(ModelNotFoundError):
        resolve_model("models/none.gguf")
    with pytest.raises(ModelNotFoundError):
        resolve_model("a\0b")
    with pytest.raises(ModelNotFoundError, match="no usable path"):
        resolve_model("~no-such-user-here/m.gguf")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ModelNotFoundError):
        resolve_model(loop)


@pytest.mark.parametrize("reference", ["hf:", "hf:model", "hf:a/b/c", "hf:a/b:", "hf:/b", "hf:a b/c"])
def test_malformed_hub_references(reference: str) -> None:
    with pytest.raises(ModelNotFoundError, match="is no hub reference; write hf:owner/repository"):
        resolve_model(reference)


def test_paths_need_no_hub_library(tmp_path: Path) -> None:
    """Importing it costs a quarter of a second, which a local model should not pay."""
    (tmp_path / "m.gguf").touch()
    code = (
        "import sys; from candlewick.core.model_source import resolve_model; resolve_model(sys.argv[1]); "
        "assert 'huggingface_hub' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.gguf")], check=True, env=environment)
