"""The panel on 10,000 texts: time and memory; how often the intervals of both kinds hold the truth.

    python nbs/bench/bench_measures.py        # about two minutes
"""
import resource
import time

import numpy

from keeping import keep
from replytune.files import read_json, resolve
from replytune.generate import Generation
from replytune.measures import MEASURES, ArmTexts, Estimate, MeasureParams, bootstrap, distinct, jackknife, panel, words
from replytune.run import sample_rows

TEXTS, DIMENSIONS = 10_000, 384
REPLIES = [row["reply"] for row in sample_rows("reviewed.jsonl")]
VOCABULARY = [word for reply in REPLIES for word in words(reply)]  # as often as people say them


class Stored:
    "Random unit vectors in place of an encoder, which is timed elsewhere"

    def of(self, texts: list[str]):
        vectors = numpy.random.default_rng(2).normal(size=(len(texts), DIMENSIONS)).astype("float32")
        return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def drawn_texts(count: int, seed: int) -> list[str]:
    "Texts as long as the sample's replies, of their words; each third one begins in one of ten ways"
    chance, openings = numpy.random.default_rng(seed), [" ".join(reply.split()[:4]) for reply in REPLIES[:10]]
    sizes = [len(words(reply)) for reply in REPLIES]
    texts = [" ".join(chance.choice(VOCABULARY, chance.choice(sizes))) for _ in range(count)]
    return [f"{openings[chance.integers(10)]} {text}" if chance.random() < 1 / 3 else text for text in texts]


def cost():
    texts = drawn_texts(TEXTS, 1)
    rows = [Generation(tweet_id=str(number + 1), arm="base", reply=text) for number, text in enumerate(texts)]
    tweets = {row.tweet_id: text for row, text in zip(rows, reversed(texts))}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    found = panel(ArmTexts(rows, tweets, {}, REPLIES, Stored()))
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(isinstance(measure, Estimate) for measure in found.values()) == len(MEASURES) - 5  # overlap has nothing to compare with
    keep("05b_measures", "panel on 10,000 texts", seconds, "s", "of one core; diversity, copies and accidents, with intervals; vectors at hand")
    keep("05b_measures", "memory of that", peak / 1024, "MB", f"the whole process; {before / 1024:.0f} MB before")


def overlaps():
    texts = drawn_texts(1000, 3)
    rows = [Generation(tweet_id=str(number + 1), arm="base", reply=text) for number, text in enumerate(texts)]
    references = {row.tweet_id: drawn_texts(3, 10 + number) for number, row in enumerate(rows)}
    arm, started = ArmTexts(rows, references, references, []), time.process_time()
    for name in ("ROUGE-1", "BLEU", "chrF"): MEASURES[name].estimate(arm)
    keep("05b_measures", "ROUGE, BLEU and chrF of 1,000 texts", time.process_time() - started, "s", "of one core; three references each, with intervals")


def coverage(runs: int = 400, count: int = 60):
    pool = [words(text) for text in drawn_texts(20_000, 4)]
    chance, params = numpy.random.default_rng(5), MeasureParams()
    value = lambda tokens: distinct(tokens, 2)
    draw = lambda: [pool[place] for place in chance.choice(len(pool), count, replace=False)]
    truth = numpy.mean([value(draw()) for _ in range(4000)])
    held = {"jackknife": 0, "bootstrap": 0}
    for _ in range(runs):
        tokens = draw()
        counted = lambda weights: numpy.array([value([tokens[place] for place in numpy.repeat(numpy.arange(count), row.astype(int))]) for row in weights])
        left = jackknife(lambda places: value([tokens[place] for place in places]), count, params)
        again = bootstrap(counted, count, params.model_copy(update={"resamples": 200}))
        held["jackknife"] += left.low <= truth <= left.high
        held["bootstrap"] += again.low <= truth <= again.high
    about = f"95 % promised; {count} texts, {runs} draws"
    for name, hits in held.items(): keep("05b_measures", f"{name} of distinct-2 holds the truth", 100 * hits / runs, "%", about)


def learned():
    "What tuning taught the sample's model, as its stage 06 measured it"
    file = resolve("nbs/results/sample/learned.json")
    if not file.exists(): return print("what tuning taught: not measured; make results first")
    for name, found in read_json(file)["losses"].items():
        about = f"{found['low']:.3g} to {found['high']:.3g}; {found['tweets']} tweets of the sample run, all human replies"
        keep("05b_measures", f"sample run: {name}", found["value"], "" if "perplexity" in name else "nats a token", about)


if __name__ == "__main__":
    cost()
    overlaps()
    coverage()
    learned()
