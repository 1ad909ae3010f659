"""Reviewing in a real JupyterLab in a real browser: by keyboard and by mouse, with closed tabs, killed kernels and hostile texts."""
import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from browsing import Lab, write_notebook
from replytune.review import ReviewLog
from replytune.panel import KEYS, labelled
from replytune.schema import Pair
from replytune.files import read_rows, to_lines, write_text
from replytune.run import sample_copy, sample_rows

PAGES = "04 04b 04c"
pytestmark = pytest.mark.usefixtures("sample_vectors")

SHOTS = os.environ.get("REPLYTUNE_SHOTS")  # a folder for screenshots, to be looked at
EDIT = " It was the cache, and we removed it."


class Reviewing(NamedTuple):
    "A folder below JupyterLab's with a notebook that opens a panel"

    lab: Lab
    folder: Path
    theme: str = "JupyterLab Light"


@pytest.fixture
def reviewing(request, lab):
    "A copy of the sample run with a notebook that opens its panel"
    folder = Path(shutil.copytree(sample_copy("04_review").folder, lab.folder / f"run{len(list(lab.folder.iterdir()))}"))
    write_notebook(folder / "panel.ipynb", f'from replytune.panel import review_panel\n\npanel = review_panel({str(folder)!r}, "ada")\npanel.widget')
    yield Reviewing(lab, folder, getattr(request, "param", "JupyterLab Light"))
    lab.rest()


class Reviewer:
    "Does by key or by mouse what a person would, and waits until the panel has answered"

    def __init__(self, reviewing: Reviewing, browser, by: str = "keyboard", width: int = 1280):
        self.by, self.errors = by, []
        self.page = reviewing.lab.open(browser, f"{reviewing.folder.name}/panel.ipynb", width, theme=reviewing.theme)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.wait_for_selector(".rt-card", timeout=90_000)
        self.page.locator(".rt-card .rt-text").last.click()
        self.page.wait_for_function("document.activeElement.closest('.replytune-review')")

    def shown(self) -> str: return self.page.locator("[data-shown]").get_attribute("data-shown")

    def text(self) -> str: return self.page.locator(".rt-reply .rt-text").inner_text()

    def status(self) -> str: return self.page.locator(".rt-bar").inner_text().strip()

    def do(self, name: str, new_card: bool = True):
        before, turn = self.shown(), self.page.locator(".replytune-review").get_attribute("data-turn")
        if self.by == "keyboard": self.page.keyboard.press({"Ctrl+Enter": "Control+Enter"}.get(KEYS[name][0], KEYS[name][0].lower() if len(KEYS[name][0]) == 1 else KEYS[name][0]))
        else: self.page.locator(".replytune-review button", has_text=labelled(name)).click()
        if not new_card: return
        self.page.wait_for_function("before => document.querySelector('[data-shown]').dataset.shown !== before", arg=before)
        # until the answer is taken a click is taken for the second half of a double one, and is none
        self.page.wait_for_function("turn => document.querySelector('.replytune-review').dataset.turn !== turn", arg=turn)

    def filter(self, value: str):
        before = self.shown()
        box = self.page.locator(".replytune-review select").first
        if self.by == "keyboard":
            box.focus()
            self.page.keyboard.type(value)
        else:
            box.dispatch_event("mousedown")
            box.select_option(value)
        self.page.wait_for_function("before => document.querySelector('[data-shown]').dataset.shown !== before", arg=before)
        if self.by == "keyboard": self.page.keyboard.press("Enter")
        self.page.wait_for_function("document.activeElement.classList.contains('replytune-review')")

    def shoot(self, name: str):
        if SHOTS: self.page.screenshot(path=f"{SHOTS}/{name}.png")


def until(true, seconds: float = 20):
    "Wait for something on the disk"
    for _ in range(int(seconds * 20)):
        if true(): return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def note(folder, name: str = "") -> dict:
    path = Path(folder) / f"reviewing/ada{name}.jsonl"
    rows = read_rows(path) if path.exists() else []
    return rows[-1] if rows else {}


def draft(folder) -> str: return note(folder, ".drafts").get("text", "")


@pytest.mark.parametrize("by", ["keyboard", "mouse"])
def test_an_evening_with_accidents(browser, reviewing, by):
    folder, pairs = reviewing.folder, [Pair.model_validate(row) for row in sample_rows("clean.jsonl")]
    ada = Reviewer(reviewing, browser, by)
    assert ada.text() == pairs[0].reply
    ada.do("keep")
    ada.do("reject", new_card=False)
    ada.page.get_by_text("Why? Press").wait_for()
    ada.do("why not good")
    ada.do("edit", new_card=False)
    ada.page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
    ada.page.keyboard.press("Control+End")
    ada.page.keyboard.type(EDIT)
    until(lambda: draft(folder).endswith(EDIT))
    ada.do("save")
    ada.do("flag")
    assert ada.text() == pairs[4].reply and "3 of" in ada.status() and "1 flagged" in ada.status()
    for number in (3, 2, 1):
        ada.do("undo")
        assert ada.text() == pairs[number].reply, f"undo shows the pair it was about, {number}"
    assert "1 of" in ada.status() and "flagged" not in ada.status()
    ada.do("redo")
    assert ada.text() == pairs[2].reply and "2 of" in ada.status()
    ada.filter("rejected")
    assert ada.text() == pairs[1].reply and "Yours: rejected (not good)" in ada.page.locator(".replytune-review").inner_text()
    ada.filter("undecided")
    assert ada.text() == pairs[2].reply
    ada.do("edit", new_card=False)
    ada.page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
    ada.page.keyboard.press("Control+End")
    ada.page.keyboard.type(" half a sent")
    until(lambda: draft(folder).endswith("half a sent"))
    log = ReviewLog(folder / "reviews/ada.jsonl", "ada")
    lines = log.state.lines
    ada.page.close()
    reviewing.lab.kill_kernel()

    again = Reviewer(reviewing, browser, by)
    assert again.page.locator(".replytune-review textarea").input_value() == pairs[2].reply + " half a sent"
    assert again.text() == pairs[2].reply and "2 of" in again.status() and log.sync().lines == lines
    again.page.locator(".replytune-review textarea").click()
    again.do("cancel", new_card=False)
    again.page.wait_for_function("document.querySelector('.replytune-review textarea').offsetParent === null")
    again.do("skip")
    reviewing.lab.kill_kernel()
    again.page.close()
    last = Reviewer(reviewing, browser, by)
    assert last.text() == pairs[3].reply and "2 of" in last.status()
    state = log.sync()
    assert [row.decision for row in log.read()] == ["keep", "reject", "edit", "flag", "undo", "undo", "undo", "redo", "skip"]
    assert state[pairs[0].reply_id].decision.decision == "keep" and state[pairs[1].reply_id].decision.reasons == ["not good"] and state[pairs[2].reply_id].skips == 1
    cells = last.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")
    assert cells == 1 and not ada.errors + again.errors + last.errors, "a key went past the panel to JupyterLab"
    last.page.close()


def test_keys_that_jupyterlab_knows_stay_with_the_panel(browser, reviewing):
    "D D deletes a cell, A and B insert one, X cuts: not from here, wherever in the panel the last click was"
    ada = Reviewer(reviewing, browser)
    for place in (".rt-card", ".replytune-review button:has-text('Likes')", ".rt-bar"):
        ada.page.locator(place).click()
        for key in ("d", "d", "a", "b", "x", "z", "m", "0", "0", "Enter", "Space"): ada.page.keyboard.press(key)
    ada.page.wait_for_timeout(300)
    assert ada.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type)") == ["code"]
    ada.page.keyboard.down("k")
    for _ in range(20): ada.page.keyboard.down("k")  # a key that is held repeats itself
    ada.page.keyboard.up("k")
    ada.page.wait_for_timeout(500)
    log = ReviewLog(reviewing.folder / "reviews/ada.jsonl", "ada")
    assert log.state.lines <= 1
    before = log.state.lines
    ada.page.evaluate("() => { const keep = [...document.querySelectorAll('.replytune-review button')].find(b => b.innerText.startsWith('Keep')); keep.click(); keep.click(); keep.click(); }")
    ada.page.wait_for_timeout(700)
    assert log.sync().lines == before + 1, "clicks that came before the answer to the first decide about cards that nobody saw"
    ada.do("keep")
    assert log.sync().lines == before + 2
    ada.page.close()


@pytest.mark.parametrize("reviewing", ["JupyterLab Light", "JupyterLab Dark"], indirect=True)
def test_it_fits_and_can_be_read_in_both_themes(browser, reviewing, request):
    theme = request.node.callspec.params["reviewing"].split()[-1].lower()
    for width in (1280, 800):
        ada = Reviewer(reviewing, browser, width=width)
        ada.shoot(f"{theme}-{width}-card")
        frame = ada.page.locator(".replytune-review").bounding_box()
        for box in [node.bounding_box() for node in ada.page.locator(".replytune-review button:visible, .rt-card, .replytune-review select").all()]:
            assert box["x"] >= frame["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"] + 1 and frame["x"] + frame["width"] <= width
        assert contrast(ada.page, ".rt-text") > 7 and contrast(ada.page, ".rt-bar") > 7
        ada.do("reject", new_card=False)
        ada.page.get_by_text("Why? Press").wait_for()
        ada.shoot(f"{theme}-{width}-why")
        ada.do("why not good")
        ada.do("edit", new_card=False)
        ada.page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
        ada.shoot(f"{theme}-{width}-edit")
        ada.page.keyboard.press("Escape")
        ada.page.wait_for_function("document.activeElement.classList.contains('replytune-review')")
        ada.do("open", new_card=False)
        ada.page.wait_for_timeout(300)
        ada.shoot(f"{theme}-{width}-likes")
        ada.page.close()


def contrast(page, selector: str) -> float:
    "WCAG's contrast between a text and what is behind it"
    colours = page.evaluate("""selector => { let node = document.querySelector(selector); const ink = getComputedStyle(node).color;
        while (node && /rgba\\(.*, 0\\)|transparent/.test(getComputedStyle(node).backgroundColor)) node = node.parentElement;
        return [ink, getComputedStyle(node).backgroundColor]; }""", selector)
    def light(colour):
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    one, other = sorted(map(light, colours), reverse=True)
    return (one + 0.05) / (other + 0.05)


HOSTILE = {
    "script": "<script>document.title='pwned'</script></div></div><h1>free</h1>",
    "onerror": "<img src=x onerror=\"document.title='pwned'\"><svg onload=\"document.title='pwned'\">",
    "attribute": "\" onmouseover=\"document.title='pwned'\" data-shown=\"99\" x=\"",
    "style": "<style>body{display:none}</style>{{ 7*7 }} ${7*7} `document.title='pwned'`",
    "override": "The price is \u202e001 to 1\u202c \u2067right\u2069 end",
    "long": "A" * 10_000,
    "long words": "word " * 2000,
    "zero width": "in\u200bvisi\u200dble \ufeffmarks\u0000\u0007 here",
    "emoji": "we went \N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}\u200d\N{BOY} \N{WAVING BLACK FLAG}\ufe0f\u200d\N{RAINBOW} and back",
    "hebrew": "שלום, this is mixed עולם (1)",
    "lines": "one\n\n\n\n\n\ntwo" + "\n" * 200 + "three",
    "closing": "</textarea></details></select><option>x</option>-->]]>",
}


def test_hostile_pairs_are_text_and_break_nothing(browser, lab):
    folder = lab.folder / "hostile"
    folder.mkdir()
    good = Pair.model_validate(sample_rows("clean.jsonl")[0])
    names = {"tweet_author": HOSTILE["script"], "reply_author": HOSTILE["onerror"]}
    pairs = [good.model_copy(update={"reply_id": str(100 + number), "tweet_id": str(500 + number // 2), "reply": text, "tweet": text, "cluster": f"{number // 2}{HOSTILE['attribute']}"} | names)
             for number, text in enumerate(HOSTILE.values())]
    write_text(folder / "pairs.jsonl", to_lines(pairs))
    write_notebook(folder / "panel.ipynb", "\n".join([
        "from replytune.review import ReviewLog", "from replytune.session import ReviewContext, ReviewSession", "from replytune.panel import Panel", "from replytune.files import read_records", "",
        f"pairs = read_records({str(folder / 'pairs.jsonl')!r})",
        "context = ReviewContext(topics={pair.tweet_id: '1: ' + pair.tweet[:60] for pair in pairs}, near={pair.reply_id: [(0.9, pair.reply, None)] for pair in pairs})",
        f"panel = Panel(ReviewSession(pairs, ReviewLog({str(folder / 'reviews/ada.jsonl')!r}, 'ada'), context))", "panel.widget"]))
    try:
        ada = Reviewer(Reviewing(lab, folder), browser)
        title = ada.page.title()
        seen = set()
        while current := note(folder)["reply_id"]:
            name, text = list(HOSTILE.items())[int(current) - 100]
            seen.add(name)
            shown = ada.text()
            squeezed = "".join(shown.split())
            for part in text.replace("\u202e", " ").replace("\u202c", " ").replace("\u2067", " ").replace("\u2069", " ").replace("\u200b", " ").replace("\ufeff", " ").replace("\x00", " ").replace("\x07", " ").split():
                if "\u200d" not in part or name == "emoji": assert part[:200] in squeezed, f"{name}: {part[:50]!r} is not shown"
            assert "U+202E" in shown if name == "override" else "U+200B" in shown if name == "zero width" else "U+" not in shown
            ada.do("open", new_card=False)
            ada.page.get_by_text("followers").first.wait_for()
            card = ada.page.locator(".rt-card")
            assert card.evaluate("card => card.querySelectorAll('script, img, svg, h1, style, select, textarea').length") == 0
            assert card.evaluate("card => [...card.querySelectorAll('*')].every(node => ![...node.attributes].some(a => a.name.startsWith('on')))")
            ada.page.locator("summary", has_text="near copy").click()
            frame = ada.page.locator(".replytune-review").bounding_box()
            assert card.bounding_box()["width"] <= frame["width"] and frame["height"] < 1700, name
            ada.shoot(f"hostile-{name.replace(' ', '-')}")
            ada.page.locator(".rt-bar").click()
            ada.do("edit", new_card=False)
            ada.page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
            ada.page.keyboard.press("Escape")
            ada.page.wait_for_function("document.activeElement.classList.contains('replytune-review')")
            ada.do("keep")
        assert ada.page.locator(".rt-card").inner_text().startswith("All decided") and seen == set(HOSTILE)
        assert ada.page.title() == title and not ada.errors and len(ReviewLog(folder / "reviews/ada.jsonl", "ada").read()) == len(HOSTILE) + 3
        assert ada.page.evaluate("getComputedStyle(document.body).display") != "none"
        ada.page.close()
    finally:
        lab.rest()
