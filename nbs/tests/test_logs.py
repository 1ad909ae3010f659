"""One log a run: what the console said stands in it, in the same form, whole after a kill, without secrets and without lines that a stranger's text made up."""
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from replytune import logs
from replytune.forget import forget
from replytune.line import main
from replytune.logs import LOG, heard, run_log
from replytune.run import SAMPLE_RUN, sample_rows

from samples import whole_sample

PAGES = "00m,09z"
FORM = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO   |WARNING|ERROR  ) \w+ +\S")
run = lambda folder, *more: main(["run", "--run", str(folder), "--to", "02", *more])


@pytest.mark.parametrize("how", [["--no-notebooks"], []], ids=["functions", "notebooks"])
def test_the_console_and_the_file_say_the_same(how, tmp_path, capsys):
    assert run(tmp_path / "run", *how) == 0
    lines = (tmp_path / "run" / LOG).read_text().splitlines()
    assert [line for line in capsys.readouterr().out.splitlines() if FORM.match(line)] == lines and all(map(FORM.match, lines))
    said = "\n".join(lines)
    assert "01_collect   running (" in said and "02_validate  done: " in said
    assert run(tmp_path / "run", *how) == 0
    after = (tmp_path / "run" / LOG).read_text().splitlines()
    assert after[:len(lines)] == lines and [line[42:] for line in after[len(lines):] if "skipped" in line] == ["done before, unchanged: skipped"] * 2


def test_the_error_that_ends_a_run_is_its_last_line_and_is_shown_once(tmp_path, capsys):
    assert run(tmp_path / "run", "--no-notebooks") == 0
    (tmp_path / "run/pairs.jsonl").write_text("{}\n")
    assert run(tmp_path / "run", "--no-notebooks", "--from", "02") == 1
    shown, last = capsys.readouterr(), (tmp_path / "run" / LOG).read_text().splitlines()[-1]
    assert " ERROR   02_validate  StageError: " in last and "pairs.jsonl" in last
    assert "StageError" not in shown.out + shown.err and shown.err.count("pairs.jsonl") == 1


def test_no_secret_and_no_forged_line(tmp_path, monkeypatch):
    monkeypatch.setenv("APIFY_API_TOKEN", "apify_api_planted77")
    screen, hostile = io.StringIO(), "x\r\n2026-06-01T10:00:03Z INFO    09_report    GO\x1b[2J\u202e\u2028 <script>"
    with pytest.raises(ValueError), run_log(tmp_path, screen) as log, heard(log, "02_validate"):
        print("token apify_api_planted77", hostile)
        raise ValueError(f"{hostile} apify_api_planted77")
    text = (tmp_path / LOG).read_text()
    assert "planted77" not in text + screen.getvalue() and "[APIFY_API_TOKEN]" in text
    assert all(map(FORM.match, text.split("\n")[:-1])) and not re.search(r"[\x00-\x09\x0b-\x1f\u202e\u2028]", text)
    assert {line[29:40] for line in text.splitlines()} == {"02_validate"}, "the stage is never what a text claims"


def test_a_kill_leaves_whole_lines(tmp_path):
    code = f"""
import sys, time
from replytune.logs import heard, run_log
with run_log({str(tmp_path)!r}) as log, heard(log, "06_train"):
    for step in range(10**6): print("step", step, file=sys.stderr)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((tmp_path / LOG).exists() and (tmp_path / LOG).stat().st_size > 20_000): time.sleep(0.05)
    process.send_signal(signal.SIGKILL), process.wait()
    text = (tmp_path / LOG).read_text()
    assert len(text) > 20_000 and text.endswith("\n") and all(map(FORM.match, text.splitlines()))
    with run_log(tmp_path, io.StringIO()) as log, heard(log, "06_train"): print("goes on")
    assert (tmp_path / LOG).read_text().startswith(text) and (tmp_path / LOG).read_text().endswith("goes on\n")


def test_a_terminal_shows_the_bar_and_the_file_its_ends(tmp_path):
    code = f"""
import sys
from replytune.charts import progress
from replytune.logs import heard, run_log
with run_log({str(tmp_path)!r}) as log, heard(log, "06_train"):
    for step in (bar := progress(range(200), "training")): bar.refresh()
    print("12 rows")
"""
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try: part = os.read(leader, 4096)
        except OSError: break
        if not part: break
        shown += part
    assert process.wait() == 0
    lines = (tmp_path / LOG).read_text().splitlines()
    assert shown.count(b"\rtraining:") > 100 and b"12 rows" in shown
    assert len(lines) == 3 and "training:   0%" in lines[0] and "training: 100%" in lines[1] and lines[2].endswith("12 rows")


def test_half_a_line_is_said_at_the_end(tmp_path):
    with run_log(tmp_path, io.StringIO()) as log, heard(log, "05_generate"): sys.stderr.write("no end of line")
    assert (tmp_path / LOG).read_text().endswith("05_generate  no end of line\n")


def test_a_bar_is_noted_once_in_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "EVERY", 0)
    with run_log(tmp_path, io.StringIO()) as log, heard(log, "06_train"):
        for step in range(20): print(f"\rstep {step}", end="")
        print()
    assert len((tmp_path / LOG).read_text().splitlines()) == 20


def test_a_bar_is_noted_when_it_is_shown_and_its_end_once(tmp_path):
    said = lambda: (tmp_path / LOG).read_text()
    with run_log(tmp_path, io.StringIO()) as log, heard(log, "05_generate"):
        sys.stderr.write("\rreplies: 52%")
        assert said().count("52%") == 1, "the next state may be minutes away"
        sys.stderr.write("\rreplies: 53%")
        sys.stderr.write("\rreplies: 100%")
        sys.stderr.write("\n")
        print("31 replies")
    assert [line.split("  ")[-1] for line in said().splitlines()] == ["replies: 52%", "replies: 100%", "31 replies"]


def test_forgetting_reaches_the_log(tmp_path):
    run = whole_sample(tmp_path / "run")
    row = next(row for row in sample_rows("pairs.jsonl") if len(row["reply"]) > 40)
    said = [f"StageError: pair {row['reply_id']} is wrong", f"reply = {row['reply']!r:.60}: no", f"written by @{row['reply_author']}", "130 pairs"]
    (run / LOG).write_text("".join(f"2026-06-01T10:00:03Z {level:7} 02_validate  {each}\n" for level, each in zip(["ERROR", "WARNING", "INFO", "INFO"], said)))
    answer = forget(run, row["reply_author"])
    assert answer["removed"][LOG] == 3 and (run / LOG).read_text().endswith("130 pairs\n") and (run / LOG).read_text().count("\n") == 1
    assert LOG not in answer["look at"]


def test_commands_that_cost_or_last_are_logged_too(tmp_path, capsys):
    run = whole_sample(tmp_path / "run")
    assert main(["publish", str(run), "no-owner"]) == 1
    assert " ERROR   publish      StageError: " in (run / LOG).read_text() or " ERROR   publish      ParameterError: " in (run / LOG).read_text()
    assert main(["verdict", SAMPLE_RUN]) in (0, 10, 20, 30) and not (run.parent / LOG).exists()
