"""Asks sslyze whether servers keep Mozilla's recommendations: runs with the Python of tests/requirements-sslyze.txt.

Reads a list of ``{address, port, name, profile}`` from standard input, and prints, for each, what does not keep the
profile: ``{issue: text}``.
"""

from __future__ import annotations

import json
import sys

from sslyze import (
    Scanner,
    ServerNetworkLocation,
    ServerScanRequest,
)
from sslyze.mozilla_tls_profile.tls_config_checker import (
    SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)


def main() -> None:
    """Scan all servers at once."""
    asked = json.load(sys.stdin)
    scanner = Scanner()
    requests = [
        ServerScanRequest(
            ServerNetworkLocation(each["name"], each["port"], ip_address=each["address"]),
            scan_commands=SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
        )
        for each in asked
    ]
    scanner.queue_scans(requests)
    found = {str(result.uuid): result for result in scanner.get_results()}
    answers = []
    for each, request in zip(asked, requests, strict=True):
        issues = {}
        try:
            wanted = MozillaTlsConfiguration.get(TlsConfigurationEnum(each["profile"]))
            check_server_against_tls_configuration(found[str(request.uuid)], wanted)
        except ServerNotCompliantWithTlsConfiguration as error:
            issues = error.issues
        answers.append(issues)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
