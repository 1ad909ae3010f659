"""The gate: what a judge is measured on, what may be said of it, and what no judge may get wrong."""
import itertools
import random

import numpy
import pytest

from replytune.schema import Pair
from replytune.run import sample_rows
from replytune.validate import words_of
from replytune.generate import Generation
from replytune.judge import Evidence, Judge, JudgeParams, Score, Unscored, Verdict, turned_down_for_likes
from replytune.gate import (
    CONTROLS, MAY_TIE, PAIRS_PER_TWEET, TRIVIAL, Outcome, accuracy_rows, arm_rows, control_replies, control_rows, favourite_reply, measures_engagement, outcomes,
    pairs_needed, power_at, trivial_scores, weighted_mean,
)

PAGES = "07f"

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
TURNED_DOWN = turned_down_for_likes(sample_rows("rejected.jsonl"), PAIRS)
GIVEN = Evidence(PAIRS, TURNED_DOWN, JudgeParams(resamples=300))
WIDE = GIVEN._replace(params=JudgeParams(resamples=300, pair_hours_max=1e5))
TEST = {pair.tweet for pair in PAIRS if pair.split == "test"}


class Planted(Judge):
    "Answers by a function of tweet and reply; keeps what it was asked"
    name, kept = "planted", False

    def __init__(self, worth, name="planted"): self.worth, self.name, self.asked = worth, name, []

    def compare(self, tweet, first, second):
        self.asked.append((tweet, first, second))
        one, other = self.worth(tweet, first), self.worth(tweet, second)
        return Verdict(winner="tie" if one == other else "first" if one > other else "second")


HOME = {(pair.tweet, pair.reply) for pair in PAIRS}
perfect = Planted(lambda tweet, text: (tweet, text) in HOME)
LIKES = {pair.reply: pair.reply_likes for pair in [*PAIRS, *TURNED_DOWN]}


# known outcomes

def test_outcomes_are_fair_and_never_of_the_test_split():
    found = outcomes(GIVEN)
    assert not {each.better.tweet for each in found} & TEST and any(each.worse in TURNED_DOWN for each in found)
    for each in found:
        one, other = each.better, each.worse
        assert one.tweet_id == other.tweet_id and one.reply_likes >= 2 * max(2, other.reply_likes)
        assert abs(one.reply_time_diff_seconds - other.reply_time_diff_seconds) <= 3600
        assert max(one.reply_author_followers, other.reply_author_followers) <= 4 * min(one.reply_author_followers, other.reply_author_followers)
    wide = outcomes(WIDE)
    counts = {tweet: len(list(rows)) for tweet, rows in itertools.groupby(sorted(each.better.tweet_id for each in wide))}
    assert max(counts.values()) == PAIRS_PER_TWEET
    assert sum(each.weight for each in wide) == pytest.approx(len(counts))  # each tweet weighs the same


def test_neither_a_clock_nor_a_ruler_passes_and_one_who_knows_the_likes_does():
    for name, given in itertools.product(TRIVIAL, (GIVEN, WIDE)):
        known = outcomes(given)
        low = weighted_mean(trivial_scores(known, TRIVIAL[name]), known, 500, 1)
        assert name != "the earlier" or low == (0.5, 0.5, 0.5)
    rows = accuracy_rows(Planted(lambda tweet, text: LIKES[text]), WIDE)
    assert rows[0]["accuracy"] == rows[0]["low"] == 1.0 and all(row["lead low"] > 0 for row in rows if "lead" in row)
    says, why = measures_engagement(rows)
    assert not says and "smells of a leak" in why
    worst = accuracy_rows(Planted(lambda tweet, text: -LIKES[text]), WIDE)
    assert worst[0]["accuracy"] == 0.0 and not measures_engagement(worst)[0]


def test_a_tweet_with_many_comparisons_weighs_like_one_with_few():
    pair = PAIRS[0]
    def each(tweet, weight): return Outcome(pair.model_copy(update={"tweet_id": tweet, "reply_time_diff_seconds": 1}), pair.model_copy(update={"tweet_id": tweet, "reply_time_diff_seconds": 2}), weight)
    known = [each("1", 0.1)] * 10 + [each(str(number), 1.0) for number in range(2, 6)]
    assert weighted_mean([1.0] * 10 + [0.0] * 4, known, 100, 1)[0] == pytest.approx(0.2)


def test_the_interval_covers():
    "Coins of .6, sixty tweets of one to five comparisons with an answer in common, a thousand times"
    chance, pair, covered = numpy.random.default_rng(3), PAIRS[0], 0
    for run in range(1000):
        known, scores = [], []
        for tweet in range(60):
            size, shared = chance.integers(1, 6), chance.random() < 0.6
            for _ in range(size):
                early = chance.random() < 0.6
                times = (1, 2) if early else (2, 1)
                known.append(Outcome(*(pair.model_construct(**{**pair.__dict__, "tweet_id": str(tweet), "reply_time_diff_seconds": time}) for time in times), 1 / size))
                scores.append(float(shared if chance.random() < 0.5 else chance.random() < 0.6))
        _, low, high = weighted_mean(scores, known, 200, run)
        covered += low <= 0.6 <= high
    assert 0.92 <= covered / 1000 <= 0.97


def test_shuffled_likes_are_a_coin():
    found = [next(row for row in accuracy_rows(Planted(lambda tweet, text: LIKES[text]), WIDE._replace(params=JudgeParams(resamples=100, pair_hours_max=1e5, seed=seed))) if row["judge"] == "likes shuffled")["accuracy"] for seed in range(1, 25)]
    assert abs(numpy.mean(found) - 0.5) < 0.05


def test_power_and_the_comparisons_needed_agree():
    row = {"low": 0.45, "high": 0.65, "pairs": 100}
    needed = pairs_needed(row, 0.6)
    more = {"low": 0.55 - 0.1 * (100 / needed) ** 0.5, "high": 0.55 + 0.1 * (100 / needed) ** 0.5}
    assert power_at(more, 0.6) == pytest.approx(0.8, abs=0.01) and power_at(row, 0.5) == pytest.approx(0.025, abs=0.001)


def test_silence_is_counted_and_too_few_tweets_are_no_number():
    class Silent(Planted):
        def compare(self, tweet, first, second): return Unscored(reason="refused")
    rows = accuracy_rows(Silent(None), GIVEN)
    assert "unavailable" in rows[0]["accuracy"] and rows[0]["unscored"] == len(outcomes(GIVEN)) and "could not be measured" in measures_engagement(rows)[1]
    assert all("cannot be told" in row["failed"] for row in control_rows(Silent(None), GIVEN))


# controls

def test_a_judge_that_knows_replies_passes_every_control():
    rows = control_rows(perfect, GIVEN)
    assert {row["control"] for row in rows} == {*CONTROLS, *MAY_TIE[:2]}  # it rates nothing
    assert not [row for row in rows if row["failed"] or row["taught"]] and all(row["human preferred"] > 0.95 for row in rows)


@pytest.mark.parametrize("worth, fails", [
    (lambda tweet, text: len(text), {"the instruction"}),
    (lambda tweet, text: -len(text), {"a full stop", "its first half"}),
    (lambda tweet, text: text == tweet, {"a copy of the tweet"}),
    (lambda tweet, text: 0, set(CONTROLS)),
    (lambda tweet, text: len(set(words_of(tweet)) & set(words_of(text))), {"a copy of the tweet", "shuffled words", "its words backwards"}),
])
def test_each_kind_of_blindness_fails_its_control(worth, fails):
    failed = {row["control"] for row in control_rows(Planted(worth), GIVEN) if row["failed"]}
    assert fails <= failed and failed


def test_a_judge_in_love_with_one_sentence_fails():
    darling = next(pair.reply for pair in PAIRS if pair.split == "train")
    class InLove(Planted):
        def rate(self, tweet, reply): return Score(score=9 if reply == darling else 2)
    rows = {row["control"]: row for row in control_rows(InLove(lambda tweet, text: 9 if text == darling else (tweet, text) in HOME), GIVEN)}
    assert rows["its favourite, always"]["failed"] and not rows["a full stop"]["failed"]
    assert favourite_reply(InLove(None), [pair for pair in PAIRS if pair.split == "train"], 1) == darling


def test_controls_never_show_a_test_tweet_and_take_many_tweets():
    judge = Planted(lambda tweet, text: (tweet, text) in HOME)
    control_rows(judge, GIVEN)
    assert not {tweet for tweet, *_ in judge.asked} & TEST
    chosen = control_replies(PAIRS, 1)
    assert len(chosen) == 100 and len({each.pair.tweet_id for each in chosen}) == len({pair.tweet_id for pair in PAIRS if pair.split != "test"})
    clusters = {pair.reply: pair.cluster for pair in PAIRS}
    assert all(clusters[each.other] != each.pair.cluster != clusters[each.nearest] for each in chosen)


def test_a_coin_fails_nearly_everything():
    chance = random.Random(3)
    rows = control_rows(Planted(lambda tweet, text: chance.random()), GIVEN)
    assert len([row for row in rows if row["failed"]]) >= len(CONTROLS) - 1


# arms

def arms_of(text_of) -> dict:
    ids = sorted({pair.tweet_id for pair in PAIRS if pair.split == "test"}, key=int)
    return {arm: {id: [Generation(tweet_id=id, arm=arm, reply=text_of(id, place))] for place, id in enumerate(ids)} for arm in ("tuned", "base")}


def test_an_arm_in_its_own_place():
    tweets, params = {pair.tweet_id: pair.tweet for pair in PAIRS}, JudgeParams(resamples=300, contrasts=["tuned-base"])
    answer = {id: next(pair.reply for pair in PAIRS if pair.tweet_id == id) for id in tweets}
    ids = sorted(arms_of(lambda id, place: "x")["tuned"], key=int)
    look = lambda texts: arm_rows(perfect, Evidence(PAIRS, [], params, arms_of(texts)))[1]
    good, one, moved, same = look(lambda id, place: answer[id]), look(lambda id, place: "One."), look(lambda id, place: answer[ids[place - 1]]), look(lambda id, place: tweets[id])
    assert good["own place preferred"] == 1.0 and good["distinct"] == len(ids)
    assert one["own place preferred"] == 0.5 and one["distinct"] == 1 and one["low"] <= 0.5
    assert moved["own place preferred"] <= 0.5 and same["copies of the tweet"] == len(ids)
    copied = look(lambda id, place: next(pair.reply for pair in PAIRS if pair.split == "train"))
    assert copied["copies of a train reply"] == len(ids)
    missing = look(lambda id, place: answer[id] if place < 3 else None)
    assert "unavailable" in missing["own place preferred"]
