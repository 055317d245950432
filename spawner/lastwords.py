"""What of a log's line may stand on a page: the words that are known to be nobody's.

What a job says at its end was written by ssh, by a file system, or by a process that a cell may have taken over; it may hold a
key, a token, or the name of a patient's file. No pattern finds all of these, so nothing is searched for: a word is shown when it
is in `WORDS`, a number when it follows one that announces it, and whatever else there was is an ellipsis. The whole line is in
the hub's log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LINES = 8
"""The last lines that are shown, and the most words of one."""
LENGTH = 40

ROOM = 4096
"""Characters of all the lines together, with their ends: what the session's record has room for. Of more, the first ones go."""

GAP = "…"

ANNOUNCES = frozenset({"after", "code", "exit", "signal", "status", "with"})
"""After these, a number of at most three digits is a number and no name."""

_KNOWN = """
a abort aborted accept accepted account address again agreed all allowed already an and another answer answered answers any are
argument as asked at attempt audit authenticate authentication authority available bad batch be been before began begin body broke
broken but bwrap by call called cancelled certificate certificates change changed channel check closed cloud command connect
connected connecting connection connections could create credential credentials cuda cut data day denied destination device
devices did died directory disk does down driver early elsewhere enclave encrypted end ended ending enough error errors exceeded
exchange exist exists expired fail failed failure fatal file files filesystem find first fit folder for forbidden found from fuse
fusermount fusermount3 gateway get given gone gpu gpus granted had handshake has have held helper host hub id identification
identity idle in incompatible input install installed internal interrupted invalid is isn't it its job journal kernel key keys
killed known last late layer left limit line link listen load local lost made make many may memory method missing module mount
mounted mountpoint moved munge name namespace namespaces network new no node nodes none not notebook nothing number of on once
only open opened operation or order other out output over own owner packet password path peer permission permitted phase pid pipe
policy port preflight presets process processes program proof proved public publickey quota reached read ready reason record
refused reports request reset resource response root route run running runs said same sandbox say says seconds server session set
sftp shown signature signed silent size slow socket software ssh sshfs start started starting state step stopped storage such
suspended swap system temporarily terminated than that the there they time timed timeout timeouts to token too traceback transport
tried tries twice type unable unexpected unknown unmount unreachable unshare unsupported unusable up usable used user value
verification verify version wait waited walls was were what which while will without word work write written wrong
assertionerror attributeerror brokenpipeerror connectionerror connectionrefusederror connectionreseterror eoferror exception
filenotfounderror importerror indexerror ioerror keyerror memoryerror modulenotfounderror nameerror notimplementederror oserror
permissionerror processlookuperror recursionerror runtimeerror syntaxerror timeouterror typeerror unicodedecodeerror valueerror
"""
WORDS = ANNOUNCES | frozenset(_KNOWN.split())
"""Words of ours and of the programs that a session is made of, in lower case. None is a key, and none names a person."""

_QUOTES = {"'": "'", '"': '"', "`": "`'", "“": "”", "‘": "’", "「": "」", "『": "』", "«": "»", "[": "]", "{": "}", "<": ">"}
_EDGE = ".,:;!?()"


def shown(text: str) -> tuple[str, ...]:
    """The last lines of `text` that a person may read; those of which too little is left to mean something are left out."""
    lines = (_line(line.split()) for line in text.splitlines()[-200:])
    kept = [line for line in lines if sum(word != GAP for word in line.split()) > 1][-LINES:]
    while sum(len(line) + 1 for line in kept) > ROOM:
        del kept[0]
    return tuple(kept)


def _line(words: Iterable[str]) -> str:
    kept: list[str] = []
    closing = ""
    before = ""
    for word in words:
        if closing:
            # Within a path or quotes even a known word is part of a name.
            closing = "" if word.rstrip(_EDGE)[-1:] in closing or word[-1:] in closing else closing
            before, known = "", ""
        elif "/" in word or "\\" in word:
            closing = "" if word[-1:] in {":", ";"} else ":;"
            before, known = "", ""
        elif word[0] in _QUOTES:
            ends = _QUOTES[word[0]]
            closing = "" if len(word) > 1 and (word.rstrip(_EDGE)[-1:] in ends) else ends
            before, known = "", ""
        else:
            known = _known(word, before)
            before = word.lower()
        if known:
            kept.append(known)
        elif kept[-1:] != [GAP]:
            kept.append(GAP)
    return " ".join(kept[:LENGTH])


def _known(word: str, before: str) -> str:
    """`word`, with the sign after it, if it may be shown after the word `before`; nothing otherwise."""
    bare = word.strip(_EDGE)
    if bare.lower() in WORDS or (before in ANNOUNCES and re.fullmatch(r"[0-9]{1,3}", bare)):
        return bare + (word[-1] if word[-1] in ".,:;" else "")
    return ""
