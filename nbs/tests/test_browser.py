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
    assert page.evaluate("document.querySelectorAll('script, img, iframe, object').length") == 0
    assert page.evaluate("[...document.querySelectorAll('*')].every(node => ![...node.attributes].some(a => a.name.startsWith('on')))")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page overflows sideways"
    assert "49" not in page.locator("summary.text").first.inner_text(), "a template was executed"
    figures = run.manifest()["09_report"]["counts"]["figures"]
    assert page.locator("svg").count() == figures and all(box["width"] <= width for box in (page.locator("svg").nth(place).bounding_box() for place in range(figures)))
    assert page.evaluate("[...document.querySelectorAll('td.word, td.number')].every(cell => cell.getClientRects().length === 1 && cell.scrollWidth <= cell.clientWidth + 1)")
    assert asked == [f"file://{run/'report.html'}"], "the report asks for something outside itself"
    page.close()


def test_sample_report_shows_its_label_everywhere(browser):
    run = sample_copy("09_report")
    report_stage(ReportParams(run=str(run.folder)))
    page = browser.new_page()
    page.goto(f"file://{run/'report.html'}")
    for heading in page.locator("h2").all():
        assert "pipeline check: invented data, 135M model" in heading.evaluate("node => node.nextElementSibling.innerText")
    first = page.locator("body").inner_text()[:400]
    assert any(word in first for word in ("GO", "INCONCLUSIVE", "INVALID")), "the verdict comes first"
    page.close()
