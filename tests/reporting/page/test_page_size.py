"""Three runs of twenty epochs and sixty examples: how large the page is, and how soon it is there."""

from dataclasses import replace

import numpy as np
import pytest
from made_results import make_run
from PIL import Image

from lookwhy.reporting.comparisons import compare
from lookwhy.reporting.measures import IMAGE
from lookwhy.reporting.page.html import write_report

RUNS, EPOCHS, EXAMPLES = 3, 20, 60
MEASURES = ["specificity", "partial_rank_correlation", "rank_correlation_other_question"]
MEASURES += [one.key.replace("/", "_") for one in IMAGE]
COLUMNS = [*MEASURES, *(f"centre_prior_{one}" for one in MEASURES)]


def photograph(seed: int, height: int = 480, width: int = 640) -> np.ndarray:
    """Structure at every scale, as photographs have: the amplitude falls with the frequency."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(height, width, 3)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) + 1 / width
    image = np.fft.ifft2(noise / frequency[..., None], axes=(0, 1)).real
    return np.clip(128 + 60 * image / image.std(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def large_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    images = folder / "images"
    images.mkdir()
    # A picture for each question: twice as many as where two questions share one.
    whole = [photograph(seed) for seed in range(3)]
    for number in range(EXAMPLES):
        shifted = np.roll(whole[number % 3], 25 * number, axis=(0, 1))
        Image.fromarray(shifted).save(images / f"{number}.jpg", quality=92)

    def change(result):
        third = replace(result.maps["image/guided_backprop"], method="attention")
        result.maps["image/attention"] = third
        for record in result.records:
            record["image_id"] = record["question_id"]
            record["image_file"] = str(images / f"{record['question_id'] - 100}.jpg")
        like = [record for record in result.records if record["method"] == "guided_backprop"]
        result.records += [record | {"method": "attention"} for record in like]
        rng = np.random.default_rng(result.manifest["epoch"])
        for record in result.records:  # all measures that the page shows by slice
            record |= dict(zip(COLUMNS, rng.random(len(COLUMNS)).tolist(), strict=True))
        for curve in result.curves.values():
            if "n" not in curve:  # as many points as a large analysis stores
                at = np.linspace(curve["x"][0], curve["x"][-1], 200)
                curve.update(x=at.tolist(), y=np.interp(at, curve["x"], curve["y"]).tolist())

    names = [f"run-{number}" for number in range(RUNS)]
    runs = {name: make_run(folder / name, images, EPOCHS, change, count=EXAMPLES) for name in names}
    return write_report(list(runs.values()), folder / "report.html", compare(runs))


OPENED = """() => Math.max(Number(document.documentElement.dataset.ready),
  performance.getEntriesByType('navigation')[0].loadEventEnd,
  performance.getEntriesByName('first-contentful-paint')[0].startTime) / 1000"""
TEN_STEPS = """() => { const slider = document.getElementById('examples-epoch'); const start = performance.now();
  for (let at = 0; at < 10; at++) { slider.value = at; slider.dispatchEvent(new Event('input')); }
  return (performance.now() - start) / 10; }"""


@pytest.mark.slow
def test_the_page_is_small_opens_quickly_and_its_epochs_follow_the_finger(browser, large_page):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    size = large_page.stat().st_size
    assert 3e6 < size < 15e6
    seconds = []
    for _ in range(3):
        page.goto(large_page.as_uri())
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        page.wait_for_function("document.querySelector('canvas[data-panel=Occlusion]').width > 300")
        questions = page.locator("#question option").count()
        assert (questions, page.get_attribute("#examples-epoch", "max")) == (EXAMPLES, str(EPOCHS - 1))
        assert page.locator("canvas").count() == RUNS * 5
        seconds.append(page.evaluate(OPENED))
        if seconds[-1] < 2:
            break
    print(f"{size} bytes, open after {', '.join(f'{one:.2f}' for one in seconds)} s")
    # Others may be at work on the machine: the best of three says what the page itself takes.
    assert min(seconds) < 2
    spent = page.evaluate(TEN_STEPS)
    print(f"{spent:.0f} ms a step of three runs side by side")
    assert spent < 500
