"""Feature 8 of the trainer: results in an object store."""
