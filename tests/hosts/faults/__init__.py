"""Two hosts with an app to disturb, and visitors who expect right answers during each test."""
