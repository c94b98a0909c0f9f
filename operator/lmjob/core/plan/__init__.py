"""A specification becomes a plan: stages of replicas, without a word of Kubernetes."""
