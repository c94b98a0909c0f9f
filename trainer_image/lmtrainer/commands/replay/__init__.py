"""Carries out the steps of a translated command line (`lmtrainer.compat`) on this machine.

    machine      its cores and devices
    stages       a stage as `lmjob run` would start it: `lmtrainer launch` in a process of its own
    run          all stages of a run, and the folder that they work in
    results      what an earlier kit's user looks for, put where it was asked for
    vocabularies, export        steps that are no run

Called by `commands.compat` and `commands.run`. What may not live here: what a flag means.
"""

from lmtrainer.commands.replay.steps import carry_out_steps

__all__ = ["carry_out_steps"]
