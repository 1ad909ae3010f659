"""Copies of the stored sample run, with the vectors of its texts."""
import shutil
from pathlib import Path

from replytune.vectors import Vectors
from replytune.files import resolve
from replytune.run import SAMPLE_CACHE, SAMPLE_RUN, copy_cache


def whole_sample(folder: Path) -> Path:
    "The whole sample run and its vectors in a new folder"
    shutil.copytree(resolve(SAMPLE_RUN), folder)
    copy_cache(folder / "cache")
    return folder


def known_vectors() -> Vectors:
    "A store in memory that knows the sample's texts; what a test adds is not kept"
    vectors = Vectors()
    vectors.known |= Vectors(folder=resolve(SAMPLE_CACHE)).known
    return vectors
