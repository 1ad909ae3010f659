"""Scoring Phase 0 in a real JupyterLab in a real browser, by keyboard: accidents, kills, and texts that would like to be markup."""
from pathlib import Path

import pytest

from browsing import Lab, write_notebook
from replytune.files import read_rows
from replytune.phase0 import ANSWERS, STAGE, Answer, Phase0Params, blind_items, item_key, phase0_decision
from replytune.run import open_stage
from replytune.schema import Unavailable

PAGES = "05d"

PWN = "document.title='pwned'"
HOSTILE = [
    f"<script>{PWN}</script></div></div><h1>free</h1>", f'<img src=x onerror="{PWN}"><svg onload="{PWN}">', f'" onmouseover="{PWN}" data-shown="99" x="',
    "<style>body{display:none}</style>{{ 7*7 }} ${7*7}", "It is \u202e001 to 1\u202c \u2067right\u2069 end", "A" * 3000, "in\u200bvisi\u200dble \ufeffmarks", "</textarea></details><option>x</option>-->]]>",
]


@pytest.fixture
def folder(lab, request):
    "A run below JupyterLab's folder whose first replies are hostile, with a notebook that opens its panel"
    folder = lab.folder / request.node.name
    rows = [Answer(tweet_id=str(n), tweet=HOSTILE[n % 8] if n < 9 else f"Tweet {n}", arm=arm, reply=f"{HOSTILE[n % 8] if n < 9 else n} says {code}")
            for code, arm in (("this", "base"), ("that", "base_thinking"), ("other", "rag")) for n in range(1, 21)]
    with open_stage(STAGE, Phase0Params(run=str(folder), model="tiny-qwen3")) as stage:
        stage.notes["unavailable"] = {}
        stage.write(ANSWERS, rows)
    write_notebook(folder / "panel.ipynb", f'from replytune.scoring import score_panel\n\npanel = score_panel({str(folder)!r}, "ada")\npanel.widget')
    yield folder
    lab.rest()


class Rater:
    "Presses keys and waits until the panel has answered"

    def __init__(self, lab: Lab, browser, folder: Path):
        self.errors = []
        self.page = lab.open(browser, f"{folder.name}/panel.ipynb")
        self.title = self.page.title()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.wait_for_selector(".rt-card", timeout=90_000)
        self.page.locator(".rt-card").click()
        self.page.wait_for_function("document.activeElement.closest('.replytune-review')")

    def shown(self) -> str: return self.page.locator("[data-shown]").get_attribute("data-shown")

    def text(self) -> str: return self.page.locator(".rt-reply .rt-text").inner_text()

    def status(self) -> str: return self.page.locator(".rt-bar").inner_text().strip()

    def press(self, key: str, new_card: bool = True):
        before, turn = self.shown(), self.page.locator(".replytune-review").get_attribute("data-turn")
        self.page.keyboard.press(key)
        self.page.wait_for_function("turn => document.querySelector('.replytune-review').dataset.turn !== turn", arg=turn)
        if new_card: self.page.wait_for_function("before => document.querySelector('[data-shown]').dataset.shown !== before", arg=before)

    def close(self):
        assert not self.errors and self.page.title() == self.title
        self.page.close()


def lines(folder: Path) -> list[dict]: return read_rows(folder / "scores/ada.jsonl")


def items_of(folder: Path): return blind_items([Answer.model_validate(row) for row in read_rows(folder / ANSWERS)], Phase0Params().seed)


def test_an_hour_of_scoring_by_keyboard_with_kills(browser, lab, folder):
    items = items_of(folder)
    ada = Rater(lab, browser, folder)
    ada.press("7"), ada.press("0")
    ada.press("s", new_card=False)
    ada.page.get_by_text("Why? 1 not readable").wait_for()
    ada.press("3")
    assert [(row["score"], row["reason"]) for row in lines(folder)] == [(7, None), (10, None), (None, "I can tell whose it is")]
    ada.press("ArrowLeft"), ada.press("ArrowLeft")
    assert "Yours: 10" in ada.page.locator(".replytune-review").inner_text()
    ada.press("2")
    assert "3 of 60" not in ada.status() and "2 of 60 scored, 1 skipped" in ada.status()
    lab.kill_kernel()
    ada.close()

    again = Rater(lab, browser, folder)
    assert "2 of 60 scored, 1 skipped" in again.status() and "reply 1 of 3" in again.page.locator(".rt-reply").inner_text()
    for place in range(3, 60): again.press(str(place % 10))
    assert again.page.locator(".rt-card").inner_text().startswith("Every reply has a score or a reason")
    again.close()
    written = lines(folder)
    assert [row["item"] for row in written] == [items[place].key for place in (0, 1, 2, 1, *range(3, 60))]
    assert [row["score"] for row in written[4:]] == [place % 10 or 10 for place in range(3, 60)]
    found = phase0_decision(str(folder))
    assert not isinstance(found.word, Unavailable) and found.gains["rag"].tweets in (19, 20) and found.label == "pipeline check: random toy model"


def test_a_held_key_scores_once_and_jupyterlabs_keys_stay_away(browser, lab, folder):
    ada = Rater(lab, browser, folder)
    for place in (".rt-card", ".rt-bar"):
        ada.page.locator(place).click()
        for key in ("d", "d", "a", "b", "x", "z", "m", "Enter", "Space"): ada.page.keyboard.press(key)
    ada.page.wait_for_timeout(300)
    assert ada.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type)") == ["code"]
    assert not (folder / "scores/ada.jsonl").exists()
    for _ in range(20): ada.page.keyboard.down("7")  # a key that is held repeats itself
    ada.page.keyboard.up("7")
    ada.page.wait_for_timeout(500)
    assert len(lines(folder)) == 1
    ada.press("4")
    assert [row["score"] for row in lines(folder)] == [7, 4]
    ada.close()


def test_hostile_texts_are_text_and_no_arm_is_named(browser, lab, folder):
    ada, items = Rater(lab, browser, folder), items_of(folder)
    arm_of = {item_key(row): row.arm for row in (Answer.model_validate(each) for each in read_rows(folder / ANSWERS))}
    for place in range(27):
        card = ada.page.locator(".rt-card")
        assert card.evaluate("card => card.querySelectorAll('script, img, svg, h1, style, select, textarea').length") == 0
        assert card.evaluate("card => [...card.querySelectorAll('*')].every(node => ![...node.attributes].some(a => a.name.startsWith('on')))")
        shown, reply = "".join(ada.text().split()), items[place].reply
        if "\u202e" in reply or "\u200b" in reply: assert "U+" in shown
        else: assert shown == "".join(reply.split())
        html = ada.page.locator(".replytune-review").inner_html()
        assert arm_of[items[place].key] in ("base", "base_thinking", "rag") and "thinking" not in html and ">rag<" not in html and ">base<" not in html
        frame = ada.page.locator(".replytune-review").bounding_box()
        assert card.bounding_box()["width"] <= frame["width"] and frame["height"] < 1700
        ada.press("5")
    assert ada.page.evaluate("getComputedStyle(document.body).display") != "none"
    ada.close()
