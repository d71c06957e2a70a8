"""The commands, by subject. Each function takes an app and the parsed arguments, and returns what is to be said."""
