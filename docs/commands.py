"""The page of all commands, made from the parser that reads them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from posepile.cli import make_parser
from posepile.cli.help import GROUPS

INTRODUCTION = """\
# Commands

All that `posepile` can be asked; `posepile COMMAND --help` prints the same. Exit codes: 0 done, or
nothing is wrong; 1 the work failed, or something is wrong; 2 the request was wrong. Under `--json`
standard output is one JSON document, and all else that is said is on standard error.

`bash posepile/ds/NAME/main.sh` takes the options of [`posepile run`](#run).
"""

# Arguments of which the help says nothing, as their names do.
KNOWN = {
    "name": "a dataset as `posepile list` prints it, or a variant of it: DATASET@VARIANT",
    "step": "the step",
}


def commands_page() -> str:
    """Returns the page with every command, its options and what they mean."""
    parser = make_parser()
    (choices,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    said = {choice.dest: choice.help or "" for choice in choices._choices_actions}
    general = {a.option_strings[-1] for a in parser._actions if a.option_strings}
    parts = [INTRODUCTION, "| for every command | meaning |", "|---|---|"]
    parts += [row for action in parser._actions if (row := option_row(action, parser, set()))]
    for title, names in GROUPS.items():
        parts += ["", f"## {title[:1].upper()}{title[1:]}", ""]
        for name in names:
            parts += sections(choices.choices[name], (name,), said.get(name, ""), general)
    return "\n".join(parts) + "\n"


def sections(
    parser: argparse.ArgumentParser, path: tuple[str, ...], said: str, general: set[str]
) -> Iterator[str]:
    """Yields the section of a command, then those of its own commands.

    Args:
        parser: The command's parser.
        path: Its name, below the names of the commands it belongs to.
        said: What the help of the command above says of it.
        general: Options that all commands have.
    """
    yield section(parser, path, said, general)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, sub in action.choices.items():
                yield from sections(sub, (*path, name), helps.get(name, ""), general)


def section(
    parser: argparse.ArgumentParser, path: tuple[str, ...], said: str, general: set[str]
) -> str:
    """Returns the section of one command; arguments as of :func:`sections`."""
    about = sentence(plain(parser.description or said, parser))
    lines = [f"{'#' * (len(path) + 2)} {' '.join(path)}", "", about, ""]
    lines += ["```text", *wrapped(usage_of(parser, general)), "```", ""]
    rows = [row for action in parser._actions if (row := option_row(action, parser, general))]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    if parser.epilog:
        lines += epilog(plain(parser.epilog, parser).strip())
    return "\n".join(lines)


def epilog(text: str) -> list[str]:
    """Returns the lines of what a help ends with; examples as commands."""
    title, _, rest = text.partition("\n")
    if title.rstrip(":") == "examples":
        return [
            "```bash",
            *(line.strip() for line in rest.splitlines() if line.strip()),
            "```",
            "",
        ]
    return ["```text", *text.splitlines(), "```", ""]


def usage_of(parser: argparse.ArgumentParser, general: set[str]) -> str:
    """Returns the usage without what all commands have."""
    formatter = parser._get_formatter()
    own = [a for a in parser._actions if not general & set(a.option_strings)]
    formatter.add_usage(None, own, parser._mutually_exclusive_groups, prefix="")
    return shorter(" ".join(formatter.format_help().split()))


def shorter(text: str) -> str:
    """Returns a usage in which choices that may be repeated stand once."""
    return re.sub(r"(\{[^}]+\}) \[\1 \.\.\.\]", r"\1 ...", text)


def option_row(
    action: argparse.Action, parser: argparse.ArgumentParser, general: set[str]
) -> str | None:
    """Returns the table's row of an option or argument, None for what needs none."""
    hidden = isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    if hidden or action.help == argparse.SUPPRESS or general & set(action.option_strings):
        return None
    name = values = shorter(parser._get_formatter()._format_args(action, action.dest.upper()))
    if action.option_strings:
        name = ", ".join(action.option_strings) + (f" {values}" if action.nargs != 0 else "")
    meaning = plain(action.help or "", parser, action) or KNOWN.get(action.dest, "")
    if action.choices is not None and action.metavar is not None:
        meaning += f" ({', '.join(map(str, action.choices))})"
    return f"| `{cell(name)}` | {cell(meaning).replace('<', '&lt;')} |"


def plain(
    text: str, parser: argparse.ArgumentParser, action: argparse.Action | None = None
) -> str:
    """Returns a text of the help as argparse prints it."""
    facts = {**(vars(action) if action else {}), "prog": parser.prog}
    return text % facts if re.search(r"%(\(|%)", text) else text


def sentence(text: str) -> str:
    """Returns a description as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")


def wrapped(usage: str) -> list[str]:
    """Returns a usage in lines that fit the page, broken between options."""
    lines, line = [], ""
    for piece in re.findall(r"\[[^\]]*(?:\[[^\]]*\][^\]]*)*\]|\S+", usage):
        if line and len(line) + 1 + len(piece) > 84:
            lines.append(line)
            line = "   "
        line = f"{line} {piece}" if line else piece
    return [*lines, line]


def cell(text: str) -> str:
    """Returns text that can stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
