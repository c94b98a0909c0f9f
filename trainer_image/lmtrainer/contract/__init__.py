"""The seam between a job and its trainer: what crosses it, in which form, in which version.

Both sides import this package and nothing else of each other: `lmjob` builds arguments and
environments with it and reads what comes back; `lmtrainer` reads the first and writes the second.
Standard library only. Readers ignore fields that they do not know, so that either side may be one
version older.
"""

VERSION = 1
"""Version of everything in this package; raised when an old reader would be misled."""
