"""The promise of reproducibility, on every architecture and the built-in model; and that a broken one is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_engine import new_engine, write_model
from scripted_runner import ByteTokenizer, ScriptedRunner, ScriptedSampler, hashed

from candlewick.core.batch import Batch
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.fingerprint import Fingerprint
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_config import ModelConfig
from candlewick.core.model_source import resolve_model
from candlewick.core.models import ARCHITECTURES
from candlewick.core.sampling import Sample
from candlewick.core.speculation.draft_model import DraftModel
from candlewick.core.verification import Check, Verification, Workload

CONFIG = EngineConfig(num_threads=1)
SMALL = Workload(num_requests=4, num_neighbours=10, max_prompt_tokens=60, max_tokens=40)


def checks_of(verification: Verification) -> dict[str, Check]:
    checks = {check.condition: check for check in verification.run()}
    assert [check for check in checks.values() if not check.passed] == []
    return checks


@pytest.mark.parametrize(
    ("architecture", "tensor_type", "config"),
    [
        *((architecture, "Q8_0", CONFIG) for architecture in ARCHITECTURES),
        ("llama", "F32", CONFIG),
        *(("llama", "Q8_0", replace(CONFIG, kv_cache_type=cache_type)) for cache_type in ("f32", "q8")),
        ("llama", "Q8_0", replace(CONFIG, draft_model="another")),
    ],
)
def test_every_architecture_cache_and_instruction_set(
    architecture: str,
    tensor_type: str,
    config: EngineConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gguf", reason="gguf writes the model file")
    from candlewick import _kernels
    from candlewick.core.native_runner import kv_block_bytes

    path = write_model(tmp_path / "random.gguf", tensor_type, architecture)
    draft_path = write_model(tmp_path / "draft.gguf", "Q4_0", architecture)
    # The draft model is as slow as the model, and would soon be left alone.
    monkeypatch.setattr(DraftModel, "round_seconds", lambda self, num_sequences: 0.0)

    def load(config: EngineConfig) -> InferenceEngine:
        settings = {**vars(config), "draft_model": None}
        return new_engine(
            path, num_blocks=400, draft_path=draft_path if config.draft_model else None, **settings
        )

    with GGUFFile.open(path) as file:
        block_bytes = kv_block_bytes(ModelConfig.from_file(file), config.kv_cache_type)
    verification = Verification(
        load,
        config,
        block_bytes=block_bytes,
        instruction_sets=_kernels.instruction_sets(),
        workload=SMALL,
    )
    checks = checks_of(verification)
    assert " 0 pauses" not in checks["pausing for want of memory"].finding
    assert " 0 of the prompts'" not in checks["the same again, prefixes cached"].finding
    assert " 10 cancelled" in checks["beside others that are cancelled"].finding
    assert len(set(verification._expected)) == SMALL.num_requests
    assert len(checks) == 10 + (config.draft_model is not None) + len(_kernels.instruction_sets())
    if config.draft_model is not None:
        assert " 0 of them guessed" not in checks["alone, one after the other"].finding


@pytest.mark.slow
def test_the_builtin_model_with_the_whole_workload() -> None:
    with GGUFFile.open(resolve_model("builtin")) as file:
        checks_of(Verification.of_file(file, EngineConfig()))


def test_the_builtin_model() -> None:
    with GGUFFile.open(resolve_model("builtin")) as file:
        verification = Verification.of_file(file, CONFIG, replace(SMALL, num_requests=2, num_neighbours=4))
        fingerprint = Fingerprint.of(file, CONFIG)
    checks_of(verification)
    assert fingerprint.architecture == "smollm3"
    assert len(fingerprint.weights_sha256) == len(fingerprint.template_sha256 or "") == 64


# ---- a verification that could not fail would be worth nothing


class Leaky(ScriptedRunner):
    """Gives wrong answers when the batch fulfils a condition."""

    def __init__(self, is_wrong: Callable[[Batch], bool]) -> None:
        super().__init__(num_blocks=400, max_context=400)
        self._is_wrong = is_wrong
        self._wrong_now = False

    def execute(self, batch: Batch) -> None:
        self._wrong_now = self._is_wrong(batch)
        super().execute(batch)

    def sample(self, samplers, rows):  # type: ignore[no-untyped-def]
        samples = super().sample(samplers, rows)
        if self._wrong_now:
            return [replace(sample, logprob=np.nextafter(sample.logprob, 0)) for sample in samples]
        return samples


def verification_of(new_runner: Callable[[EngineConfig], ScriptedRunner]) -> Verification:
    def load(config: EngineConfig) -> InferenceEngine:
        return InferenceEngine(new_runner(config), ByteTokenizer(), config)  # type: ignore[arg-type]

    return Verification(load, CONFIG, block_bytes=1, workload=SMALL)


def failed(verification: Verification) -> set[str]:
    return {check.condition for check in verification.run() if not check.passed}


def test_a_sound_scripted_model_passes() -> None:
    assert failed(verification_of(lambda config: Leaky(lambda batch: False))) == set()


def test_a_logprob_that_depends_on_the_crowd_is_found() -> None:
    found = failed(verification_of(lambda config: Leaky(lambda batch: batch.num_sequences > 5)))
    assert "beside 10 others" in found
    assert "the same again, prefixes cached" not in found


def test_an_answer_that_depends_on_cached_prefixes_is_found() -> None:
    def begins_late(batch: Batch) -> bool:
        return batch.num_sequences == 1 and batch.num_tokens > 1 and bool(batch.positions[0] >= 16)

    found = failed(verification_of(lambda config: Leaky(begins_late)))
    assert "the same again, prefixes cached" in found


def test_an_answer_that_depends_on_a_setting_is_found() -> None:
    def new_runner(config: EngineConfig) -> ScriptedRunner:
        def next_token(context: tuple[int, ...], sampler: ScriptedSampler) -> int:
            return (hashed(context, sampler) + (config.num_threads == 2)) % 256

        return ScriptedRunner(num_blocks=400, max_context=400, next_token=next_token)

    assert failed(verification_of(new_runner)) == {"by 2 threads"}


def test_the_digest_of_answers_changes_with_the_last_bit() -> None:
    verification = verification_of(lambda config: ScriptedRunner(num_blocks=400, max_context=400))
    next(verification.run())
    before = verification.answers_sha256
    first = verification._expected[0]
    token_id, logprob, top = first[-1]
    changed = Sample(token_id, float(np.nextafter(np.float32(logprob), np.float32(0))), top)
    verification._expected[0] = (*first[:-1], (changed.token_id, changed.logprob, changed.top_logprobs))
    assert verification.answers_sha256 != before


def test_the_fingerprint_is_plain_data() -> None:
    from dataclasses import asdict

    with GGUFFile.open(resolve_model("builtin")) as file:
        identity = asdict(Fingerprint.of(file, EngineConfig(isa="scalar")))
    assert json.loads(json.dumps(identity)) == identity
    assert identity["instruction_set"] == "scalar"
