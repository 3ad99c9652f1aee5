"""The back ends of the services: volumes as files, servers as folders, shares as mounted images."""
