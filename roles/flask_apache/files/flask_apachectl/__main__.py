"""Run the engine from its sources: ``python -m flask_apachectl``. On a host it is one file."""

import sys

from flask_apachectl.cli import main

sys.exit(main())
