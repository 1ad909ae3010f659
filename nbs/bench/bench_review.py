"""Reviewing: from the key to the next card, in a real browser on 1,200 pairs, and whether it slows down as decisions pile up."""
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from keeping import keep
from replytune.review import ReviewLog
from replytune.schema import Pair
from replytune.files import resolve, to_lines, write_text
from replytune.run import sample_rows

sys.path.insert(0, str(resolve("nbs/tests")))
from browsing import Lab, chromium, write_notebook

PAIRS, DECISIONS = 1200, 200
CELL = """from replytune.vectors import Vectors
from replytune.review import ReviewLog
from replytune.session import ReviewContext, ReviewSession, near_copies, topics_of
from replytune.panel import Panel
from replytune.files import read_records
pairs = read_records({folder!r} + "/pairs.jsonl")
vectors = Vectors("minilm")
context = ReviewContext(topics_of(pairs, vectors), near_copies(pairs, [], vectors))
panel = Panel(ReviewSession(pairs, ReviewLog({folder!r} + "/reviews/ada.jsonl", "ada"), context))
panel.widget"""
WATCH = """() => { window.times = []; let pressed = null;
    addEventListener('keydown', () => { pressed = performance.now(); }, true);
    const root = document.querySelector('.replytune-review'); let last = root.querySelector('[data-shown]').dataset.shown;
    new MutationObserver(() => { const now = root.querySelector('[data-shown]')?.dataset.shown;
        if (now && now !== last) { last = now; requestAnimationFrame(() => { window.times.push(performance.now() - pressed); }); } }).observe(root, {childList: true, subtree: true}); }"""


def drive(folder: Path) -> list[float]:
    "Milliseconds from each deciding key to the frame in which the next card is drawn"
    lab = Lab(folder)
    try:
        with chromium() as browser:
            page = lab.open(browser, "panel.ipynb")
            page.wait_for_selector(".rt-card", timeout=180_000)
            page.locator(".rt-card .rt-text").last.click()
            page.wait_for_timeout(500)
            page.evaluate(WATCH)
            keys = [chance.choice(["k", "k", "k", "s", "f"]) for chance in [random.Random(1)] for _ in range(DECISIONS)]
            for number, key in enumerate(keys):
                page.keyboard.press(key)
                page.wait_for_function("count => window.times.length > count", arg=number)
            return page.evaluate("window.times")
    finally:
        lab.close()


if __name__ == "__main__":
    sample = [Pair.model_validate(row) for row in sample_rows("clean.jsonl")]
    pairs = [sample[number % len(sample)].model_copy(update={"reply_id": str(10**15 + number)}) for number in range(PAIRS)]
    folder = Path(tempfile.mkdtemp())
    write_text(folder / "pairs.jsonl", to_lines(pairs))
    write_notebook(folder / "panel.ipynb", CELL.format(folder=str(folder)))
    times = drive(folder)
    assert ReviewLog(folder / "reviews/ada.jsonl", "ada").state.lines == len(times) == DECISIONS
    shutil.rmtree(folder)
    keep("04c_panel", "from key to next card, 95th percentile", statistics.quantiles(times, n=20)[-1], "ms", f"median {statistics.median(times):.0f} ms; {DECISIONS} decisions among {PAIRS} pairs, JupyterLab and Chromium on the same two cores")
    keep("04c_panel", "the last 50 decisions against the first 50", statistics.median(times[-50:]) / statistics.median(times[:50]), "times as long, medians")
