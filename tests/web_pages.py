"""Pages in a real browser that complain about nothing and fetch nothing from elsewhere."""

import io
from contextlib import contextmanager

import numpy as np
from PIL import Image

NAMELESS = """all => all.filter(one => !one.getAttribute('aria-label') && !one.labels?.length
  && !one.textContent.trim()).map(one => one.outerHTML)"""


def coloured(locator) -> float:
    """Share of an element's pixels, as the browser shows it, whose colour is neither black, gray nor white."""
    with Image.open(io.BytesIO(locator.screenshot())) as shot:
        pixels = np.asarray(shot.convert("RGB"), int)
    return float((pixels.max(-1) - pixels.min(-1) > 40).mean())


@contextmanager
def opened_pages(browser, home):
    """Yields a function that opens an address in a context of its own; all that is fetched begins with `home`."""
    complaints, fetched = [], []

    def open_page(address, quiet=True, width=1200, height=1000, script=";", **settings):
        page = browser.new_page(viewport={"width": width, "height": height}, **settings)
        page.set_default_timeout(20_000)
        if quiet:
            page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.add_init_script(script)
        page.goto(address)
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert not complaints
    assert fetched
    assert all(url.startswith((home, "data:", "blob:")) for url in fetched)
