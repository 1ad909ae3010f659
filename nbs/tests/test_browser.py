"""The report in a real browser: nothing overflows, nothing a stranger wrote is executed."""
import json

import pytest

from replytune.report import ReportParams, report_stage
from replytune.files import read_rows, sha256, to_lines, write_text
from replytune.run import Run, sample_copy

PAGES = "09"

PAYLOAD = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"></summary></details><svg onload=\"document.title='pwned'\">{{ 7*7 }} \u202eevil\u202c " + "A" * 400


def poisoned_run() -> Run:
    "The sample run with the payload in a tweet, a reply of every arm, a rejected reply and a parameter, signed again"
    run = sample_copy("09_report")
    pairs = read_rows(run / "reviewed.jsonl")
    victim = read_rows(run / "generations/base.jsonl")[0]["tweet_id"]
    changed = {"reviewed.jsonl": [pair | {"tweet": PAYLOAD} if pair["tweet_id"] == victim else pair for pair in pairs],
               "rejected.jsonl": [row | {"pair": row["pair"] | {"reply": PAYLOAD}} for row in read_rows(run / "rejected.jsonl")]}
    for arm in ("base", "null", "rag", "tuned", "human"):
        changed[f"generations/{arm}.jsonl"] = [row | {"reply": PAYLOAD} for row in read_rows(run / f"generations/{arm}.jsonl")]
    sections = run.manifest()
    for name, rows in changed.items():
        write_text(run / name, to_lines(rows))
        for section in sections.values():
            for part in ("wrote", "read"):
                if name in section[part]: section[part][name] = sha256(run / name)
    sections["05_generate"]["models"]["model"] = PAYLOAD
    write_text(run / "manifest.json", json.dumps(sections))
    return run


@pytest.mark.parametrize("width", [1280, 420])
def test_report_runs_nothing_and_fits(browser, width):
    run = poisoned_run()
    report_stage(ReportParams(run=str(run.folder), title="A report " + PAYLOAD[:40]))
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{run/'report.html'}")
    page.wait_for_timeout(300)
    assert page.title().startswith("A report <script>") and "pwned" not in page.title().replace("document.title='pwned'", "")
    assert page.evaluate("document.querySelectorAll('img, iframe, object').length") == 0 and page.locator("script").count() == 1
    assert page.evaluate("[...document.querySelectorAll('*')].every(node => ![...node.attributes].some(a => a.name.startsWith('on')))")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page overflows sideways"
    assert "49" not in page.locator(".tweet").first.inner_text(), "a template was executed"
    figures = run.manifest()["09_report"]["counts"]["figures"]
    assert page.locator("figure svg").count() == figures and all(box["width"] <= width for box in (page.locator("figure").nth(place).bounding_box() for place in range(figures)))
    assert page.evaluate("[...document.querySelectorAll('td.word, td.number')].every(cell => cell.getClientRects().length === 1 && cell.scrollWidth <= cell.clientWidth + 1)")
    assert asked == [f"file://{run/'report.html'}"], "the report asks for something outside itself"
    page.close()


def test_sample_report_shows_its_label_once_at_the_top_and_in_every_figure(browser):
    run = sample_copy("09_report")
    report_stage(ReportParams(run=str(run.folder)))
    page = browser.new_page()
    page.goto(f"file://{run/'report.html'}")
    label = "pipeline check: invented data, 135M model, no human review"
    assert page.locator("h1 + .label").inner_text() == label and page.locator(".label").count() == 1
    glyphs = lambda svg: page.locator("figure svg").nth(svg).evaluate("node => [...node.querySelectorAll('g')].filter(each => each.style.fill === 'rgb(85, 85, 85)' || each.getAttribute('style')?.includes('#555555')).length")
    assert all(glyphs(place) for place in range(page.locator("figure svg").count())), "a figure without the label"
    assert label in (run / "report.md").read_text(encoding="utf-8")
    first = page.locator("body").inner_text()[:400]
    assert any(word in first for word in ("GO", "INCONCLUSIVE", "INVALID")), "the verdict comes first"
    page.close()
