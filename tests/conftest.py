"""What holds for every test: no network, no file or setting of the user's touched."""

from __future__ import annotations

import os
import socket

import pytest

from checkpoints import checkpoint

__all__ = ["checkpoint"]

HERE = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(scope="session", autouse=True)
def _own_world(tmp_path_factory):
    """Caches are kept in a temporary folder, and the user's own settings do not count."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for name in [name for name in os.environ if name.startswith("GALAGO_")]:
        patch.delenv(name)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """A connection to another machine is an error; servers of the tests' own are reached."""
    connect = socket.socket.connect

    def guarded(self, address):
        assert not isinstance(address, tuple) or address[0] in HERE, f"a test connects to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
