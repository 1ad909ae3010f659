"""The ranker: 3,000 questions against one call for each text; what it finds where there is nothing (a thousand shuffles of the likes). The local judge on the sample's controls.

    python nbs/bench/bench_judge.py [speed] [shuffles] [local]      # all three without arguments; the last two take a quarter of an hour each
"""
import random
import sys
import time

from keeping import keep
from replytune.schema import Pair
from replytune.files import resolve
from replytune.run import SAMPLE_CACHE, sample_rows
from replytune.charts import progress
from replytune.vectors import Vectors
from replytune.judge import Evidence, JudgeParams, Question, answers_of, turned_down_for_likes
from replytune.judge_models import make_local
from replytune.ranker import Ranker, fit_liking, fold_of, make_ranker
from replytune.gate import accuracy_rows, control_rows, measures_engagement

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
TURNED_DOWN = turned_down_for_likes(sample_rows("rejected.jsonl"), PAIRS)
SHUFFLES = 1000


def three_thousand_questions(count: int = 500) -> list[Question]:
    "Three contrasts on invented tweets, in both orders; every text is new to the encoder"
    words, chance = sorted({word for pair in PAIRS for word in f"{pair.tweet} {pair.reply}".split()}), random.Random(1)
    said = lambda size: " ".join(chance.choices(words, k=size))
    asked = []
    for number in range(count):
        tweet, arms = said(30), [said(22) for _ in range(3)]
        for one, other in ((0, 1), (0, 2), (1, 2)): asked += [Question(str(number), tweet, arms[one], arms[other]), Question(str(number), tweet, arms[other], arms[one])]
    return asked


def speed():
    ranker, asked = make_ranker(JudgeParams(), PAIRS, resolve(SAMPLE_CACHE)), three_thousand_questions()
    fresh = lambda: Ranker(ranker.tastes, ranker.train, ranker.features, ranker.params)
    texts = list(dict.fromkeys(text for each in asked for text in each[1:]))
    started = time.perf_counter()
    ranker.features.vectors = Vectors()
    ranker.features.vectors.of(texts)
    encoding = time.perf_counter() - started
    started = time.perf_counter()
    answers_of(fresh(), asked)
    judging = time.perf_counter() - started
    few = three_thousand_questions(520)[3000:]
    ranker.features.vectors = Vectors()
    ranker.features.vectors.of(["warm"])
    alone, started = fresh(), time.perf_counter()
    for each in few:
        alone._known.clear()
        alone.compare(*each[1:])
    one_by_one = (time.perf_counter() - started) / len(few)
    keep("07b_ranker", "3 arms on 500 tweets, both orders, after encoding", judging, "s", f"{len(asked)} questions; encoding {len(texts)} texts, each once, took {encoding:.0f} s")
    keep("07b_ranker", "the same, against one text at a time", one_by_one * len(asked) / (judging + encoding), "times as fast", f"encoding counted; {len(few)} questions asked one by one in the same run")


def dealt_anew(pairs: list[Pair], seed: int) -> list[Pair]:
    chance, by_tweet, dealt = random.Random(seed), {}, {}
    for pair in pairs: by_tweet.setdefault(pair.tweet_id, []).append(pair)
    for same in by_tweet.values(): dealt |= dict(zip((pair.reply_id for pair in same), chance.sample([pair.reply_likes for pair in same], len(same))))
    return [pair.model_copy(update={"reply_likes": dealt[pair.reply_id]}) for pair in pairs]


def shuffles():
    "Likes dealt out anew inside each tweet; what is a sound reply is not learned from likes, and stays"
    from threadpoolctl import threadpool_limits
    params, known = JudgeParams(resamples=300), [pair for pair in [*PAIRS, *TURNED_DOWN] if pair.split != "test"]
    ranker = make_ranker(params, [*PAIRS, *TURNED_DOWN], resolve(SAMPLE_CACHE))
    found, called = [], 0
    with threadpool_limits(1):
        for seed in progress(range(SHUFFLES), "shuffles"):
            pairs = dealt_anew(known, seed)
            train = [pair for pair in pairs if pair.split == "train"]
            fold = fold_of([pair.cluster for pair in train])
            tastes = [
                taste._replace(liking=fit_liking([pair for pair in train if fold[pair.cluster] != blind], ranker.features, taste.people, params.like_ratio_min, params.pair_hours_max))
                for blind, taste in enumerate(ranker.tastes)
            ]
            rows = accuracy_rows(Ranker(tastes, train, ranker.features, params), Evidence(pairs, [], params))
            found.append(rows[0])
            called += measures_engagement(rows)[0]
    above = sum(row["low"] > 0.5 for row in found)
    mean = sum(row["accuracy"] for row in found) / len(found)
    keep("07f_gate", f"lower end above one half in {SHUFFLES} shuffles of the likes", 100 * above / len(found), "%", f"mean accuracy {mean:.3f} on {found[0]['pairs']} comparisons; 2.5 % is what the interval may cost")
    keep("07f_gate", f"called \"engagement\" in {SHUFFLES} shuffles of the likes", 100 * called / len(found), "%", "the rule asks for more than the lower end")


def local():
    given = Evidence(PAIRS, TURNED_DOWN, JudgeParams(judge="local", judge_model="smollm2"))
    judge, started = make_local(given.params, PAIRS, resolve(SAMPLE_CACHE)), time.perf_counter()
    judge.kept = False  # nothing to resume
    own = accuracy_rows(judge, given)[0]
    keep("07f_gate", "smollm2 on real likes: accuracy", own["accuracy"], "", f"{own['low']:.2f} to {own['high']:.2f} on {own['pairs']} pairs; prefers the first position in {own['first position preferred']:.0%}")
    judge.kept = True  # so that its favourite is looked for among few
    one_each = list({pair.tweet_id: pair for pair in PAIRS if pair.split != "test"}.values())[:40]
    rows = control_rows(judge, given._replace(pairs=one_each))
    for row in rows: keep("07f_gate", f"smollm2, people's reply against {row['control']}", row["human preferred"], "preferred", f"{row['low']:.2f} to {row['high']:.2f}; {'failed' if row['failed'] else 'passed'}")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    for name in sys.argv[1:] or ["speed", "shuffles", "local"]: globals()[name]()
