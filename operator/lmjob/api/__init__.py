"""What a user writes and reads. `spec.parse_job` is the only door."""
