"""What a user does before a run, or with a finished one, one command one file: `lmtrainer segment`,
`lmtrainer vocab`, `lmtrainer test`, `lmtrainer export`.

Each file declares its arguments and runs; what it needs is imported when it runs. What may not live
here: anything that a job does by itself.
"""
