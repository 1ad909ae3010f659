"""What a rental comes to when things go wrong, one fault at a time and all together, on a server and an sshd of this machine.

    python nbs/bench/bench_pod.py
"""
import sys
import tempfile
from pathlib import Path

from keeping import keep
from replytune.files import resolve

sys.path.insert(0, str(resolve("nbs/tests")))
from renting import CUT, GONE, LOST, OVER, whole_rental

RENTALS = {"no fault": (), LOST: (LOST,), CUT: (CUT,), GONE: (GONE,), OVER: (OVER,), "all of these": (LOST, CUT, GONE, OVER)}

if __name__ == "__main__":
    plain = None
    for what, faults in RENTALS.items():
        with tempfile.TemporaryDirectory() as folder: done = whole_rental(Path(folder), faults)
        assert sorted(done.happened) == sorted(faults), f"{what}: only {done.happened} happened"
        plain = plain or done.adapter
        pods = f"{done.rented} pod{'s'[: done.rented > 1]}, {done.together} at a time, {done.left} left running; launched {done.launches} time{'s'[: done.launches > 1]}"
        files = f"{len(done.lost)} of {done.expected} files lost; {'the same' if done.adapter == plain else 'ANOTHER'} adapter"
        keep("06h_rental", what, done.usd, "dollars by our clock", f"{done.billed:.3g} by the vendor's; {pods}; {files}")
