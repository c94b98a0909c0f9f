"""The stages of a job as they run in a node: `prepare`, `train`, `evaluate`.

Each is a shell around the rooms below it: claim the output folder, do the work, leave a record that
proves it. A stage that finds its own verified record ends at once.
"""
