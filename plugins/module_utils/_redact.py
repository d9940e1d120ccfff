# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Secrets taken out of text that people will read: passwords, tokens, DSNs, cookies, keys. Pure.

Rather too much than too little: what only looks like a secret goes too. Redacting twice gives what redacting once gives.
"""

from __future__ import annotations

import re

MASK = "***"

# Control sequences, by which terminals are told of colours and the place of the cursor. Source: ECMA-48.
SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")

# Words in the name of a setting, header or parameter whose value is nobody's business.
SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|signing[-_.]?key"
    r"|encryption[-_.]?key|auth(?:orization)?|credential|session|cookie|csrf|xsrf|signature|dsn|database[-_.]?url|jwt|otp)"
)
# A name, what parts it from its value, and the value: quoted, or up to the next blank or delimiter.
_SETTING = re.compile(
    r"(?i)([\w.-]*" + SECRET_NAME + r"[\w.-]*[\"']?\s*(?:=>|[:=])\s*)"
    r"(\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|[^\s\"'&;,)}\]]+)"
)
# The same as an argument of a command, with its value in the next one.
_ARGUMENT = re.compile(r"(?i)(?<!\S)(--?[\w-]*" + SECRET_NAME + r"[\w-]*\s+)(?!-)(\S+)")
# Headers whose whole line is the value.
_HEADER = re.compile(r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-auth-token)([\"']?\s*:\s*)[^\r\n]+")
_SCHEME = re.compile(r"(?i)\b(bearer|basic|digest|negotiate)(\s+)[^\s,\"']+")
# Up to the last @ without a blank before it: a password may hold @, : and /.
_IN_URL = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'<>]*@")
_IN_DSN = re.compile(r"(?<![\w/])([\w.%+-]+):([^\s:@/\"'<>]+)@(?=[\w(\[])")
_KEY_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S)
_JWT = re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*){1,2}")
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_\w{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|xox[abeoprs]-[\w-]{8,}|sk[-_][\w-]{8,}|[rp]k_(?:live|test)_\w{8,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{12,}|AIza[\w-]{20,}|npm_\w{20,}|SG\.[\w.-]{20,})"
)
# Long runs of letters and digits that no person wrote.
_RUN = re.compile(r"(?<![\w/+=-])[A-Za-z0-9+_=-]{32,}(?![\w/+=-])")


def redact(text):
    """The text without what looks like a secret."""
    text = _KEY_BLOCK.sub(MASK, text)
    text = _HEADER.sub(r"\1\2" + MASK, text)
    text = _SCHEME.sub(r"\1\2" + MASK, text)
    text = redact_logins(text)
    text = _SETTING.sub(_setting, text)
    text = _ARGUMENT.sub(r"\1" + MASK, text)
    text = _IN_DSN.sub(r"\1:" + MASK + "@", text)
    text = _JWT.sub(MASK, text)
    text = _KNOWN.sub(MASK, text)
    return _RUN.sub(_run, text)


def redact_logins(text):
    """The text with no password in an address."""
    return _IN_URL.sub(r"\1" + MASK + "@", text)


def printable(text):
    """Text of others without what a terminal would obey: such a character is told by its number. A tab stays."""
    return "".join(letter if letter.isprintable() or letter == "\t" else _number(ord(letter)) for letter in text)


def plain(line):
    """A line of output without colours and without what else a terminal would obey."""
    return printable(SEQUENCES.sub("", line))


def _number(code):
    # A byte of a name that is no UTF-8 is kept by Python as a code from here on (PEP 383).
    code = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    return ("\\x%02x" if code < 0x100 else "\\u%04x") % code


def _setting(match):
    quote = match.group(2)[0] if match.group(2)[0] in "\"'" else ""
    return match.group(1) + quote + MASK + quote


def _run(match):
    run = match.group()
    kinds = (r"[a-z]", r"[A-Z]", r"[0-9]")
    random = all(re.search(kind, run) for kind in kinds) or re.fullmatch(r"[0-9a-fA-F]{32,}", run)
    return MASK if random else run


def is_secret_name(name):
    """Whether a variable of this name holds what nobody should read."""
    return bool(re.search(SECRET_NAME, name, re.I))
