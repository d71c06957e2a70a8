"""What every command needs of the host: files, programs, and what is said."""
