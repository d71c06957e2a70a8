"""What tools say about the files."""
