"""User names and passwords for download servers.

Looked for in the environment, in a private file, in ``~/.netrc`` and in the system's keyring (with
the extra ``keyring``); at a terminal they are asked for. They are never taken from a command line
(anybody on the machine can read that), never printed, and travel inside :class:`Secret`, which
shows nothing of itself however it is formatted. Programs and workers that are started do not
inherit them (:func:`clean_environment`).
"""

from __future__ import annotations

import fnmatch
import getpass
import netrc
import os
import re
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from posepile.errors import UsageError, raise_if_shortage
from posepile.formats.yaml_files import parse_yaml


@dataclass(frozen=True)
class Credentials:
    """What a server or an archive asks for.

    Attributes:
        service: Whose account it is.
        user: User name, None for an archive that has only a password.
        password: The password.
    """

    service: str
    user: Secret | None
    password: Secret


class Secret:
    """A text that is not shown. :meth:`reveal` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str):
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("<secret>", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self):
        raise TypeError("a secret is not pickled")


def get_credentials(
    service: str, *, host: str = "", need_user: bool = True, prompt: bool = True
) -> Credentials:
    """Returns the credentials of an account.

    Args:
        service: Name of the account as in ``sources.yaml``.
        host: The server that asks, by which ``~/.netrc`` knows the account.
        need_user: Whether a user name belongs to it; archives have only a password.
        prompt: Ask at the terminal when nothing is stored, provided that there is a terminal.

    Raises:
        UsageError: Nowhere given, or the file is readable by others or not of the expected form.
    """
    found = _stored(service, host, need_user)
    if found:
        return found
    if prompt and sys.stdin is not None and sys.stdin.isatty():
        return _from_prompt(service, need_user)
    user, password = variable_names(service)
    names = f"{user} and {password}" if need_user else password
    raise UsageError(
        f"no {'user name and password' if need_user else 'password'} for {service}: set {names}, "
        f"or put them into {credentials_file()} (mode 600) as {service}: "
        + ("{user: ..., password: ...}" if need_user else "{password: ...}")
    )


def have_credentials(service: str, *, host: str = "", need_user: bool = True) -> bool:
    """Returns whether :func:`get_credentials` would succeed without asking anybody.

    Raises:
        UsageError: The credentials file is readable by others or not of the expected form.
    """
    return _stored(service, host, need_user) is not None


def _stored(service: str, host: str, need_user: bool) -> Credentials | None:
    return (
        _from_environment(service, need_user)
        or _from_file(service, need_user)
        or _from_netrc(service, host, need_user)
        or _from_keyring(service, need_user)
    )


def variable_names(service: str) -> tuple[str, str]:
    """Returns the environment variables of the user name and the password."""
    stem = "POSEPILE_" + re.sub(r"\W", "_", service).upper()
    return f"{stem}_USER", f"{stem}_PASSWORD"


def credentials_file() -> Path:
    """Returns ``$POSEPILE_CREDENTIALS`` or ``~/.config/posepile/credentials.yaml``."""
    if os.environ.get("POSEPILE_CREDENTIALS"):
        return Path(os.environ["POSEPILE_CREDENTIALS"]).expanduser()
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "posepile" / "credentials.yaml"


# Names of environment variables that hold what gives access, whoever has chosen them.
# Many are written in one word (PGPASSWORD, SSHPASS), so most may stand anywhere.
_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|PASS(_|\d|$)|_PWD|BINDPW|TOKENS?(_|\d|$)|SECRET|CREDENTIAL|COOKIE|"
    r"JWT|WEBHOOK|SESSION_?ID|CONNECTION_?STRING|DSN(_|$)|(^|_)(PAT|AUTH)(_|$)|"
    r"(^|_|API|PRIVATE|ACCESS)KEY(_ID|_PEM|_?\d+)?$|^POSEPILE_\w+_USER$|^SSH_AUTH_SOCK$",
    re.IGNORECASE,
)
_LOGIN_IN_ADDRESS = re.compile(r"://[^/\s]*@")


def clean_environment(keep: Iterable[str] = (), *, network: bool = True) -> dict[str, str]:
    """Returns the environment for programs and workers: without what gives access to accounts.

    Args:
        keep: Names of variables that are wanted all the same, ``*`` at the end for any ending.
        network: Whether the addresses of proxies stay that have a password in them.
    """
    wanted = tuple(keep)

    def gives_access(name: str, value: str) -> bool:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted):
            return False
        if _SECRET_NAME.search(name):
            return True
        is_wanted = network and name.lower().endswith("_proxy")
        return not is_wanted and _LOGIN_IN_ADDRESS.search(value) is not None

    return {k: v for k, v in os.environ.items() if not gives_access(k, v)}


def redact(text: str, *secrets: Secret | None) -> str:
    """Returns a text from elsewhere, e.g. a library's error message, without secrets.

    Also in the encodings in which they are sent.
    """
    import urllib.parse

    forms: set[str] = set()
    for secret in secrets:
        if secret is not None and secret.reveal():
            plain = secret.reveal()
            forms |= {plain, urllib.parse.quote(plain), urllib.parse.quote_plus(plain)}
            forms |= {urllib.parse.quote(plain, safe=""), repr(plain)[1:-1]}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "<secret>")
    return text


def _from_environment(service: str, need_user: bool) -> Credentials | None:
    user_name, password_name = variable_names(service)
    user, password = os.environ.get(user_name), os.environ.get(password_name)
    for name in (user_name, password_name):
        if not os.environ.get(name, "").isprintable():  # bytes that are no text among them
            raise UsageError(f"{name} is not printable text in the encoding of this system")
    if password and (user or not need_user):
        return Credentials(service, Secret(user) if user else None, Secret(password))
    if need_user and bool(user) != bool(password):
        have, lack = (user_name, password_name) if user else (password_name, user_name)
        raise UsageError(f"{have} is set but {lack} is not: set both or neither")
    return None


def _from_file(service: str, need_user: bool) -> Credentials | None:
    path = credentials_file()
    try:
        # The permissions checked are those of the very file that is read.
        with open(path, encoding="utf-8") as f:
            _require_private(path, os.fstat(f.fileno()))
            raw = parse_yaml(f.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise UsageError(f"{path}: not readable by this user; it must be owned by you") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        # The parser's message quotes the file: only its line number is safe to show.
        mark = getattr(e, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(f"{path}: not valid YAML{line}") from None
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected lines like  amass: {{user: ..., password: ...}}")
    entry = raw.get(service)
    if entry is None:
        return None
    allowed = {"user", "password"}
    if (
        not isinstance(entry, dict)
        or set(entry) - allowed
        or "password" not in entry
        or (need_user and "user" not in entry)
        or not all(isinstance(v, str) for v in entry.values())
    ):
        raise UsageError(
            f"{path}: entry {service}: expected {{user: ..., password: ...}} with both values "
            "as quoted text"
        )
    user = entry.get("user")
    return Credentials(service, Secret(user) if user else None, Secret(entry["password"]))


def _require_private(path: Path, status: os.stat_result) -> None:
    if os.name == "posix" and status.st_uid not in (os.geteuid(), 0):
        raise UsageError(f"{path}: belongs to another user, who can read and change it; copy it")
    if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise UsageError(
            f"{path}: mode {mode:03o} lets others read your passwords; run: chmod 600 {path}"
        )


def _from_netrc(service: str, host: str, need_user: bool) -> Credentials | None:
    """Looks for the host, never for netrc's ``default``, which is meant for any host."""
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not (host and need_user and path.is_file()):
        return None
    try:
        entry = netrc.netrc(path).hosts.get(host)
        status = path.stat()
    except netrc.NetrcParseError as e:  # its message quotes the file
        raise UsageError(f"{path}: not a valid netrc file (line {e.lineno})") from None
    except (OSError, UnicodeDecodeError) as e:
        raise_if_shortage(path, e)
        return None
    if not entry or not entry[0] or not entry[2]:
        return None
    _require_private(path, status)
    return Credentials(service, Secret(entry[0]), Secret(entry[2]))


def _from_keyring(service: str, need_user: bool) -> Credentials | None:
    """Looks for what ``keyring set posepile-<service> <user>`` has stored."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        found = keyring.get_credential(f"posepile-{service}", None)
    except Exception:  # a locked or missing keyring, or one of the many things behind it
        return None
    if not found or not found.password or (need_user and not found.username):
        return None
    return Credentials(service, Secret(found.username or ""), Secret(found.password))


def _from_prompt(service: str, need_user: bool) -> Credentials:
    user = None
    if need_user:
        print(f"User name for {service}: ", end="", file=sys.stderr, flush=True)
        user = sys.stdin.readline().strip()
    password = getpass.getpass(f"Password for {service}: ")
    if not password or (need_user and not user):
        raise UsageError(f"no user name or password given for {service}")
    return Credentials(service, Secret(user) if user else None, Secret(password))
