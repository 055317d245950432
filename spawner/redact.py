"""Names of files are data: in the hub's logs an address of a person's notebook ends with that person's name.

Browsers go on asking for what they showed when a session has ended, and then it is the hub that they ask. `proxy_redact.js`
does the same for the proxy.
"""

from __future__ import annotations

import logging
import re

_SLASH = r"(?:/|%(?:25)*2F)"
"""Also as it stands in an address within an address, and so on."""
_PERSON = r"(?:[^/%\s\"]|%(?!(?:25)*2F))+"
_BELOW_A_NOTEBOOK = re.compile(rf"({_SLASH}user(?:-redirect|{_SLASH}{_PERSON}){_SLASH})[^\s\"]+", re.ASCII | re.IGNORECASE)
"""To the next blank or double quote: browsers write these two encoded, and leave every other sign that could end an address.
`user-redirect` is JupyterHub's link to a file in the notebook of whoever follows it."""


def redacted(text: str) -> str:
    """`text` with every address below a person's notebook cut to that person, also where it stands encoded in another one."""
    return _BELOW_A_NOTEBOOK.sub(r"\1…", text)


class Redact(logging.Filter):
    """Lets every record pass, its message and its traceback redacted."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change `record` in place: whatever writes it afterwards has only this."""
        record.msg, record.args = redacted(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = redacted(record.exc_text or _FORMATTER.formatException(record.exc_info))
        return True


_FORMATTER = logging.Formatter()
