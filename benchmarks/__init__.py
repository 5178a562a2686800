"""Measurements, by `make bench`. None of them is a test: they assert nothing."""
