"""The live side: how a release starts, is probed, serves, and is judged."""
