"""The rule of decision on drawn scores: rows against tweets, the real procedures beside the exact counts, looks in 200,000 runs.

    python nbs/bench/bench_decide.py        # about a minute
"""
import time

import numpy
from scipy.stats import t as student

from keeping import keep
from replytune.bias import interval
from replytune.power import looks_characteristics, operating_characteristics
from replytune.stats import Seen, StatsParams, goals, sign_flip_p, word

RUNS = 10_000
AIMS = goals(0.075, None)


def scores(chance, truth: float, tweets: int, rows: int, icc: float, ties: float = 0.2):
    "Rows of 1, ½ and 0, an array tweets × rows; `icc` is the share of their variance that lies between tweets"
    own = icc / (1 - ties)  # of the decisive rows' variance: ties are no tweet's own
    rate = (truth - ties / 2) / (1 - ties)
    lucky = chance.beta(rate * (1 / own - 1), (1 - rate) * (1 / own - 1), (tweets, 1)) if own else rate
    won = (chance.random((tweets, rows)) < lucky).astype(float)
    won[chance.random((tweets, rows)) < ties] = 0.5
    return won


def said(values: list[float], params: StatsParams) -> tuple[str, float]:
    "The word by the procedures that stage 08 calls, and the one-sided p-value"
    low, high = interval(values, 0.9)
    p_better = sign_flip_p(values, 1, params.permutations)
    return word(Seen(len(values), float(numpy.mean(values)), low, high, p_better, 0.05), AIMS, params)[0], p_better


def rows_and_tweets(tweets: int = 60, rows: int = 5):
    for icc in (0.1, 0.3, 0.6):
        chance, naive, means, praised, between = numpy.random.default_rng(1), 0, 0, 0, []
        for _ in range(RUNS):
            drawn = scores(chance, 0.5, tweets, rows, icc)
            flat, own = drawn.ravel(), drawn.mean(1)
            naive += abs(flat.mean() - 0.5) / (flat.std(ddof=1) / len(flat) ** 0.5) > student.ppf(0.975, len(flat) - 1)
            means += sign_flip_p(own.tolist(), 2) <= 0.05
            praised += said(own.tolist(), StatsParams())[0] == "GO"
            between.append((own.var(ddof=1) - drawn.var(1, ddof=1).mean() / rows) / flat.var())
        assert abs(numpy.mean(between) - icc) < 0.02, "the rows hang together as they should"
        about = f"{tweets} tweets, {rows} rows each, {RUNS:,} runs of even arms"
        keep("08b_power", f"false alarms of a test of rows, ICC {icc}", 100 * naive / RUNS, "%", f"t test; {about}")
        keep("08b_power", f"false alarms of a test of tweets, ICC {icc}", 100 * means / RUNS, "%", f"coin's test of the tweets' means; {about}")
        keep("08b_power", f"false GO of tweets' means, ICC {icc}", 100 * praised / RUNS, "%", f"the rule; {about}")


def drawn_against_counted(tweets: int = 100):
    for truth in (0.5, 0.6):
        chance, started = numpy.random.default_rng(2), time.perf_counter()
        found = [said(scores(chance, truth, tweets, 1, 0.0)[:, 0].tolist(), StatsParams())[0] for _ in range(RUNS)]
        drawing, started = time.perf_counter() - started, time.perf_counter()
        exact = operating_characteristics(truth, tweets)["GO"]
        counting, share = time.perf_counter() - started, found.count("GO") / RUNS
        assert abs(share - exact) < 4 * (exact * (1 - exact) / RUNS) ** 0.5
        keep("08b_power", f"GO at a true {truth:.0%}, {tweets} tweets, drawn", 100 * share, "%", f"{RUNS:,} runs; counted out: {100 * exact:.2f} %")
        if truth == 0.5: keep("08b_power", f"counting the words out, {tweets} tweets", drawing / counting, "times as fast as drawing them", f"{counting * 1000:.0f} ms against {RUNS:,} runs")


def looks(runs: int = 200_000):
    often = list(range(20, 201, 10))
    for name, at, planned in (("planned looks at 50, 100, 200", [50, 100, 200], True), ("planned looks at 100, 200, 400", [100, 200, 400], True), ("looks after every ten tweets, 20 to 200", often, False)):
        for word_said, truth in (("GO", 0.5), ("NO-GO", 0.575)):
            share = looks_characteristics(truth, at, planned, runs=runs)[word_said]
            once = operating_characteristics(truth, at[-1])[word_said]
            keep("08b_power", f"{word_said} at a true {truth:.1%}, {name}", 100 * share, "%", f"one look at {at[-1]}: {100 * once:.2f} %; {runs:,} runs")


if __name__ == "__main__":
    rows_and_tweets()
    drawn_against_counted()
    looks()
