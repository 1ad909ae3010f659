"""What nbdev makes of the pages, as far as it goes without Quarto: process every page as for publication, list what would be published.

`process(folder)` does it for a copy of the project in `folder`; as a program, for this project.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPS = """
from nbdev.quarto import refresh_quarto_yml
from nbdev.doclinks import _build_modidx
from nbdev.serve import proc_nbs
refresh_quarto_yml(); _build_modidx(); proc_nbs(n_workers=0, force=True)
"""  # the first half of nbdev_docs, without its attempts to install Quarto and the project


def process(folder: Path = ROOT) -> list[str]:
    "The files that would go to Quarto; `RuntimeError` with nbdev's own error if a page cannot be processed"
    shutil.rmtree(folder / "_proc", ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name != "IN_TEST"} | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", STEPS], cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode: raise RuntimeError(done.stderr[-3000:])
    if "Error" in done.stderr: raise RuntimeError(done.stderr[-3000:])
    return sorted(path.relative_to(folder / "_proc").as_posix() for path in (folder / "_proc").rglob("*") if path.is_file())


if __name__ == "__main__":
    print("\n".join(process()))
    print("These lie in _proc/. " + ("Now run: nbdev_docs" if shutil.which("quarto") else "Quarto, which is not installed here, would render them: nbdev_docs does both."))
