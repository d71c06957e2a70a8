"""The role and the collection as archives."""
