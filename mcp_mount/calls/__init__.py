"""A call of a handler: its request, its result, its policies, its channels and questions."""
