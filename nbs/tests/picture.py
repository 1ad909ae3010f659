"""Make nbs/results/report.png, the picture of the report that the README shows: what a reader sees first. It notes the hash of the report that it shows."""
import sys
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from browsing import chromium
from replytune.files import read_json, resolve, sha256
from replytune.run import SAMPLE_RUN

PICTURE = "nbs/results/report.png"
WIDTH, HEIGHT = 1000, 760  # of the screen, in points


def shown(report: Path, target: Path):
    "The top of a report as a picture of 64 colours"
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1.5, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.screenshot(path=f"{folder}/top.png")
        picture, told = Image.open(f"{folder}/top.png").convert("RGB").quantize(64), PngInfo()
        told.add_text("report", sha256(report))
        picture.save(target, pnginfo=told, optimize=True)


def shows() -> tuple[str, str]:
    "The hash of the report that is on the picture, and of the one that the stored run wrote"
    return Image.open(resolve(PICTURE)).text["report"], read_json(resolve(SAMPLE_RUN) / "manifest.json")["09_report"]["wrote"]["report.html"]


if __name__ == "__main__": shown(Path(sys.argv[1]), resolve(PICTURE))
