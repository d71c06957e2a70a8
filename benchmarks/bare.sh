#!/bin/sh
# What the role is measured against: the same app put on a host by the shortest shell script that does it.
# Run on the host, with the source unpacked in /tmp/source. No pools, no gate, no rollback, no checks.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends apache2 libapache2-mod-wsgi-py3 python3-venv ca-certificates >/dev/null
id -u bare >/dev/null 2>&1 || useradd --system --home-dir /srv/bare bare
mkdir -p /srv/bare/data
chown bare /srv/bare/data
cp -r /tmp/source/. /srv/bare/app
[ -d /srv/bare/venv ] || python3 -m venv /srv/bare/venv
/srv/bare/venv/bin/pip install --quiet --cert /etc/ssl/certs/ca-certificates.crt -r /srv/bare/app/requirements.txt
cat >/srv/bare/app.wsgi <<'WSGI'
import os
os.environ.update(FLASK_APACHE_DATA="/srv/bare/data", SECRET_KEY="bare")
from flask_apache_sample import create_app
application = create_app()
WSGI
cat >/etc/apache2/sites-available/bare.conf <<'CONF'
<VirtualHost *:80>
    ServerName localhost
    WSGIDaemonProcess bare user=bare processes=2 threads=5 python-home=/srv/bare/venv python-path=/srv/bare/app
    WSGIScriptAlias /flask-apache /srv/bare/app.wsgi process-group=bare application-group=%{GLOBAL}
    <Directory /srv/bare>
        Require all granted
    </Directory>
</VirtualHost>
CONF
a2ensite -q bare >/dev/null
systemctl reload apache2
