"""What a user does with a finished run, one command one file: `lmtrainer test`, `lmtrainer export`.

Each file declares its arguments and runs; what it needs is imported when it runs. What may not live
here: anything that a job does by itself.
"""
