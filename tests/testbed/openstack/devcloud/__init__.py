"""What runs inside the services' own virtual environment: one module a service, and their drivers.

Only `plan` is read from outside too, by the program that starts the services.
"""
