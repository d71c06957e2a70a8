# Bash completion for flask-apachectl: commands, apps, and the releases on the host.
_flask_apachectl() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    case $previous in
    --app) words=$(cd /etc/flask-apache 2>/dev/null && for file in */app.json; do echo "${file%/*}"; done) ;;
    maintenance | drain) words="on off" ;;
    rollback | --release) words=$(for release in /srv/flask-apache/*/releases/*/; do basename "$release"; done) ;;
    doctor) words="--thorough" ;;
    logs) words="--access --error --worker --follow --lines" ;;
    *) words="abort canary certificates deploy doctor drain history logs maintenance metrics probe promote prune releases
        rollback run shell status --app --json --help" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _flask_apachectl flask-apachectl
