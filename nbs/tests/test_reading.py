"""The report as a reader has it: filters, pages and keys, with and without the script, dark, narrow, on paper; what an accessibility checker says of it."""
import json
import os
import re
from pathlib import Path

import pytest
from test_browser import poisoned_run

from replytune.browse import MARKS, OUTCOMES, outcome_of
from replytune.captions import CAPTIONS
from replytune.files import read_rows, resolve
from replytune.limits import limits
from replytune.report import ReportParams, _line, report_stage
from replytune.run import Run, sample_copy

PAGES = "08f 08g 08h 09"
AXE = Path(os.environ.get("REPLYTUNE_AXE") or resolve("runs/.models/axe/axe.min.js"))
pytestmark = pytest.mark.usefixtures("sample_vectors")


@pytest.fixture(scope="module")
def run() -> Run:
    run = sample_copy("09_report")
    report_stage(ReportParams(run=str(run.folder), replies_a_page=4))
    return run


@pytest.fixture(scope="module")
def rows(run) -> dict[str, list[dict]]:
    "The judgements of the primary contrast, by tweet: what the page must agree with"
    found = {}
    for row in read_rows(run / "judgements.jsonl"):
        if row["contrast"] == "tuned-base": found.setdefault(row["tweet_id"], []).append(row)
    return found


@pytest.fixture
def reader(browser, run):
    "The report on a screen; fails where it asked for anything or complained"
    opened = []

    def open_report(width: int = 1280, of: Run = run, **more):
        page = browser.new_page(viewport={"width": width, "height": 900}, **more)
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"file://{of/'report.html'}")
        opened.append((page, asked, said))
        return page

    yield open_report
    for page, asked, said in opened:
        page.close()
        assert len(asked) == 1 and asked[0].endswith("/report.html") and said == []


def shown(page) -> list[str]: return page.evaluate("[...document.querySelectorAll('#cards > .card')].filter(card => card.offsetParent).map(card => card.dataset.outcome)")


def marks_of(page) -> list[list[str]]: return page.evaluate("[...document.querySelectorAll('#cards > .card')].filter(card => card.offsetParent).map(card => card.dataset.marks.split(' '))")


def leaf(page) -> tuple[list[str], int]:
    "The outcomes of all pages, from the first to the last, and how many pages there were"
    found, pages = shown(page), 1
    if not page.locator(".pager").first.is_visible():
        assert len(shown(page)) <= 4, "more than a page, and no way to turn it"
        return shown(page), 1
    later = page.locator(".pager").first.get_by_role("button", name="Later")
    while later.get_attribute("aria-disabled") != "true":
        later.click()
        found, pages = found + shown(page), pages + 1
    return found, pages


def test_every_filter_shows_what_the_judgements_say(reader, rows):
    page, words = reader(), {id: outcome_of("tuned", each) for id, each in rows.items()}
    for name in OUTCOMES:
        wanted = sum(word == name for word, _, _ in words.values())
        page.get_by_label(f"{name} ({wanted})").check()
        found, pages = leaf(page)
        assert found == [name] * wanted and pages == max(1, -(-wanted // 4))
        assert page.locator("#shown").inner_text().endswith(f"of {wanted}" if wanted else "like that.")
    page.get_by_label(f"all ({len(rows)})").check()
    assert len(leaf(page)[0]) == len(rows) == 31
    for mark in MARKS:
        wanted = sum(mark in marks for _, _, marks in words.values())
        page.get_by_label(f"{mark} ({wanted})").check()
        assert all(mark.replace(" ", "-") in each for each in marks_of(page)) and len(leaf(page)[0]) == wanted
        page.get_by_label(f"{mark} ({wanted})").uncheck()
    losses = {id for id, (word, _, marks) in words.items() if word == "loss" and "cut off" in marks}
    page.get_by_label(re.compile(r"^loss")).check()
    page.get_by_label(re.compile(r"^cut off")).check()
    assert len(leaf(page)[0]) == len(losses) > 0, "two filters together"


def test_worst_and_best_first(reader):
    page = reader()
    page.get_by_label("worst first").check()
    first = page.locator("#cards > .card:visible h4").first.inner_text()
    assert first.split()[:2] == page.locator(".extremes > div").nth(0).locator("h4").first.inner_text().split()[:2] and set(shown(page)) == {"loss"}
    page.get_by_label("best first").check()
    first = page.locator("#cards > .card:visible h4").first.inner_text()
    assert first.split()[:2] == page.locator(".extremes > div").nth(1).locator("h4").first.inner_text().split()[:2] and set(shown(page)) == {"win"}
    boxes = [page.locator(".extremes > div").nth(side).bounding_box() for side in (0, 1)]
    assert boxes[0]["width"] == boxes[1]["width"] and boxes[0]["y"] == boxes[1]["y"], "losses are as prominent as wins"
    assert page.locator(".extremes > div").nth(0).locator(".card").count() == page.locator(".extremes > div").nth(1).locator(".card").count() == 3


def test_a_keyboard_is_enough(reader):
    page = reader()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the replies"
    page.keyboard.press("Enter")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim().slice(0, 20)"))
        look = page.evaluate("getComputedStyle(document.activeElement).outlineStyle + ' ' + getComputedStyle(document.activeElement).outlineWidth")
        assert look == "solid 3px", f"{reached[-1]}: where the focus is cannot be seen"
        if reached[-1] == "outcome":
            page.keyboard.press("ArrowRight")  # all -> win
            assert set(shown(page)) == {"win"}
        if reached[-1] == "mark": page.keyboard.press("Space")
        if reached[-1] == "mark": page.keyboard.press("Space")
        if reached[-1] == "Earlier": break
    assert {"outcome", "mark", "order", "Earlier"} <= set(reached)
    before = page.locator("#cards > .card:visible h4").all_inner_texts()
    page.keyboard.press("Enter")
    assert page.locator("#cards > .card:visible h4").all_inner_texts() == before, "there is nothing earlier"
    page.keyboard.press("ArrowRight")
    second = page.locator("#cards > .card:visible h4").all_inner_texts()
    page.keyboard.press("ArrowLeft")
    assert second != before == page.locator("#cards > .card:visible h4").all_inner_texts()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("#cards > .card:visible h4").all_inner_texts() == second and "Page 2" in page.locator(".place").first.inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Later", "the focus stays where it was"


def test_without_the_script_it_is_a_plain_list(reader, rows):
    page = reader(java_script_enabled=False)
    assert page.locator("#cards > .card:visible").count() == len(rows) and not page.locator("#tools").is_visible() and page.locator(".pager:visible").count() == 0


def test_paper_has_every_reply_and_no_buttons(reader, rows):
    page = reader(width=794)
    page.get_by_label(re.compile(r"^win")).check()
    assert page.locator("#cards > .card:visible").count() == 4
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#cards > .card:visible").count() == len(rows) and page.locator("button:visible, input:visible").count() == 0
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "white also where the screen is dark"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(each => each.scrollWidth <= each.clientWidth + 1)"), "paper cannot be pushed sideways"
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 30


def test_figures_are_whole_and_legible_on_a_phone(reader):
    page = reader(width=420)
    for figure in page.locator("figure").all():
        svg = figure.locator("svg")
        scale = svg.bounding_box()["width"] / float(svg.get_attribute("viewBox").split()[2])  # px for a point of the drawing
        assert 8 * scale >= 9 and svg.bounding_box()["x"] >= 0 and svg.bounding_box()["x"] + svg.bounding_box()["width"] <= 420, "its smallest letters have eight points"
        drawn = svg.evaluate("""node => { const own = node.getBoundingClientRect(); return [...node.querySelectorAll('g > use')].every(each => {
            const box = each.getBoundingClientRect(); return box.width === 0 || (box.left >= own.left - 1 && box.right <= own.right + 1); }); }""")
        assert drawn, f"{figure.locator('figcaption').inner_text()}: a letter is cut off"
        assert figure.locator("figcaption").inner_text().startswith("Figure ")
    assert page.evaluate("[...document.querySelectorAll('.pager button, .tools label')].every(each => each.getBoundingClientRect().height >= 32)"), "too small for a finger"


CONTRASTS = """() => {
    const channel = (value) => { const part = value / 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; };
    const light = (colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number); return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
    const under = (node) => { for (let at = node; at; at = at.parentElement) { const colour = getComputedStyle(at).backgroundColor; if (!/, 0\\)$/.test(colour)) return colour; } return 'rgb(255, 255, 255)'; };
    const texts = [...document.querySelectorAll('body *')].filter((node) => !node.closest('svg, script') && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()));
    return texts.map((node) => { const both = [light(getComputedStyle(node).color), light(under(node))].sort((a, b) => b - a); return [(both[0] + 0.05) / (both[1] + 0.05), node.tagName + '.' + node.className]; });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("word", ["GO", "NO-GO", "INCONCLUSIVE", "INVALID"])
def test_every_text_stands_out_from_what_is_behind_it(reader, scheme, word):
    page = reader(color_scheme=scheme)
    page.evaluate("word => { document.querySelector('.verdict').className = `verdict ${word}`; }", word)
    ratios = page.evaluate(CONTRASTS)
    assert len(ratios) > 500 and min(ratios)[0] >= 4.5, min(ratios)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_headings_come_in_order_and_everything_has_a_name(reader):
    page = reader()
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(each => Number(each.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert page.evaluate("[...document.querySelectorAll('figure svg')].every(each => each.getAttribute('role') === 'img' && each.getAttribute('aria-label').length > 10)")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].filter(each => !each.closest('svg')).map(each => each.id)")
    assert len(ids) == len(set(ids)) and page.evaluate("[...document.querySelectorAll('a[href]')].every(each => document.getElementById(each.getAttribute('href').slice(1)))")
    order = page.locator("h2").all_inner_texts()
    assert order[:4] == ["How sure is it?", "What would change it?", "What did it cost?", "What it cannot say"] and page.locator("figure").count() == len(CAPTIONS)


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (420, "dark")])
def test_axe_finds_no_serious_fault(reader, width, scheme):
    if not AXE.is_file(): pytest.skip(f"no axe-core at {AXE}; REPLYTUNE_AXE names its axe.min.js")
    page = reader(width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations.map(each => [each.impact, each.id, each.nodes.length, each.nodes[0].html.slice(0, 200)])")
    assert not [each for each in found if each[0] in ("serious", "critical")], found


def test_a_strangers_script_stays_text_while_ours_runs(reader):
    poisoned = poisoned_run()
    report_stage(ReportParams(run=str(poisoned.folder), title="A </script><script>document.title='pwned'</script>"))
    page = reader(of=poisoned)
    page.get_by_label("worst first").check()
    assert len(shown(page)) == 5 and page.locator(".side .text").first.inner_text().startswith("<script>document.title")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p>more</p>')")
    assert page.locator("script").count() == 1 and page.title().startswith("A </script>") and page.locator("#cards svg, #cards img").count() == 0
    summary = (poisoned / "report.md").read_text(encoding="utf-8")
    assert "onerror" not in summary and not re.search(r"(?<!\\)<", summary)


def test_the_browser_refuses_another_script(browser, run, tmp_path):
    "What the page's policy is worth: a text that got through the escaping"
    text = (run / "report.html").read_text(encoding="utf-8")
    (tmp_path / "report.html").write_text(text.replace("<main>", "<main><script>document.title = 'pwned'</script><img src='http://127.0.0.1:9/x.png'>"), encoding="utf-8")
    page, asked, said = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"file://{tmp_path / 'report.html'}")
    page.wait_for_timeout(200)
    refused = [each for each in said if "Content Security Policy" in each]
    assert page.title() != "pwned" and len(refused) >= 2 and page.locator("#tools").is_visible()
    page.close()


# without a browser

def test_a_summary_has_no_live_mark_up():
    assert _line("a | b\n# c <b> [x](y) @who `z`") == r"a \| b \# c \<b\> \[x\](y) \@who \`z\`"


def test_the_summary_is_signed_and_holds_no_text_of_a_stranger(run):
    section, summary = run.manifest()["09_report"], (run / "report.md").read_text(encoding="utf-8")
    assert "report.md" in section["wrote"] and "judgements.jsonl" in section["read"]
    texts = [row["reply"] for arm in ("base", "tuned", "human") for row in read_rows(run / f"generations/{arm}.jsonl")] + [row["tweet"] for row in read_rows(run / "reviewed.jsonl")]
    assert not any(text and text[:40] in summary for text in texts) and not re.search(r"\d{15}", summary)


def test_limits_come_from_the_run(run):
    manifest, stats = run.manifest(), json.loads((run / "stats.json").read_text())
    known = dict(limits(manifest, stats))
    assert f"{stats['n_tweets']} tweets" in known["Few tweets"] and "bfloat16" in known["Processor and number format"]
    assert "float32, on one" in dict(limits(manifest | {"05_generate": manifest["05_generate"] | {"notes": {"precision": {"compute": "float32"}}}}, stats))["Processor and number format"]
    none = dict(limits(manifest, stats | {"estimate": None, "why": "no answers", "habits": {}, "controls": [], "contrasts": []}))
    assert none["Few tweets"] == "There is no estimate: no answers." and "This judge" not in none and "came to" not in none["Chance"]
