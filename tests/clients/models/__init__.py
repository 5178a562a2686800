"""Clients of models: what OpenAI's clients and those that speak as they do see of each host."""
