"""The role's own files: templates, variables, tasks."""
