"""What the machine offers: within its limits, and a forced instruction set is taken or refused by name."""

from __future__ import annotations

import os

import pytest

from candlewick.core import machine
from candlewick.core.errors import InvalidRequestError


def test_cores_respect_the_affinity_mask():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity masks on this system")
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert machine.available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= machine.available_cores() <= len(allowed)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", None), ("150000 100000", 1), ("50000 100000", 1), ("400000 100000", 4)],
)
def test_cores_respect_the_container_quota(quota, cores, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert machine.available_cores() == (8 if cores is None else cores)


def test_memory_respects_the_container_limit(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert machine.available_memory_bytes() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    unlimited = machine.available_memory_bytes()
    assert unlimited is None or unlimited > 3000


def test_the_largest_cache_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CACHES", tmp_path)
    assert machine.largest_cache_bytes() == 0
    for index, size in enumerate(("48K", "2048K", "300M", "", "what")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}/size").write_text(size + "\n")
    assert machine.largest_cache_bytes() == 300 * 2**20


def test_the_instruction_set_is_the_wanted_the_forced_or_the_best(monkeypatch):
    kernels = pytest.importorskip("candlewick._kernels")
    monkeypatch.delenv(machine.ISA_VARIABLE, raising=False)
    assert machine.choose_instruction_set(None) == kernels.instruction_sets()[0]
    monkeypatch.setenv(machine.ISA_VARIABLE, "scalar")
    assert machine.choose_instruction_set(None) == "scalar"
    best = kernels.instruction_sets()[0]
    assert machine.choose_instruction_set(best) == best


def test_an_unknown_instruction_set_is_refused_by_name(monkeypatch):
    pytest.importorskip("candlewick._kernels")
    with pytest.raises(InvalidRequestError, match=r"isa is 'z80'; this CPU can run .*scalar") as error:
        machine.choose_instruction_set("z80")
    assert error.value.parameter == "isa"
    monkeypatch.setenv(machine.ISA_VARIABLE, "z80")
    with pytest.raises(InvalidRequestError, match="CANDLEWICK_ISA is 'z80'"):
        machine.choose_instruction_set(None)
