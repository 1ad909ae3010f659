"""Cleaning changes nothing that is said, near copies are found exactly, and ten ways to leak are all caught."""
import json
import random
import re
import unicodedata

import numpy
import pytest
from hypothesis import given, settings, strategies as st

from replytune.text import copy_key
from replytune.vectors import NearPairs, Vectors, components, near_blocks, near_pairs
from replytune.clean import CleanParams, cap_authors, clean, clean_stage, keep_best, normalize_text, quality
from replytune.split import EARLIER, SplitParams, assign_splits, audit_split, audit_with, earlier_pairs, not_collected_again, quotations, split_pairs, split_stage, tweet_clusters
from replytune.review import ReviewParams, review_stage
from replytune.schema import Pair, ParameterError, StageError
from replytune.files import read_rows, resolve, sha256, to_lines, write_text
from replytune.run import Run, sample_copy, sample_rows, why_run

from samples import known_vectors

PAGES = "03 03b 00g"
pytestmark = pytest.mark.usefixtures("sample_vectors")

PAIRS = [Pair.model_validate(row) for row in sample_rows("clean.jsonl")]
TRAIN = next(pair for pair in PAIRS if pair.split == "train")
TEST = next(pair for pair in PAIRS if pair.split == "test" and pair.reply_author != TRAIN.reply_author)


@pytest.fixture(scope="module")
def vectors(sample_vectors): return known_vectors()


def clean_and_split(pairs: list[Pair], params: SplitParams, vectors: Vectors, earlier: list[Pair] = []) -> list[Pair]:
    "What both stages make of pairs, in memory"
    return split_pairs(clean(pairs, CleanParams(), vectors)[0], params, vectors, 0.9, earlier)[0]


# repairing

WORDS = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("aaooo   \u200b\u200d\ufeff\n\t0011..!!#@👩💻🏽ſİ")), max_size=80)


@settings(max_examples=800, deadline=None)
@given(WORDS)
def test_tidy_is_idempotent_and_keeps_digits_and_punctuation(text):
    once = normalize_text(text)
    assert normalize_text(once) == once
    composed = unicodedata.normalize("NFC", text)
    kept = lambda some: [char for char in some if unicodedata.category(char)[0] in "NPS" and not unicodedata.category(char) == "Cf"]
    assert kept(once) == kept(composed)
    letters = lambda some: re.sub(r"([^\W\d_])\1{3,}", r"\1\1\1", re.sub(r"\s", "", "".join(char for char in some if unicodedata.category(char)[0] == "L")))
    assert letters(once) == letters("".join(letters(composed)))


@pytest.mark.parametrize("text", ["1000 to 10000 users, $5,000, port 8000, www.x.com", "wait... what?!! #BuildInPublic 👩‍💻 👍🏽", "NO. Never - ever; a/b C++ 1.0.0", "¯\\_(ツ)_/¯", "straße İstanbul naïve 東京"])
def test_what_people_write_stays(text): assert normalize_text(text) == text


@pytest.mark.parametrize("text", ["Add an AAAA record", "yyyy-MM-dd HH:mm:ss.SSSS", "yyyyMMdd and MMMM", "0xFFFF and 0xffffffff", "color: #ffffaa, not #aaaaaa", "ask @heeeeey or see #wooooow", "deaaaad beef, file_xxxxy", "IIIIII", "v1aaaa", "send AAAAAAAAAAAAAAAA (16 bytes)", "AKIAXXXXXXXXXXXX", "sk-xxxxxxxxxxxx", "example.aaaargh"])
def test_what_only_looks_drawn_out_stays(text): assert normalize_text(text) == text


@pytest.mark.parametrize("text, plain", [("Sooooo good", "Sooo good"), ("YESSSSS!", "YESSS!"), ("Hmmmmm, noooo", "Hmmm, nooo"), ("a" * 90, "aaa"), ("see: waaaait", "see: waaait"), ("wait...sooooo", "wait...sooo"), ("one\n\n\n  two", "one\ntwo")])
def test_what_is_drawn_out_is_shortened(text, plain): assert normalize_text(text) == plain and normalize_text(plain) == plain


# copies

def test_blocks_give_what_a_plain_loop_gives():
    generator = numpy.random.default_rng(3)
    vectors = generator.normal(size=(300, 16)).astype("float32")
    vectors[200:260] = vectors[:60] + generator.normal(scale=0.2, size=(60, 16))
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
    loop = {(one, other) for one in range(300) for other in range(one + 1, 300) if float(vectors[one] @ vectors[other]) > 0.9}
    for block in (1, 7, 64, 1024): assert {pair[:2] for pair in near_pairs(vectors, 0.9, block)} == loop != set()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30).flatmap(lambda count: st.tuples(st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=40))), st.integers(1, 5))
def test_components_are_those_of_networkx(case, size):
    import networkx
    count, edges = case
    graph = networkx.Graph()
    graph.add_nodes_from(range(count)), graph.add_edges_from(edges)
    expected = {node: min(group) for group in networkx.connected_components(graph) for node in group}
    blocks = [tuple(zip(*edges[start : start + size])) for start in range(0, len(edges), size)]
    assert components(count, blocks) == components(count, edges) == [expected[node] for node in range(count)]


def test_the_best_liked_stays_and_every_other_names_it(vectors):
    texts = [TRAIN.reply, "Honestly: " + TRAIN.reply, TRAIN.reply + " Truly."]
    pairs = [TRAIN.model_copy(update={"reply_id": str(number), "reply": text, "reply_likes": likes}) for number, (text, likes) in enumerate(zip(texts, (9, 40, None)), 1)]
    rows = vectors.of(texts)
    kept, dropped = keep_best(pairs, components(3, near_blocks(rows, 0.9)), "near", rows)
    assert [pair.reply_id for pair in kept] == ["2"] and {row["keeper"] for row in dropped} == {"2"}
    assert [row["similarity"] for row in dropped] == [round(float(rows[place] @ rows[1]), 3) for place in (0, 2)]


def test_the_author_cap_keeps_the_highest_quality():
    pairs = [TRAIN.model_copy(update={"reply_id": str(number), "reply_likes": number}) for number in range(10, 30)]
    kept, dropped = cap_authors(pairs, 10)
    assert sorted(pair.reply_likes for pair in kept) == list(range(20, 30)) and len(dropped) == 10
    late, early = (TRAIN.model_copy(update={"reply_time_diff_seconds": seconds}) for seconds in (86_400, 300))
    assert quality(late) > quality(early)


def test_a_text_is_encoded_once(tmp_path, monkeypatch):
    import replytune.vectors as module
    encoded = []
    real = module.embed
    monkeypatch.setattr(module, "embed", lambda texts, model: encoded.extend(texts) or real(texts, model))
    first = Vectors("minilm", tmp_path).of(["one text", "another", "one text"])
    assert encoded == ["one text", "another"]
    again = Vectors("minilm", tmp_path)
    assert (again.of(["another", "one text"]) == first[[1, 0]]).all() and len(encoded) == 2 and again.model is None
    with open(again.keys.with_suffix(".f32"), "ab") as file: file.write(b"\x00" * 700)  # killed between the vectors and their hashes
    third = Vectors("minilm", tmp_path)
    assert (third.of(["one text", "a third"])[0] == first[0]).all() and (Vectors("minilm", tmp_path).of(["a third"]) == third.of(["a third"])).all()


# the split

@pytest.mark.parametrize("seed", range(4))
def test_more_data_never_moves_an_old_group(seed, vectors):
    generator = numpy.random.default_rng(seed)
    tweets = sorted({pair.tweet_id for pair in PAIRS})
    few = set(generator.choice(tweets, size=len(tweets) // 2, replace=False))
    params = SplitParams(seed=seed, test_share=0.3, dev_share=0.2)
    some, every = assign_splits([pair for pair in PAIRS if pair.tweet_id in few], params, vectors, 0.9)[0], assign_splits(PAIRS, params, vectors, 0.9)[0]
    cluster, split = {pair.tweet_id: pair.cluster for pair in every}, {pair.tweet_id: pair.split for pair in every}
    same = [pair for pair in some if pair.cluster == cluster[pair.tweet_id]]
    assert all(pair.split == split[pair.tweet_id] for pair in same) and len(same) > 0.9 * len(some) and len(set(split.values())) == 3
    assert {pair.tweet_id: pair.split for pair in assign_splits(every[::-1], params, vectors, 0.9)[0]} == split  # nor does the order of the file


def test_the_bound_can_be_moved_without_comparing_again(vectors):
    texts = sorted({pair.reply for pair in PAIRS} | {"Honestly: " + pair.reply for pair in PAIRS[:30]} | {pair.reply + " I think so too, at least most days." for pair in PAIRS[:30]})
    rows = vectors.of(texts)
    near = NearPairs(rows, 0.6)
    for bound in (0.6, 0.8, 0.9, 0.97): assert near.rethreshold(bound) == components(len(texts), near_pairs(rows, bound))
    pairs = near.borderline(0.9, 4)
    assert len(pairs) == 8 and [cosine for *_, cosine in pairs] == sorted((cosine for *_, cosine in pairs), reverse=True)
    with pytest.raises(StageError, match="below the floor"): near.rethreshold(0.5)
    with pytest.raises(StageError, match="repeat one another"): NearPairs(rows, 0.1, most=100)


def test_a_later_copy_of_a_tweet_joins_the_split_of_the_older(vectors):
    later = TEST.model_copy(update={"tweet_id": str(int(TEST.tweet_id) + 10**15), "reply_id": str(int(TEST.reply_id) + 10**15), "reply": "Something else entirely about the weather in Lisbon this week."})
    assert len(set(tweet_clusters([TEST, later], vectors, 0.9).values())) == 1 and tweet_clusters([TEST, later], vectors, 0.9)[later.tweet_id] == TEST.tweet_id


def test_authors_can_be_isolated():
    run = sample_copy("03b_split")
    split_stage(SplitParams(run=str(run.folder), test_share=0.3, dev_share=0.15, seed=17, isolate_authors=True))
    rows, audit = read_rows(run / "clean.jsonl"), json.loads((run / "split_audit.json").read_text())
    test = {row["reply_author"].lower() for row in rows if row["split"] == "test"}
    assert not test & {row["reply_author"].lower() for row in rows if row["split"] != "test"} and audit["test authors in other splits"] == 0
    assert Run(run.folder).manifest()["03b_split"]["counts"]["test_author"] == len(read_rows(run / "left_out.jsonl")) > 0


# ten ways to leak: a pair of train is changed so that it gives a test pair away

OTHER = {"reply": "Nothing of this kind was ever said about the harbour at night.", "tweet": "A tweet about the harbour at night and its many small boats."}
TWEET = {"tweet_id": str(int(TEST.tweet_id) + 1), "tweet": TEST.tweet, "reply": OTHER["reply"]}
LEAKS = {
    "the same tweet in two splits": {"tweet_id": TEST.tweet_id, "tweet": TEST.tweet, "reply": OTHER["reply"]},
    "the same tweet under two ids": TWEET,
    "a tweet collected again with other counts": TWEET | {"tweet_likes": 1999, "tweet_retweets": 400},
    "a tweet in other case and spacing": TWEET | {"tweet": f"  {TEST.tweet.upper()}  "},
    "a tweet with invisible characters": TWEET | {"tweet": "\u200b".join(TEST.tweet)},
    "a tweet posted again with a word in front": TWEET | {"tweet": "Again: " + TEST.tweet},
    "a tweet that quotes the other whole": TWEET | {"tweet": f"I have thought about this for weeks and I still cannot make up my mind whether I agree, so here it is once more for all of you: “{TEST.tweet}” What would you do? I asked my sister and my plumber as well."},
    "a reply that is a copy": OTHER | {"tweet_id": "77", "reply": TEST.reply},
    "a reply with a word in front": OTHER | {"tweet_id": "77", "reply": "Honestly: " + TEST.reply},
    "a reply that quotes the test tweet": OTHER | {"tweet_id": "77", "reply": f"Somebody asked me yesterday, on the train of all places: {TEST.tweet} I had no answer ready then."},
    "a reply that quotes the other reply": OTHER | {"tweet_id": "77", "reply": f"There is a saying in my old team that nobody could ever place, it goes like this, roughly: {TEST.reply} I still wonder who said it first and why it stuck."},
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_caught(name, vectors):
    assert audit_split([TRAIN, TEST], vectors, 0.9)["leaks"] == []
    assert audit_split([TRAIN.model_copy(update=LEAKS[name]), TEST], vectors, 0.9)["leaks"], name


@pytest.mark.parametrize("name", LEAKS)
def test_cleaning_leaves_no_such_leak(name, vectors):
    spoiled = [pair.model_copy(update={"split": None, "cluster": None}) for pair in [*PAIRS[:80], TEST, TRAIN.model_copy(update={"reply_id": "99", "reply_author": "spy"} | LEAKS[name])]]
    for seed in range(4):
        kept = clean_and_split(spoiled, SplitParams(seed=seed, test_share=0.4, dev_share=0.2), vectors)
        assert audit_split(kept, vectors, 0.9)["leaks"] == []


def test_a_shared_author_is_a_leak_when_authors_are_to_be_apart(vectors):
    shared = TRAIN.model_copy(update={"reply_author": TEST.reply_author.upper()})
    assert audit_split([shared, TEST], vectors, 0.9)["leaks"] == [] and audit_split([shared, TEST], vectors, 0.9)["test authors in other splits"] == 1
    assert "author" in audit_split([shared, TEST], vectors, 0.9, isolate_authors=True)["leaks"][0]


def test_an_edit_that_makes_a_leak_stops_the_review(tmp_path):
    run = sample_copy("04_review")
    decisions = read_rows(resolve("nbs/sample/reviews/written_rules.jsonl"))
    victim = next(pair for pair in PAIRS if pair.split == "train" and len(pair.reply) < 250)
    row = next(row for row in decisions if row["reply_id"] == victim.reply_id)
    edited = [other if other is not row else row | {"decision": "edit", "text": TEST.reply + " Yes."} for other in decisions]
    write_text(tmp_path / "written_rules.jsonl", to_lines(edited))
    with pytest.raises(StageError, match="an edit makes the split leak"): review_stage(ReviewParams(run=str(run.folder), decisions=[str(tmp_path / "written_rules.jsonl")]))
    assert "04_review" not in Run(run.folder).manifest()


def test_quotations_are_whole_texts_only():
    long = "the quick brown fox jumps over the lazy dog and then sleeps for a very long while"
    assert quotations([long, f"He said: {long}!", long[:60], "short", "it is short"]) == [(0, 1), (2, 0), (2, 1)]


def test_quotations_group_as_every_two_texts_would():
    "Equal texts are paired with one of them only: the groups must be those of comparing each with each, and no two splits may hide in one"
    dice = random.Random(5)
    parts = ["we measured the same query twice on the old cluster", "and then we cut the whole cache layer out", "one", "two", "three", "nobody missed it, not once"]
    texts = [" ".join(dice.choice(parts) for _ in range(dice.randint(1, 4))) for _ in range(150)]
    keys = [copy_key(text) for text in texts]
    every = [(one, other) for one in range(150) for other in range(150) if one != other and len(keys[one]) >= 40 and keys[one] in keys[other]]
    assert components(150, quotations(texts)) == components(150, every) and 0 < len(quotations(texts)) < len(every)
    splits = [dice.choice(["train", "test"]) for _ in texts]
    assert any(splits[one] != splits[other] for one, other in every) and any(splits[one] != splits[other] for one, other in quotations(texts))
    start = "every launch thread of this week begins with the very same words, namely "
    assert len(quotations([f"{start}{number:05}" for number in range(20_000)] + [f"{start}00007"] * 5000)) == 5000


# what a hostile reader found

BOLD = str.maketrans({chr(ord("a") + number): chr(0x1D5EE + number) for number in range(26)})
CYRILLIC = str.maketrans("aceopxyi", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456")
LONG = "Every team I have been on had one person who knew why the build was slow and nobody ever asked them about it"


def two_tweets(first: dict, second: dict) -> list[Pair]:
    return [PAIRS[0].model_copy(update={"tweet_id": "1", "reply_id": "11", "split": None, "reply": "We asked ours in the end, over lunch, and it took ten minutes."} | first),
            PAIRS[0].model_copy(update={"tweet_id": "2", "reply_id": "12", "split": None, "reply": "Read the book, then write three small tools with it."} | second)]


HIDDEN = {
    "a reply near another tweet": two_tweets({"tweet": "My garden tomatoes are finally ripe", "reply": "What's the best way to learn Rust in 2024?"}, {"tweet": "What is the best way to learn Rust in 2024?"}),
    "a quotation with another link": two_tweets({"tweet": f"{LONG} https://t.co/abc"}, {"tweet": f"I say this every week, in every single meeting, and people nod, and nothing happens afterwards, so once more for those in the back row who did not hear it: {LONG} https://t.co/xyz Anyway. What do you do about it, where you are?"}),
    "a reply in mathematical letters": two_tweets({"tweet": "One tweet about slow builds", "reply": LONG}, {"tweet": "Gardens in May", "reply": LONG.translate(BOLD)}),
    "a reply in letters of another alphabet": two_tweets({"tweet": "One tweet about slow builds", "reply": LONG}, {"tweet": "Gardens in May", "reply": LONG.translate(CYRILLIC)}),
    "one tweet with two texts": [*two_tweets({"tweet": "My garden tomatoes are finally ripe"}, {"tweet": LONG}), two_tweets({"tweet": LONG, "reply_id": "13", "reply": "A third voice says that lunch is not the place for it."}, {})[0]],
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_leak_is_caught_and_cleaned_away(name, vectors):
    apart = [pair.model_copy(update={"split": "train" if pair.tweet_id == "1" else "test"}) for pair in HIDDEN[name]]
    assert audit_split(apart, vectors, 0.9)["leaks"], name
    for seed in range(8):
        kept = clean_and_split(HIDDEN[name], SplitParams(seed=seed, test_share=0.5, dev_share=0.2), vectors)
        assert audit_split(kept, vectors, 0.9)["leaks"] == []


def test_older_tweets_keep_the_splits_of_an_earlier_run(vectors):
    params = SplitParams(seed=3, test_share=0.3, dev_share=0.2)
    old = [pair.model_copy(update={"split": None, "cluster": None}) for pair in PAIRS]
    before = {pair.tweet_id: pair.split for pair in assign_splits(old, params, vectors, 0.9)[0]}
    train, test = (next(pair for pair in assign_splits(old, params, vectors, 0.9)[0] if pair.split == split and len(pair.tweet) < 140) for split in ("train", "test"))
    reposts = [pair.model_copy(update={"tweet_id": str(int(pair.tweet_id) - 10**17), "reply_id": str(int(pair.reply_id) - 10**17), "reply": " ".join(reversed(pair.reply.split()))}) for pair in old[::9]]
    bridge = train.model_copy(update={"tweet_id": "5", "reply_id": "6", "tweet": f"{train.tweet} And, on another day: {test.tweet}", "reply": "Both of these again, I see, one after the other."})
    moved = {pair.tweet_id: pair.split for pair in assign_splits(old + reposts, params, vectors, 0.9)[0]}
    assert any(moved[id] != split for id, split in before.items()), "without the earlier run an older repost moves a group"
    first = assign_splits(old, params, vectors, 0.9)[0]
    kept, dropped = assign_splits(old + reposts + [bridge], params.model_copy(update={"splits_from": "earlier"}), vectors, 0.9, first)
    after = {pair.tweet_id: pair.split for pair in kept}
    assert all(after[id] == split for id, split in before.items()) and [pair.tweet_id for pair in dropped] == ["5"] and audit_split(kept, vectors, 0.9)["leaks"] == []
    quoting = train.model_copy(update={"reply_id": "8", "reply": f"{test.reply} As somebody said elsewhere."})  # a new reply under an old tweet
    kept, dropped = assign_splits(old + [quoting], params, vectors, 0.9, first)
    assert [pair.reply_id for pair in dropped] == ["8"] and {pair.tweet_id: pair.split for pair in kept} == before
    assert "8" not in {pair.reply_id for pair in assign_splits([*old, quoting], params, vectors, 0.9, [pair for pair in first if pair.tweet_id != train.tweet_id] + [train])[0]}
    with pytest.raises(StageError, match="as similarity_max 0.9, encoder minilm and this version of the code see them"):
        assign_splits(old, params, vectors, 0.9, [pair.model_copy(update={"tweet": train.tweet}) if pair.tweet_id == test.tweet_id else pair for pair in first])


def test_texts_of_an_earlier_run_that_were_not_collected_again_keep_their_split(vectors):
    "An old training tweet under a new id, and an old training reply that somebody posted again and that was liked more"
    params = SplitParams(seed=3, test_share=0.3, dev_share=0.2)
    first = assign_splits([pair.model_copy(update={"split": None, "cluster": None}) for pair in PAIRS], params, vectors, 0.9)[0]
    train = [pair for pair in first if pair.split == "train"][:12]
    again = [pair.model_copy(update={"tweet_id": str(10 + number), "reply_id": str(100 + number), "reply": " ".join(reversed(pair.reply.split()))}) for number, pair in enumerate(train)]
    stolen = [pair.model_copy(update={"tweet_id": str(30 + number), "reply_id": str(300 + number), "tweet": " ".join(reversed(pair.tweet.split())), "reply_likes": 499}) for number, pair in enumerate(train)]
    for fresh in (again, stolen):
        fresh = [pair.model_copy(update={"split": None, "cluster": None}) for pair in fresh]
        alone, followed = clean_and_split(fresh, params, vectors), clean_and_split(fresh, params, vectors, first)
        assert {pair.split for pair in alone} != {"train"} and followed and {pair.split for pair in followed} == {"train"}
        assert audit_with(alone, not_collected_again(alone, first), vectors, 0.9)["leaks"] and not audit_with(followed, not_collected_again(followed, first), vectors, 0.9)["leaks"]


def test_only_the_reply_that_joins_two_splits_is_left_out(vectors):
    params = SplitParams(seed=3, test_share=0.3, dev_share=0.2)
    old = [pair.model_copy(update={"split": None, "cluster": None}) for pair in PAIRS]
    first = assign_splits(old, params, vectors, 0.9)[0]
    train, test = (next(pair for pair in first if pair.split == split) for split in ("train", "test"))
    innocent = [post.model_copy(update={"reply_id": str(70 + number), "reply": f"An honest new thought about {number} {word}, and nobody had it before this morning."}) for number, (post, word) in enumerate([(train, "gardens"), (test, "trains"), (test, "bridges")])]
    joining = train.model_copy(update={"reply_id": "80", "reply": f"{test.reply} As somebody said elsewhere."})
    kept, dropped = assign_splits([*old, *innocent, joining], params, vectors, 0.9, first)
    assert [pair.reply_id for pair in dropped] == ["80"] and {"70", "71", "72"} <= {pair.reply_id for pair in kept}


def test_a_third_run_knows_the_first(tmp_path):
    "The second run collected none of the first one's pairs; the third one reposts its training tweets"
    older = read_rows(resolve("nbs/results/sample/clean.jsonl"))
    train = [row for row in older if row["split"] == "train"]
    runs = [sample_copy("03_clean") for _ in range(2)]
    valid = read_rows(runs[0] / "valid.jsonl")
    tweets = {row["tweet_id"] for row in train[:60]}
    fresh = [row | {"tweet_id": str(int(row["tweet_id"]) + 10**17), "reply_id": str(int(row["reply_id"]) + 10**17)} for row in valid if row["tweet_id"] not in tweets]
    reposts = [row | {"tweet_id": str(9000 + number), "reply_id": str(90_000 + number), "reply": " ".join(reversed(row["reply"].split()))} for number, row in enumerate(train[:60])]
    followed = ["nbs/results/sample/clean.jsonl", str(runs[0] / "clean.jsonl")]
    for run, rows, before in zip(runs, (fresh, fresh + reposts), followed):
        write_text(run / "valid.jsonl", to_lines(rows))
        section = run.manifest()["02_validate"]
        run.save_section("02_validate", section | {"wrote": section["wrote"] | {"valid.jsonl": sha256(run / "valid.jsonl")}})
        clean_stage(CleanParams(run=str(run.folder)))
        split_stage(SplitParams(run=str(run.folder), test_share=0.3, dev_share=0.15, splits_from=before))
    ours = [row for row in read_rows(runs[1] / "clean.jsonl") if row["tweet_id"].startswith("90") and len(row["tweet_id"]) == 4]
    assert len(ours) > 20 and {row["split"] for row in ours} == {"train"}
    assert any(path.endswith(EARLIER) for path in runs[1].manifest()["03b_split"]["sources"])


def test_a_file_without_splits_is_no_earlier_run(tmp_path):
    with pytest.raises(StageError, match=r"valid\.jsonl:1 has split None, not train, dev or test"): earlier_pairs(resolve("nbs/results/sample/valid.jsonl"))


def test_the_stage_reads_the_earlier_splits():
    run = sample_copy("03b_split")
    earlier = resolve("nbs/results/sample/clean.jsonl")
    split_stage(SplitParams(run=str(run.folder), test_share=0.2, dev_share=0.2, seed=99, splits_from="nbs/results/sample/clean.jsonl"))
    splits = {row["tweet_id"]: row["split"] for row in read_rows(earlier)}
    assert all(splits[row["tweet_id"]] == row["split"] for row in read_rows(run / "clean.jsonl"))
    assert "nbs/results/sample/clean.jsonl" in str(Run(run.folder).manifest()["03b_split"]["sources"])


# two stages, one bound

def test_the_split_takes_bound_and_encoder_from_the_cleaning_and_is_stale_when_they_change():
    run = sample_copy("03b_split")
    section = run.manifest()["03_clean"]
    with pytest.raises(ParameterError, match="`similarity_max` is unknown"): SplitParams.read({"similarity_max": 0.8})
    params = SplitParams(run=str(run.folder), test_share=0.3, dev_share=0.15, seed=17)
    split_stage(params)
    assert run.manifest()["03b_split"]["took"] == {"03_clean": {"similarity_max": 0.9, "encoder": "minilm"}} and why_run(run, "03b_split", params) is None
    run.save_section("03_clean", section | {"parameters": section["parameters"] | {"similarity_max": 0.95}})
    assert why_run(run, "03b_split", params) == "similarity_max of 03_clean changed"
    split_stage(params)
    assert json.loads((run / "split_audit.json").read_text())["bound"] == 0.95 and why_run(run, "03b_split", params) is None


def test_a_run_of_an_older_version_is_refused_with_the_stage_to_go_back_to():
    "There stage 03 cleaned and split, and wrote clean.jsonl"
    run = sample_copy("04_review")
    manifest = run.manifest()
    before = manifest["03_clean"] | {"wrote": {name: used for name, used in manifest["03b_split"]["wrote"].items() if name != "left_out.jsonl"} | {"duplicates.jsonl": manifest["03_clean"]["wrote"]["duplicates.jsonl"]}}
    run.save_section("03_clean", before), run.save_section("03b_split", None)
    (run / "deduplicated.jsonl").unlink(), (run / "left_out.jsonl").unlink()
    with pytest.raises(StageError, match=r"clean.jsonl was written by 03_clean, where an older version did what 03b_split does now; .*FROM=03\)"):
        review_stage(ReviewParams(run=str(run.folder), decisions=[]))
    with pytest.raises(StageError, match=r"deduplicated.jsonl was not written by the last run of 03_clean; run stage 03_clean again \(FROM=03\)"): split_stage(SplitParams(run=str(run.folder)))
    clean_stage(CleanParams(run=str(run.folder)))
    split_stage(SplitParams(run=str(run.folder), test_share=0.3, dev_share=0.15, seed=17))
    assert (run / "clean.jsonl").read_bytes() == resolve("nbs/results/sample/clean.jsonl").read_bytes() and run.writer("clean.jsonl") == "03b_split"


def test_texts_that_only_look_alike_to_a_key():
    assert copy_key("🔥🔥🔥") != copy_key("👏") and copy_key("grew 1.5%") != copy_key("grew 15%") and copy_key("Measure, first!") == copy_key("measure first")
    assert normalize_text("one\rtwo\x0bthree") == "one\ntwo\nthree" and normalize_text("e\u200b\u0301") == normalize_text(normalize_text("e\u200b\u0301")) == "é"
    assert NearPairs(numpy.zeros((0, 4), "float32")).borderline(0.9) == []
