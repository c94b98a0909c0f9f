"""From locations to documents: which files, how they are cut, and what is held out.

What may live here: reading of text, in the standard library and numpy. What may not: tokenizers,
token ids, or anything that writes.
"""
