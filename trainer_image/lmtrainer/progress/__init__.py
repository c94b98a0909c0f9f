"""What a rank says while it works: signs of life, progress, its completion, its first error.

Ranks write files into their node's folder; the launcher serves and bundles them. What may live
here: the writing side of `contract.reports`. What may not: metrics of a run, which are results and
lie in the output folder.
"""

from lmtrainer.progress.reports import RankReports

__all__ = ["RankReports"]
