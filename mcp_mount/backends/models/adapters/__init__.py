"""Adapters: functions, agents, client objects and the MCP client's model, as models."""
