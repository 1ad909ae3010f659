"""Build the package from settings.ini, so that its facts live in one place."""
from configparser import ConfigParser
from pathlib import Path
import shlex

import setuptools

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]

suffix = "_requirements"
extras = {name[: -len(suffix)]: shlex.split(settings[name]) for name in settings if name.endswith(suffix)}
extras["all"] = sorted({requirement for group in extras.values() for requirement in group})

setuptools.setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    license=settings["license"],
    keywords=settings["keywords"],
    url=settings["git_url"],
    package_data={settings["lib_name"]: ["assets/*"]},
    packages=setuptools.find_packages(include=[settings["lib_path"], settings["lib_path"] + ".*"]),
    python_requires=">=" + settings["min_python"],
    install_requires=shlex.split(settings["requirements"]),
    extras_require=extras,
    entry_points={
        "console_scripts": ["replytune=replytune.line:main"],
        "nbdev": [f"{settings['lib_path']}={settings['lib_path']}._modidx:d"],
    },
    zip_safe=False,
)
