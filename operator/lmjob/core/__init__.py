"""Values in, values out: no clock, files, processes or Kubernetes. import-linter holds it."""
