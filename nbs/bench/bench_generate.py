"""A batch of sixteen against one by one, in the number formats that the processor is good at. Exact search for neighbours against FAISS.

    python nbs/bench/bench_generate.py [batches] [neighbours] [rules]      # all three without arguments, in three minutes
"""
import os
import sys
import time

os.environ.pop("OMP_NUM_THREADS", None)  # as many threads as the stage would have

import faiss
import numpy
import torch

from keeping import keep
from replytune.files import resolve
from replytune.generate import build_prompt, find_neighbours
from replytune.models import Precision, load_model, load_tokenizer
from replytune.run import SAMPLE_CACHE, sample_rows
from replytune.schema import Pair
from replytune.vectors import Vectors
from replytune.writing import Sampling, Wanted, row_number, write_batch

TWEETS, TOKENS, QUESTIONS, NEAREST = 16, 64, 500, 3
PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]


def processor() -> str:
    "What it is good at, in the kernel's words"
    with open("/proc/cpuinfo", encoding="utf-8") as file: flags = next((line.split() for line in file if line.startswith("flags")), [])
    return " ".join(flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags) or "none of avx2, avx512f, avx512_bf16, amx_bf16"


def batches():
    quiet = os.getloadavg()[0] < 0.5  # asked once: the first comparison is itself a load
    for compute in ("float32", "bfloat16") if torch.cpu._is_avx512_bf16_supported() else ("float32",): compared(compute, quiet)


def compared(compute: str, quiet: bool):
    """Measured twice by turns, and the faster ones are compared, in tokens a second. With torch's own number of threads, as the stage has it; where others
    work on the machine, two threads wait for one another most of the time, and one thread's processor time is counted instead."""
    clock, how = (time.perf_counter, f"{torch.get_num_threads()} threads") if quiet else (time.process_time, "processor time of one thread, the machine being busy")
    if not quiet: torch.set_num_threads(1)
    tokenizer = load_tokenizer("smollm2")
    tweets = list({pair.tweet_id: pair.tweet for pair in PAIRS if pair.split == "test"}.items())[:TWEETS]
    wanted = [Wanted(id, build_prompt(tokenizer, tweet), row_number(id, 1)) for id, tweet in tweets]
    wanted.sort(key=lambda each: -len(each.prompt))
    ways = {"alone": [[each] for each in wanted[::4]], "batch": [wanted]}
    model, speeds, texts = load_model("smollm2", Precision("none", compute)), {name: [] for name in ways}, {}
    write_batch(model, tokenizer, wanted[:2], Sampling(), 4)  # warm
    for _ in range(2):
        for name, groups in ways.items():
            started = clock()
            texts[name] = [one for group in groups for one in write_batch(model, tokenizer, group, Sampling(), TOKENS)]
            speeds[name].append(sum(each.tokens for each in texts[name]) / (clock() - started))
    one, many = max(speeds["alone"]), max(speeds["batch"])
    same = sum(a == b for a, b in zip(texts["alone"], texts["batch"][::4]))
    about = f"{many:.0f} tokens/s against {one:.1f}; {same} of {len(texts['alone'])} texts the same; {how}; {processor()}"
    keep("00k_writing", f"smollm2, {compute}: batch of {TWEETS}", many / one, "times as fast as one by one", about)


def scattered(count: int, seed: int):
    "Unit vectors around those of the sample's texts, as far from them as near tweets are: cosine 0.7"
    chance = numpy.random.default_rng(seed)
    texts = sorted({text for pair in PAIRS for text in (pair.tweet, pair.reply)})
    known = Vectors(folder=resolve(SAMPLE_CACHE)).of(texts)
    noise = chance.normal(size=(count, known.shape[1]))
    found = 0.7 * known[chance.integers(len(known), size=count)] + 0.51**0.5 * noise / numpy.linalg.norm(noise, axis=1, keepdims=True)
    return (found / numpy.linalg.norm(found, axis=1, keepdims=True)).astype("float32")


def product(questions, vectors):
    "The nearest by one matrix product, as `find_neighbours` computes its cosines"
    cosines = questions @ vectors.T
    near = numpy.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]
    return numpy.take_along_axis(near, numpy.argsort(-numpy.take_along_axis(cosines, near, 1), axis=1), 1)


def filled(index, vectors):
    if not index.is_trained: index.train(vectors)
    index.add(vectors)
    return index


def ivf(vectors):
    cells = int(len(vectors) ** 0.5)
    index = filled(faiss.IndexIVFFlat(faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT), vectors)
    index.nprobe = 8
    return index


def hnsw(vectors):
    index = filled(faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT), vectors)
    index.hnsw.efSearch = 64
    return index


INDEXES = {"FAISS, exact": lambda vectors: filled(faiss.IndexFlatIP(vectors.shape[1]), vectors), "FAISS, IVF": ivf, "FAISS, HNSW": hnsw}


def quickest(work, tries: int = 3):
    times = []
    for _ in range(tries):
        started = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - started)
    return found, min(times)


def neighbours():
    "A run asks its index once, so what building it costs is part of the time"
    questions = scattered(QUESTIONS, 1)
    for count in (1_000, 10_000, 100_000):
        vectors = scattered(count, 2)
        exact, seconds = quickest(lambda: product(questions, vectors))
        keep("05_generate", f"matrix product, {count:,} vectors", seconds, "s", f"{QUESTIONS} questions, {vectors.shape[1]} dimensions; nothing to build")
        for name, build in INDEXES.items():
            started = time.perf_counter()
            index = build(vectors)
            built = time.perf_counter() - started
            found, seconds = quickest(lambda: index.search(questions, NEAREST)[1])
            recall = numpy.mean([len(set(one) & set(other)) / NEAREST for one, other in zip(found, exact)])
            keep("05_generate", f"{name}, {count:,} vectors", built + seconds, "s", f"{built:.2g} s to build, {seconds:.2g} s to ask")
            keep("05_generate", f"{name}, {count:,} vectors: found", 100 * recall, "%", f"of the {NEAREST} nearest")


class Stored:
    "Vectors by number, in place of an encoder"

    def __init__(self, vectors): self.vectors = vectors

    def of(self, texts: list[str]): return self.vectors[[int(text) for text in texts]]


def rules():
    "What `find_neighbours` does besides: who may be shown"
    for count in (1_000, 10_000):
        names = lambda number: dict.fromkeys(("tweet_id", "reply_id", "tweet", "cluster", "tweet_author", "reply_author"), str(number))
        train = [PAIRS[0].model_copy(update=names(number) | {"split": "train"}) for number in range(count)]
        asked = [PAIRS[0].model_copy(update=names(count + number) | {"split": "test"}) for number in range(QUESTIONS)]
        stored = Stored(numpy.concatenate([scattered(count, 2), scattered(QUESTIONS, 1)]))
        _, seconds = quickest(lambda: find_neighbours(asked, train, stored, NEAREST), 1)
        keep("05_generate", f"find_neighbours, {count:,} train tweets", seconds, "s", f"{QUESTIONS} questions; with the rules of who may be shown")


if __name__ == "__main__":
    for name in sys.argv[1:] or ["batches", "neighbours", "rules"]: globals()[name]()
