"""White space, character by character, as every tokenizer that is trained here knows it."""

from __future__ import annotations

from tokenizers import Regex

OTHER_SPACES = (
    "\t\n\v\f\r\x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""All white space (Unicode's White_Space) but the space itself."""

SPACES = OTHER_SPACES + " "

ANY_SPACE = Regex(r"\s")
"""The same, to the tokenizers library."""
