"""What nbdev makes of the pages, as far as it goes without Quarto: process every page as for publication, list what would be published.

`process(folder)` does it for a copy of the project in `folder`; as a program, for this project.
"""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPS = """
from nbdev.quarto import refresh_quarto_yml
from nbdev.doclinks import _build_modidx
from nbdev.serve import _proc_file, proc_nbs
from nbdev.serve_drv import main
from pathlib import Path
refresh_quarto_yml(); _build_modidx(); cache = proc_nbs(n_workers=0, force=True)
for file in sorted(Path("nbs/blog").rglob("*")):
    if todo := _proc_file(file, cache, Path("nbs")): main(todo)
import gc; gc.freeze()  # sixty shells say goodbye, and each would look through everything again: more than half of the time
"""  # the first half of nbdev_docs, without its attempts to install Quarto and the project, and with the blog: settings.ini keeps nbdev out of folders


def process(folder: Path = ROOT) -> list[str]:
    "The files that would go to Quarto; `RuntimeError` with nbdev's own error if a page cannot be processed"
    shutil.rmtree(folder / "_proc", ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name != "IN_TEST"} | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", STEPS], cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode: raise RuntimeError(done.stderr[-3000:])
    if "Error" in done.stderr: raise RuntimeError(done.stderr[-3000:])
    for page in (folder / "_proc").rglob("*.ipynb"): bring_pictures(page, folder)
    return sorted(path.relative_to(folder / "_proc").as_posix() for path in (folder / "_proc").rglob("*") if path.is_file())


def bring_pictures(page: Path, folder: Path) -> None:
    "nbdev is kept out of folders, so a picture that a page's prose names has to be brought to the place where Quarto looks for it"
    prose = "\n".join("".join(cell["source"]) for cell in json.loads(page.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "markdown")
    for target in re.findall(r"!\[[^]]*\]\((?!https?:)([^)]+)\)", prose):
        place = page.parent / target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "nbs" / place.relative_to(folder / "_proc"), place)


if __name__ == "__main__":
    print("\n".join(process()))
    print("These lie in _proc/. " + ("Now run: quarto render _proc --no-execute" if shutil.which("quarto") else "Quarto, which is not installed here, renders them: quarto render _proc --no-execute"))
