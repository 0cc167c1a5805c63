"""What the integration tests stand on: the real weir and Consul, backends, clients, load."""

import pathlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # Debian's: the one that has Debian's packages
