"""Three contrasts of 500 tweets in both orders, asked of a loopback server now and in a batch, against the loop over the SDK that one writes first, in the same run."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from keeping import keep
from replytune.claude import make_claude
from replytune.files import resolve
from replytune.judge import JudgeParams, Question, answers_of
from replytune.run import sample_rows

TWEETS, CONTRASTS, LOOP, THINKS = 500, 3, 100, 0.05  # seconds that the server thinks about a question
SERVER = """import sys
sys.path.insert(0, sys.argv[1])
from anthropic_server import AnthropicServer, KEY
with AnthropicServer(latency=float(sys.argv[2])) as server:
    print(server.url, KEY, flush=True)
    sys.stdin.read()
    print(len(server.bill), server.paid_again(), server.spent(), flush=True)"""


def questions() -> list[Question]:
    "Every comparison in both orders, no two with the same texts"
    rows = sample_rows("reviewed.jsonl")
    found = []
    for number in range(TWEETS):
        tweet, texts = rows[number % len(rows)], [f"{rows[(number + 7 * shift) % len(rows)]['reply']} {number}" for shift in range(CONTRASTS + 1)]
        found += [Question(str(number), tweet["tweet"], *order) for other in texts[1:] for order in ((texts[0], other), (other, texts[0]))]
    return found


def one_by_one(judge, asked: list[Question]) -> list[str]:
    "The same requests in a loop; nothing is kept, nothing is counted"
    answers = [judge.asker.client.messages.create(**judge.asker.request(each)) for each in asked]
    return [json.loads(answer.content[-1].text)["winner"] for answer in answers]


def timed(function, *arguments) -> tuple[float, list]:
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


if __name__ == "__main__":
    asked = questions()
    assert len({each[1:] for each in asked}) == len(asked) == TWEETS * CONTRASTS * 2
    serving = subprocess.Popen([sys.executable, "-c", SERVER, str(resolve("nbs/sample")), str(THINKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.environ["ANTHROPIC_BASE_URL"], os.environ["ANTHROPIC_API_KEY"] = serving.stdout.readline().split()
    try:
        took = {}
        for batches in (False, True):
            folder = Path(tempfile.mkdtemp())
            judge = make_claude(JudgeParams(batches=batches, dollars_max=100), [], folder)
            if not took: loop, winners = timed(one_by_one, judge, asked[:LOOP])
            took[batches], answers = timed(answers_of, judge, asked, folder / "judge_answers.jsonl")
            assert [{"first": "A", "second": "B"}.get(answer.winner, "tie") for answer in answers[:LOOP]] == winners
            again, same = timed(answers_of, judge, asked, folder / "judge_answers.jsonl")
            assert same == answers
        bill = serving.communicate("")[0].split()
        assert int(bill[0]) == LOOP + 2 * len(asked), bill
    finally: serving.kill()
    whole = loop / LOOP * len(asked)
    for batches, way in ((False, f"{JudgeParams().concurrency} calls at a time"), (True, "one batch")):
        keep("07e_claude", f"{len(asked):,} questions, {way}", took[batches], "s", f"{whole / took[batches]:.1f} times a loop over the SDK, timed on {LOOP} questions; the server thinks for {THINKS * 1000:.0f} ms about a call and not at all in a batch")
    keep("07e_claude", f"{len(asked):,} questions a second time", again, "s", "all from the log, no call")
