"""Real clients, each in an environment of its own, against real servers: `make clients`."""
