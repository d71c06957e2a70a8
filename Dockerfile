# The sample app in a container, made by the role:
#   docker build -t NAME . && docker run -p 80:80 -d NAME   ->   http://localhost/flask-apache/
ARG BASE=debian:13
FROM ${BASE}

COPY requirements.txt site.yml ansible.cfg /deploy/
COPY inventory /deploy/inventory
COPY playbooks /deploy/playbooks
COPY roles /deploy/roles
COPY sample_app /deploy/sample_app

# One layer, so that Ansible and the package lists leave nothing behind.
RUN set -eu; cd /deploy; export DEBIAN_FRONTEND=noninteractive; \
    apt-get -qq update; \
    apt-get -qq install --no-install-recommends python3-venv python3-apt ca-certificates >/dev/null; \
    python3 -m venv /opt/ansible; \
    /opt/ansible/bin/pip install --quiet --disable-pip-version-check -r requirements.txt; \
    /opt/ansible/bin/ansible-playbook site.yml \
        --extra-vars '{"flask_apache_manage_service": false, "flask_apache_access_log": "/dev/stdout", "flask_apache_error_log": "/dev/stderr"}'; \
    ln -sf /dev/stderr /var/log/apache2/error.log; \
    rm -rf /deploy /opt/ansible /root/.ansible /root/.cache /var/cache/flask-apache/*/* /var/lib/apt/lists/*

EXPOSE 80
STOPSIGNAL SIGTERM
CMD ["/bin/sh", "-c", ". /etc/apache2/envvars && exec apache2 -D FOREGROUND"]
