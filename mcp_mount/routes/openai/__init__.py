"""The HTTP interface that OpenAI's clients speak, a module for each of its parts."""
