"""What an LMTrainingJob is, and what is done about it. Layers, lowest first:

api         what a user writes and reads: names, the specification, status
core        values in, values out: spec -> plan; (plan, memory, observed, now) -> decision
reconcile   observe -> decide -> claim or act -> report, for any backend
local       the backend of this machine: nodes are processes
cli         one verb, one file
"""

__version__ = "0.1.0"
