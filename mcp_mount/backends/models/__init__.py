"""Functions that complete prompts, behind the chat and prompt routes."""
