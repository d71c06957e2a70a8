"""Run the engine from its sources: ``python -m flask_apachectl``. On a host, its one file starts the same way."""

import sys

from flask_apachectl.cli import main

sys.exit(main())
