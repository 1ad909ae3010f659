"""What `08b_power` counts out against the rule itself, run on real scores; the planner against statsmodels; bounds in a coarse grid."""
import math

import numpy
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from replytune.bias import ADDED, interval, planted, tweet_scores
from replytune.power import (
    all_counts, bca_interval, best_of, chances_of, coverage, looks_characteristics, operating_characteristics, own_row,
    plan, plan_scores, price_rows, Prices, resolution, seen_by_judge, seen_of_counts, shares, student_interval, ties_of, turning_points,
)
from replytune.schema import Unavailable
from replytune.stats import Accuracy, StatsParams, decide, goals, look_level, tweets_needed, word

PAGES = "08b"

WEAK = Accuracy(0.55, 0.69)


def as_scores(won: int, tied: int, lost: int) -> dict[str, float]:
    return {str(place): score for place, score in enumerate([1.0] * won + [0.5] * tied + [0.0] * lost)}


def test_counting_is_deciding_every_outcome_of_twenty_tweets():
    counts = all_counts(20)
    assert counts.shape == (3, 21 * 22 // 2) and (counts.sum(0) == 20).all() and len(set(map(tuple, counts.T.tolist()))) == 231
    said = [decide(as_scores(*each))["decision"] for each in counts.T.tolist()]
    for truth, ties in ((0.5, 0.2), (0.7, 0.0), (0.65, 0.4)):
        chances = chances_of(counts, truth, ties)
        assert chances.sum() == pytest.approx(1)
        found = operating_characteristics(truth, 20, ties)
        for name in ("GO", "NO-GO"): assert found[name] == pytest.approx(sum(chance for chance, each in zip(chances, said) if each == name), abs=1e-9)
        assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("params, accuracy, settings", [
    (StatsParams(), WEAK, (0.0, 0.0)), (StatsParams(better_by=0.03, confidence=0.9), None, (0.02, 0.04)),
    (StatsParams(looks=[26, 60]), Accuracy(0.45, 0.6), (0.0, 0.01)), (StatsParams(tweets_min=30), None, (0.0, 0.0))])
def test_counting_is_deciding_with_a_judge_settings_and_looks(params, accuracy, settings):
    counts = all_counts(26)
    chances = chances_of(counts, 0.6, 0.25)
    likely = numpy.argsort(-chances)[:70]
    aims, level = goals(params.better_by, accuracy), look_level(params, [26])
    for won, tied, lost in counts[:, likely].T.tolist():
        said = decide(as_scores(won, tied, lost), None, params, settings, accuracy)
        seen = seen_of_counts(won, tied, lost, level, settings)
        assert (seen.lower, seen.upper, seen.p_better) == pytest.approx((said.lower_bound, said.upper_bound, said.p_better), abs=1e-9)
        most, fewest = turning_points(26, tied, aims, level, settings, (params.better_by, params.tweets_min))
        assert said.decision == ("GO" if won >= fewest else "NO-GO" if won <= most else "INCONCLUSIVE")


@pytest.mark.parametrize("tweets, accuracy, settings, params", [
    (31, None, (0.0, 0.0), StatsParams()), (60, WEAK, (0.03, 0.01), StatsParams()), (45, Accuracy(0.4, 0.7), (0.0, 0.0), StatsParams(better_by=0.2)), (90, None, (0.0, 0.05), StatsParams(better_by=0.01))])
def test_more_wins_never_speak_against_go(tweets, accuracy, settings, params):
    aims = goals(params.better_by, accuracy)
    for tied in range(tweets):
        said = [word(seen_of_counts(won, tied, tweets - tied - won, 0.05, settings), aims, params)[0] for won in range(tweets - tied + 1)]
        rank = [("NO-GO", "INCONCLUSIVE", "GO").index(each) for each in said]
        assert rank == sorted(rank)
        points = turning_points(tweets, tied, aims, 0.05, settings, (params.better_by, params.tweets_min))
        assert points == (said.count("NO-GO") - 1, len(said) - said.count("GO"))


def test_counts_agree_with_a_planted_judge():
    "The rates are those of `07d_bias`'s made-up judge, too: both mean the same by truth and ties"
    words = [seen for seed in range(400) for seen in [decide_fast(tweet_scores(planted(60, 0.65, ties=0.3, seed=seed), "tuned-base")[0])]]
    exact = operating_characteristics(0.65, 60, 0.3)["GO"]
    assert abs(words.count("GO") / 400 - exact) < 4 * math.sqrt(exact * (1 - exact) / 400)


def decide_fast(scores: dict) -> str:
    values = list(scores.values())
    seen = seen_of_counts(values.count(1.0), values.count(0.5), values.count(0.0))
    assert seen.lower == pytest.approx(interval(values, 0.9)[0])
    return word(seen, goals(0.075, None), StatsParams())[0]


def test_intervals_of_counts_are_the_known_ones():
    counts = numpy.array([[14, 3, 20, 0, 0], [4, 9, 0, 0, 20], [2, 8, 0, 20, 0]])
    ours = numpy.transpose(student_interval(counts, 0.9, ADDED))
    for each, ends in zip(counts.T.tolist(), ours): assert tuple(ends) == pytest.approx(interval(list(as_scores(*each).values()), 0.9))
    values = list(as_scores(14, 4, 2).values())
    theirs = scipy_stats.ttest_1samp(values, 0.5).confidence_interval(0.9)
    assert numpy.ravel(student_interval(counts[:, :1], 0.9)) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("counts", [(14, 4, 2), (20, 8, 5), (9, 20, 21), (40, 3, 7)])
def test_bca_is_scipys_with_very_many_resamples(counts):
    values = list(as_scores(*counts).values())
    theirs = scipy_stats.bootstrap((values,), numpy.mean, n_resamples=50_000, batch=2000, method="BCa", random_state=1).confidence_interval
    ours = numpy.ravel(bca_interval(numpy.array([counts]).T, 0.95))
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.6 / len(values))  # a step of the lattice is 0.5 / tweets


@pytest.mark.parametrize("tweets", [20, 31, 50, 100, 200, 500])
@pytest.mark.parametrize("ties", [0.0, 0.2, 0.4])
def test_the_bounds_that_the_page_promises(tweets, ties):
    assert operating_characteristics(0.5, tweets, ties)["GO"] <= 0.05
    assert operating_characteristics(0.575, tweets, ties)["NO-GO"] <= (0.05 if ties else 0.06)  # bare coins come in steps
    if ties: assert all(0.94 <= coverage("half a tweet added", tweets, truth, ties) <= 0.96 for truth in (0.5, 0.6, 0.7))
    if tweets == 200: assert operating_characteristics(0.6, tweets, ties)["GO"] >= 0.78


def test_tweets_needed_keeps_its_promise_where_it_names_a_number():
    for truth in (0.5, 0.53, 0.59, 0.6, 0.61):
        for ties in (0.2, 0.4):
            won, tied, _ = shares(truth, ties)
            needed = tweets_needed(truth, math.sqrt(won + tied / 4 - truth**2), goals(0.075, None), StatsParams())
            assert 0.75 < 1 - operating_characteristics(truth, needed, ties)["INCONCLUSIVE"] < 0.85


def test_planned_looks_cost_no_level_and_careless_ones_do():
    assert looks_characteristics(0.5, [50, 100, 200])["GO"] <= 0.05 and looks_characteristics(0.575, [50, 100, 200])["NO-GO"] <= 0.055
    once = looks_characteristics(0.6, [100], ties=0.3)
    exact = operating_characteristics(0.6, 100, 0.3)
    assert all(abs(once[name] - exact[name]) < 0.015 for name in exact)
    assert looks_characteristics(0.5, list(range(20, 201, 10)), planned=False)["GO"] > 0.1


def test_the_best_of_several_is_what_chance_says():
    alone = operating_characteristics(0.5, 50)["GO"]
    assert best_of(5, 50, runs=4000) == pytest.approx(1 - (1 - alone) ** 5, abs=0.025)
    assert best_of(1, 50, own=0.5, runs=4000) == pytest.approx(alone, abs=0.015)
    assert best_of(5, 50, own=0.9, runs=2000) < best_of(5, 50, runs=2000)


@pytest.mark.parametrize("truth", [0.575, 0.6, 0.65, 0.8])
def test_a_weak_judge_turns_down_no_improvement(truth):
    for right in (0.55, 0.62, 0.69):
        found = operating_characteristics(seen_by_judge(truth, right), 200, accuracy=WEAK)
        assert found["NO-GO"] <= 0.05
        assert operating_characteristics(seen_by_judge(0.5, right), 200, accuracy=WEAK)["GO"] <= 0.05
    assert operating_characteristics(0.5, 5000, accuracy=Accuracy(0.45, 0.7))["NO-GO"] == 0  # a coin turns nothing down


@pytest.mark.parametrize("d", [0.15, 0.3, 0.5, 0.8, -0.4])
@pytest.mark.parametrize("rho", [-0.2, 0.0, 0.5, 0.8])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_planner_of_scores_is_statsmodels(d, rho, power):
    theirs = TTestPower().solve_power(abs(d) / math.sqrt(2 * (1 - rho)), alpha=0.05, power=power)
    ours = plan_scores(d, rho, power=power).tweets
    assert theirs <= ours <= max(1.03 * theirs, theirs + 1.001)


@pytest.mark.parametrize("effect, ties", [(0.59, 0.2), (0.6, 0.0), (0.6, 0.4), (0.63, 0.2), (0.65, 0.3), (0.7, 0.2)])
def test_planner_of_preferences_keeps_its_promise(effect, ties):
    for power in (0.8, 0.9):
        tweets = plan(effect, ties, power=power).tweets
        assert power - 0.04 < operating_characteristics(effect, tweets, ties)["GO"] < power + 0.03


def test_planner_with_samples_and_a_judge_keeps_its_promise():
    "Scores of five replies each, and a judge right in 80 %: 1,500 runs of the rule's own procedures"
    chance, accuracy = numpy.random.default_rng(4), Accuracy(0.78, 0.82)
    found = plan(0.68, ties=0.0, icc=0.3, samples=5, judge_accuracy=accuracy)
    seen, wins = seen_by_judge(0.68, 0.8), 0
    assert found.advantage == pytest.approx(seen - 0.5)
    aims, between = goals(0.075, accuracy), 1 / 0.3 - 1
    for _ in range(1500):
        lucky = chance.beta(seen * between, (1 - seen) * between, found.tweets)
        values = chance.binomial(5, lucky) / 5
        wins += interval(values.tolist(), 0.9)[0] > 0.5 and values.mean() >= aims[0]
    assert abs(wins / 1500 - 0.8) < 0.05
    assert numpy.std(values) == pytest.approx(found.deviation, rel=0.35)


def test_plan_says_what_moves_it():
    base = plan(0.62).tweets
    assert plan(0.62, icc=1.0, samples=9).tweets == base > plan(0.62, icc=0.0, samples=2).tweets
    assert base <= plan(0.62, looks=3).tweets < 1.15 * base and plan(0.62, looks=3).level < plan(0.62).level == pytest.approx(0.05)
    assert plan(0.62, judge_accuracy=Accuracy(1.0, 1.0)) == plan(0.62)
    for hopeless in (plan(0.56), plan(0.6, judge_accuracy=Accuracy(0.45, 0.6)), plan_scores(0.01)):
        assert isinstance(hopeless.tweets, Unavailable) and "10,000" in hopeless.tweets.reason


@pytest.mark.parametrize("call, said", [
    (lambda: plan(0.5), "effect 0.5"), (lambda: plan(0.3), "effect 0.3"), (lambda: plan(1.2), "effect 1.2"), (lambda: plan(float("nan")), "effect nan"),
    (lambda: plan(0.6, power=1.0), "power 1.0"), (lambda: plan(0.6, power=-0.1), "power -0.1"), (lambda: plan_scores(0.3, power=2), "power 2"),
    (lambda: plan(0.6, looks=0), "looks 0"), (lambda: plan(0.6, samples=0), "samples 0"), (lambda: plan(0.6, samples=3), "icc"), (lambda: plan(0.6, icc=1.5), "icc 1.5"),
    (lambda: plan(0.6, confidence=0.4), "confidence 0.4"), (lambda: plan(0.6, ties=0.9), "0.9 ties"), (lambda: plan_scores(0.0), "d 0.0"), (lambda: plan_scores(0.3, 1.0), "rho 1.0"),
    (lambda: operating_characteristics(1.1, 50), "1.1"), (lambda: operating_characteristics(float("nan"), 50), "nan"), (lambda: shares(0.5, 1.0), "1 ties"), (lambda: shares(0.5, -0.1), "-0.1 ties"),
    (lambda: operating_characteristics(0.6, 0), "tweets 0"), (lambda: best_of(0, 50), "measured 0"), (lambda: best_of(2, 50, own=1.0), "own 1.0"), (lambda: looks_characteristics(0.5, [100, 50]), "100, 50")])
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said.replace(".", r"\.")): call()


def made_stats(won: int, tied: int, lost: int, judge: dict, **changes) -> dict:
    found = decide(as_scores(won, tied, lost), accuracy=Accuracy(judge.get("low", 0.0), judge.get("high", 1.0)))
    return {**found, "judge": judge, "rule": {"confidence": 0.95, "better_by": 0.075, "tweets_min": 20}} | changes


@pytest.mark.parametrize("counts", [(30, 10, 10), (25, 3, 3), (27, 0, 4), (60, 70, 70), (40, 0, 0), (19, 1, 0)])
def test_ties_are_those_that_were_counted(counts):
    assert ties_of(made_stats(*counts, {})) == pytest.approx(counts[1] / sum(counts), abs=1e-6)


def test_own_row_is_of_the_run_itself():
    people = {"accuracy": 1.0, "low": 1.0, "high": 1.0}
    row = own_row(made_stats(80, 40, 80, people))
    assert row["false GO"] == pytest.approx(operating_characteristics(0.5, 200)["GO"], abs=1e-6) and row["resolution"] == pytest.approx(resolution(200), abs=1e-3)
    moved = own_row(made_stats(80, 40, 80, people, settings=[0.05, 0.0]))
    assert moved["GO at 60%"] < row["GO at 60%"] and moved["resolution"] > row["resolution"]
    weak = own_row(made_stats(80, 40, 80, {"accuracy": 0.62, "low": 0.55, "high": 0.69}))
    assert weak["GO at 60%"] < 0.3 and weak["NO-GO at 60%"] < 0.05 and weak["resolution"] > row["resolution"]
    for judge in ({}, {"accuracy": {"unavailable": "few"}}, {"accuracy": 0.5, "low": 0.4, "high": 0.6}):
        assert isinstance(own_row(made_stats(80, 40, 80, judge))["GO at 60%"], Unavailable)
    nothing = decide({}) | {"judge": {}, "rule": {"confidence": 0.95, "better_by": 0.075, "tweets_min": 20}}
    assert isinstance(own_row(nothing)["false GO"], Unavailable)
    few = own_row(made_stats(8, 1, 1, people))
    assert few["false GO"] == 0 and isinstance(few["resolution"], Unavailable)


def test_prices_add_up():
    row, = price_rows([100], Prices(tweet=0.5, question=0.01, test_share=0.2, contrasts=3), truths=(0.6,))
    assert (row["bought"], row["tweets, $"], row["judge, $"], row["$"]) == (500, 250.0, pytest.approx(6.0), pytest.approx(256.0))
    assert row["answer at 60%"] == pytest.approx(1 - operating_characteristics(0.6, 100)["INCONCLUSIVE"])
