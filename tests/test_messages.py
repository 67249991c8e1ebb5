"""What messages and documents tell a person to type exists: commands, options, extras."""

import functools
import re

import pytest
from conftest import ROOT
from test_advice import texts

from posepile.cli import make_parser
from posepile.cli.completion import commands_of

# Options of other programs that are named in passing.
FOREIGN = {"--array", "--ignore-zeros", "--lzip", "--lzma", "--zstd", "--no-absolute-filenames"}
FOREIGN |= {"--max-wh", "--ort", "--pred-path", "--protocol", "--web-viewer"}

COMMANDS = {c.path: {n for o in c.options for n in o.names} for c in commands_of(make_parser())}
OPTIONS = set().union(*COMMANDS.values())

PROSE = ("looks",)  # what posepile does

# Folders in which options of one's own programs and of evaluations are named.
OWN_OPTIONS = ("ds", "evaluation")


def options_of(command):
    """Those of a command and of the commands below it."""
    below = (names for c, names in COMMANDS.items() if c.split()[:1] == [command])
    return set().union(*below)


def mistakes(text):
    """Commands and options of ``posepile`` in a text that there are not."""
    for found in re.finditer(r"\bposepile ([a-z]\w*)((?:[ \n]+[^;|`\n]*)?)", text):
        command, rest = found.groups()
        if re.search(r"(of|or|and|original) $", text[: found.start()]):
            continue  # the name of this program in a sentence
        if command in PROSE:
            continue
        if command not in COMMANDS:
            yield f"posepile {command}"
            continue
        if command == "eval":  # has those of each evaluation
            continue
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", rest.partition("posepile ")[0]):
            if option not in options_of(command):
                yield f"posepile {command} {option}"


@functools.cache
def texts_of(path):
    return list(texts(path))


def files():
    for suffix in ("py", "yaml", "sh", "md"):
        yield from sorted((ROOT / "posepile").rglob(f"*.{suffix}"))
    yield from sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("suffix", ["py", "yaml", "sh", "md"])
def test_commands_that_are_named_exist(suffix):
    chosen = [path for path in files() if path.suffix == f".{suffix}"]
    found = [
        f"{path.relative_to(ROOT)}: {mistake}"
        for path in chosen
        for text in texts_of(path)
        for mistake in mistakes(text)
    ]
    assert chosen and found == []


def test_options_that_messages_name_exist():
    found = []
    for path in sorted((ROOT / "posepile").rglob("*.py")):
        if path.relative_to(ROOT / "posepile").parts[0] in OWN_OPTIONS:
            continue
        for text in texts_of(path):
            if " " in text and "var(--" not in text and ":root" not in text:  # style sheets
                words = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) - OPTIONS - FOREIGN
                found += [f"{path.relative_to(ROOT)}: {word}: {text}" for word in words]
    assert found == []


def test_nobody_is_sent_to_an_index_that_does_not_have_it():
    """The package is installed from its checkout; what it can use beside has names of its own."""
    found = [str(path) for path in files() for text in texts_of(path) if "posepile[" in text]
    assert found == []


def test_the_search_finds_what_is_wrong():
    good = ("run posepile plan aspset --json; then go on", "posepile model check net.onnx --box")
    assert [list(mistakes(text)) for text in good] == [[], []]
    assert list(mistakes("(posepile stage x)")) == ["posepile stage"]
    assert list(mistakes("posepile plan x --only part")) == ["posepile plan --only"]
