"""The servers of the tests, which misbehave on demand; benchmarks and tests share them."""

import sys

from benchmarks.soak.attempts import ROOT

sys.path.append(str(ROOT / "tests"))

from web_server import USELESS, WebServer, useless_server  # type: ignore[import-not-found]  # noqa: E402

__all__ = ["USELESS", "WebServer", "useless_server"]
