"""Memory that the benchmark keeps from the engines."""

from benchmarks.sieve import LEFT, sieve
from galago.device.sensed import Sensed


def test_memory_that_is_read_slowly_is_held_back(monkeypatch):
    rates = iter([30e9, 15e9, 29e9, 26.9e9])
    monkeypatch.setattr("benchmarks.sieve.native.read_rate", lambda _: next(rates))
    monkeypatch.setattr("benchmarks.sieve.device.available_memory", lambda: Sensed(LEFT + 4096))
    monkeypatch.setattr("benchmarks.sieve.BLOCK", 1024)
    held = sieve(1)
    assert len(held.held) == 2
    assert held.told() == {
        "memory_looked_at_bytes": 4096,
        "memory_held_back_bytes": 2048,
        "memory_fastest_bytes_per_s": 30e9,
        "memory_slowest_bytes_per_s": 15e9,
    }
