"""What a call costs on each host, in counts that noise does not change."""
