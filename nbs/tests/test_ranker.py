"""The ranker: what it learns from, what it has never seen, what cannot move it."""
import math
import random

import numpy
import pytest
from hypothesis import given, settings, strategies as st

from replytune.schema import Pair, StageError
from replytune.files import resolve
from replytune.run import SAMPLE_CACHE, sample_rows
from replytune.text import copy_key
from replytune.judge import Evidence, JudgeParams, Question
from replytune.ranker import (
    FOLDS, LOSERS, Features, fit_preference, fit_ranker, fit_scale, fold_of, form_features, make_ranker, outside, preference_pairs, scaled,
)
from replytune.gate import accuracy_rows, control_rows, measures_engagement

from samples import known_vectors

PAGES = "07b"
pytestmark = pytest.mark.usefixtures("sample_vectors")

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
TRAIN = [pair for pair in PAIRS if pair.split == "train"]


@pytest.fixture(scope="module")
def ranker(): return make_ranker(JudgeParams(), PAIRS, resolve(SAMPLE_CACHE))


def test_it_learns_from_the_train_split_only(ranker):
    with pytest.raises(StageError, match="train split only"): fit_ranker(PAIRS, known_vectors(), JudgeParams())
    assert {pair.split for pair in ranker.train} == {"train"}


def test_a_train_reply_is_rated_by_the_taste_that_has_not_seen_it(ranker):
    fold = fold_of([pair.cluster for pair in TRAIN])
    for pair in TRAIN[::40]:
        alone = ranker.tastes[fold[pair.cluster]].parts(ranker.features.of([(pair.tweet, pair.reply)]))[0]
        assert ranker.parts([(pair.tweet, pair.reply)])[0] == pytest.approx(alone)
        elsewhere = next(each for each in PAIRS if each.split == "test")
        copied = ranker.tastes[fold[pair.cluster]].parts(ranker.features.of([(elsewhere.tweet, pair.reply)]))[0]
        assert ranker.parts([(elsewhere.tweet, pair.reply.upper())])[0] == pytest.approx(  # a copy in other letters is one, too
            ranker.tastes[fold[pair.cluster]].parts(ranker.features.of([(elsewhere.tweet, pair.reply.upper())]))[0])
        assert ranker.parts([(elsewhere.tweet, pair.reply)])[0] == pytest.approx(copied)
    assert len(ranker.tastes) == FOLDS and copy_key(TRAIN[0].reply) in ranker.folds


def test_both_orders_agree_and_a_second_fit_forgets_the_first(ranker):
    tweet, one, other = PAIRS[0].tweet, PAIRS[0].reply, PAIRS[1].reply
    ahead, behind = ranker.compare(tweet, one, other), ranker.compare(tweet, other, one)
    assert ahead.probability == pytest.approx(1 - behind.probability, abs=1e-4) and {ahead.winner, behind.winner} in ({"first", "second"}, {"tie"})
    fresh = fit_ranker([pair for pair in TRAIN if pair.cluster != TRAIN[0].cluster], known_vectors(), JudgeParams())
    assert not fresh._known and fresh.parts([(tweet, one)])[0] != pytest.approx(ranker.parts([(tweet, one)])[0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("\u200b\u2060\ufeff\u00ad\U000e0041\u202e")), max_size=6))
def test_what_no_reader_sees_moves_nothing(hidden):
    text = PAIRS[0].reply
    for place, sign in hidden: text = text[:place] + sign + text[place:]
    features = Features([pair.tweet for pair in TRAIN[:20]], known_vectors())
    plain, seen = features.of([(PAIRS[0].tweet, PAIRS[0].reply)]), features.of([(PAIRS[0].tweet, text)])
    assert all(numpy.allclose(one, other, atol=1e-6) for one, other in zip(plain, seen))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_counts_of_any_text_are_finite(text):
    assert all(math.isfinite(value) for value in form_features(text))


def test_nothing_is_extrapolated():
    "However far out a feature lies, it counts as people's own extreme, and the distance counts against it"
    features = Features(list(dict.fromkeys(pair.tweet for pair in TRAIN)), known_vectors())
    people = features.of([(pair.tweet, pair.reply) for pair in TRAIN])
    scale = fit_scale(people)
    far = people._replace(form=people.form * 50 + 50, relation=people.relation + 50)
    view, known = scaled(far, scale), scaled(people, scale)
    assert (view.form.max(axis=0) <= known.form.max(axis=0) + 1e-9).all() and (view.relation.max(axis=0) <= known.relation.max(axis=0) + 1e-9).all()
    assert (outside(people, scale) == 0).all() and (outside(far, scale) > 5).all()


def pair_of(**more) -> Pair: return TRAIN[0].model_copy(update=more)


def test_a_fair_comparison():
    a, b = pair_of(reply_likes=50, reply_time_diff_seconds=1000, reply_author_followers=1000), pair_of(reply_likes=0, reply_time_diff_seconds=4000, reply_author_followers=300)
    assert preference_pairs([a, b], 2, 1, 4) == [(0, 1)]  # 50 likes against none
    for other in (b.model_copy(update={"reply_time_diff_seconds": 5000}), b.model_copy(update={"reply_author_followers": 200}), b.model_copy(update={"reply_likes": 26}),
                  b.model_copy(update={"reply_likes": None}), b.model_copy(update={"reply_time_diff_seconds": None}), b.model_copy(update={"reply_author_followers": None}),
                  b.model_copy(update={"tweet_id": "9"})):
        assert preference_pairs([a, other], 2, 1, 4) == []
    assert preference_pairs([pair_of(reply_likes=1), pair_of(reply_likes=0)], 2) == []  # one like says nothing
    assert preference_pairs([a, b.model_copy(update={"reply_time_diff_seconds": None})], 2) == [(0, 1)]


def test_a_crowded_thread_does_not_drown_the_others():
    "One thread of 2,000 comparisons says the contrary of forty threads with two each"
    chance = numpy.random.default_rng(1)
    small, crowd = chance.normal(1, 0.5, (80, 1)), chance.normal(-1, 0.5, (2000, 1))
    groups = [f"small {place // 2}" for place in range(80)] + ["crowd"] * 2000
    better = numpy.vstack([small, crowd])
    assert fit_preference(better, 0 * better, groups).weights[0] > 0


@pytest.mark.parametrize("seed", range(3))
def test_more_of_the_same_data_does_not_loosen_the_weights(seed):
    chance = numpy.random.default_rng(seed)
    better, worse = chance.normal(0.3, 1, (60, 5)), chance.normal(0, 1, (60, 5))
    groups = [str(place % 20) for place in range(60)]
    once = fit_preference(better, worse, groups)
    from replytune.ranker import _fit
    weights = numpy.ones(60)
    one, ten = _fit(better - worse, weights, 1.0), _fit(numpy.tile(better - worse, (10, 1)), numpy.ones(600), 1.0)
    assert one == pytest.approx(ten, abs=2e-3) and 0 <= once.accuracy <= 1


def test_too_few_comparisons_are_an_error_that_says_so():
    few = [pair.model_copy(update={"reply_likes": 10}) for pair in TRAIN]
    with pytest.raises(StageError, match="only 0 comparable train pairs"): fit_ranker(few, known_vectors(), JudgeParams())


def shuffled_likes(pairs: list[Pair], seed: int) -> list[Pair]:
    chance, by_tweet = random.Random(seed), {}
    for pair in pairs: by_tweet.setdefault(pair.tweet_id, []).append(pair)
    dealt = {}
    for same in by_tweet.values(): dealt |= dict(zip((pair.reply_id for pair in same), chance.sample([pair.reply_likes for pair in same], len(same))))
    return [pair.model_copy(update={"reply_likes": dealt[pair.reply_id]}) for pair in pairs]


def test_the_planted_signal_is_found_and_nothing_where_likes_are_shuffled(ranker):
    "A thousand shuffles are in bench_judge.py; here a few, on all comparisons however far apart in time"
    wide = JudgeParams(pair_hours_max=10_000, resamples=200)
    own = accuracy_rows(make_ranker(wide, PAIRS, resolve(SAMPLE_CACHE)), Evidence(PAIRS, [], wide))
    assert own[0]["low"] > 0.5 and own[0]["accuracy"] > 0.6 and abs(next(row for row in own if row["judge"] == "likes shuffled")["accuracy"] - 0.5) < 0.2
    found = []
    for seed in range(4):
        dealt = shuffled_likes(PAIRS, seed)
        found.append(accuracy_rows(make_ranker(wide, dealt, resolve(SAMPLE_CACHE)), Evidence(dealt, [], wide)))
    assert abs(numpy.mean([rows[0]["accuracy"] for rows in found]) - 0.5) < 0.1
    assert sum(measures_engagement(rows)[0] for rows in found) <= 1


def test_taught_and_kept_controls(ranker):
    rows = {row["control"]: row for row in control_rows(ranker, Evidence(PAIRS, [], JudgeParams(resamples=200)))}
    assert {name for name, row in rows.items() if row["taught"]} == set(LOSERS)
    assert {name for name, row in rows.items() if row["failed"]} <= {"its favourite with a word of the tweet"}  # what it is known to fail
    assert rows["its favourite, always"]["human preferred"] > 0.4 and rows["its words backwards"]["low"] > 0.5


def test_variants_answer_and_one_that_cannot_learn_says_why(ranker):
    found = ranker.variants()
    assert len(found) >= 5 and len({id(each) for each in found.values()}) == len(found)
    asked = [Question(pair.tweet_id, pair.tweet, pair.reply, PAIRS[0].reply) for pair in PAIRS[:5]]
    answered = {name: [answer.probability for _, answer in judge.answer_all(asked)] for name, judge in found.items() if not hasattr(judge, "reason")}
    assert len({tuple(each) for each in answered.values()}) > 1
    assert all("comparable train pairs" in each.reason for each in found.values() if hasattr(each, "reason"))


def test_what_never_varies_here_may_vary_elsewhere():
    "No reply of the sample has a quotation mark; one that has is not for that beyond everything"
    features = Features(list(dict.fromkeys(pair.tweet for pair in TRAIN)), known_vectors())
    scale = fit_scale(features.of([(pair.tweet, pair.reply) for pair in TRAIN]))
    plain = TRAIN[0].reply
    with_quotes = plain.replace(plain.split()[3], f'"{plain.split()[3]}"', 1)
    assert outside(features.of([(TRAIN[0].tweet, with_quotes)]), scale)[0] <= 2 / 0.5 + 1


def test_a_train_reply_with_a_small_change_is_rated_by_tastes_that_have_not_seen_it():
    ranker = make_ranker(JudgeParams(), PAIRS, resolve(SAMPLE_CACHE))
    train = [pair for pair in PAIRS if pair.split == "train" and len(pair.reply.split()) >= 8][:40]
    for pair in train:
        words = pair.reply.split()
        changed = [" ".join([*words[:4], "verily", *words[5:]]), pair.reply.upper(), pair.reply.rstrip(".") + " !", " ".join(words[:-1])]
        assert {ranker.fold_of_text(text) for text in changed} == {ranker.folds[copy_key(pair.reply)]}, pair.reply
    assert ranker.fold_of_text("A sentence about cheese that nobody in the sample has ever written down.") is None


def test_two_train_replies_under_another_tweet_are_compared_alike_in_both_orders(ranker):
    "Each is known to another fold, so no taste is blind to both; which one it is must not depend on what stands first"
    dev, chance = [pair for pair in PAIRS if pair.split == "dev"], random.Random(3)
    for pair in dev[:15]:
        one, other = (each.reply for each in chance.sample(TRAIN, 2))
        ahead, behind = ranker.compare(pair.tweet, one, other), ranker.compare(pair.tweet, other, one)
        assert ahead.probability == pytest.approx(1 - behind.probability, abs=1e-4)


@pytest.mark.parametrize("text", ["", "🔥🔥", "?!", "cheesemonger"])
def test_a_text_of_no_or_one_word_is_like_no_train_text(ranker, text): assert ranker.fold_of_text(text) is None
