"""The test bed: a real Kubernetes and a real OpenStack on one machine, without a container registry or a daemon.

`python -m tests.testbed` is its front program, `tests.testbed.bed.Bed` the same for tests and the demo. Only the
standard library is used, so that a plain Debian python3 runs it before anything is installed.
"""
