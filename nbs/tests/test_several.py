"""Several replies to a tweet, and tweets to which no reply was kept: what they add, and what they must not."""

import numpy
import pytest
from hypothesis import given, strategies as st

from replytune.schema import OpenTweet, Pair, StageError
from replytune.files import read_records, read_rows, sha256, to_lines, write_text
from replytune.run import sample_copy, sample_rows
from replytune.validate import ValidateParams, validate_stage
from replytune.clean import CleanParams, clean_stage
from replytune.split import OPEN, SplitParams, near_leaks, split_stage, test_tweets as tweets_of_the_test_split
from replytune.generate import GenerateParams, Generation, generate_stage
from replytune.judge import Evidence, Judge, JudgeParams, Verdict, by_tweet, comparisons, judge_stage, judgements, ratings
from replytune.bias import RATES, between_share, planted, sample_scores, tweet_scores, win_rates
from replytune.checks import sound_example, validity_checks
from replytune.train import TrainParams, train_stage
from replytune.vectors import Vectors
from replytune.forget import forget

PAGES = "00 03b 05 06 07 07d 07g 08"

TOY = dict(model="tiny-qwen3", tweets_max=3, max_new_tokens=8, arms=["base", "null", "rag", "human"])
PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]


class Longer(Judge):
    "Prefers the longer reply, at once and without a model"

    name, key, kept = "longer", "1", False

    def compare(self, tweet, first, second): return Verdict(winner="tie" if len(first) == len(second) else "first" if len(first) > len(second) else "second")


def rows_of(run, arm: str) -> list[Generation]: return read_records(run / f"generations/{arm}.jsonl", Generation)


def with_open_tweets(stage: str, count: int = 3):
    "A copy of the sample with tweets that nobody answered, signed as stage 03b would have"
    run = sample_copy(stage)
    rows = [OpenTweet(tweet_id=str(900 + n), tweet=f"Nobody answered question {n}. Why?", tweet_author=f"asks_{n}", split="test" if n else "dev", cluster=str(900 + n)) for n in range(count)]
    write_text(run / OPEN, to_lines([row.model_dump(mode="json") for row in rows]))
    section = run.manifest()["03b_split"]
    run.save_section("03b_split", section | {"wrote": section["wrote"] | {OPEN: sha256(run / OPEN)}})
    return run


# stage 05

def test_more_replies_leave_the_first_as_it_was_and_ask_only_for_the_new_ones():
    run = sample_copy("05_generate")
    generate_stage(GenerateParams(run=str(run.folder), **TOY))
    alone = {arm: rows_of(run, arm) for arm in TOY["arms"]}
    written = len(read_rows(run / "cache/replies.jsonl"))
    generate_stage(GenerateParams(run=str(run.folder), samples=3, arm_settings={"rag": {"samples": 2}}, **TOY))
    for arm, replies in (("base", 3), ("null", 3), ("rag", 2), ("human", 1)):
        rows = rows_of(run, arm)
        assert [row for row in rows if row.sample == 0] == alone[arm] and len(rows) == 3 * replies
        assert [(row.tweet_id, row.sample) for row in rows] == sorted(((row.tweet_id, row.sample) for row in rows), key=lambda each: (int(each[0]), each[1]))
    assert len(read_rows(run / "cache/replies.jsonl")) == written + 3 * (2 + 2 + 1)
    base = rows_of(run, "base")
    assert len({row.reply for row in base}) == 9 and len({row.prompt for row in base}) == 3


@pytest.mark.parametrize("settings, why", [({"samples": 2, "arm_settings": {"base": {"temperature": 0}}}, "at temperature 0 all samples are one"), ({"arm_settings": {"base": {"sample": 2}}}, "'sample' is unknown")])
def test_what_cannot_be_meant_is_refused(settings, why):
    run = sample_copy("05_generate")
    with pytest.raises(StageError, match=why): generate_stage(GenerateParams(run=str(run.folder), **TOY | settings))


# stage 07

@given(st.integers(1, 4), st.integers(1, 4))
def test_each_reply_is_compared_and_the_fewer_are_repeated(ours, theirs):
    say = lambda arm, count: {"7": [Generation(tweet_id="7", arm=arm, reply=f"{arm} {n}", sample=n) for n in range(count)]}
    arms = {"tuned": say("tuned", ours), "base": say("base", theirs)}
    rows = judgements(Longer(), Evidence([PAIRS[0].model_copy(update={"tweet_id": "7"})], [], JudgeParams(contrasts=["tuned-base"]), arms))
    assert len(rows) == 2 * max(ours, theirs) and {row["sample"] for row in rows} == set(range(max(ours, theirs)))
    assert tweet_scores(rows, "tuned-base") == ({"7": 1.0}, [])


def test_ratings_name_the_reply():
    arms = {"base": by_tweet([Generation(tweet_id=PAIRS[0].tweet_id, arm="base", reply=f"say {n}", sample=n) for n in range(2)])}
    assert [row["sample"] for row in ratings(Longer(), Evidence(PAIRS, [], JudgeParams(), arms))] == [0, 1]


@pytest.mark.parametrize("contrast, fine", [("base-human", True), ("human-base", True), ("tuned-base", False)])
def test_only_people_may_leave_a_tweet_out(contrast, fine):
    say = lambda arm, ids: by_tweet([Generation(tweet_id=id, arm=arm, reply="yes") for id in ids])
    arms = {"base": say("base", "12"), "human": say("human", "1"), "tuned": say("tuned", "2")}
    if fine: assert {row["tweet_id"] for row in comparisons([contrast], arms)} == {"1"}
    else:
        with pytest.raises(StageError, match="different tweets"): comparisons([contrast], arms)
    with pytest.raises(StageError, match="different tweets"): comparisons(["base-human"], arms | {"human": say("human", "13")})  # base must answer all


# readings

def doubled(rows: list[dict]) -> list[dict]: return [row | {"sample": n} for row in rows for n in (0, 1)]


@pytest.mark.parametrize("habits", [{}, {"driven": 0.3}, {"longer": 0.4}, {"ties": 0.3, "stretch": 1.5}])
def test_saying_everything_twice_says_nothing_new(habits):
    rows = planted(200, 0.6, seed=4, **habits)
    once, twice = win_rates(rows, "tuned-base"), win_rates(doubled(rows), "tuned-base")
    for name in RATES:
        assert once[name]["tweets"] == twice[name]["tweets"], name
        if "low" not in once[name]: continue
        assert once[name]["estimate"] == pytest.approx(twice[name]["estimate"], abs=1e-4), name
        width = [row["high"] - row["low"] for row in (once[name], twice[name])]
        assert width[1] == pytest.approx(width[0], rel=0.03), name


def test_replies_of_which_the_judge_left_one_unscored_are_averaged_without_it():
    rows = doubled(planted(30, 0.6, seed=4))
    rows[3] = rows[3] | {"score_first": None, "unscored": "refused"}  # the second order of the first tweet's second reply
    scores, unscored = tweet_scores(rows, "tuned-base")
    assert len(scores) == 30 and not unscored and len(sample_scores(rows, "tuned-base")[rows[3]["tweet_id"]]) == 1


def test_a_reply_that_is_judged_twice_is_named():
    rows = doubled(planted(5, 0.6))
    with pytest.raises(StageError, match="is judged twice"): tweet_scores([*rows, rows[-1]], "tuned-base")


@pytest.mark.parametrize("replies", [2, 5])
def test_the_share_between_tweets_is_that_of_an_analysis_of_variance(replies):
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm
    import pandas
    chance = numpy.random.default_rng(2)
    table = pandas.DataFrame([(str(n), m, float(chance.random() < base)) for n, base in enumerate(chance.beta(1, 1, 40)) for m in range(replies)], columns=["tweet", "sample", "score"])
    rows = [{"contrast": "tuned-base", "tweet_id": row.tweet, "sample": row.sample, "first": one, "second": other, "score_first": row.score if one == "tuned" else 1 - row.score}
            for row in table.itertuples() for one, other in (("tuned", "base"), ("base", "tuned"))]
    squares = anova_lm(ols("score ~ C(tweet)", table).fit())["mean_sq"]
    between, within = squares["C(tweet)"], squares["Residual"]
    found = between_share(rows, "tuned-base")
    assert found["estimate"] == pytest.approx((between - within) / (between + (replies - 1) * within), abs=1e-9) and found["low"] < found["estimate"] < found["high"]


def test_checks_look_at_every_reply():
    sound = sound_example()
    again = {arm: [row | {"sample": n} for row in rows for n in (0, 1)] for arm, rows in sound.replies.items()}
    twice = sound._replace(judgements=doubled(sound.judgements), replies=again)
    assert not any(validity_checks(twice).values())
    again["tuned"][1] = again["tuned"][1] | {"reply": "quite another text"}
    assert "texts that are not the arms' replies" in validity_checks(twice)["answers fit the replies"]


# tweets without a reply

def test_tweets_of_which_all_replies_were_turned_down_become_questions(tmp_path):
    "With a bound that few replies reach: the open tweets are new ones, far from all that is kept, and never in train"
    run = sample_copy("02_validate")
    validate_stage(ValidateParams(run=str(run.folder), reply_likes_min=45))
    clean_stage(CleanParams(run=str(run.folder)))
    split_stage(SplitParams(run=str(run.folder), test_share=0.3, dev_share=0.15, seed=17))
    found, kept = read_records(run / OPEN, OpenTweet), read_records(run / "clean.jsonl", Pair)
    assert len(found) >= 3 and {row.tweet_id for row in found}.isdisjoint(pair.tweet_id for pair in kept)
    reasons = {}
    for row in read_rows(run / "rejected.jsonl"): reasons.setdefault(row["pair"]["tweet_id"], []).extend(row["reasons"])
    assert not any(reason.startswith("tweet_") for row in found for reason in reasons[row.tweet_id])
    texts = [("tweet", row.tweet_id, row.tweet, "test") for row in found] + [("tweet", pair.tweet_id, pair.tweet, "train") for pair in {pair.tweet_id: pair for pair in kept}.values()]
    assert near_leaks(texts, Vectors(folder=run / "cache"), 0.9)[0] == []
    assert run.manifest()["03b_split"]["counts"]["open tweets"] == len(found) == len({row.cluster for row in found})


def test_an_open_tweet_is_asked_judged_and_counted_but_not_set_against_people():
    run = with_open_tweets("05_generate")
    generate_stage(GenerateParams(run=str(run.folder), open_max=5, **TOY))
    ids = {arm: {row.tweet_id for row in rows_of(run, arm)} for arm in TOY["arms"]}
    assert ids["base"] - ids["human"] == {"901", "902"} and ids["base"] == ids["null"] == ids["rag"]  # not the dev one
    train = {pair.reply_id: pair for pair in PAIRS if pair.split == "train"}
    assert all(set(row.neighbours) <= train.keys() and len(row.neighbours) == 3 for row in rows_of(run, "rag"))
    judge_stage(JudgeParams(run=str(run.folder), contrasts=["rag-base", "null-base", "human-base"], rate_arms=False, try_variants=False, resamples=100))
    rows = read_rows(run / "judgements.jsonl")
    asked = {contrast: {row["tweet_id"] for row in rows if row["contrast"] == contrast} for contrast in ("rag-base", "human-base")}
    assert asked["rag-base"] == ids["base"] and asked["human-base"] == ids["human"]


def test_open_tweets_belong_to_what_the_seal_names_and_one_more_is_another_split():
    rows = [OpenTweet(tweet_id=str(n), tweet="Why?", tweet_author="a", split="test", cluster=str(n)) for n in range(3)]
    assert len(tweets_of_the_test_split(rows)) == 3


def test_an_arm_that_answers_an_unknown_tweet_is_named():
    run = with_open_tweets("05_generate")
    generate_stage(GenerateParams(run=str(run.folder), **TOY | {"arms": ["base", "null", "human"]}))
    rows = rows_of(run, "base")
    write_text(run / "generations/base.jsonl", to_lines([rows[0].model_copy(update={"tweet_id": "5"}).model_dump(mode="json"), *(row.model_dump(mode="json") for row in rows[1:])]))
    section = run.manifest()["05_generate"]
    run.save_section("05_generate", section | {"wrote": section["wrote"] | {"generations/base.jsonl": sha256(run / "generations/base.jsonl")}})
    with pytest.raises(StageError, match="base answers tweet 5, of which reviewed.jsonl knows nothing"):
        judge_stage(JudgeParams(run=str(run.folder), contrasts=["null-base"], rate_arms=False, try_variants=False, resamples=100))


def test_who_asked_an_open_question_is_forgotten_with_its_answers():
    run = with_open_tweets("05_generate")
    generate_stage(GenerateParams(run=str(run.folder), open_max=5, **TOY))
    answer = forget(run.folder, "asks_1")
    assert answer["removed"][OPEN] == 1 and "asks_1" not in (run / OPEN).read_text()
    assert read_records(run / OPEN, OpenTweet)[-1].tweet_id == "902"


def test_training_answers_open_tweets_as_well():
    run = with_open_tweets("05_generate")
    generate_stage(GenerateParams(run=str(run.folder), open_max=5, **TOY | {"arms": ["base", "null", "tuned", "human"]}))
    train_stage(TrainParams(run=str(run.folder), max_steps=4))
    assert [(row.tweet_id, row.sample) for row in rows_of(run, "tuned")] == [(row.tweet_id, row.sample) for row in rows_of(run, "base")]
    assert {"901", "902"} <= {row.tweet_id for row in rows_of(run, "tuned")}
