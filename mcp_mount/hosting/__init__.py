"""What a server asks of the application that it is mounted in, and takes from it."""
