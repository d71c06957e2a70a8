"""Other people's sites beside an app."""
