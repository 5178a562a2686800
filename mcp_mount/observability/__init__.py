"""Telemetry, call records, audit and Prometheus metrics."""
