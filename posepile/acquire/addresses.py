"""Web addresses: what of one may be shown, and where a redirect may lead."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from posepile.terminal import printable

# Values of a query that name a file; of all others nobody knows that they do not give access.
_SHOWN = frozenset(
    "domain resume sfile file files filename path name dataset id format download dl raw export "
    "version v part split lang confirm recursive type".split()
)
_ADDRESS = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>|`]+")
_HIDDEN = "<hidden>"
_LONGEST = 300


def shown_address(url: str) -> str:
    """Returns an address without what gives access: user, password, keys and signatures.

    >>> shown_address("https://me:pw@x.org/get.php?domain=a&sfile=b.zip&token=c#d")
    'https://x.org/get.php?domain=a&sfile=b.zip&token=<hidden>#<hidden>'
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return _HIDDEN
    query = "&".join(map(_shown_pair, re.split("[&;]", parts.query))) if parts.query else ""
    place = parts.netloc.rpartition("@")[2]
    fragment = _HIDDEN if parts.fragment else ""
    return urllib.parse.urlunsplit((parts.scheme, place, parts.path, query, fragment))


def access_values(url: str) -> list[str]:
    """Returns the values of an address's query that may give access.

    >>> access_values("https://x.org/get.php?domain=a&token=c%2Fd")
    ['c/d']
    """
    query = urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)
    return [value for name, value in query if name.lower() not in _SHOWN]


def without_access(text: str) -> str:
    """Returns a text, e.g. what a program has printed, whose addresses give no access.

    >>> without_access("GET https://x.org/a?X-Amz-Signature=1f failed")
    'GET https://x.org/a?X-Amz-Signature=<hidden> failed'
    """
    return _ADDRESS.sub(lambda found: shown_address(found[0]), text)


def require_no_logins(node: Any, where: str = "") -> None:
    """Raises where an address in plain data holds a user name or password.

    Args:
        node: What a YAML file says.
        where: Key under which it stands.

    Raises:
        ValueError: One does; it is not shown, as the values of other mistakes are.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            require_no_logins(value, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            name = value.get("name", i) if isinstance(value, dict) else i
            require_no_logins(value, f"{where}[{name}]")
    elif isinstance(node, str) and re.match(r"\s*[\w+.-]+://[^/]*@", node):
        raise ValueError(f"{where} must not hold a user name or password; use login:")


def told_by_server(text: str) -> str:
    r"""Returns what a server says on one line: printable, without keys, and not for ever.

    >>> print(told_by_server("Not\x1b[31m Found"))
    Not\x1b[31m Found
    """
    text = without_access(printable(" ".join(text.split())))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def redirected(url: str, location: str) -> str:
    """Returns the address to which an answer sends us on.

    Raises:
        ValueError: It leads from https elsewhere, out of the web, or nowhere; says so.
    """
    try:
        following = urllib.parse.urljoin(url, location)
        parts, before = urllib.parse.urlsplit(following), urllib.parse.urlsplit(url)
        there = parts.hostname and parts.port != 0
    except ValueError:
        raise ValueError("redirects to what is no address") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"redirects out of the web, to {told_by_server(parts.scheme)[:20]}:")
    if not there:
        raise ValueError("redirects to what is no address")
    if before.scheme == "https" != parts.scheme:
        raise ValueError("redirects from https to an unprotected address")
    return following


def _shown_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:  # a bare word may be a key
        return pair if name.lower() in _SHOWN else _HIDDEN
    return pair if name.lower() in _SHOWN or not value else f"{name}={_HIDDEN}"
