"""Takes a picture of the report page, as described in docs/figures.md.

python tests/reporting/screenshot.py report.html docs/report.png
"""

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1280, "height": 1600}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="report page written by analyze.py compare")
    parser.add_argument("out", type=Path, help="picture to write")
    options = parser.parse_args()
    if not options.page.is_file():
        parser.error(f"expected a report page, found none at {options.page}; make demo writes one")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as engines:
        page = engines.chromium.launch(executable_path=path, args=arguments).new_page(viewport=SIZE)
        page.goto(options.page.resolve().as_uri())
        # The example's image is decoded after the page is ready.
        panels = "[...document.querySelectorAll('html[data-ready] canvas[data-panel]')]"
        page.wait_for_function(f"{panels}.length && {panels}.every(one => one.width > 300)")
        page.screenshot(path=options.out)
    print(f"picture  {options.out}")


if __name__ == "__main__":
    main()
