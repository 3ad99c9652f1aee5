"""Kubernetes as this driver uses it: REST, informer, work queue and leader election over raw JSON."""
