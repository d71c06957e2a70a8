"""Run the engine from its sources: ``python -m flask_apachectl``. On a host it is one file, whose __main__ is the same."""

import sys

from flask_apachectl.cli import main

sys.exit(main())
