"""One live page for all tests of this folder: a real process, and a proxy that it must not ask."""

import signal

import pytest
from live_process import LiveProcess, Proxy


@pytest.fixture(scope="session")
def served(tiny_checkpoint, tmp_path_factory):
    """The server; at its end by Ctrl-C it leaves with 130, and nothing had gone wrong before."""
    with Proxy() as proxy:
        live = LiveProcess([tiny_checkpoint], proxy, tmp_path_factory.mktemp("served"))
        try:
            yield live
            # An upload that stalls does not keep the server alive.
            with live.send(live.half_an_upload):
                assert live.ask("GET", "/")[0] == 200
                live.process.send_signal(signal.SIGINT)
                _, errors = live.process.communicate(timeout=60)
            assert live.process.returncode == 130
            device, *lines = errors.strip().splitlines()
            assert device.startswith("device  c")
            assert lines == ["lookwhy: interrupted; the page is closed"]
        finally:
            live.process.kill()


@pytest.fixture(scope="session")
def pictures(tiny_world):
    return sorted((tiny_world / "images" / "shapes_val").glob("*.png"))


@pytest.fixture(scope="session")
def picture(pictures):
    return pictures[0]
