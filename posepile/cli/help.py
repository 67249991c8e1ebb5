"""What ``posepile --help`` says: the commands by what one wants to do, and examples."""

from __future__ import annotations

import argparse
import platform
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path

from posepile.ds import dataset_names
from posepile.terminal import OneLineParser
from posepile.version import __version__

# In the order in which a person meets them. A test sees to it that no command is left out.
GROUPS = {
    "before there is any data": ("list", "plan", "doctor"),
    "from raw files to a dataset": ("run", "step", "status", "verify"),
    "look at it": ("report", "view", "skeleton"),
    "datasets out of datasets": ("merge", "subset", "import", "export", "upload"),
    "what is in them twice, and how good predictions are": ("duplicates", "hygiene", "eval"),
    "data and networks of your own": ("new", "check", "model"),
    "this program": ("completion",),
}

# Each of them runs as it stands, once the miniatures of aspset, coco and mpii are packed.
EXAMPLES = {
    "": (
        "posepile list",
        "posepile plan aspset",
        "posepile run aspset --miniature",
        "posepile report aspset",
    ),
    "list": ("posepile list --open --kind 3d", "posepile list 'coco*' --json"),
    "plan": ("posepile plan aspset", "posepile plan coco --json"),
    "doctor": ("posepile doctor aspset", "posepile doctor coco --checksums --json"),
    "run": (
        "posepile run aspset --miniature",
        "posepile run aspset --from crop --jobs 2",
        "posepile run aspset --miniature --variant dense --set select.threshold_mm=50",
    ),
    "step": ("posepile step aspset pack",),
    "status": ("posepile status aspset", "posepile status aspset --json"),
    "verify": ("posepile verify aspset", "posepile verify s3://my-bucket/sets/aspset.barecat"),
    "report": ("posepile report aspset",),
    "skeleton": ("posepile skeleton h36m", "posepile skeleton aspset --as coco17"),
    "merge": ("posepile merge", "posepile merge dozens --dry-run --skip-missing"),
    "subset": (
        "posepile subset aspset --out tiny --n 10",
        "posepile subset aspset --out walks --splits train --every 2",
    ),
    "export": ("posepile export aspset --to labels",),
    "upload": ("posepile upload aspset s3://my-bucket/sets",),
    "duplicates": ("posepile duplicates mpii coco",),
    "hygiene": ("posepile hygiene tdhp tdhp_full --no-pictures",),
    "eval": ("posepile eval",),
    "new": ("posepile new gym --like multiview --at sets",),
    "check": ("posepile check coco",),
    "model list": ("posepile model list",),
}

_WIDTH = 24  # of the column with the names


def version_line() -> str:
    """Returns which PosePile this is, which Python runs it, and where it lies."""
    place = Path(__file__).resolve().parent.parent
    return f"posepile {__version__} (Python {platform.python_version()}, {place})"


class MainParser(OneLineParser):
    """The parser of ``posepile`` itself, whose help has its commands in groups.

    Attributes:
        described: Command -> what it does, in one line.
    """

    described: Mapping[str, str] = {}

    def _check_value(self, action, value):
        """Says what to do where a dataset stands in the place of a command."""
        if action.choices is not None and value not in action.choices:
            name = value.partition("@")[0]
            if name in dataset_names():
                text = f"{value!r} is a dataset; a command comes first, e.g. posepile plan {value}"
                raise argparse.ArgumentError(action, text)
        super()._check_value(action, value)

    def format_help(self) -> str:
        """Returns the help."""
        width = max(min(shutil.get_terminal_size().columns, 99), 40)
        lines = [
            "usage: posepile COMMAND ...",
            "",
            *textwrap.wrap(f"{self.description} DATA_ROOT says where the data are.", width),
        ]
        for title, commands in GROUPS.items():
            lines += ["", *textwrap.wrap(f"{title}:", width)]
            for command in commands:
                lines += _entry(command, self.described.get(command, ""), width)
        lines += ["", "options, before the command or after it:"]
        for action in self._actions:
            if action.option_strings and action.help != argparse.SUPPRESS:
                words = ", ".join(action.option_strings)
                value = f" {action.metavar}" if action.metavar else ""
                lines += _entry(words + value, action.help or "", width)
        lines += ["", examples(""), "posepile COMMAND --help says more of each.", ""]
        return "\n".join(lines)


def examples(command: str) -> str:
    """Returns the examples of a command as its help ends with them; empty if it has none."""
    lines = [f"  {line}" for line in EXAMPLES.get(command, ())]
    return "\n".join(["examples:", *lines, ""]) if lines else ""


def add_examples(parser: argparse.ArgumentParser, command: str) -> None:
    """Lets the help of a command end with its examples."""
    parser.epilog = examples(command).rstrip() or None
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _entry(name: str, text: str, width: int) -> list[str]:
    """A name, and beside it what it is; below it where there is no room."""
    indent = " " * (_WIDTH if width >= 60 else 6)
    wrapped = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
    if wrapped and len(name) + 4 <= len(indent):
        first = f"  {name}".ljust(len(indent)) + wrapped[0][len(indent) :]
        return [first, *wrapped[1:]]
    return [f"  {name}", *wrapped]
