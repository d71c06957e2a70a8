"""Checks of the role's variables: one file for each subject. Every check yields errors and changes nothing."""
