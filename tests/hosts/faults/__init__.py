"""Two hosts with an app that is disturbed while visitors check every answer."""
