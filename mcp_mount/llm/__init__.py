"""Model backends behind the LLM and image routes."""
