"""The rule of decision against known truths and well-kept implementations."""
import numpy
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats as scipy_stats

from replytune.bias import interval, tweet_scores
from replytune.stats import StatsParams, analyse, decide, operating_characteristics, sign_flip_p, tweets_needed

PAGES = "07d 08"

scores_lists = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=2, max_size=60)


@settings(max_examples=150, deadline=None)
@given(scores_lists)
def test_interval_holds_the_mean_and_stays_in_range(scores):
    low, high = interval(scores, 0.95)
    assert 0 <= low <= numpy.mean(scores) + 1e-9 and numpy.mean(scores) - 1e-9 <= high <= 1 and high > low


def test_interval_is_students():
    scores = [0.0, 0.5, 1.0, 1.0, 0.5, 1.0, 0.0, 1.0]
    expected = scipy_stats.ttest_1samp(scores, 0.5).confidence_interval(0.95)
    assert interval(scores, 0.95) == pytest.approx((max(0, expected.low), min(1, expected.high)))


def test_sign_flip_agrees_with_the_exact_test():
    scores = [1.0] * 9 + [0.0] * 2
    assert sign_flip_p(scores, 50_000, 3) == pytest.approx(scipy_stats.binomtest(9, 11).pvalue, abs=0.01)


@settings(max_examples=80, deadline=None)
@given(scores_lists)
def test_swapping_the_arms_mirrors_everything(scores):
    params = StatsParams(permutations=100)
    one = decide({str(place): score for place, score in enumerate(scores)}, params=params)
    other = decide({str(place): 1 - score for place, score in enumerate(scores)}, params=params)
    assert one["estimate"] == pytest.approx(1 - other["estimate"]) and one["low"] == pytest.approx(1 - other["high"])
    assert not (one["decision"] == other["decision"] == "GO")


def test_false_go_is_rare_and_true_effects_are_found():
    assert operating_characteristics(0.5, 200, runs=1000)["GO"] <= 0.03
    assert operating_characteristics(0.6, 200, runs=500)["GO"] >= 0.72
    assert operating_characteristics(0.5, 200, runs=500)["NO-GO"] >= 0.65


def test_tweets_needed_is_enough_in_a_simulation():
    generator = numpy.random.default_rng(5)
    pilot = [1.0] * 13 + [0.0] * 7
    needed = tweets_needed(pilot, 0.075, 0.95, 0.8)
    found = [interval(list((generator.random(needed) < 0.65).astype(float)), 0.9)[0] > 0.5 for _ in range(400)]
    assert 0.74 <= numpy.mean(found) <= 0.9


def rows(contrast: str, score_of) -> list[dict]:
    one, other = contrast.split("-")
    return [{"contrast": contrast, "tweet_id": str(place), "first": first, "second": other if first == one else one,
             "score_first": score_of(place, first == one)} for place in range(40) for first in (one, other)]


SOUND = [{"control": "a full stop", "human preferred": 1.0, "low": 1.0, "high": 1.0, "failed": None}]
GOOD_JUDGE = {"judge": "ranker", "accuracy": 0.66, "low": 0.58, "high": 0.74}
even = lambda place, is_one: float((place % 2 == 0) == is_one)
wins = lambda place, is_one: float((place % 8 != 0) == is_one)


def test_a_position_biased_judge_decides_nothing():
    always_first = lambda place, is_one: 1.0
    result = analyse(rows("tuned-base", always_first) + rows("null-base", always_first), GOOD_JUDGE | {"low": 0.5}, SOUND, StatsParams())
    assert result["estimate"] == 0.5 and result["decision"] == "INVALID"


@pytest.mark.parametrize("null, judge, decision", [(even, GOOD_JUDGE, "GO"), (wins, GOOD_JUDGE, "INVALID"), (even, GOOD_JUDGE | {"low": 0.49}, "INVALID"),
                                                   (even, {"judge": "ranker", "accuracy": {"unavailable": "1 tweet"}}, "INVALID")])
def test_unsound_measurements_are_invalid_whatever_the_numbers(null, judge, decision):
    assert analyse(rows("tuned-base", wins) + rows("null-base", null), judge, SOUND, StatsParams())["decision"] == decision


def test_unanswered_questions_are_neither_ties_nor_losses():
    answered = rows("tuned-base", wins)
    silent = [row | {"score_first": None} if row["tweet_id"] in ("1", "2", "3") else row for row in answered]
    scores, unscored = tweet_scores(silent, "tuned-base")
    assert len(scores) == 37 and unscored == ["1", "2", "3"]
    assert analyse(silent + rows("null-base", even), GOOD_JUDGE, SOUND, StatsParams())["decision"] == "INVALID"


@pytest.mark.parametrize("controls", [[], [SOUND[0] | {"failed": "0.18 (0.07 to 0.30) prefer the person's"}], SOUND + [SOUND[0] | {"control": "a copy of the tweet", "failed": "0.18"}]])
def test_a_judge_that_does_not_know_a_reply_gives_no_verdict(controls):
    result = analyse(rows("tuned-base", wins) + rows("null-base", even), GOOD_JUDGE, controls, StatsParams())
    assert result["decision"] == "INVALID" and "judge knows a reply" in result["why"]
    if controls: assert controls[-1]["control"] in result["why"] and "would mend it" in result["why"]
