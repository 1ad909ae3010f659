"""Print README.md as `nbs/index.ipynb` makes it: its words and stored outputs, without hidden cells and code that is not to be echoed."""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

INDEX = Path(__file__).parents[1] / "index.ipynb"
PICTURE = "nbs/results/pipeline.svg"  # of the pipeline, as the index shows it


def picture() -> str:
    "The index's only picture, as SVG text"
    outputs = [output for cell in nbformat.read(INDEX, as_version=4).cells for output in cell.get("outputs", [])]
    (svg,) = [output["data"]["image/svg+xml"] for output in outputs if "image/svg+xml" in output.get("data", {})]
    return svg + "\n"


def readme() -> str:
    "The README's text"
    notebook = nbformat.read(INDEX, as_version=4)
    parts = []
    for cell in notebook.cells:
        if "#| hide" in cell.source: continue
        if cell.cell_type == "code" and "#| echo: false" in cell.source: cell.source = ""
        for output in cell.get("outputs", []):
            if "image/svg+xml" in output.get("data", {}): output["data"] = {"text/markdown": f"![{output['data']['text/plain'][8:-1]}]({PICTURE})"}
        parts.append(cell)
    notebook.cells = parts
    body, _ = MarkdownExporter().from_notebook_node(notebook)
    lines = re.sub(r"```\w*\n\s*```\n", "", body).splitlines()
    text = "\n".join(line.rstrip() for line in lines).strip().replace("](results/", "](nbs/results/") + "\n"
    while "\n\n\n" in text: text = text.replace("\n\n\n", "\n\n")
    return text


if __name__ == "__main__":
    (INDEX.parents[1] / PICTURE).write_text(picture(), encoding="utf-8")
    sys.stdout.write(readme())
