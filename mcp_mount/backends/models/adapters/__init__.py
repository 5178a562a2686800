"""Functions, agents and clients of the user's, and the client's own model, as models."""
