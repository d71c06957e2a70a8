"""Settings of I Hate Money, whose factory imports this module by its name."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['FLASK_APACHE_DATA']}/ihatemoney.db"
SESSION_COOKIE_SECURE = False  # True behind TLS
ACTIVATE_DEMO_PROJECT = False
