"""What makes volumes: Cinder, later Manila and directories, each behind the Protocols of `base`."""
