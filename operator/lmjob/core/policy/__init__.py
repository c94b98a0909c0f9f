"""The rules of a job's behaviour, one a file: pure, small verdicts, and none calls another."""
