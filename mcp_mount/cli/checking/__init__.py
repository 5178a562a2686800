"""What stands between assistants and a server, as seen from outside."""
