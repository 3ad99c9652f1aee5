"""What the driver costs: calls to the cloud, seconds, CPU and memory. `python -m tests.bench`, or `make bench`."""
