"""What the processes of test_processes.py do; nothing here loads a model, so that they start quickly."""
import os
import signal
import time
from pathlib import Path

FIRST = os.environ.get("RANK") == "0"


def fails(given, tell):
    if FIRST: time.sleep(60)
    print("noise of a library", flush=True)
    raise ValueError(os.environ.get("APIFY_API_TOKEN", "no secret here") + "\nsecond line")


def is_killed(given, tell):
    if not FIRST: os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def answers(given, tell):
    print("noise of a library", flush=True)
    tell({"step": 1})
    return {"first": FIRST, "given": given, "seen": os.environ["WORLD_SIZE"]}


def waits(given, tell):
    "Until the other is there, then for the stage"
    Path(given, os.environ["RANK"]).write_text(str(os.getpid()))
    while not all(Path(given, rank).exists() for rank in "01"): time.sleep(0.02)
    tell({"step": 1})
    time.sleep(60)


def stopped(given, tell):
    "The second is stopped as soon as both are there"
    if FIRST: waits(given, tell)
    Path(given, "1").write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)
