"""From locations to documents: which files, how they are cut, and what is held out.

What may live here: reading of text, or of rows that were made of text; each library for that has
one file. What may not: tokenizers, or anything that writes, but for copies in the user's cache.
"""
