"""Readings of a judge's answers: planted habits by the thousand, exact chances, other people's published figures, well-kept implementations."""
import csv
import itertools
import json
from pathlib import Path

import numpy
import pytest
from hypothesis import given, strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.inter_rater import cohens_kappa

from replytune.schema import Pair, StageError, Unavailable
from replytune.run import sample_copy, sample_rows
from replytune.generate import Generation
from replytune.judge import Evidence, Judge, JudgeParams, Unscored, Verdict, judgements, ratings
from replytune.agreement import agreement, score_verdicts, tweet_verdicts
from replytune.bias import (ADDED, EMPTY, FORM, RATES, BothOrders, about_replies, both_orders, corrected, habit_warnings, length_controlled, longer_preferred,
                            planted, plain_rates, rate_of, rates_as_json, tweet_scores, win_rates)
from replytune.checks import sound_example
from replytune.stats import StatsParams, analyse, stats_stage
from replytune.report import ReportParams, figures_of, render, words_of

PAGES = "07d 07i 08 09"

PUBLISHED = Path(__file__).parent / "published"
RUNS = 1000
holds = lambda row, truth: row["low"] <= truth <= row["high"]


def each_run(driven: float, **habits):
    "A thousand planted judges on 100 to 200 tweets, half of them with a true rate of 50 %, half of 60 %"
    for seed in range(RUNS):
        truth = (0.5, 0.6)[seed % 2]
        yield truth, planted(100 + seed % 101, truth, driven, seed=seed, **habits)


@pytest.mark.parametrize("driven", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
def test_the_corrected_interval_covers_the_truth(driven):
    found = [(truth, win_rates(rows, "tuned-base")["corrected"]) for truth, rows in each_run(driven)]
    known = [holds(row, truth) for truth, row in found if "low" in row]
    assert len(known) == RUNS and 0.93 <= numpy.mean(known) <= 0.97
    assert abs(numpy.mean([row["estimate"] - truth for truth, row in found])) < 0.01
    assert abs(numpy.mean([row["driven"] for _, row in found]) - driven) < 0.01


@pytest.mark.parametrize("driven, habits", [(0.3, {"first": 0.8}), (0.3, {"first": 0.0}), (0.3, {"first": 0.5}), (0.4, {"ties": 0.2}), (0.5, {"first": 0.5, "ties": 0.1})])
def test_whichever_way_the_calls_lean(driven, habits):
    found = [(truth, corrected(both_orders(rows, "tuned-base"), 0.95)) for truth, rows in each_run(driven, **habits)]
    known = [holds(row, truth) for truth, row in found if "low" in row]
    assert len(known) >= 0.95 * RUNS and 0.93 <= numpy.mean(known) <= 0.97


def test_tweets_on_which_both_calls_follow_the_first_position():
    "Driven by the tweet, not by the call: with one direction the same share of tweets disagrees"
    generator, covered = numpy.random.default_rng(1), []
    for seed in range(RUNS):
        truth = (0.5, 0.6)[seed % 2]
        won, follows = (generator.random(150) < truth).astype(float), generator.random(150) < 0.3
        both = BothOrders([*map(str, range(150))], [*numpy.where(follows, 1.0, won)], [*numpy.where(follows, 0.0, won)], None, None)
        covered.append(holds(corrected(both, 0.95), truth))
    assert 0.93 <= numpy.mean(covered) <= 0.97


@pytest.mark.parametrize("first, second, honest", [(0, 0, 1), (1, 0, 1), (0, 2, 3), (1, 1, 2), (2, 1, 1), (3, 1, 2)])
@pytest.mark.parametrize("tastes", [(1.0, 0.0), (1.0, 1.0, 0.5), (1.0, 0.5, 0.5, 0.0, 0.0)])
def test_the_formula_is_exact_when_every_case_comes_as_often_as_it_should(first, second, honest, tastes):
    calls = [1.0] * first + [0.0] * second + [None] * honest
    cases = [(taste, *pair) for taste in tastes for pair in itertools.product(calls, calls)]
    shown_first = [taste if one is None else one for taste, one, _ in cases]
    shown_second = [taste if other is None else 1 - other for taste, _, other in cases]
    both = BothOrders([*map(str, range(len(cases)))], shown_first, shown_second, None, None)
    share = honest / (first + second + honest)
    assert about_replies(both)[0] == pytest.approx(share, abs=1e-12)
    assert sum(both.scores) / len(cases) == pytest.approx(share * sum(tastes) / len(tastes) + (1 - share) / 2)
    row = corrected(both, 0.5)
    if "low" in row: assert row["estimate"] == pytest.approx(sum(tastes) / len(tastes), abs=1e-9) and row["low"] <= row["estimate"] <= row["high"]


def now_and_then(rows: list[dict], reason: str) -> list[dict]:
    return [row | {"score_first": None, "unscored": reason} if place % 25 == 0 else row for place, row in enumerate(rows)]


size = lambda seed: 100 + seed % 101
JUDGES = {  # by the warning that is meant for them
    "position": [lambda seed: planted(size(seed), driven=1.0, seed=seed), lambda seed: planted(size(seed), driven=1.0, first=0.0, seed=seed), lambda seed: planted(size(seed), driven=0.5, seed=seed)],
    "noise": [lambda seed: planted(size(seed), driven=1.0, first=0.5, seed=seed)],
    "length": [lambda seed: planted(size(seed), longer=1.0, stretch=(1.0, 1.5)[seed % 2], seed=seed)],
    "constant": [lambda seed: planted(size(seed), truth=0.5, ties=1.0, seed=seed), lambda seed: planted(size(seed), truth=float(seed % 2), seed=seed)],
    "refusals": [lambda seed: now_and_then(planted(size(seed), seed=seed), "refused")],
    "broken form": [lambda seed: now_and_then(planted(size(seed), seed=seed), "the answer is not one JSON object")],
}


@pytest.mark.parametrize("habit, judge", [(habit, judge) for habit, judges in JUDGES.items() for judge in judges])
def test_each_planted_judge_trips_its_own_warning_and_no_other(habit, judge):
    found = [tuple(habit_warnings(judge(seed), "tuned-base")) for seed in range(RUNS)]
    assert sum(habit in names for names in found) >= 0.99 * RUNS
    assert sum(set(names) > {habit} for names in found) <= 0.005 * RUNS


@pytest.mark.parametrize("habits", [{}, {"truth": 0.8, "stretch": 1.5}, {"driven": 0.1, "ties": 0.1}, {"driven": 0.1, "first": 0.5, "longer": 0.1}])
def test_a_sound_judge_trips_none(habits):
    assert not [names for seed in range(RUNS) if (names := habit_warnings(planted(size(seed), seed=seed, **habits), "tuned-base"))]


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_always_the_same_position_is_one_half_and_nothing_beside_it(first):
    rows = planted(120, truth=0.9, driven=1.0, first=first)
    rates = win_rates(rows, "tuned-base")
    assert rates["adjusted"]["estimate"] == rates["conservative"]["estimate"] == 0.5 and rates["first preferred"]["estimate"] == first
    assert isinstance(rates["corrected"]["estimate"], Unavailable) and list(habit_warnings(rows, "tuned-base")) == ["position"]


def test_few_tweets_warn_of_nothing_but_silence():
    assert not habit_warnings(planted(6, driven=0.5), "tuned-base")
    assert not habit_warnings(planted(15, truth=0.5, ties=1.0), "tuned-base")
    assert list(habit_warnings(planted(1, driven=1.0)[:1] + [planted(1)[1] | {"score_first": None, "unscored": "refused"}], "tuned-base")) == ["refusals"]


def test_an_empty_reply_is_no_habit_of_the_judge():
    rows = now_and_then(planted(100), EMPTY)
    assert win_rates(rows, "tuned-base")["unscored"]["estimate"] == 0.04 and not habit_warnings(rows, "tuned-base")


@pytest.mark.parametrize("stretch", [1.0, 1.5, 2.0])
def test_at_equal_length_a_lover_of_length_sees_equal_replies(stretch):
    drawn = [both_orders(planted(size(seed), longer=1.0, stretch=stretch, seed=seed), "tuned-base") for seed in range(RUNS)]
    assert 0.93 <= numpy.mean([holds(length_controlled(both, 0.95), 0.5) for both in drawn]) <= 0.97
    if stretch > 1: assert numpy.mean([sum(both.scores) / len(both.scores) for both in drawn]) > 0.7


@pytest.mark.parametrize("level, slope", [(0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (1.5, 1.0), (0.0, 2.5)])
def test_the_rate_at_equal_length_is_covered_whatever_the_slope(level, slope):
    generator, covered = numpy.random.default_rng(3), []
    for _ in range(RUNS):
        by = numpy.round(generator.normal(15, 40, 150))
        chance = 1 / (1 + numpy.exp(-level - slope * numpy.tanh(by / by.std(ddof=1))))
        won = [*(generator.random(150) < chance).astype(float)]
        covered.append(holds(length_controlled(BothOrders([*map(str, range(150))], won, won, [*by], None), 0.95), 1 / (1 + numpy.exp(-level))))
    assert 0.93 <= numpy.mean(covered) <= 0.98


def test_the_curve_is_that_of_statsmodels():
    import statsmodels.api as sm
    both = both_orders(planted(400, truth=0.6, driven=0.2, longer=0.3, stretch=1.3, seed=4), "tuned-base")
    by = numpy.array(both.longer_by)
    design = sm.add_constant(numpy.tanh(by / by.std(ddof=1)))
    theirs = sm.GLM(numpy.array(both.scores), design, family=sm.families.Binomial()).fit(cov_type="HC1")
    ours = length_controlled(both, 0.95)
    ends = theirs.params[0] + scipy_stats.t.ppf([0.025, 0.5, 0.975], 398) * theirs.bse[0]
    assert [ours["low"], ours["estimate"], ours["high"]] == pytest.approx([*1 / (1 + numpy.exp(-ends))], abs=0.002)


def test_lengths_that_cannot_be_compared():
    one_sided = [row | {f"{'first' if row['first'] == 'tuned' else 'second'}_length": 900} for row in planted(60)]
    both = both_orders(one_sided, "tuned-base")
    assert "longer on every tweet" in str(length_controlled(both, 0.95)["estimate"]) and "only" in str(longer_preferred(both, 0.95)["estimate"])
    equal = both_orders([row | {"first_length": 80, "second_length": 80} for row in planted(60)], "tuned-base")
    assert length_controlled(equal, 0.95) == rate_of(equal.scores, 0.95)
    all_won = both_orders(planted(60, truth=1.0), "tuned-base")
    assert length_controlled(all_won, 0.95)["estimate"] == 1 and length_controlled(all_won, 0.95)["low"] < 1
    nearly = both_orders(planted(60, truth=0.97, seed=2), "tuned-base")
    row = length_controlled(nearly, 0.95)
    assert 0.9 < sum(nearly.scores) / 60 < 1 and 0 <= row["low"] < row["estimate"] < row["high"] <= 1


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 280), st.integers(1, 280)), min_size=1, max_size=40))
def test_swapping_the_arms_mirrors_every_rate(answers):
    rows = []
    for place, (one, other, mine, yours) in enumerate(answers):
        rows += [{"contrast": "tuned-base", "tweet_id": str(place), "first": "tuned", "second": "base", "first_length": mine, "second_length": yours, "both_ended": place % 2 == 0, "score_first": one},
                 {"contrast": "tuned-base", "tweet_id": str(place), "first": "base", "second": "tuned", "first_length": yours, "second_length": mine, "both_ended": place % 2 == 0, "score_first": 1 - other}]
    rates, turned = win_rates(rows, "tuned-base"), win_rates([row | {"contrast": "base-tuned"} for row in rows], "base-tuned")
    assert list(rates) == list(RATES)
    json.dumps(rates_as_json(rates), allow_nan=False)
    for name, row in rates.items():
        mirrored = name in ("adjusted", "conservative", "corrected", "length-controlled", "both ended")
        assert ("low" in row) == ("low" in turned[name]), name
        if "low" not in row: continue
        assert 0 <= row["low"] <= row["estimate"] + 1e-9 and row["estimate"] - 1e-9 <= row["high"] <= 1, name
        for end, mirror in (("estimate", "estimate"), ("low", "high"), ("high", "low")):
            assert row[end] == pytest.approx(1 - turned[name][mirror] if mirrored else turned[name][end], abs=1e-6), (name, end)


def test_stage_08_keeps_every_rate_and_decides_on_the_adjusted_one():
    sound = sound_example(120)
    rows = planted(120, truth=0.7, driven=0.4) + [row for row in sound.judgements if row["contrast"] == "null-base"]
    result = analyse(sound._replace(judgements=rows), StatsParams(resamples=100))
    assert set(result["rates"]) == set(result["habits"]) == {"tuned-base", "null-base"} and list(result["rates"]["tuned-base"]) == list(RATES)
    adjusted = result["rates"]["tuned-base"]["adjusted"]
    assert [adjusted[name] for name in ("estimate", "low", "high", "tweets")] == [result[name] for name in ("estimate", "low", "high", "n_tweets")]
    assert list(result["habits"]["tuned-base"]) == ["position"] and json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_report_shows_the_readings_and_the_warnings():
    run = sample_copy("08_stats")
    stats_stage(StatsParams(run=str(run.folder)))
    stats = json.loads((run / "stats.json").read_text())
    page = lambda: render(words_of(run, run.manifest(), ReportParams()), figures_of(run, run.manifest(), stats, ""))
    warned = stats["habits"][stats["contrast"]]
    assert "swap consistency" in page() and page().count("<p>Warning, ") == len(warned) and all(f"Warning, {name}:" in page() for name in warned)
    rows = [row | {"contrast": stats["contrast"]} for row in planted(120, driven=1.0)]
    stats |= {"rates": {stats["contrast"]: rates_as_json(win_rates(rows, stats["contrast"]))}, "habits": {stats["contrast"]: habit_warnings(rows, stats["contrast"])}}
    (run / "stats.json").write_text(json.dumps(stats))
    assert "Warning, position: the reply shown first scores 100%" in page() and "unavailable: every call may have followed a position" in page()
    (run / "stats.json").write_text(json.dumps({name: value for name, value in stats.items() if name not in ("rates", "habits")}))
    with pytest.raises(StageError, match="lacks rates, habits: an older stage 08"): page()


def test_rows_of_an_older_stage_07():
    old = [{name: row[name] for name in ("contrast", "tweet_id", "first", "second", "judge", "score_first", "probability", "unscored")} for row in planted(60)]
    rates = win_rates(old, "tuned-base")
    assert {name for name, row in rates.items() if "low" not in row} == {"length-controlled", "longer preferred", "both ended"}
    assert all("run it again" in str(rates[name]["estimate"]) for name in ("length-controlled", "longer preferred", "both ended"))


def test_only_replies_that_ended():
    rows = [row | {"both_ended": int(row["tweet_id"]) < 30} for row in planted(100)]
    found, (scores, _) = plain_rates(both_orders(rows, "tuned-base"), 0.95)["both ended"], tweet_scores(rows, "tuned-base")
    assert found["tweets"] == 30 and found["estimate"] == pytest.approx(numpy.mean([scores[str(place)] for place in range(30)]))
    assert "0 scored tweets" in str(win_rates([row | {"both_ended": False} for row in rows], "tuned-base")["both ended"]["estimate"])


# Through page 07: questions, answers, rows

PAIRS = list({row["tweet_id"]: Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")}.values())


class OfOneMind(Judge):
    "Says what it is told to, of two replies"

    name, kept = "of one mind", False

    def __init__(self, says): self.says = says

    def compare(self, tweet, first, second): return self.says(first, second)


def asked(says) -> list[dict]:
    said = lambda arm, pair: Generation(tweet_id=pair.tweet_id, arm=arm, reply=f"{arm}: {pair.reply if arm == 'base' else pair.tweet}")
    arms = {arm: {pair.tweet_id: [said(arm, pair)] for pair in PAIRS} for arm in ("tuned", "base")}
    return judgements(OfOneMind(says), Evidence(PAIRS, [], JudgeParams(contrasts=["tuned-base"]), arms))


@pytest.mark.parametrize("says, habit", [
    (lambda first, second: Verdict(winner="first"), "position"),
    (lambda first, second: Verdict(winner="first" if len(first) > len(second) else "second"), "length"),
    (lambda first, second: Verdict(winner="tie"), "constant"),
    (lambda first, second: Verdict(winner="first" if first.startswith("tuned") else "second"), "constant"),
    (lambda first, second: Verdict(winner=("first", "second")[sum(map(ord, first + "x" + second)) % 7 % 2]), "noise"),
    (lambda first, second: Unscored(reason="refused") if len(first) % 5 == 0 else Verdict(winner="first" if first > second else "second"), "refusals"),
    (lambda first, second: Unscored(reason="the answer is not one JSON object"), "broken form"),
])
def test_judges_that_answer_through_page_07(says, habit):
    rows = asked(says)
    assert len(rows) == 2 * len(PAIRS) and habit in habit_warnings(rows, "tuned-base")


def test_page_07_lets_a_missing_reply_lose_and_rates_it_not_at_all():
    arms = {arm: {PAIRS[0].tweet_id: [Generation(tweet_id=PAIRS[0].tweet_id, arm=arm, reply=reply, reason=None if reply else "empty")]} for arm, reply in (("tuned", "yes"), ("base", None))}
    rows = judgements(OfOneMind(None), Evidence(PAIRS, [], JudgeParams(contrasts=["tuned-base"]), arms))
    assert [(row["score_first"], row["decided_by"]) for row in rows] == [(1.0, "a missing reply"), (0.0, "a missing reply")]
    assert ratings(OfOneMind(None), Evidence(PAIRS, [], JudgeParams(), arms))[-1]["unscored"] == EMPTY


def test_answers_out_of_form_are_known_by_their_reasons():
    models, judge = pytest.importorskip("replytune.judge_models"), pytest.importorskip("replytune.judge")
    question = judge.Question("1", "a tweet", "one", "other")
    for text in ("", "Winner: A", "{}", '{"winner": "A"}', '{"reasoning": 1, "winner": "A"}', '{"reasoning": "", "winner": "C"}', '{"reasoning": "", "winner": "A"} {}'):
        assert FORM.search(models.read_answer(text, question).reason), text
    assert FORM.search(models.read_answer('{"reasoning": "", "score": 11}', question._replace(second=None)).reason)


@pytest.mark.parametrize("reason", ["refused", "the answer was cut off", "no answer", "a safety filter stopped it"])
def test_other_reasons_are_refusals(reason): assert not FORM.search(reason)


# Published by others: see published/README.md

def llmbar() -> list[dict]:
    return list(csv.DictReader((PUBLISHED / "llmbar_manual.csv").read_text().splitlines()))


def llmbar_rows(judge: str) -> list[dict]:
    "The output that people find better as `tuned`; it stands first where it is output 1 or the two are swapped"
    rows = []
    for item in llmbar():
        for swapped in (False, True):
            winner = item[f"{judge}_swapped" if swapped else judge]
            first = "tuned" if (item["better"] == "1") != swapped else "base"
            won = "tuned" if winner == item["better"] else "base"
            rows.append({"contrast": "tuned-base", "tweet_id": item["item"], "first": first, "second": "base" if first == "tuned" else "tuned", "judge": judge, "score_first": float(won == first), "unscored": None})
    return rows


@pytest.mark.parametrize("judge", ["gpt4", "chatgpt"])
def test_llmbar_accuracy_and_positional_agreement(judge):
    theirs, rates = json.loads((PUBLISHED / "llmbar_statistics.json").read_text())[judge], win_rates(llmbar_rows(judge), "tuned-base")
    assert rates["adjusted"]["estimate"] == pytest.approx(theirs["correct_average"]) and rates["adjusted"]["tweets"] == 46
    assert rates["swap consistency"]["estimate"] == pytest.approx(theirs["equal"] / 46)
    assert list(tweet_verdicts(llmbar_rows(judge), "tuned-base").values()).count("tuned") == theirs["correct_both"]
    one, other = ({item["item"]: item[name] for item in llmbar()} for name in (judge, f"{judge}_swapped"))
    better = {item["item"]: item["better"] for item in llmbar()}
    assert [agreement(said, better)["agree"] * 46 for said in (one, other)] == pytest.approx([theirs["correct_False"], theirs["correct_True"]])
    found = agreement(one, other)
    assert found["agree"] == pytest.approx(theirs["equal"] / 46) and found["kappa"] == pytest.approx(theirs["kappa_agreement"])


def test_llmbar_shows_the_habit_that_its_authors_found():
    assert list(habit_warnings(llmbar_rows("chatgpt"), "tuned-base")) == ["position"] and not habit_warnings(llmbar_rows("gpt4"), "tuned-base")


OTHER_ERRORS = {("alpaca_eval_gpt4", place) for place in (36, 48, 85)}  # the published standard error is not that of the published counts


def plain_error(found: dict, count: int) -> float:
    "Student's standard error, out of an interval that has half a tweet more"
    total, centre = count + 2 * ADDED, (found["low"] + found["high"]) / 2
    variance = ((found["high"] - found["low"]) / 2 / scipy_stats.t.ppf(0.975, count - 1)) ** 2 * (total - 1)
    own = ((variance + centre**2) * total - ADDED) / count - found["estimate"] ** 2
    return (own / (count - 1)) ** 0.5


def test_alpaca_eval_win_rates_and_standard_errors():
    boards = list(csv.DictReader((PUBLISHED / "alpaca_eval.csv").read_text().splitlines()))
    assert len(boards) == 180
    unlike = set()
    for row in boards:
        answers = [1.0] * int(row["wins"]) + [0.0] * int(row["losses"]) + [0.5] * int(row["draws"])
        rows = [{"contrast": "tuned-base", "tweet_id": str(place), "first": "tuned", "second": "base", "judge": row["judge"], "score_first": score} for place, score in enumerate(answers)]
        found = rate_of(list(tweet_scores(rows, "tuned-base")[0].values()), 0.95)
        assert 100 * found["estimate"] == pytest.approx(float(row["win_rate"]), abs=1e-6), row
        if len(set(answers)) == 1: continue  # the baseline against itself: 50 %, error 0
        error = 100 * plain_error(found, len(answers))
        if error != pytest.approx(float(row["standard_error"]), abs=1e-5): unlike.add((row["judge"], int(row["place"])))
    assert unlike == OTHER_ERRORS


# Agreement

@pytest.mark.parametrize("seed", range(20))
def test_kappa_and_its_interval_are_those_of_statsmodels(seed):
    generator, words = numpy.random.default_rng(seed), ["tuned", "base", "tie"][: 2 + seed % 2]
    one = {str(place): str(generator.choice(words)) for place in range(80)}
    other = {place: said if generator.random() < 0.6 else str(generator.choice(words)) for place, said in one.items()}
    theirs = cohens_kappa([[sum(one[place] == a and other[place] == b for place in one) for b in words] for a in words])
    ours = agreement(one, other)
    assert [ours["kappa"], ours["kappa, low"], ours["kappa, high"]] == pytest.approx([theirs.kappa, theirs.kappa_low, theirs.kappa_upp])


def test_known_tables():
    for table, kappa in (([[20, 5], [10, 15]], 0.4), ([[45, 15], [25, 15]], 0.1304347826), ([[25, 35], [5, 35]], 0.2592592593)):  # the textbook's, by hand
        pairs = [(a, b) for a in (0, 1) for b in (0, 1) for _ in range(table[a][b])]
        one, other = ({str(place): str(pair[side]) for place, pair in enumerate(pairs)} for side in (0, 1))
        assert agreement(one, other)["kappa"] == pytest.approx(kappa)


def test_several_questions_about_one_tweet_are_no_more_evidence():
    generator = numpy.random.default_rng(1)
    one = {str(place): str(generator.choice(["kept", "dropped"])) for place in range(100)}
    other = {place: said if generator.random() < 0.7 else "kept" for place, said in one.items()}
    twice = lambda said: said | {f"{place}b": word for place, word in said.items()}
    tweet_of = {name: name.rstrip("b") for name in twice(one)}
    single, double, blind = agreement(one, other), agreement(twice(one), twice(other), tweet_of), agreement(twice(one), twice(other))
    width = lambda row: row["kappa, high"] - row["kappa, low"]
    assert double["questions"] == 200 and double["kappa"] == pytest.approx(single["kappa"])
    assert width(double) == pytest.approx(width(single)) and width(blind) == pytest.approx(width(single) / 2**0.5)
    assert double["agree, low"] == pytest.approx(single["agree, low"])


def test_the_interval_of_kappa_covers():
    generator, covered = numpy.random.default_rng(2), []
    for _ in range(RUNS):  # both say a coin's side; in half of the cases the second copies: kappa is 0.5
        one = generator.integers(0, 2, 120)
        other = numpy.where(generator.random(120) < 0.5, one, generator.integers(0, 2, 120))
        row = agreement({str(place): str(said) for place, said in enumerate(one)}, {str(place): str(said) for place, said in enumerate(other)})
        covered.append(row["kappa, low"] <= 0.5 <= row["kappa, high"])
    assert 0.93 <= numpy.mean(covered) <= 0.97


def test_agreement_that_cannot_be_told():
    tie, mixed = dict.fromkeys("abcdef", "tie"), dict(zip("abcdef", ["tie", "tuned"] * 3))
    assert "luck" in str(agreement(tie, tie)["kappa"]) and agreement(tie, tie)["agree"] == 1
    assert agreement(tie, mixed)["kappa"] == 0 and isinstance(agreement(tie, mixed)["kappa, low"], Unavailable)
    assert agreement(mixed, mixed)["kappa"] == 1 and isinstance(agreement(mixed, mixed)["kappa, low"], Unavailable)
    assert "fewer than two" in str(agreement({"a": "tie"}, {"a": "tie"})["kappa"]) and agreement({"a": "tie"}, {"b": "tie"})["questions"] == 0
    assert "fewer than two" in str(agreement(tie, mixed, dict.fromkeys("abcdef", "1"))["agree"])


def test_verdicts_from_two_orders_and_from_scores():
    rows = planted(30, truth=0.5, driven=0.3, ties=0.2)
    found, (scores, _) = tweet_verdicts(rows, "tuned-base"), tweet_scores(rows, "tuned-base")
    assert all(found[id] == {1.0: "tuned", 0.0: "base"}.get(score, "tie") for id, score in scores.items()) and set(found.values()) == {"tuned", "base", "tie"}
    given = [("tuned", "1", 8), ("base", "1", 5), ("tuned", "2", 3), ("base", "2", 4), ("tuned", "3", 6), ("base", "3", 7), ("base", "3", 5), ("tuned", "4", 9), ("base", "4", None), ("rag", "5", 1)]
    rows = [{"arm": arm, "tweet_id": id, "score": score} for arm, id, score in given]
    assert score_verdicts(rows, "tuned-base") == {"1": "tuned", "2": "base", "3": "tie"}
