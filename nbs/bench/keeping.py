"""Measurements are kept in `nbs/results/bench.json`, from where the pages show them."""
import json

from replytune.files import resolve, write_text

FILE = resolve("nbs/results/bench.json")


def keep(page: str, what: str, number: float, unit: str, against: str = ""):
    "Print a measurement and keep it, in place of the last one of the same name"
    print(f"{page}: {what}: {number:,.4g} {unit}{f' ({against})' if against else ''}", flush=True)
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    row = {"page": page, "what": what, "number": float(f"{number:.3g}"), "unit": unit, "against": against}
    rows = sorted([old for old in rows if (old["page"], old["what"]) != (page, what)] + [row], key=lambda row: (row["page"], row["what"]))
    write_text(FILE, json.dumps(rows, indent=1) + "\n")
