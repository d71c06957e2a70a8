# The sample app in a container. The role installs it:
#   docker build -t NAME . && docker run -p 80:80 -d NAME   ->   http://localhost/flask-apache/
ARG BASE=debian:13
FROM ${BASE}

COPY requirements.txt site.yml ansible.cfg /deploy/
COPY inventory /deploy/inventory
COPY playbooks /deploy/playbooks
COPY roles /deploy/roles
COPY sample_app /deploy/sample_app

# One layer, so that Ansible, the package lists and the build's secret key are not in the image.
RUN set -eu; cd /deploy; export DEBIAN_FRONTEND=noninteractive; \
    apt-get -qq update; \
    apt-get -qq install --no-install-recommends python3-venv python3-apt ca-certificates >/dev/null; \
    python3 -m venv /opt/ansible; \
    /opt/ansible/bin/pip install --quiet --disable-pip-version-check -r requirements.txt; \
    /opt/ansible/bin/ansible-playbook site.yml \
        --extra-vars '{"flask_apache_manage_service": false, "flask_apache_access_log": "/dev/stdout", "flask_apache_error_log": "/dev/stderr"}'; \
    key=$(cat /etc/flask-apache/*/secret_key); \
    sed -i "s/\"SECRET_KEY\": \"$key\"\(, \)\?//" /srv/flask-apache/*/releases/*/env; \
    ln -sf /dev/stderr /var/log/apache2/error.log; \
    apt-get clean; \
    rm -rf /etc/flask-apache/*/secret_key /deploy /opt/ansible /root/.ansible /root/.cache \
        /var/cache/flask-apache/*/* /var/cache/flask-apache/.tools /var/lib/apt/lists/*

EXPOSE 80
STOPSIGNAL SIGTERM
# Each container generates a secret key at its first start, unless `docker run -e SECRET_KEY=…` sets one.
CMD ["/bin/sh", "-ec", "\
    set -- /etc/flask-apache/*/app.json; key=${1%app.json}secret_key; \
    [ -s $key ] || (umask 077; python3 -c 'import secrets; print(secrets.token_hex(32), end=\"\")' >$key); \
    export SECRET_KEY=\"${SECRET_KEY:-$(cat $key)}\"; \
    . /etc/apache2/envvars; mkdir -p $APACHE_RUN_DIR $APACHE_LOCK_DIR; exec apache2 -D FOREGROUND"]
