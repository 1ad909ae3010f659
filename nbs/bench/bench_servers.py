"""Writing through llama.cpp with the sample's model: eight requests at a time against one.

    python nbs/bench/bench_servers.py      # under a minute
"""
import sys
import tempfile
import time
from pathlib import Path

from keeping import keep
from replytune.files import resolve
from replytune.run import sample_rows
from replytune.models import load_tokenizer
from replytune.writing import Sampling, Wanted, row_number
from replytune.servers import ChatServer, write_served
from replytune.generate import build_prompt

sys.path.insert(0, str(resolve("nbs/tests")))
from serving import llama_server  # noqa: E402

ROWS, TOKENS = 16, 24


def several_at_a_time():
    tokenizer, folder = load_tokenizer("smollm2"), Path(tempfile.mkdtemp())
    tweets = list(dict.fromkeys(row["tweet"] for row in sample_rows("reviewed.jsonl")))[: 3 * ROWS]
    wanted = [Wanted(str(number), build_prompt(tokenizer, tweet), row_number(number, 1)) for number, tweet in enumerate(tweets)]
    with llama_server(parallel=8) as url:
        server, took, found = ChatServer(url), {}, {}
        write_served(server, tokenizer, wanted[2 * ROWS :][:2], Sampling(), TOKENS, folder / "warm", 1)
        for concurrency, rows in ((1, wanted[:ROWS]), (8, wanted[ROWS : 2 * ROWS])):  # other prompts, so that nothing is in the server's cache
            started = time.perf_counter()
            found[concurrency] = write_served(server, tokenizer, rows, Sampling(), TOKENS, folder / str(concurrency), concurrency)
            took[concurrency] = time.perf_counter() - started
    speed = {concurrency: sum(each.tokens for each in found[concurrency].values()) / took[concurrency] for concurrency in took}
    keep("00l_servers", "eight requests at a time, against one", speed[8] / speed[1], "times as fast", f"{speed[8]:.0f} and {speed[1]:.0f} tokens/s; {ROWS} replies of at most {TOKENS} tokens each way, llama.cpp on one thread")


if __name__ == "__main__": several_at_a_time()
