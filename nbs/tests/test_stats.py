"""The rule of decision against known truths and well-kept implementations; the checks that void it."""
import itertools
import math

import numpy
import pandas
import pytest
from hypothesis import given, settings, strategies as st
from scipy import optimize, stats as scipy_stats
from statsmodels.stats.proportion import proportion_confint

from replytune.bias import interval, planted, strengths, tweet_scores
from replytune.checks import CHECKS, sound_example, validity_checks
from replytune.looks import look_levels, marks
from replytune.run import stored_params
from replytune.schema import ParameterError, StageError
from replytune.stats import (
    Accuracy, StatsParams, analyse, decide, goals, look_level, robustness, sign_flip_p, tweets_needed,
)

PAGES = "07d 07g 07h 08"
PARAMS = StatsParams(resamples=100)
NOW = stored_params(PARAMS)

scores_lists = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=2, max_size=60)


@settings(max_examples=150, deadline=None)
@given(scores_lists)
def test_interval_holds_the_mean_and_stays_in_range(scores):
    low, high = interval(scores, 0.95)
    assert 0 <= low <= numpy.mean(scores) + 1e-9 and numpy.mean(scores) - 1e-9 <= high <= 1 and high > low


def test_interval_is_students_on_half_a_tweet_more():
    scores = [0.0, 0.5, 1.0, 1.0, 0.5, 1.0, 0.0, 1.0] * 3
    weights = numpy.array([1.0] * 24 + [0.25, 0.25])
    values = numpy.array([*scores, 1.0, 0.0])
    mean = numpy.average(values, weights=weights)
    error = math.sqrt(numpy.average((values - mean) ** 2, weights=weights) / (weights.sum() - 1))
    half = scipy_stats.t.ppf(0.975, 23) * error
    assert interval(scores, 0.95) == pytest.approx((mean - half, mean + half))
    plain = scipy_stats.ttest_1samp(scores * 40, 0.5).confidence_interval(0.95)  # and Student's, where there are many
    assert interval(scores * 40, 0.95) == pytest.approx((plain.low, plain.high), abs=1e-3)


@pytest.mark.parametrize("scores", [[1.0] * 20, [0.0] * 7, [0.5] * 9])
def test_interval_of_tweets_that_all_agree_is_wilsons(scores):
    assert interval(scores, 0.95) == pytest.approx(proportion_confint(sum(scores), len(scores), method="wilson"))


@pytest.mark.parametrize("wins, losses", [(9, 2), (0, 5), (3, 0), (17, 14), (250, 200)])
def test_sign_flip_is_the_exact_binomial_test_where_scores_are_wins(wins, losses):
    scores = [1.0] * wins + [0.0] * losses
    assert sign_flip_p(scores) == pytest.approx(scipy_stats.binomtest(wins, wins + losses).pvalue)
    assert sign_flip_p(scores, 1) == pytest.approx(scipy_stats.binomtest(wins, wins + losses, alternative="greater").pvalue)
    assert sign_flip_p(scores + [0.5] * 12) == pytest.approx(sign_flip_p(scores))  # a tie has no sign


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1 / 3]), min_size=2, max_size=11))
def test_sign_flip_counts_every_throw(scores):
    advantages = numpy.array(scores) - 0.5
    sums = numpy.array([numpy.dot(signs, advantages) for signs in itertools.product([-1, 1], repeat=len(scores))])
    for sides, seen, thrown in ((2, abs(advantages.sum()), abs(sums)), (1, advantages.sum(), sums)):
        assert sign_flip_p(scores, sides) == pytest.approx(float((thrown >= seen - 1e-9).mean()))


def test_odd_scores_are_drawn_and_agree_with_scipy():
    scores = list(numpy.random.default_rng(3).beta(3, 2, 40))
    expected = scipy_stats.permutation_test((numpy.array(scores) - 0.5,), lambda x: x.mean(), permutation_type="samples", n_resamples=20_000, rng=numpy.random.default_rng(4))
    assert sign_flip_p(scores, 2, 20_000, 5) == pytest.approx(expected.pvalue, abs=0.01)


@settings(max_examples=80, deadline=None)
@given(scores_lists)
def test_swapping_the_arms_mirrors_everything(scores):
    one = decide({str(place): score for place, score in enumerate(scores)})
    other = decide({str(place): 1 - score for place, score in enumerate(scores)})
    assert one.estimate == pytest.approx(1 - other.estimate) and one.low == pytest.approx(1 - other.high)
    assert one.p_value == pytest.approx(other.p_value) and not (one.decision == other.decision == "GO")


def test_a_table_of_rows_is_a_table_of_tweets():
    rows = [{"tweet_id": str(n // 5), "score": float(n // 5 % 3 > 0)} for n in range(200)]
    by_tweet = {str(n): float(n % 3 > 0) for n in range(40)}
    assert decide(rows) == decide(pandas.DataFrame(rows)) == decide(by_tweet) and decide(rows).n_tweets == 40


@pytest.mark.parametrize("scores, named", [
    ({"7": None}, "score None"), ({"7": float("nan")}, "score nan"), ({"7": math.inf}, "score inf"), ({"7": -0.1}, "score -0.1"), ({"7": "1"}, "score '1'"), ({"7": True}, "score True"),
    ([0.4, 0.5], "fields tweet_id and score"), ([{"id": 1, "score": 1.0}], "fields id, score"), (pandas.DataFrame({"tweet_id": ["1"], "score": [float("nan")]}), "score nan"), (pandas.DataFrame({"score": [1.0]}), "fields score")])
def test_a_score_that_is_none_is_named(scores, named):
    with pytest.raises(ValueError, match=".") as error: decide(scores)
    assert named in str(error.value)


@pytest.mark.parametrize("scores, why", [({}, "0 scored tweets"), ({"1": 1.0}, "1 scored tweets"), (dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 0.5), "26 tweets is a tie"), (pandas.DataFrame({"tweet_id": [], "score": []}), "0 scored")])
def test_nothing_to_decide_on_is_invalid(scores, why):
    decided = decide(scores)
    assert decided.decision == "INVALID" and why in decided.why


def test_a_decision_is_a_mapping_with_names():
    decided = decide({str(n): float(n % 4 > 0) for n in range(40)})
    assert decided["decision"] == decided.decision == "GO" and dict(decided) == decided
    with pytest.raises(AttributeError, match="a decision has decision, why"): decided.verdict


def test_the_sentence_prints_the_bound_that_decided():
    decided = decide({str(n): float(n % 3 > 0) for n in range(60)})
    assert decided.decision == "GO" and f"{decided.lower_bound:.3f}" in decided.why and decided.low < decided.lower_bound


def test_fourteen_of_twenty_are_not_called_better():
    decided = decide({str(n): float(n < 14) for n in range(20)})
    assert decided.lower_bound > 0.5 and decided.p_better == pytest.approx(0.0577, abs=1e-4) and decided.decision == "INCONCLUSIVE" and "p 0.058 above 0.05" in decided.why


@pytest.mark.parametrize("accuracy, word", [(None, "NO-GO"), (Accuracy(0.97, 1.0), "NO-GO"), (Accuracy(0.55, 0.7), "INCONCLUSIVE"), (Accuracy(0.45, 0.7), "INCONCLUSIVE")])
def test_no_go_needs_a_judge_that_could_have_seen_it(accuracy, word):
    decided = decide({str(n): float(n % 2) for n in range(600)}, accuracy=accuracy)
    assert decided.decision == word
    if word == "INCONCLUSIVE": assert "the judge is too weak" in decided.why and "would tell" in decided.why


def test_a_weak_judge_shrinks_what_it_shows():
    assert goals(0.075, None) == (0.575, 0.575) and goals(0.075, Accuracy(0.55, 0.8, 0.62)) == (pytest.approx(0.518), pytest.approx(0.5075))
    decided = decide({str(n): float(n % 100 < 55) for n in range(1000)}, accuracy=Accuracy(0.6, 0.7))
    assert decided.decision == "GO" and decided.goal == pytest.approx(0.5225)  # 55 % on its scale are more than 57.5 % of people's
    assert decide({str(n): float(n % 100 < 55) for n in range(1000)}).decision == "INCONCLUSIVE"


@pytest.mark.parametrize("truth", [0.5, 0.53, 0.6, 0.62, 0.65, 0.7])
def test_tweets_needed_is_enough_and_not_too_many(truth):
    aims, generator = goals(0.075, None), numpy.random.default_rng(5)
    chances = [truth - 0.1, 0.2, 0.9 - truth]  # won, tied, lost
    needed = tweets_needed(truth, math.sqrt(chances[0] + 0.05 - truth**2), aims, PARAMS)
    drawn = lambda: dict(enumerate(generator.choice([1.0, 0.5, 0.0], needed, p=chances)))
    assert 0.72 <= numpy.mean([decide(drawn()).decision in ("GO", "NO-GO") for _ in range(300)]) <= 0.88


def test_tweets_needed_says_when_there_is_no_number():
    aims = goals(0.075, None)
    assert "too near" in tweets_needed(0.575, 0.45, aims, PARAMS).reason
    assert "may be a coin" in tweets_needed(0.5, 0.45, goals(0.075, Accuracy(0.4, 0.6)), PARAMS).reason
    assert tweets_needed(0.9, 0.2, aims, PARAMS) == PARAMS.tweets_min
    assert "all scores are alike" in tweets_needed(1.0, 0.0, aims, PARAMS).reason
    decided = decide({str(n): float(n % 100 < 57) for n in range(100)})
    assert decided.n_needed is None and "too near" in decided.n_needed_why and decided.n_needed_range[1] is None


def test_looks_spend_one_level_together():
    levels = look_levels([1, 2, 3, 4, 5], 0.05)
    walks = numpy.cumsum(numpy.random.default_rng(2).normal(size=(200_000, 5)), axis=1) / numpy.sqrt([1, 2, 3, 4, 5])
    assert (walks > scipy_stats.norm.isf(levels)).any(axis=1).mean() == pytest.approx(0.05, abs=0.002)
    assert look_levels([100], 0.05) == pytest.approx([0.05], abs=1e-4)


def test_a_look_that_came_at_other_numbers_of_tweets_still_spends_one_level():
    planned = StatsParams(looks=[50, 100])
    assert look_level(planned, [60]) < look_level(planned, [60, 100]) < 0.05
    assert look_level(planned, [60, 140]) == pytest.approx(look_levels([60, 140], 0.05)[1])
    assert decide({str(n): float(n % 3 > 0) for n in range(50)}, params=planned).level < 0.01
    with pytest.raises(ParameterError, match="more tweets than the one before"): StatsParams.read({"looks": [100, 50]})


def test_strengths_are_a_reference_fit():
    true, chance, rows = {"human": 1.0, "tuned": 0.6, "rag": 0.2, "base": 0.0, "null": 0.1}, numpy.random.default_rng(6), []
    for contrast in ("tuned-base", "null-base", "rag-base", "human-base", "tuned-rag", "tuned-human"):
        one, other = contrast.split("-")
        for tweet in range(150):
            won = float(chance.random() < 1 / (1 + math.exp(true[other] - true[one])))
            rows += [{"contrast": contrast, "tweet_id": str(tweet), "first": first, "second": second, "judge": "j", "score_first": won if first == one else 1 - won} for first, second in ((one, other), (other, one))]
    found = {row["arm"]: row["strength"] for row in strengths(rows, resamples=50)}
    names = sorted(found)

    def loss(values):
        theta, total = dict(zip(names, values)) | {"base": 0.0}, 0.0
        for contrast in dict.fromkeys(row["contrast"] for row in rows):
            one, other = contrast.split("-")
            scores = list(tweet_scores(rows, contrast)[0].values())
            won, gap = sum(scores) + 0.25, theta[one] - theta[other]
            total += won * numpy.logaddexp(0, -gap) + (len(scores) + 0.5 - won) * numpy.logaddexp(0, gap)
        return total

    expected = optimize.minimize(loss, numpy.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
    assert [found[name] for name in names] == pytest.approx(list(expected), abs=1e-6)
    assert found["human"] == pytest.approx(1.0, abs=0.4)


def test_strengths_stay_finite_where_an_arm_wins_everything():
    rows = [row | {"score_first": float(row["first"] == "tuned")} for row in planted(30)]
    strong = strengths(rows, resamples=20)[0]
    assert strong["arm"] == "tuned" and 3 < strong["strength"] < 10 and strong["high"] >= strong["strength"]


# the whole: a sound run, and what voids it

SOUND = sound_example(60)
own, longer = SOUND.measured.accuracy
wins = lambda rows, score: [row | {"score_first": score(row)} if row["contrast"] == "tuned-base" else row for row in rows]


def test_a_sound_run_gets_its_word_and_everything_a_reader_wants():
    result = analyse(SOUND, PARAMS)
    assert result["decision"] == "GO" and all(row["passed"] for row in result["checks"]) and [row["check"] for row in result["checks"]] == list(CHECKS)
    assert result["claim"]["word"] == "engagement" and result["marks"] == [] and result["split"] == "test"
    assert [row["arm"] for row in result["strengths"]][0] == "tuned" and not any(row["changes"] for row in result["robustness"])


@pytest.mark.parametrize("score, check", [(lambda row: 1.0, "position does not decide"), (lambda row: 0.5, "answers differ")])
def test_a_judge_that_compares_nothing_is_invalid(score, check):
    result = analyse(SOUND._replace(judgements=wins(SOUND.judgements, score)), PARAMS)
    assert result["decision"] == "INVALID" and check in result["why"]


def test_an_uneven_null_arm_is_invalid_whatever_the_numbers():
    uneven = [row | {"score_first": float(row["first"] == "null")} if row["contrast"] == "null-base" else row for row in SOUND.judgements]
    assert "null arm is even" in analyse(SOUND._replace(judgements=uneven), PARAMS)["why"]


def test_a_null_arm_outside_ninety_five_percent_only_is_shown_and_passes():
    scores = [float(n < 39) for n in range(60)]
    rows = [row | {"score_first": scores[int(row["tweet_id"])] if row["first"] == "null" else 1 - scores[int(row["tweet_id"])]} if row["contrast"] == "null-base" else row for row in SOUND.judgements]
    assert interval(scores, 0.95)[0] > 0.5 > interval(scores, 0.99)[0]
    assert analyse(SOUND._replace(judgements=rows), PARAMS)["decision"] == "GO"


@pytest.mark.parametrize("accuracy, word, why", [
    ([own, longer], "engagement", "ahead of"), ([own | {"low": 0.49}, longer], "judge preference", "may be guessing"), ([own, longer | {"lead": -0.01}], "judge preference", "not ahead of"),
    ([{"judge": "ranker", "accuracy": {"unavailable": "1 tweet"}}], "judge preference", "1 tweet"),
    ([own, longer, longer | {"judge": "the earlier", "lead": -0.2, "lead low": -0.3, "lead high": -0.1}], "judge preference", 'worse than "the earlier"'),
    ([own | {"accuracy": 0.9, "low": 0.8, "high": 0.95}, longer], "judge preference", "smells of a leak")])
def test_only_a_judge_that_reads_likes_speaks_of_engagement(accuracy, word, why):
    result = analyse(SOUND._replace(measured=SOUND.measured._replace(accuracy=accuracy)), PARAMS)
    assert result["decision"] == "GO" and result["claim"]["word"] == word and why in result["claim"]["why"]


@pytest.mark.parametrize("accuracy, why", [([own | {"accuracy": 0.4, "low": 0.32, "high": 0.48}, longer], "worse than a coin"), ([own, longer, longer | {"judge": "the shorter", "lead": -0.2, "lead low": -0.3, "lead high": -0.1}], 'worse at known likes than "the shorter"')])
def test_a_judge_shown_to_be_worse_than_nothing_is_invalid(accuracy, why):
    result = analyse(SOUND._replace(measured=SOUND.measured._replace(accuracy=accuracy)), PARAMS)
    assert result["decision"] == "INVALID" and why in result["why"]


PLACED = SOUND.measured.arms[0]


@pytest.mark.parametrize("arms, why", [([], "was not compared with itself"), ([PLACED | {"own place preferred": 0.5, "low": 0.5}], "50% (50% to 90%)"),
                                       ([{"arm": "tuned", "own place preferred": {"unavailable": "3 tweets"}}], "3 tweets"), ([PLACED | {"copies of a train reply": 7}], "7 of 60 replies are copies of a train reply"),
                                       ([PLACED | {"copies of the tweet": 60}], "tuned does not write"), ([PLACED | {"alike": 0.9}], "tells everybody the same: 90%"), ([PLACED | {"arm": "base"}], "was not compared")])
def test_an_arm_that_answers_nobody_gets_no_verdict(arms, why):
    result = analyse(SOUND._replace(measured=SOUND.measured._replace(arms=arms)), PARAMS)
    assert result["decision"] == "INVALID" and "arm answers its tweets" in result["why"] and why in result["why"]


ENDS = {"low": 0.4, "high": 0.6, "tweets": 60, "deviation": 0.45}


def test_the_bounds_carry_the_settings_of_the_judge():
    moved = [{"variant": "a", "contrast": "tuned-base", "win_rate": 0.55, "fails": []} | ENDS, {"variant": "b", "contrast": "null-base", "win_rate": 0.0, "fails": []} | ENDS, {"variant": "d", "contrast": "tuned-base", "win_rate": 0.1, "fails": ["a full stop"]} | ENDS, {"variant": "c", "contrast": None, "win_rate": {"unavailable": "few"}}]
    plain, wide = analyse(SOUND, PARAMS), analyse(SOUND._replace(measured=SOUND.measured._replace(variants=moved)), PARAMS)
    assert plain["decision"] == "GO" and wide["decision"] == "INCONCLUSIVE" and wide["estimate"] == plain["estimate"]
    assert wide["lower_bound"] == pytest.approx(plain["lower_bound"] - (plain["estimate"] - 0.55)) and wide["upper_bound"] == plain["upper_bound"]
    assert [row["variant"] for row in wide["variants"]] == ["a", "d", "c"]


def test_unanswered_questions_are_neither_ties_nor_losses():
    silent = [row | {"score_first": None} if row["tweet_id"] in ("1", "2", "3") and row["contrast"] == "tuned-base" else row for row in SOUND.judgements]
    scores, unscored = tweet_scores(silent, "tuned-base")
    assert len(scores) == 57 and unscored == ["1", "2", "3"]
    result = analyse(SOUND._replace(judgements=silent), PARAMS)
    assert result["decision"] == "INVALID" and "5.0% of tuned-base unanswered" in result["why"]


def test_other_contrasts_do_not_thin_out_the_unanswered():
    one = [row | {"score_first": None} if row["tweet_id"] in ("1", "2") and row["contrast"] == "tuned-base" else row for row in SOUND.judgements]
    many = one + [row | {"contrast": f"{arm}-base"} | {at: row[at].replace("tuned", arm) for at in ("first", "second")} for arm in ("rag", "human") for row in planted(60)]
    replies = SOUND.replies | {"rag": SOUND.replies["tuned"], "human": SOUND.replies["tuned"]}
    assert "questions answered" in analyse(SOUND._replace(judgements=many, replies=replies), PARAMS)["why"]


@pytest.mark.parametrize("controls", [[], [{"control": "a full stop", "failed": "0.18 (0.07 to 0.30) prefer the person's"}], SOUND.measured.controls + [{"control": "a copy of the tweet", "failed": "0.18"}]])
def test_a_judge_that_does_not_know_a_reply_gives_no_verdict(controls):
    result = analyse(SOUND._replace(measured=SOUND.measured._replace(controls=controls)), PARAMS)
    assert result["decision"] == "INVALID" and "judge knows a reply" in result["why"]
    if controls: assert controls[-1]["control"] in result["why"] and "take another judge" in result["why"]


def test_the_null_arm_must_be_the_base_model_with_another_seed():
    for change, what in (({"model": "x"}, "model"), ({"prompt": "x"}, "prompt"), ({"seed": 0}, "one seed"), ({"model": None}, "nothing is noted of the model")):
        null = [row | change for row in SOUND.replies["null"]]
        said = validity_checks(SOUND._replace(replies=SOUND.replies | {"null": null}))["null arm is the same model"]
        assert what in said


def test_a_reading_that_would_change_the_word_says_so():
    order = lambda row: 1.0 if row["first"] == "tuned" or int(row["tweet_id"]) % 5 < 3 else 0.0
    judged = wins(SOUND.judgements, order)
    decided = decide(tweet_scores(judged, "tuned-base")[0])
    table = {row["reading"]: row for row in robustness(judged, [], decided, PARAMS)}
    assert decided.decision == "GO" and table["adjusted"]["changes"] is False
    flagged = [row | {"flagged": int(row["tweet_id"]) % 5 >= 3} for row in judged]
    table = {row["reading"]: row for row in robustness(flagged, [{"variant": "w", "contrast": "tuned-base", "win_rate": 0.42, "fails": []} | ENDS], decided, PARAMS)}
    assert table["without flagged replies"]["changes"] and table["judge with w"]["word"] == "NO-GO"


def test_what_was_fixed_before_is_compared_with_now():
    signed = SOUND.registered | {"rule": stored_params(PARAMS), "first_rule": stored_params(StatsParams(tweets_min=10))}
    assert marks(SOUND.registered | {"rule": stored_params(PARAMS)}, NOW) == []
    assert "tweets_min was 10 and is 20" in marks(signed, NOW)[0] and len(marks(signed, NOW)) == 1
    assert "dev tweets" in marks(signed | {"split": "dev", "first_rule": None}, NOW)[0]
    seeds = [{"look": False, "tweets": 60}] * 4
    assert "measured 5 things" in marks(SOUND.registered | {"before": seeds}, NOW)[0] and "23%" in marks(SOUND.registered | {"before": seeds}, NOW)[0]
    look = SOUND.registered | {"before": [{"look": True, "tweets": 40}]}
    assert "looks that were planned: 0" in marks(look, NOW)[0] and marks(look, NOW | {"looks": [40, 60]}) == []


def test_a_contrast_that_was_not_judged_is_named():
    with pytest.raises(StageError, match="'null-base' was not judged"): analyse(SOUND._replace(judgements=planted(30)), PARAMS)


# found by a hostile reader

def test_a_silent_incumbent_gives_no_verdict():
    mute = [row | {"reply": None, "reason": "no neighbour"} if place % 5 == 0 else row for place, row in enumerate(SOUND.replies["base"])]
    result = analyse(SOUND._replace(replies=SOUND.replies | {"base": mute}), PARAMS)
    assert result["decision"] == "INVALID" and "base has no reply to 12 of 60 tweets (no neighbour)" in result["why"]


def test_a_missing_reply_has_a_reading_without_it():
    judged = [row | {"score_first": float(row["first"] == "tuned"), "decided_by": "a missing reply"} if int(row["tweet_id"]) < 5 and row["contrast"] == "tuned-base" else row for row in SOUND.judgements]
    table = {row["reading"]: row for row in analyse(SOUND._replace(judgements=judged), PARAMS)["robustness"]}
    assert table["both replied"]["tweets"] == 55 and table["adjusted"]["tweets"] == 60


def test_the_adjusted_reading_says_what_the_verdict_says():
    scores = [1.0] * 36 + [0.0] * 23
    judged = [row | {"score_first": scores[int(row["tweet_id"])] if row["first"] == "tuned" else 1 - scores[int(row["tweet_id"])]} for row in planted(59)]
    decided = decide(tweet_scores(judged, "tuned-base")[0])
    table = {row["reading"]: row for row in robustness(judged, [], decided, PARAMS)}
    assert decided.decision == table["adjusted"]["word"] == "INCONCLUSIVE" and not table["adjusted"]["changes"]
    assert table["conservative"]["word"] == "INCONCLUSIVE" and not table["conservative"]["changes"]  # the same answers, and the same coin
    assert table["corrected"]["word"] == "GO" and table["corrected"]["changes"]  # an equation asks for no coin


def test_variants_are_read_at_the_level_that_decides():
    early = StatsParams(looks=[60, 120], resamples=100)
    scores = tweet_scores(SOUND.judgements, "tuned-base")[0]
    decided = decide(scores, params=early)
    same = {"variant": "same", "contrast": "tuned-base", "win_rate": decided.estimate, "fails": [], "tweets": 60, "deviation": float(numpy.std(list(scores.values()))), "low": 0.0, "high": 1.0}
    table = {row["reading"]: row for row in robustness(SOUND.judgements, [same], decided, early)}
    assert table["judge with same"]["low"] == pytest.approx(table["adjusted"]["low"])


def test_a_variant_that_answered_little_moves_no_bound():
    few = {"variant": "few", "contrast": "tuned-base", "win_rate": 0.0, "fails": [], "tweets": 3, "deviation": 0.0}
    assert analyse(SOUND._replace(measured=SOUND.measured._replace(variants=[few])), PARAMS)["settings"] == [0.0, 0.0]


def test_tweets_needed_are_those_of_the_last_look():
    decided = decide({str(n): float(n % 5 > 1) for n in range(40)}, params=StatsParams(looks=[40, 120]))
    assert decided.level < 0.01 and decided.n_needed < 300  # at the first look's level it would be some hundreds more


def test_a_judge_that_prefers_more_than_it_can_know_sets_no_low_goal():
    scores = {str(n): float(n % 4 > 0) for n in range(200)}
    assert decide(scores, accuracy=Accuracy(0.51, 0.59, 0.55)).goal == 0.575 and decide(scores, accuracy=Accuracy(0.6, 0.9, 0.7)).goal == pytest.approx(0.53)


def test_an_arm_that_nobody_scored_has_no_strength():
    silent = [row | {"score_first": None} if row["contrast"] == "tuned-base" else row for row in SOUND.judgements]
    assert [row["arm"] for row in strengths(silent, resamples=20)] == ["null"] and strengths([row | {"score_first": None} for row in silent], resamples=20) == []


@pytest.mark.parametrize("given, why", [({"primary": "null-base"}, "primary and null are both"), ({"looks": [20, 400]}, "a tenth")])
def test_rules_that_cannot_work_are_refused(given, why):
    with pytest.raises(ParameterError, match=why): StatsParams.read(given)


def test_a_goal_is_reached_by_reaching_it():
    assert decide({str(n): float(n < 285) for n in range(500)}, params=StatsParams(better_by=0.07)).decision == "GO"
