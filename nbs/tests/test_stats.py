"""The rule of decision against known truths and well-kept implementations."""
import numpy
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats as scipy_stats

from replytune.bias import interval, tweet_scores
from replytune.stats import Measured, StatsParams, analyse, decide, operating_characteristics, sign_flip_p, tweets_needed

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
IN_PLACE = [{"arm": "tuned", "own place preferred": 0.8, "low": 0.7, "high": 0.9, "answers": 40, "alike": 0.1, "copies of the tweet": 0, "copies of a train reply": 4}]
GOOD_JUDGE = [{"judge": "ranker", "accuracy": 0.66, "low": 0.58, "high": 0.74, "pairs": 100}, {"judge": "the longer", "accuracy": 0.6, "low": 0.5, "high": 0.7, "lead": 0.06, "lead low": -0.02, "lead high": 0.14}]
GOOD = Measured(GOOD_JUDGE, SOUND, IN_PLACE, [])
even = lambda place, is_one: float((place % 2 == 0) == is_one)
wins = lambda place, is_one: float((place % 8 != 0) == is_one)


def test_a_position_biased_judge_decides_nothing():
    always_first = lambda place, is_one: 1.0
    result = analyse(rows("tuned-base", always_first) + rows("null-base", always_first), GOOD, StatsParams())
    assert result["estimate"] == 0.5 and result["decision"] in ("NO-GO", "INCONCLUSIVE") and "position" in result["habits"]["tuned-base"]


LOW = GOOD_JUDGE[0] | {"low": 0.49}
BEHIND = GOOD_JUDGE[1] | {"lead": -0.01}
WORSE = GOOD_JUDGE[1] | {"judge": "the earlier", "lead": -0.2, "lead low": -0.3, "lead high": -0.1}


@pytest.mark.parametrize("null, decision", [(even, "GO"), (wins, "INVALID")])
def test_an_uneven_null_arm_is_invalid_whatever_the_numbers(null, decision):
    assert analyse(rows("tuned-base", wins) + rows("null-base", null), GOOD, StatsParams())["decision"] == decision


@pytest.mark.parametrize("accuracy, word, why", [
    (GOOD_JUDGE, "engagement", "ahead of"), ([LOW, *GOOD_JUDGE[1:]], "judge preference", "would show it"), ([GOOD_JUDGE[0], BEHIND], "judge preference", "not ahead of"),
    ([*GOOD_JUDGE, WORSE], "judge preference", 'worse than "the earlier"'), ([{"judge": "ranker", "accuracy": {"unavailable": "1 tweet"}}], "judge preference", "1 tweet"),
    ([GOOD_JUDGE[0] | {"accuracy": 0.9, "low": 0.8, "high": 0.95}, GOOD_JUDGE[1]], "judge preference", "smells of a leak")])
def test_only_a_judge_that_reads_likes_speaks_of_engagement(accuracy, word, why):
    result = analyse(rows("tuned-base", wins) + rows("null-base", even), GOOD._replace(accuracy=accuracy), StatsParams())
    assert result["decision"] == "GO" and result["claim"]["word"] == word and why in result["claim"]["why"]


@pytest.mark.parametrize("arms, why", [([], "was not compared with itself"), ([IN_PLACE[0] | {"own place preferred": 0.5, "low": 0.5}], "50% (50% to 90%)"),
                                       ([{"arm": "tuned", "own place preferred": {"unavailable": "3 tweets"}}], "3 tweets"), ([IN_PLACE[0] | {"copies of a train reply": 5}], "5 of 40 replies are copies of a train reply"),
                                       ([IN_PLACE[0] | {"copies of the tweet": 40}], "tuned does not write"), ([IN_PLACE[0] | {"alike": 0.9}], "tells everybody the same: 90%"), ([IN_PLACE[0] | {"arm": "base"}], "was not compared")])
def test_an_arm_that_answers_nobody_gets_no_verdict(arms, why):
    result = analyse(rows("tuned-base", wins) + rows("null-base", even), GOOD._replace(arms=arms), StatsParams())
    assert result["decision"] == "INVALID" and "arm answers its tweets" in result["why"] and why in result["why"]


def test_the_bounds_carry_the_settings_of_the_judge():
    judged = rows("tuned-base", wins) + rows("null-base", even)
    moved = [{"variant": "a", "contrast": "tuned-base", "win_rate": 0.55, "fails": []}, {"variant": "b", "contrast": "null-base", "win_rate": 0.0, "fails": []}, {"variant": "d", "contrast": "tuned-base", "win_rate": 0.1, "fails": ["a full stop"]}, {"variant": "c", "contrast": None, "win_rate": {"unavailable": "few"}}]
    plain, wide = analyse(judged, GOOD, StatsParams()), analyse(judged, GOOD._replace(variants=moved), StatsParams())
    assert plain["decision"] == "GO" and wide["decision"] == "INCONCLUSIVE" and wide["estimate"] == plain["estimate"]
    assert wide["lower_bound"] == pytest.approx(plain["lower_bound"] - (plain["estimate"] - 0.55)) and wide["upper_bound"] == plain["upper_bound"]
    assert [row["variant"] for row in wide["variants"]] == ["a", "d", "c"]


def test_unanswered_questions_are_neither_ties_nor_losses():
    answered = rows("tuned-base", wins)
    silent = [row | {"score_first": None} if row["tweet_id"] in ("1", "2", "3") else row for row in answered]
    scores, unscored = tweet_scores(silent, "tuned-base")
    assert len(scores) == 37 and unscored == ["1", "2", "3"]
    assert analyse(silent + rows("null-base", even), GOOD, StatsParams())["decision"] == "INVALID"


@pytest.mark.parametrize("controls", [[], [SOUND[0] | {"failed": "0.18 (0.07 to 0.30) prefer the person's"}], SOUND + [SOUND[0] | {"control": "a copy of the tweet", "failed": "0.18"}]])
def test_a_judge_that_does_not_know_a_reply_gives_no_verdict(controls):
    result = analyse(rows("tuned-base", wins) + rows("null-base", even), GOOD._replace(controls=controls), StatsParams())
    assert result["decision"] == "INVALID" and "judge knows a reply" in result["why"]
    if controls: assert controls[-1]["control"] in result["why"] and "would mend it" in result["why"]
