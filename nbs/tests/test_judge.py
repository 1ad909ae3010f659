"""A judge is judged first: what is no reply never wins a verdict, whatever the judge thinks of it."""
import json
import random

import pytest

from replytune.schema import Pair
from replytune.files import read_rows, sha256, to_lines, write_text
from replytune.run import Run, sample_copy, sample_rows
from replytune.vectors import Vectors
from replytune.judge import CONTROLS, Judge, JudgeParams, Verdict, control_rows, favourite_reply, judge_stage, make_ranker
from replytune.stats import StatsParams, stats_stage
from replytune.report import ReportParams, report_stage

from samples import known_vectors

PAGES = "07 08"
pytestmark = pytest.mark.usefixtures("sample_vectors")

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
TWEETS = {pair.tweet_id: pair.tweet for pair in PAIRS}
TRAIN = [pair for pair in PAIRS if pair.split == "train"]
DEV = [pair for pair in PAIRS if pair.split == "dev"]


def verdict_about(replies: dict[str, str]) -> tuple[dict, Run]:
    "Stages 07 to 09 of the sample, with these replies as the tuned arm's"
    run = sample_copy("07_judge")
    file, section = run / "generations/tuned.jsonl", run.manifest()["06_train"]
    write_text(file, to_lines([row | {"reply": replies[row["tweet_id"]]} for row in read_rows(file)]))
    section["wrote"]["generations/tuned.jsonl"] = sha256(file)
    run.save_section("06_train", section)
    judge_stage(JudgeParams(run=str(run.folder)))
    stats_stage(StatsParams(run=str(run.folder)))
    return json.loads((run / "stats.json").read_text()), run


def copies() -> dict: return TWEETS


def one_sentence() -> dict:
    return dict.fromkeys(TWEETS, favourite_reply(make_ranker(JudgeParams(), TRAIN, known_vectors()), TRAIN))


def shuffled_among_themselves() -> dict:
    rows = sample_rows("generations/tuned.jsonl")
    return {row["tweet_id"]: other["reply"] for row, other in zip(rows, rows[1:] + rows[:1])}


@pytest.mark.parametrize("replies", [copies, one_sentence, shuffled_among_themselves])
def test_what_is_no_reply_never_gets_go(replies):
    stats, run = verdict_about(replies())
    assert stats["decision"] in ("INVALID", "NO-GO")
    if stats["estimate"] > 0.5: assert stats["decision"] == "INVALID" and "judge knows a reply" in stats["why"]
    report_stage(ReportParams(run=str(run.folder)))
    page = (run / "report.html").read_text(encoding="utf-8")
    first = page[: page.index("<h2>")]
    assert stats["decision"] in first and (stats["decision"] != "INVALID" or "a copy of the tweet" in first)
    assert page.count("FAILED") >= len([row for row in stats["controls"] if row["failed"]])


class Planted(Judge):
    "Knows the sample's replies by heart, and which tweet each answers"

    name, home = "planted", {pair.reply: pair.tweet_id for pair in PAIRS}
    tweet_of = {pair.tweet: pair.tweet_id for pair in PAIRS}

    def sound(self, tweet: str, reply: str) -> bool: return self.home.get(reply) == self.tweet_of[tweet]

    def compare(self, tweet: str, first: str, second: str) -> Verdict:
        one, other = self.sound(tweet, first), self.sound(tweet, second)
        return Verdict(winner="tie" if one == other else "first" if one else "second")


def test_a_judge_that_knows_replies_passes_every_control():
    rows = control_rows(Planted(), PAIRS, 200, 1)
    assert [row["control"] for row in rows] == list(CONTROLS) and not [row for row in rows if row["failed"]]
    assert all(row["human preferred"] == 1.0 and row["tweets"] == len({pair.tweet_id for pair in DEV}) for row in rows)


def test_controls_are_asked_about_the_dev_split_only():
    asked = []
    class Listening(Planted):
        def compare(self, tweet, first, second):
            asked.append(tweet)
            return super().compare(tweet, first, second)
    control_rows(Listening(), PAIRS, 200, 1)
    assert set(asked) == {pair.tweet for pair in DEV}


def test_too_few_tweets_and_a_silent_judge_are_no_pass():
    few = [pair for pair in PAIRS if pair.split != "dev"] + [pair for pair in DEV if pair.tweet_id == DEV[0].tweet_id]
    assert all("cannot be told" in row["failed"] for row in control_rows(Planted(), few, 200, 1))
    class Coin(Planted):
        chance = random.Random(3)
        def compare(self, tweet, first, second): return Verdict(winner=self.chance.choice(("first", "second")))
    assert len([row for row in control_rows(Coin(), PAIRS, 200, 1) if row["failed"]]) >= len(CONTROLS) - 1


def test_the_favourite_is_one_of_the_train_replies_and_needs_a_judge_that_rates():
    vectors: Vectors = known_vectors()
    assert favourite_reply(make_ranker(JudgeParams(), TRAIN, vectors), TRAIN) in {pair.reply for pair in TRAIN}
    assert favourite_reply(Planted(), TRAIN) is None
