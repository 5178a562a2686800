"""From a Python signature to a JSON Schema, and to a validator of arguments."""
