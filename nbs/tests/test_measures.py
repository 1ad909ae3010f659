"""The measures against rouge-score, sacrebleu, scipy and definitions written once more; what is missing; losses against the model's own."""
import json
import math
import random

import numpy
import pytest
import sacrebleu
from hypothesis import given, settings, strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU
from scipy import stats as scipy_stats

from replytune.generate import Generation
from replytune.learned import adapter_losses, gains_chart, learned_of, learned_sentence, loss_measures, other_tweets, reply_ids, reply_losses, tweet_losses
from replytune.measures import (
    MEASURES, ArmTexts, Estimate, MeasureParams, arms_of, bootstrap, compression, common_opening, copied_parts, distinct, estimates,
    jackknife, mean_cosine, measures_json, measures_of_run, overlap, overlap_metric, panel, panel_chart, rate, rouge, self_bleu, vendi, words,
)
from replytune.models import Precision, load_model, load_tokenizer, load_tuned
from replytune.run import sample_copy, sample_rows
from replytune.schema import Pair, StageError, Unavailable, best_first, replies_file
from replytune.train import training_row

PAGES = "05b 05e"

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
TEST = [pair for pair in PAIRS if pair.split == "test"]
MADE = {arm: [Generation.model_validate(row) for row in sample_rows(replies_file(arm))] for arm in ("base", "tuned", "human")}
PLAIN = Precision("none", "float32")
WORDS = st.lists(st.sampled_from("the cache was down and it is dns again not".split()), max_size=12)
close = lambda value: pytest.approx(value, rel=1e-9, abs=1e-12)


# overlap, against the packages that everybody quotes

SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"])


def theirs(reply: str, reference: str) -> list[float]:
    return [score.fmeasure for score in SCORER.score(reference, reply).values()]


@pytest.mark.parametrize("place", range(0, 120, 7))
def test_rouge_is_rouge_score_on_english(place):
    one, other = PAIRS[place].reply, PAIRS[place + 1].reply
    assert list(rouge(one, other).values()) == close(theirs(one, other))


@given(WORDS, WORDS)
def test_rouge_is_rouge_score_on_any_repetition(one, other):
    assert list(rouge(" ".join(one), " ".join(other)).values()) == close(theirs(" ".join(one), " ".join(other)))


def test_rouge_reads_other_alphabets_and_rouge_score_does_not():
    text = "Это всегда кэш"
    assert set(rouge(text, text).values()) == {1.0} and set(theirs(text, text)) == {0.0}


def texts_of(arm: str, **named) -> ArmTexts: return arms_of({name: MADE[name] for name in {arm, "human"}}, PAIRS, **named)[arm]


@pytest.mark.parametrize("name, function", [("BLEU", sacrebleu.corpus_bleu), ("chrF", sacrebleu.corpus_chrf)])
def test_corpus_scores_are_sacrebleus(name, function):
    arm = texts_of("tuned")
    most = max(map(len, arm.references.values()))
    columns = [[(arm.references[id] + [None] * most)[place] for id in arm.ids] for place in range(most)]
    found, wanted = overlap(name, arm), function(arm.texts, columns).score
    assert found.value == close(wanted) and found.low < wanted < found.high and found.tweets == 31
    metric = type(overlap_metric(name))()
    again = metric.corpus_score(arm.texts, columns, n_bootstrap=1000)
    assert (found.high - found.low) / 2 == pytest.approx(again._ci, rel=0.2)  # its own draws, another seed


def test_the_best_reference_counts_and_the_human_reply_is_not_its_own():
    arm = texts_of("human")
    scores = [max(theirs(reply, other)[0] for other in arm.references[id]) for id, reply in zip(arm.ids, arm.texts)]
    assert overlap("ROUGE-1", arm).value == close(numpy.mean(scores))
    assert all(reply not in arm.references[id] for id, reply in zip(arm.ids, arm.texts))


# diversity, against definitions

@settings(max_examples=60)
@given(st.lists(WORDS, min_size=2, max_size=7))
def test_self_bleu_is_sacrebleus_mean(texts):
    metric = BLEU(tokenize="none", effective_order=True)
    joined = [" ".join(text) for text in texts]
    scores = [metric.sentence_score(text, joined[:place] + joined[place + 1:]).score for place, text in enumerate(joined)]
    assert self_bleu(texts) == close(numpy.mean(scores))


def unit(count: int, dimensions: int, seed: int = 1):
    vectors = numpy.random.default_rng(seed).normal(size=(count, dimensions)).astype("float32")
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("count, dimensions", [(9, 40), (40, 9), (30, 30)])
def test_closed_forms_are_their_definitions(count, dimensions):
    vectors = unit(count, dimensions)
    cosines = (vectors @ vectors.T).astype("float64")
    shares = numpy.linalg.eigvalsh(cosines / count)
    shares = shares[shares > 1e-9]
    assert vendi(vectors) == pytest.approx(math.exp(-(shares * numpy.log(shares)).sum()), rel=1e-4)
    assert mean_cosine(vectors) == pytest.approx(cosines[~numpy.eye(count, dtype=bool)].mean(), abs=1e-6)


def test_the_ends_of_every_scale():
    same, different = numpy.repeat(unit(1, 8), 5, 0), numpy.eye(8)
    assert vendi(same) == pytest.approx(1) and vendi(different) == pytest.approx(8)
    assert mean_cosine(same) == pytest.approx(1) and mean_cosine(different) == pytest.approx(0)
    alike, apart = [["a", "b", "c"]] * 4, [[str(n), str(n + 10), str(n + 20)] for n in range(4)]
    assert distinct(alike, 2) == 2 / 8 and distinct(apart, 2) == 1
    assert self_bleu(alike) == pytest.approx(100) and self_bleu(apart) == 0
    assert common_opening(alike) == [True] * 4 and sum(common_opening(apart)) == 1 and common_opening([["a"]]) == [False]
    assert compression(["same old story"] * 400) > 50 > 1.2 > compression(["q8Zt1"])


# intervals

def test_the_bootstrap_is_scipys():
    values = numpy.random.default_rng(4).exponential(2, 50)
    found = bootstrap(lambda weights: weights @ values / weights.sum(1), 50, MeasureParams(resamples=4000))
    wanted = scipy_stats.bootstrap((values,), numpy.mean, n_resamples=4000, method="percentile", rng=3).confidence_interval
    assert [found.low, found.high] == pytest.approx([wanted.low, wanted.high], rel=0.03) and found.value == close(values.mean())


@pytest.mark.parametrize("count", [10, 32, 33, 64, 320])
def test_the_jackknife_of_a_mean_is_the_textbooks(count):
    values = numpy.random.default_rng(count).normal(size=count)
    found = jackknife(lambda places: float(values[places].mean()), count)
    groups = [values[group::min(32, count)].mean() for group in range(min(32, count))]
    if count % len(groups) == 0:
        t = scipy_stats.t.ppf(0.975, len(groups) - 1)
        assert found.high - found.value == pytest.approx(t * numpy.std(groups, ddof=1) / len(groups) ** 0.5)
    assert found.high - found.value == pytest.approx(found.value - found.low)


def test_the_jackknife_holds_the_truth_where_the_bootstrap_cannot():
    chance, vocabulary = numpy.random.default_rng(9), [f"w{n}" for n in range(300)]
    weights = 1 / numpy.arange(1, 301)
    draw = lambda: [list(chance.choice(vocabulary, 15, p=weights / weights.sum())) for _ in range(40)]
    truth = numpy.mean([distinct(draw(), 2) for _ in range(500)])
    held, below = 0, 0
    for _ in range(100):
        texts = draw()
        found = jackknife(lambda places, texts=texts: distinct([texts[place] for place in places], 2), 40)
        held += found.low <= truth <= found.high
        below += distinct([texts[place] for place in chance.integers(40, size=40)], 2) < distinct(texts, 2)
    assert held >= 90 and below == 100


def test_a_rate_is_wilsons():
    for hits, count in ((0, 31), (3, 31), (31, 31)):
        found = rate([True] * hits + [False] * (count - hits))
        wanted = scipy_stats.binomtest(hits, count).proportion_ci(0.95, "wilson")
        assert [found.low, found.high] == pytest.approx([wanted.low, wanted.high], abs=1e-9) and found.value == hits / count


# several replies to a tweet

def several(arm: str, spread: int = 3) -> list[Generation]:
    "Replies of the arm, dealt so that each tweet has as many: its own and those of the next ones"
    rows = MADE[arm]
    return [rows[(place + step) % len(rows)].model_copy(update={"tweet_id": row.tweet_id}) for place, row in enumerate(rows) for step in range(spread)]


def test_every_row_counts_and_the_tweet_is_what_is_drawn():
    many, one = arms_of(MADE | {"base": several("base")}, PAIRS)["base"], texts_of("base")
    assert len(many.texts) == 93 and many.rounds().shape == (3, 31) and len(set(many.rounds().ravel().tolist())) == 93
    found = {name: MEASURES[name].estimate(many) for name in MEASURES}
    assert all(each.tweets == 31 for each in found.values() if isinstance(each, Estimate))
    for round, name in ((0, "distinct-2"), (0, "self-BLEU")):  # each round holds every reply once, under other tweets: nothing changes
        assert found[name].value == pytest.approx(MEASURES[name].estimate(one).value, rel=1e-9)
    scores = numpy.array([[max(theirs(many.texts[place], other)[0] for other in many.references[many.ids[place]]) for place in each] for each in many.rounds()])
    wanted = scipy_stats.bootstrap((scores.mean(0),), numpy.mean, n_resamples=4000, method="percentile", rng=3).confidence_interval
    assert found["ROUGE-1"].value == close(scores.mean()) and [found["ROUGE-1"].low, found["ROUGE-1"].high] == pytest.approx([wanted.low, wanted.high], rel=0.05)


def test_a_sample_holds_tweets_with_all_their_replies():
    many = arms_of({"base": several("base"), "human": MADE["human"]}, PAIRS, params=MeasureParams(sample=10))["base"]
    few = many.rounds(10)
    assert few.shape == (3, 10) and all(len({many.ids[place] for place in column}) == 1 for column in few.T)


def test_a_tweet_with_fewer_replies_gives_them_again():
    rows = [row for place, row in enumerate(several("base")) if place not in (1, 2)]
    arm = arms_of({"base": rows, "human": MADE["human"]}, PAIRS)["base"]
    assert arm.rounds().shape == (3, 31) and set(arm.rounds()[:, 0].tolist()) == {0} and len(arm.texts) == 91


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_a_rate_over_several_replies_holds_the_truth(alike):
    "31 tweets, five replies each, of which as many as are alike share their luck: the interval over rows does not hold, this one does"
    chance, held, naive = numpy.random.default_rng(8), 0, 0
    ids = [str(tweet) for tweet in range(31) for _ in range(5)]
    for _ in range(400):
        own, shared = chance.random((31, 5)) < 0.3, numpy.repeat(chance.random((31, 1)) < 0.3, 5, 1)
        flags = numpy.where(chance.random((31, 5)) < alike, shared, own).ravel().tolist()
        held += (found := rate(flags, ids=ids)).low <= 0.3 <= found.high
        naive += (rows := rate(flags)).low <= 0.3 <= rows.high
        assert found.value == rows.value and found.tweets == 31 and found.high - found.low >= rows.high - rows.low - 1e-12
    assert held >= 0.92 * 400 and (alike < 1 or naive < 0.75 * 400)


# accidents

@pytest.mark.parametrize("name, reply, happened", [
    ("refusal", "I'm sorry, but I can't help with that.", True),
    ("refusal", "As a large language model, I do not have outages.", True),
    ("refusal", "I’m unable to generate a reply.", True),
    ("refusal", "I can't even.", False),
    ("refusal", "Sorry to hear that! I cannot wait for Monday.", False),
    ("copy of the tweet", "RT: what did your worst outage ever teach you about people, I ask", True),
    ("copy of the tweet", "My worst outage taught me humility.", False),
    ("copy of a train reply", "THIS", True),
    ("copy of a train reply", "This is another.", False),
    ("prompt echo", "<tweet>It was DNS.", True),
    ("prompt echo", "It was <b>DNS</b>.", False),
    ("empty", None, True),
    ("empty", "No.", False),
    ("thought aloud", "No.", False),
])
def test_an_accident_is_seen_and_no_other(name, reply, happened):
    row = Generation(tweet_id="1", arm="base", reply=reply, reason=None if reply else "empty")
    arm = ArmTexts([row], {"1": "What did your worst outage ever teach you about people?"}, {}, ["This.", "It is always the cache"])
    assert MEASURES[name].estimate(arm).value == happened


@pytest.mark.parametrize("given", [{"reply": "No.", "repairs": ["thought"]}, {"reply": None, "reason": "the thought was cut off"}])
def test_thinking_aloud_is_seen_in_repairs_and_reasons(given):
    arm = ArmTexts([Generation(tweet_id="1", arm="base", **given)], {"1": "Why?"}, {}, [])
    assert MEASURES["thought aloud"].estimate(arm).value == 1


def test_a_copy_is_a_run_of_so_many_words():
    one = copied_parts(["a b c d e f g h"], 4)
    assert one.isdisjoint(copied_parts(["a b c x e f g y"], 4)) and not one.isdisjoint(copied_parts(["x c d e f"], 4))


# what is missing

def test_a_tweet_that_is_no_pair_is_named():
    found = panel(arms_of({arm: [row.model_copy(update={"tweet_id": f"9{row.tweet_id}"}) for row in rows] for arm, rows in MADE.items()}, PAIRS)["base"])
    assert found["copy of the tweet"].reason == "31 tweets are not among the pairs" and isinstance(found["distinct-1"], Estimate)
    apart = MADE | {"tuned": [row.model_copy(update={"tweet_id": f"9{row.tweet_id}"}) for row in MADE["tuned"]]}
    nothing = panel(arms_of(apart, PAIRS, vectors=Encoderless())["base"])
    assert nothing["Vendi"].reason == "0 tweets; an interval needs 10" and isinstance(nothing["refusal"], Estimate)


class Encoderless:
    def of(self, texts): raise StageError("encoder 'minilm' needs a package")


def test_without_an_encoder_the_reason_stands_in_the_place():
    found = panel(arms_of(MADE, PAIRS, Encoderless())["base"])
    assert found["Vendi"].reason == found["mean cosine"].reason == "encoder 'minilm' needs a package" and isinstance(found["chrF"], Estimate)


def test_what_cannot_be_computed_says_why():
    few = {arm: rows[:4] for arm, rows in MADE.items()}
    found = panel(arms_of(few, PAIRS)["base"])
    assert "interval needs" in found["ROUGE-1"].reason and "interval needs" in found["distinct-2"].reason
    assert found["Vendi"].reason == "there are no vectors" and isinstance(found["empty"], Estimate)
    alone = ArmTexts(MADE["base"], {row.tweet_id: "?" for row in MADE["base"]}, {}, [])
    assert "second human reply" in panel(alone)["BLEU"].reason
    nothing = [Generation(tweet_id=row.tweet_id, arm="base", reply=None, reason="empty") for row in MADE["base"]]
    silent = panel(arms_of({"base": nothing, "human": MADE["human"]}, PAIRS)["base"])
    assert silent["empty"].value == 1 and all(isinstance(silent[name], Unavailable) for name in ("chrF", "self-BLEU", "opening share"))
    shortest = ArmTexts([row.model_copy(update={"reply": "🎉"}) for row in MADE["base"]], alone.tweets, {}, [])
    assert "too short" in panel(shortest)["distinct-1"].reason
    with pytest.raises(ValueError, match="human"): panel_chart({"base": silent})
    assert json.loads(json.dumps(measures_json(silent)))["chrF"] == {"unavailable": silent["chrF"].reason}


def test_arms_are_measured_on_the_same_tweets():
    gone = [row.model_copy(update={"reply": None}) if place < 5 else row for place, row in enumerate(MADE["tuned"])]
    arms = arms_of(MADE | {"tuned": gone}, PAIRS)
    assert {len(arm.texts) for arm in arms.values()} == {26} and MEASURES["empty"].estimate(arms["tuned"]).value == 5 / 31


def test_the_order_of_rows_does_not_matter():
    shuffled = random.Random(1).sample(MADE["base"], 31)
    assert panel(texts_of("base")) == panel(arms_of({"base": shuffled, "human": MADE["human"]}, PAIRS[::-1])["base"])


# losses

@pytest.mark.parametrize("name", ["tiny-qwen3", "smollm2"])
def test_what_is_asked_about_is_what_was_trained_on(name):
    tokenizer = load_tokenizer(name)
    for pair in PAIRS[::9]:
        prompt, reply = reply_ids(tokenizer, pair.tweet, pair.reply)
        assert training_row(tokenizer, pair.tweet, pair.reply) == {"input_ids": prompt + reply, "labels": [-100] * len(prompt) + reply}


@pytest.fixture(scope="module")
def toy(): return load_model("tiny-qwen3", PLAIN), load_tokenizer("tiny-qwen3")


def test_losses_are_the_models_own_whatever_the_batch(toy):
    import torch
    asked = [(pair.tweet, pair.reply) for pair in TEST[:9]] + [("Why?", "No."), ("Why? " * 60, "No. " * 40)]
    found = reply_losses(*toy, asked, batch_size=4)
    for (tweet, reply), (loss, tokens) in zip(asked, found):
        row = {name: torch.tensor([ids]) for name, ids in training_row(toy[1], tweet, reply).items()}
        with torch.no_grad(): own = float(toy[0](**row).loss)
        assert loss / tokens == pytest.approx(own, rel=1e-5) and tokens == int((row["labels"] != -100).sum())
    assert [loss for loss, _ in reply_losses(*toy, asked, batch_size=1)] == pytest.approx([loss for loss, _ in found], rel=1e-5)
    assert reply_losses(*toy, []) == []


def test_another_tweet_is_of_another_cluster_and_always_the_same():
    found, cluster = other_tweets(TEST), {pair.tweet: pair.cluster for pair in TEST}
    own = {pair.tweet_id: pair.cluster for pair in TEST}
    assert all(cluster[tweet] != own[id] for id, tweet in found.items()) and found == other_tweets(TEST[::-1])
    assert len(set(found.values())) >= len(found) - 2
    lopsided = [pair.model_copy(update={"cluster": "one"}) for pair in TEST[:-5]] + TEST[-5:]
    cluster |= {pair.tweet: pair.cluster for pair in lopsided}
    assert all(cluster[tweet] != pair.cluster for pair in lopsided for tweet in [other_tweets(lopsided)[pair.tweet_id]])
    with pytest.raises(ValueError, match="another cluster"): other_tweets([pair.model_copy(update={"cluster": None}) for pair in TEST])


def test_a_tweet_is_the_sum_of_its_replies(toy):
    others, found = other_tweets(TEST[:40]), {row["tweet_id"]: row for row in tweet_losses(*toy, TEST[:40])}
    assert {id for id in found} == {pair.tweet_id for pair in TEST[:40]} and max(row["tokens"] for row in found.values()) > 60
    for id, row in found.items():
        replies = [(pair.tweet, pair.reply) for pair in TEST[:40] if pair.tweet_id == id]
        own, other = reply_losses(*toy, replies), reply_losses(*toy, [(others[id], reply) for _, reply in replies])
        assert [row["own"], row["other"]] == pytest.approx([sum(loss for loss, _ in own), sum(loss for loss, _ in other)], rel=1e-5)
        assert row["tokens"] == sum(tokens for _, tokens in own)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    "A LoRA adapter on the toy that changes what it says"
    import torch
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(3)
    model = get_peft_model(load_model("tiny-qwen3", PLAIN), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    return folder


def test_base_is_the_model_with_its_adapter_off(toy, adapter):
    tuned = load_tuned("tiny-qwen3", PLAIN, adapter)
    losses = adapter_losses(tuned, toy[1], TEST[:60])
    assert losses["base"] == tweet_losses(*toy, TEST[:60]) and losses["tuned"] == tweet_losses(tuned, toy[1], TEST[:60])
    assert losses["base"] != losses["tuned"] and set(adapter_losses(*toy, TEST[:60])) == {"base"}


def test_gains_are_sums_over_tweets_divided_once():
    chance = numpy.random.default_rng(6)
    draw = lambda: [{"tweet_id": str(n), "tokens": 10 + n, "own": chance.gamma(50), "other": chance.gamma(60)} for n in range(30)]
    losses = {"base": draw(), "tuned": draw()}
    found, tokens = loss_measures(losses), sum(row["tokens"] for row in losses["base"])
    total = lambda arm, which: sum(row[which] for row in losses[arm]) / tokens
    assert found["gained"].value == close(total("base", "own") - total("tuned", "own"))
    assert found["perplexity, tuned"].value == close(math.exp(total("tuned", "own")))
    assert found["what the tweet tells base"].value == close(total("base", "other") - total("base", "own"))
    assert found["gained"].value == close(found["gained with any tweet"].value + found["gained about the tweet"].value)
    dead = loss_measures({"base": losses["base"], "tuned": losses["base"]})
    assert dead["gained"][:3] == (0, 0, 0), "paired by tweet: an adapter that does nothing gains exactly nothing"
    lonely = loss_measures({"base": losses["base"]})
    assert "tuned" in lonely["gained"].reason and isinstance(lonely["perplexity, base"], Estimate)
    assert all("interval needs" in each.reason for each in loss_measures({arm: rows[:5] for arm, rows in losses.items()}).values())


def test_what_was_learned_of_a_run(toy, adapter):
    load = lambda: load_tuned("tiny-qwen3", PLAIN, adapter)
    found = learned_of(load, toy[1], TEST, MeasureParams(seed=3, batch_size=7))
    ranked = sorted(TEST, key=best_first)
    best = [pair for place, pair in enumerate(ranked) if [each.tweet_id for each in ranked[:place]].count(pair.tweet_id) < 2]
    wanted = loss_measures(adapter_losses(load(), toy[1], best, 7), MeasureParams(seed=3))
    for name, each in estimates(found["losses"]).items(): assert each == pytest.approx(wanted[name], rel=1e-4, abs=1e-6), name
    assert json.loads(json.dumps(found, allow_nan=False)) == found and found["losses"]["gained"]["value"] != 0
    assert (found["tweets"], found["replies"], found["parameters"]["seed"]) == (31, len(best), 3) and 31 < len(best) <= 62
    texts = json.dumps(found)
    assert not any(pair.tweet_id in texts or pair.reply in texts for pair in TEST)


def test_nothing_is_loaded_for_what_cannot_be_measured(toy):
    few = learned_of(lambda: 1 / 0, toy[1], TEST[:9])
    one = learned_of(lambda: 1 / 0, toy[1], [pair.model_copy(update={"cluster": "one"}) for pair in TEST])
    assert {found["unavailable"] for found in few["losses"].values()} == {f"{few['tweets']} tweets; an interval needs 10"}
    assert all("another cluster" in found["unavailable"] for found in one["losses"].values()) and few["losses"].keys() == one["losses"].keys()
    assert "an interval needs 10" in learned_sentence(few) and gains_chart(estimates(few["losses"])).alt == ""


@pytest.mark.parametrize("gained, about, said", [
    ((0.81, 0.7, 0.9), (0.01, -0.01, 0.03), "register, not relevance"), ((0.81, 0.7, 0.9), (0.3, 0.1, 0.5), "it learned something about the tweets"),
    ((0.81, 0.7, 0.9), (0.1, -0.1, 0.3), "31 tweets cannot tell"), ((0.01, -0.1, 0.1), (0.0, -0.1, 0.1), "at all is not shown"), ((0.81, 0.7, 0.9), (-0.3, -0.4, -0.2), "register, not relevance")])
def test_the_sentence_says_what_the_numbers_do(gained, about, said):
    losses = measures_json({"gained": Estimate(*gained, 31), "gained about the tweet": Estimate(*about, 31)})
    sentence = learned_sentence({"losses": losses, "replies": 138, "parameters": {"confidence": 0.9}})
    assert said in sentence and "90% intervals" in sentence and f"{gained[0]:.2f} ({gained[1]:.2f} to {gained[2]:.2f})" in sentence


def test_a_run_of_single_replies_has_no_signature():
    run, best = sample_copy("07_judge"), {pair.tweet_id: pair for pair in PAIRS}
    (run / "reviewed.jsonl").write_text("".join(pair.model_dump_json() + "\n" for pair in best.values()))
    found = measures_of_run(run, None)
    assert found["signatures"] == {} and "second human reply" in found["arms"]["tuned"]["chrF"]["unavailable"]
    assert found["arms"]["base"]["Vendi"] == {"unavailable": "there are no vectors"} and json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found["blind"]) == set(found["arms"]["human"])


def test_words_are_letters_and_digits(): assert words("Don't @me, 3 times_over — ÜBER!") == ["don", "t", "me", "3", "times", "over", "über"]
