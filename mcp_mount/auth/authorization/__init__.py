"""The OAuth 2.1 authorization server: people sign in with the application's own accounts."""
