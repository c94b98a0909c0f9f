"""Values in, values out: no clock, no files, no processes, no Kubernetes. import-linter holds it."""
