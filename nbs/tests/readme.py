"""Print README.md as `nbs/index.ipynb` makes it: its words and stored outputs, without hidden cells and code that is not to be echoed."""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

INDEX = Path(__file__).parents[1] / "index.ipynb"


def readme() -> str:
    "The README's text"
    notebook = nbformat.read(INDEX, as_version=4)
    parts = []
    for cell in notebook.cells:
        if "#| hide" in cell.source: continue
        if cell.cell_type == "code" and "#| echo: false" in cell.source: cell.source = ""
        parts.append(cell)
    notebook.cells = parts
    body, _ = MarkdownExporter().from_notebook_node(notebook)
    lines = re.sub(r"```\w*\n\s*```\n", "", body).splitlines()
    text = "\n".join(line.rstrip() for line in lines).strip() + "\n"
    while "\n\n\n" in text: text = text.replace("\n\n\n", "\n\n")
    return text


if __name__ == "__main__": sys.stdout.write(readme())
