"""Takes a picture of the report page, as described in docs/figures.md.

python tests/reporting/screenshot.py report.html docs/report.png [--height 1600] [--theme light]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

WIDTH = 1280
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="report page written by analyze.py compare")
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--height", type=int, default=1600, help="pixels of the page shown (default: 1600)")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    options = parser.parse_args(argv)
    if not options.page.is_file():
        print(f"expected a report page, found none at {options.page}; make demo writes one", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=path, args=arguments)
        size = {"width": WIDTH, "height": options.height}
        page = browser.new_page(viewport=size, color_scheme=options.theme)
        page.goto(options.page.resolve().as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        # The example's image is decoded after the page is ready.
        page.wait_for_function(
            "[...document.querySelectorAll('canvas[data-panel]')].every(one => one.width > 300)"
        )
        page.screenshot(path=options.out)
        browser.close()
    print(f"picture  {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
