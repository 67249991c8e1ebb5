"""The command ``completion``: what a shell needs to complete ``posepile`` commands by Tab.

The scripts are made of the parser, so they know what it knows, and of the names of the datasets
when they are made. They start no program when Tab is pressed.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from posepile.ds import dataset_names

SHELLS = ("bash", "zsh", "fish")

# Where each shell looks for such scripts by itself; said by --help.
PLACES = {
    "bash": "~/.local/share/bash-completion/completions/posepile",
    "zsh": "_posepile in a folder of $fpath",
    "fish": "~/.config/fish/completions/posepile.fish",
}

_SETS = ("DATASET", "FILE_OR_NAME", "NAME")  # metavars of arguments that name a dataset
_FILES = ("FILE", "DIR", "PLACE", "PNG", "FILE_OR_NAME")


def add_completion_options(
    parser: argparse.ArgumentParser, main_parser: argparse.ArgumentParser
) -> None:
    """Which shell.

    Args:
        parser: Of the command.
        main_parser: Whose commands are to be completed.
    """
    parser.set_defaults(main_parser=main_parser)
    parser.add_argument(
        "shell",
        choices=SHELLS,
        help='e.g. eval "$(posepile completion bash)" in ~/.bashrc; or write what is printed to '
        + ", ".join(f"{place} ({shell})" for shell, place in PLACES.items()),
    )


def cmd_completion(args: argparse.Namespace) -> int:
    """Prints the script of a shell."""
    print("\n".join(script(args.shell, args.main_parser)))
    return 0


@dataclass
class Option:
    """An option of a command.

    Attributes:
        names: ``--set`` and other spellings.
        text: What it does.
        takes_value: Whether a word follows it.
        choices: What that may be; empty if anything.
        files: Whether that is a file or folder.
    """

    names: list[str]
    text: str
    takes_value: bool
    choices: list[str]
    files: bool


@dataclass
class Command:
    """A command, or a command below one.

    Attributes:
        path: Its words, such as ``model list``; empty for ``posepile`` itself.
        words: What may stand where no option does: commands below it, choices, datasets.
        files: Whether files may stand there.
        texts: Words of ``words`` -> what they mean.
    """

    path: str
    words: list[str] = field(default_factory=list)
    files: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    options: list[Option] = field(default_factory=list)


def commands_of(parser: argparse.ArgumentParser, path: str = "") -> Iterator[Command]:
    """Yields a parser's command and those below it."""
    command, below = Command(path), []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            command.words += list(action.choices)
            command.texts |= {a.dest: a.help or "" for a in action._choices_actions}
            below = [(f"{path} {name}".strip(), sub) for name, sub in action.choices.items()]
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            command.options.append(
                Option(
                    list(action.option_strings),
                    " ".join((action.help or "").split()),
                    action.nargs != 0,
                    [str(choice) for choice in action.choices or ()],
                    _is_file(action),
                )
            )
        else:
            command.words += [str(choice) for choice in action.choices or ()]
            command.words += dataset_names() if action.metavar in _SETS else []
            command.files = command.files or _is_file(action)
    yield command
    for name, sub in below:
        yield from commands_of(sub, name)


def _is_file(action: argparse.Action) -> bool:
    return action.metavar in _FILES or getattr(action.type, "__name__", "") == "Path"


def script(shell: str, parser: argparse.ArgumentParser) -> list[str]:
    """Returns the lines of the script for a shell.

    Args:
        shell: One of ``SHELLS``.
        parser: That of ``posepile``.
    """
    commands = list(commands_of(parser))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


# ---------------------------------------------------------------- bash and zsh


def _path_lines(commands: list[Command]) -> list[str]:
    """Shell code that sets ``path`` to the command that the words before the cursor name."""
    nested = sorted({c.path.split()[0] for c in commands if " " in c.path})
    values = [name for c in commands for o in c.options if o.takes_value for name in o.names]
    return [
        "  local path='' word skip=''",
        '  for word in "${before[@]}"; do',
        '    if [[ -n $skip ]]; then skip=""; continue; fi',
        "    case $word in",
        f"      {'|'.join(sorted(set(values)))}) [[ -z $path ]] && skip=1; continue ;;",
        "      -*) continue ;;",
        "    esac",
        "    case $path in",
        "      '') path=$word ;;",
        f'      {"|".join(nested)}) path="$path $word" ;;',
        "    esac",
        "  done",
    ]


def _bash(commands: list[Command]) -> list[str]:
    lines = [
        "# Completion of posepile for bash.",
        "_posepile() {",
        "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}",
        '  local -a before=("${COMP_WORDS[@]:1:COMP_CWORD-1}")',
        *_path_lines(commands),
        "  local words='' files=''",
        '  case "$path $previous" in',
    ]
    for command, option in _with_value(commands):
        patterns = "|".join(shlex.quote(f"{command.path} {name}") for name in option.names)
        if option.choices:
            lines.append(f"    {patterns}) words={shlex.quote(' '.join(option.choices))} ;;")
        elif option.files:
            lines.append(f"    {patterns}) files=1 ;;")
        else:
            lines.append(f"    {patterns}) return ;;")
    lines += ["    *)", '      case "$path" in']
    for command in commands:
        options = " ".join(name for o in command.options for name in o.names)
        lines += [
            f"        {shlex.quote(command.path)})",
            f"          if [[ $current == -* ]]; then words={shlex.quote(options)}",
            f"          else words={shlex.quote(' '.join(command.words))}"
            + ("; files=1" if command.files else "")
            + "; fi ;;",
        ]
    return [
        *lines,
        "      esac ;;",
        "  esac",
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
        '  [[ -n $files ]] && COMPREPLY+=($(compgen -f -- "$current"))',
        "}",
        "complete -o filenames -o bashdefault -F _posepile posepile",
    ]


def _zsh(commands: list[Command]) -> list[str]:
    lines = [
        "#compdef posepile",
        "# Completion of posepile for zsh.",
        "_posepile() {",
        "  local current=${words[CURRENT]} previous=${words[CURRENT-1]}",
        '  local -a before found; before=("${(@)words[2,CURRENT-1]}")',
        *[line.replace("path", "command_path") for line in _path_lines(commands)],
        '  case "$command_path $previous" in',
    ]
    for command, option in _with_value(commands):
        patterns = "|".join(shlex.quote(f"{command.path} {name}") for name in option.names)
        if option.choices:
            lines.append(f"    {patterns}) compadd -- {shlex.join(option.choices)}; return ;;")
        elif option.files:
            lines.append(f"    {patterns}) _files; return ;;")
        else:
            lines.append(f"    {patterns}) return ;;")
    lines += ["  esac", '  case "$command_path" in']
    for command in commands:
        options = [f"{_colon(n)}:{_colon(o.text)}" for o in command.options for n in o.names]
        words = [
            f"{_colon(w)}:{_colon(command.texts[w])}" if w in command.texts else _colon(w)
            for w in command.words
        ]
        lines += [
            f"    {shlex.quote(command.path)})",
            "      if [[ $current == -* ]]; then",
            f"        found=({shlex.join(options)}); _describe option found",
            "      else",
            f"        found=({shlex.join(words)}); _describe word found",
            *(["        _files"] if command.files else []),
            "      fi ;;",
        ]
    return [
        *lines,
        "  esac",
        "}",
        'if [[ ${funcstack[1]} == _posepile ]]; then _posepile "$@"; else',
        "  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }",
        "  compdef _posepile posepile",
        "fi",
    ]


def _with_value(commands: list[Command]) -> Iterator[tuple[Command, Option]]:
    return ((c, option) for c in commands for option in c.options if option.takes_value)


def _colon(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


# ---------------------------------------------------------------- fish


def _fish(commands: list[Command]) -> list[str]:
    lines = ["# Completion of posepile for fish.", "complete -c posepile -f"]
    for command in commands:
        when = shlex.quote(_seen(command, commands))
        for word in command.words:
            text = command.texts.get(word)
            about = f" -d {_fish_quoted(text)}" if text else ""
            lines.append(f"complete -c posepile -n {when} -a {_fish_quoted(word)}{about}")
        if command.files:
            lines.append(f"complete -c posepile -n {when} -F")
        for option in command.options:
            spelled = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in option.names
            )
            value = ""
            if option.choices:
                value = f" -x -a {_fish_quoted(' '.join(option.choices))}"
            elif option.takes_value:
                value = " -r -F" if option.files else " -x"
            text = f" -d {_fish_quoted(option.text)}" if option.text else ""
            lines.append(f"complete -c posepile -n {when} {spelled}{value}{text}")
    return lines


def _seen(command: Command, commands: list[Command]) -> str:
    """When a command is the one that is being written."""
    words = command.path.split()
    below = [c.path.split()[-1] for c in commands if c.path.split()[:-1] == words and c.path]
    if not words:
        return "__fish_use_subcommand"
    seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words)
    if len(words) > 1:  # 'check' and 'list' are commands of their own, too
        return seen
    if below:
        return f"{seen}; and not __fish_seen_subcommand_from {' '.join(below)}"
    others = sorted({c.path.split()[0] for c in commands if " " in c.path})
    return f"{seen}; and not __fish_seen_subcommand_from {' '.join(others)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
