"""Two hosts that serve an app with static files below a mount."""
