"""Deploys to Docker containers that play hosts, asked from outside as visitors do."""
