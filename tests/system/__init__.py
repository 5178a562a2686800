"""Tests with programs of the system, a browser and Valgrind: `make test-system`."""
