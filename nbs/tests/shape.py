"""How the pages are built, in figures: a mirror, not a law. `make shape` writes the table to nbs/results/shape.md.

Lines are those that are not blank, directives included. A public name is *shown* when a lesson of its own page uses it.
"""
import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORY = "01_collect 02_validate 03_clean 03b_split 04_review 05_generate 06_train 07_judge 08_stats 09_report".split()
# of the best literate codebases, measured the same way on their repositories in 2026; empty: not measured
OTHERS = """| *fastcore* | 202 | 17 | | 0.43 | 85 % | 56 % | 35 % | 4 | |
| *claudette* | 96 | 21 | | 0.61 | 80 % | 0 % | 70 % | 1 | |
| *fasttransform* | 142 | 26 | | 0.87 | 71 % | 57 % | 23 % | | |"""
HEAD = """| page | exported lines | cell, 90th percentile | longest | prose : code | public names shown | lessons that assert | that end in a value | imports upwards | signatures on the published page |
|---|---|---|---|---|---|---|---|---|---|"""
EXPORTED = re.compile(r"^#\|\s*exports?\b", re.M)


def cells_of(path: Path) -> list[dict]:
    "The cells that are not empty, each with its source as one text"
    cells = [cell | {"source": "".join(cell["source"])} for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    return [cell for cell in cells if cell["source"].strip()]


def lines(cell: dict) -> int: return sum(bool(line.strip()) for line in cell["source"].splitlines())


def only_imports(cell: dict) -> bool:
    return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.parse(cell["source"]).body)


def names_in(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def share(part: int, whole: int) -> str: return f"{part / whole:.0%}".replace("%", " %") if whole else ""


def public_names(exported: list[dict]) -> list[str]:
    "Functions and classes that the page gives to others"
    found = [node.name for cell in exported for node in ast.parse(cell["source"]).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return [name for name in found if not name.startswith("_")]


def shape_of(path: Path, published: list[dict] | None = None) -> dict:
    "The figures of one page; `published`: its cells as nbdev leaves them"
    cells = cells_of(path)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    exported = [cell for cell in code if EXPORTED.search(cell["source"])]
    defining = [cell for cell in exported if not only_imports(cell)]
    lessons = [cell for cell in code if not re.search(r"^#\|\s*(export|default_exp|hide)", cell["source"], re.M) and not only_imports(cell)]
    sizes = sorted(map(lines, defining)) or [0]
    public, used = public_names(exported), set().union(*(names_in(cell["source"]) for cell in lessons), set())
    imported = re.findall(r"^\s*from replytune\.(\w+) import", "\n".join(cell["source"] for cell in exported), re.M)
    page_of = {other.stem.partition("_")[2]: other.stem for other in path.parent.glob("[0-9]*.ipynb")}
    tail = [ast.parse(cell["source"]).body[-1] for cell in lessons]
    figures = {
        "lines": sum(map(lines, exported)), "p90": sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))], "max": sizes[-1],
        "prose": f"{sum(cell['cell_type'] == 'markdown' for cell in cells) / len(code):.2f}",
        "shown": share(len([name for name in public if name in used]), len(public)), "hidden": [name for name in public if name not in used],
        "asserts": share(sum(any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell["source"]))) for cell in lessons), len(lessons)),
        "values": share(sum(isinstance(node, ast.Expr) for node in tail), len(lessons)),
        "upwards": sum(page_of.get(name, "") >= path.stem for name in imported), "signatures": "",
    }
    if published is not None:
        signed = sum("show_doc(" in cell["source"] for cell in published if cell["cell_type"] == "code")
        figures["signatures"] = f"{signed} of {sum(cell['cell_type'] == 'code' for cell in published)} code cells"
    return figures


def table(root: Path = ROOT, processed: Path | None = None) -> str:
    "All pages as a Markdown table, the story first, and beneath it the figures of others"
    paths = sorted((root / "nbs").glob("[0-9]*.ipynb"), key=lambda path: (path.stem not in STORY, path.stem))
    rows, total = [], 0
    for path in paths:
        found = shape_of(path, cells_of(processed / path.name) if processed else None)
        total += found["lines"]
        rows.append("| " + " | ".join(str(found[name]) for name in "lines p90 max prose shown asserts values upwards signatures".split()).join((f"{path.stem} | ", " |")))
    return "\n".join([HEAD, *rows, f"| together | {total} | | | | | | | | |", OTHERS]) + "\n"


if __name__ == "__main__":
    from publish import process
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    process(root)
    text = table(root, root / "_proc")
    if len(sys.argv) == 1: (ROOT / "nbs/results/shape.md").write_text(text, encoding="utf-8")
    print(text)
    for path in sorted((root / "nbs").glob("[0-9]*.ipynb")):
        if path.stem in STORY and (hidden := shape_of(path)["hidden"]): print(f"{path.stem} does not show: {', '.join(hidden)}")
