"""What a user does without a job, one command of `lmtrainer` one file: before a run (`segment`,
`instances`, `compile`), in place of one (`run`, `compat`), with what one left (`vocab`, `test`,
`export`).

Each file declares its arguments and runs; what it needs is imported when it runs. What may not live
here: anything that a job does by itself.
"""
