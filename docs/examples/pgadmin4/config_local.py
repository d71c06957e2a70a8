"""Settings of pgAdmin, which imports this module by its name."""

import os

DATA_DIR = os.environ["FLASK_APACHE_DATA"]
MASTER_PASSWORD_REQUIRED = False
UPGRADE_CHECK_ENABLED = False
